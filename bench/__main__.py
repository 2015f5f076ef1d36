"""`python -m bench`: measures everything and prints the tables that stand in docs/benchmarks.md."""

import asyncio
import tempfile
from pathlib import Path

import typer
import uvloop
from rich.console import Console

from bench import checks, class_lists, report, save, searches, waiting
from deploy.api_client import ApiClient
from deploy.ports import HOST, Ports
from deploy.seed import seed
from deploy.stack import Stack
from deploy.wiring import Wiring
from services.runtime import temporal
from services.runtime.temporal import TemporalSettings

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
"""One account does in a minute what a country's registrars do in a day: it is counted, but not refused."""


def main(
    *,
    waiting_most: int = typer.Option(10_000, help="Registrations waiting at the most."),
    persons_most: int = typer.Option(1_000_000, help="Persons stored at the most."),
    customers_most: int = typer.Option(100_000, help="Customers of one unit at the most."),
) -> None:
    """Measures on a stack of its own, in a folder that is deleted afterwards."""
    uvloop.run(_measure(waiting_most, persons_most, customers_most))


async def _measure(waiting_most: int, persons_most: int, customers_most: int) -> None:
    console = Console()
    with tempfile.TemporaryDirectory(prefix="liity-bench-") as folder:
        stack = Stack(Path(folder), Ports.free())
        stack.environment = _UNLIMITED
        await stack.start()
        wiring = Wiring(stack.folder, stack.ports, stack.postgres)
        try:
            accounts = await seed(stack.folder, stack.keys_dir, stack.ports)
            settings = TemporalSettings.model_validate(
                {"keys_dir": stack.keys_dir, "temporal_address": f"{HOST}:{stack.ports.temporal}"}
            )
            client = await temporal.connect(settings)
            async with ApiClient(f"{HOST}:{stack.ports.gateway}") as api:
                account = accounts["registrar"]
                await api.log_in(account.email, account.password)
                report.machine(console)
                report.comparison(console, await save.compare(stack, wiring, api, client))
                report.class_list(console, await class_lists.compare_lists(stack, wiring, api))
                report.checks(console, await checks.measure_checks(stack, api, persons_most))
                report.searches(console, await searches.measure_searches(stack, api, customers_most))
            async with ApiClient(f"{HOST}:{stack.ports.gateway}") as api:
                account = accounts["teacher"]
                await api.log_in(account.email, account.password)
                report.waiting(console, await waiting.measure_waiting(stack, wiring, api, waiting_most))
        finally:
            await stack.stop()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    typer.run(main)
