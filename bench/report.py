"""Prints the tables."""

import os
import platform
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.checks import CheckRun
from bench.class_lists import ListComparison
from bench.fairness import Fairness
from bench.pages import PageRun
from bench.restarts import Restarts
from bench.save import Comparison
from bench.searches import SearchRun
from bench.waiting import Footprint


def machine(console: Console) -> None:
    """The machine and versions."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    console.print(
        f"{os.cpu_count()} × {model}, {memory:.0f} GiB, {platform.system()}, {platform.python_version()}"
    )


def comparison(console: Console, both: Comparison, components: str) -> None:
    """The engine compared with a Save up to the credentials' mail; `components` says how they are served."""
    console.print(f"load averages: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    title = f"Save beside the engine, {components}"
    table = Table("callers", "", "calls/s", "p50 ms", "p99 ms", "CPU ms/call", title=title)
    for engine, save in zip(both.engine, both.save, strict=True):
        for name, run in (("engine", engine), ("Save", save)):
            table.add_row(
                str(run.callers),
                name,
                f"{run.throughput:.1f}",
                f"{run.percentile(50):.1f}",
                f"{run.percentile(99):.1f}",
                f"{run.cpu_each:.1f}",
            )
        table.add_row(
            "",
            "ratio",
            f"{save.throughput / engine.throughput:.2f}",
            f"{save.percentile(50) / engine.percentile(50):.2f}",
            f"{save.percentile(99) / engine.percentile(99):.2f}",
            f"{save.cpu_each / engine.cpu_each:.2f}",
            end_section=True,
        )
    console.print(table)
    callers = (f"{run.callers} callers" for run in both.save)
    cpu = Table("process", *callers, title=f"CPU ms per Save (per engine run), {components}")
    for process in both.save[0].cpu:
        cells = (
            f"{save.cpu_of(process):.1f} ({engine.cpu_of(process):.1f})"
            for engine, save in zip(both.engine, both.save, strict=True)
        )
        cpu.add_row(process, *cells)
    console.print(cpu)
    history = Table("", "events", "bytes", title="History up to the two-week timer")
    history.add_row("engine", *map(str, both.engine_history))
    history.add_row("Save", *map(str, both.save_history))
    console.print(history)


def class_list(console: Console, both: ListComparison) -> None:
    """Rows of a class list compared with single Saves."""
    title = f"A class list of {len(both.rows.latencies):,} rows beside single Saves"
    table = Table("", "customers/s", "CPU ms each", title=title)
    for name, run in (
        (f"Save, {both.save.callers} callers", both.save),
        ("class list", both.rows),
    ):
        table.add_row(name, f"{run.throughput:.1f}", f"{run.cpu_each:.1f}")
    table.add_row("ratio", f"{both.rows.throughput / both.save.throughput:.2f}", "")
    console.print(table)
    console.print(f"The list was checked and stored after {both.accepted:.1f} s.")


def fairness(console: Console, seen: Fairness) -> None:
    """Single Saves on an idle system and beside class lists, and how soon a list is accepted."""
    table = Table("", "p50 ms", "p99 ms", "refused", title=f"Saves beside {seen.lists} class lists")
    for name, run, refused in (
        ("idle", seen.idle, seen.idle_refused),
        ("beside", seen.busy, seen.busy_refused),
    ):
        table.add_row(name, f"{run.percentile(50):.1f}", f"{run.percentile(99):.1f}", str(refused))
    p50, p99 = (seen.busy.percentile(percent) / seen.idle.percentile(percent) for percent in (50, 99))
    table.add_row("ratio", f"{p50:.2f}", f"{p99:.2f}", "")
    console.print(table)
    console.print(
        f"Beside the Saves {seen.rows_per_second:.1f} rows were registered a second. A list was accepted"
        f" after {seen.accepted_alone:.1f} s on an idle system, {max(seen.accepted_at_once):.1f} s at most"
        f" when all were uploaded at once, {seen.accepted_beside:.1f} s while they ran. A list of"
        f" {seen.short_rows} rows of another unit had ended after {seen.short_ended:.1f} s."
    )


def restarts(console: Console, seen: Restarts) -> None:
    """Single Saves on an idle system, and while gateways and workers are replaced."""
    title = f"Saves while {seen.number} gateways and workers are replaced"
    table = Table("", "Saves", "p50 ms", "p99 ms", "failed", title=title)
    for name, run, failed in (
        ("idle", seen.idle, seen.idle_failed),
        ("meanwhile", seen.replaced, seen.replaced_failed),
    ):
        p50, p99 = (f"{run.percentile(percent):.1f}" for percent in (50, 99))
        table.add_row(name, str(len(run.latencies)), p50, p99, str(failed))
    console.print(table)


def checks(console: Console, runs: list[CheckRun]) -> None:
    """Checks of codes with few and with many persons."""
    table = Table("persons stored", "p50 ms", "p99 ms", title="CheckPersonalIdentityCode, one caller")
    for run in runs:
        table.add_row(f"{run.persons:,}", f"{run.percentile(50):.1f}", f"{run.percentile(99):.1f}")
    table.add_row("ratio", "", f"{runs[-1].percentile(99) / runs[0].percentile(99):.2f}")
    console.print(table)


def searches(console: Console, runs: list[SearchRun]) -> None:
    """Searches of a unit's customers by name."""
    table = Table("customers", "searched for", "p50 ms", "p99 ms", title="SearchCustomers, one caller")
    for run in runs:
        table.add_row(
            f"{run.customers:,}", run.what, f"{run.percentile(50):.1f}", f"{run.percentile(99):.1f}"
        )
    console.print(table)


def pages(console: Console, runs: list[PageRun]) -> None:
    """Pages beside the gateway's calls that they make."""
    many = runs[0].crowd.callers
    table = Table(
        "page",
        "calls p50 ms",
        "page p50 ms",
        "1.5 × calls + 15",
        f"{many} browsers p50",
        "p99",
        "p99/p50",
        title="Pages, opened by one browser and by several",
    )
    for run in runs:
        calls = run.calls.percentile(50) if run.calls.latencies else 0.0
        median, slowest = run.crowd.percentile(50), run.crowd.percentile(99)
        table.add_row(
            run.what,
            f"{calls:.1f}",
            f"{run.page.percentile(50):.1f}",
            f"{1.5 * calls + 15:.1f}",
            f"{median:.1f}",
            f"{slowest:.1f}",
            f"{slowest / median:.2f}",
        )
    console.print(table)


def waiting(console: Console, footprints: list[Footprint]) -> None:
    """Resources used by waiting registrations."""
    table = Table(
        "waiting", "worker MiB", "rows", "databases MiB", "Temporal MiB", title="Waiting for consent"
    )
    for footprint in footprints:
        table.add_row(
            f"{footprint.waiting:,}",
            f"{footprint.worker_bytes / 2**20:.0f}",
            f"{footprint.rows:,}",
            f"{footprint.database_bytes / 2**20:.0f}",
            f"{footprint.temporal_bytes / 2**20:.0f}",
        )
    for earlier, later in pairwise(footprints):
        more = later.waiting - earlier.waiting
        table.add_row(
            f"each of {more:,}",
            f"{(later.worker_bytes - earlier.worker_bytes) / more / 1024:.1f} KiB",
            f"{(later.rows - earlier.rows) / more:.1f}",
            f"{(later.database_bytes - earlier.database_bytes) / more / 1024:.1f} KiB",
            f"{(later.temporal_bytes - earlier.temporal_bytes) / more / 1024:.1f} KiB",
        )
    console.print(table)
