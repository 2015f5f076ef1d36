"""`python -m bench`: runs all benchmarks and prints the tables of docs/benchmarks.md."""

import asyncio
import tempfile
from pathlib import Path

import typer
import uvloop
from rich.console import Console

from bench import checks, class_lists, fairness, pages, report, restarts, save, searches, waiting
from bench.sizes import TINY, Sizes
from deploy.local.ports import HOST, Ports
from deploy.local.process import Spawn, spawn
from deploy.local.seed import seed
from deploy.local.stack import Stack
from deploy.local.wiring import Wiring
from frontends.client import ApiClient
from services.runtime.temporal import client as temporal_client
from services.runtime.temporal.client import TemporalSettings

_UNLIMITED = {
    f"LIITY_{limit}": str(1_000_000)
    for limit in (
        "LOOK_UPS_PER_ACCOUNT",
        "LOOK_UPS_PER_UNIT",
        "CLASS_LIST_ROWS_PER_ACCOUNT",
        "CLASS_LIST_ROWS_PER_UNIT",
        "MAILS_PER_ADDRESS",
    )
}
"""The one account does in a minute what a country's registrars do in a day: counted, but not refused."""


def main(
    *,
    tiny: bool = typer.Option(False, help="Run every part with a few calls, to see that it runs."),
    saves: bool = typer.Option(False, help="Measure only Saves beside the engine."),
) -> None:
    """Runs the benchmarks on a stack of their own, in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="liity-bench-") as folder:
        uvloop.run(measure(Path(folder), TINY if tiny else Sizes(), only_saves=saves))


async def measure(folder: Path, sizes: Sizes, *, only_saves: bool = False, spawn: Spawn = spawn) -> None:
    """Runs the benchmarks on a stack in this folder, and prints their tables."""
    console = Console()
    stack = Stack(folder, Ports.free(), spawn=spawn)
    stack.environment = _UNLIMITED
    await stack.start()
    wiring = Wiring(stack.folder, stack.ports, stack.postgres)
    try:
        accounts = await seed(stack.folder, stack.keys_dir, stack.ports)
        settings = TemporalSettings.model_validate(
            {"keys_dir": stack.keys_dir, "temporal_address": f"{HOST}:{stack.ports.temporal}"}
        )
        client = await temporal_client.connect(settings)
        async with ApiClient(f"{HOST}:{stack.ports.gateway}") as api:
            account = accounts["registrar"]
            await api.log_in(account.email, account.password)
            caller = save.SaveCaller(api, wiring.mail_dir)
            report.machine(console)
            split = await save.compare(stack, wiring, caller, client, sizes)
            report.comparison(console, split, "each component a process")
            async with save.joint(stack):
                joint = await save.compare(stack, wiring, caller, client, sizes)
            report.comparison(console, joint, "all in one process")
            if only_saves:
                return
            report.class_list(console, await class_lists.compare_lists(stack, caller, api, sizes))
            async with ApiClient(f"{HOST}:{stack.ports.gateway}") as staff:
                account = accounts["staff"]
                await staff.log_in(account.email, account.password)
                report.fairness(console, await fairness.measure_fairness(stack, caller, staff, sizes))
            replaced = await restarts.measure_restarts(
                stack, wiring, accounts["registrar"], caller, sizes, spawn
            )
            report.restarts(console, replaced)
            report.checks(console, await checks.measure_checks(stack, api, sizes))
            report.searches(console, await searches.measure_searches(stack, api, sizes))
            opened = await pages.measure_pages(stack, api, accounts["registrar"], caller.names[-1], sizes)
            report.pages(console, opened)
        async with ApiClient(f"{HOST}:{stack.ports.gateway}") as api:
            account = accounts["teacher"]
            await api.log_in(account.email, account.password)
            footprints = await waiting.measure_waiting(stack, wiring, api, sizes.waiting_most)
            report.waiting(console, footprints)
    finally:
        await stack.stop()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    typer.run(main)
