"""`python -m bench.peers`: compares Liity with DBOS and prints the tables of docs/benchmarks.md."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from bench import report
from bench.load import Run
from bench.peers.compare import Caller, Contest, Waiting
from bench.peers.dbos_process import DbosPeer, dbos_peer
from deploy.local.ports import HOST, Ports
from deploy.local.process import Command, Running, spawn
from deploy.local.seed import seed
from deploy.local.stack import Stack
from deploy.local.wiring import Wiring
from frontends.client import ApiClient
from services.runtime.temporal import client as temporal_client
from services.runtime.temporal.client import TemporalSettings

_UNLIMITED = {
    f"LIITY_{limit}": str(1_000_000)
    for limit in ("LOOK_UPS_PER_ACCOUNT", "LOOK_UPS_PER_UNIT", "MAILS_PER_ADDRESS")
}


@dataclass(frozen=True)
class PeerSizes:
    """Sizes of a run."""

    calls: Mapping[int, int] = field(default_factory=lambda: {1: 100, 8: 200, 32: 400})
    """Calls measured, by the number of callers."""
    rounds: int = 4
    """Rounds in which they are made."""
    warm_up: int = 8
    """Calls before that; those of the workflows that wait have warmed up already."""
    waiting: int = 400
    """Workflows that wait, after a tenth of them for warming up."""
    waiting_callers: int = 16


_LONGEST = 3600.0
"""Seconds after which it ends: a mail that does not arrive would be waited for without end."""

_TINY = PeerSizes(calls={1: 4, 4: 8}, rounds=2, warm_up=2, waiting=10, waiting_callers=2)


def main(
    *,
    tiny: bool = typer.Option(False, help="Make a few calls only, to see that it runs."),
    synchronous: str = typer.Option(
        "FULL",
        help="Temporal's SQLite pragma. FULL syncs each commit to disk, as PostgreSQL does; NORMAL is the"
        " stack's own.",
    ),
) -> None:
    """Runs the comparison on a stack of its own, in a folder that is deleted afterwards."""
    uvloop.run(_measure(_TINY if tiny else PeerSizes(), synchronous))


async def _measure(sizes: PeerSizes, synchronous: str) -> None:
    async def spawn_durable(command: Command, log: Path) -> Running:
        arguments = [
            f"synchronous={synchronous}" if argument.startswith("synchronous=") else argument
            for argument in command.arguments
        ]
        return await spawn(replace(command, arguments=arguments), log)

    console = Console()
    with tempfile.TemporaryDirectory(prefix="liity-bench-") as folder:
        stack = Stack(Path(folder), Ports.free(), spawn=spawn_durable)
        stack.environment = _UNLIMITED
        await stack.start()
        wiring = Wiring(stack.folder, stack.ports, stack.postgres)
        try:
            report.machine(console)
            await _durability(console, stack, synchronous)
            async with asyncio.timeout(_LONGEST), dbos_peer(stack, wiring) as peer:
                await _compare(console, stack, wiring, peer, sizes)
        finally:
            await stack.stop()


async def _compare(console: Console, stack: Stack, wiring: Wiring, peer: DbosPeer, sizes: PeerSizes) -> None:
    accounts = await seed(stack.folder, stack.keys_dir, stack.ports)
    settings = TemporalSettings.model_validate(
        {"keys_dir": stack.keys_dir, "temporal_address": f"{HOST}:{stack.ports.temporal}"}
    )
    client = await temporal_client.connect(settings)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.engine", env={**os.environ, **wiring.settings("worker")}
    )
    try:
        contest = Contest(stack, wiring, client, peer, worker.pid)
        gateway = f"{HOST}:{stack.ports.gateway}"
        async with ApiClient(gateway) as registrar, ApiClient(gateway) as teacher:
            await registrar.log_in(accounts["registrar"].email, accounts["registrar"].password)
            await teacher.log_in(accounts["teacher"].email, accounts["teacher"].password)
            children = Caller(teacher, wiring.mail_dir, children=True)
            waiting = {}
            for contender in contest.contenders(children):
                await contest.wait(contender, sizes.waiting_callers, sizes.waiting // 10)
                waiting[contender.name] = await contest.wait(contender, sizes.waiting_callers, sizes.waiting)
            _print_waiting(console, waiting)
            await contest.consent(children)
            adults = contest.contenders(Caller(registrar, wiring.mail_dir))
            for contender in adults:
                await contest.run(contender, 4, sizes.warm_up)
            for callers, calls in sizes.calls.items():
                runs = await contest.run_in_turn(adults, callers, calls, sizes.rounds)
                _print_runs(console, {each.name: run for each, run in zip(adults, runs, strict=True)})
            console.print(f"Load average at the end: {_load()}")
    finally:
        worker.terminate()
        await worker.wait()


async def _durability(console: Console, stack: Stack, synchronous: str) -> None:
    connection = await stack.postgres.connect("postgres", "postgres")
    try:
        names = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")
        settings = [f"{name}={await connection.fetchval(f'SHOW {name}')}" for name in names]
    finally:
        await connection.close()
    console.print(f"PostgreSQL: {', '.join(settings)}; Temporal: SQLite, journal_mode=WAL, {synchronous=!s}")
    console.print(f"dbos {version('dbos')}; load average at the start: {_load()}")


def _load() -> str:
    return ", ".join(f"{load:.1f}" for load in os.getloadavg())


def _print_runs(console: Console, runs: Mapping[str, Run]) -> None:
    callers = next(iter(runs.values())).callers
    table = Table("", "calls/s", "p50 ms", "p99 ms", "CPU ms/call", "of these", title=f"{callers} callers")
    for name, run in runs.items():
        cpu = {each: seconds / len(run.latencies) * 1000 for each, seconds in run.cpu.items()}
        table.add_row(
            name,
            f"{run.throughput:.1f}",
            f"{run.percentile(50):.1f}",
            f"{run.percentile(99):.1f}",
            f"{sum(cpu.values()):.1f}",
            ", ".join(f"{each} {spent:.0f}" for each, spent in cpu.items()),
        )
    console.print(table)


def _print_waiting(console: Console, waiting: Mapping[str, Waiting]) -> None:
    table = Table("", "KiB stored", "KiB of memory", title="Each waiting workflow")
    for name, each in waiting.items():
        table.add_row(name, f"{each.stored / 1024:.1f}", f"{each.memory / 1024:.1f}")
    console.print(table)


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    typer.run(main)
