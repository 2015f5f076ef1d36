"""`liity erasure`: repeats erasures after a restored backup."""

import asyncio

import typer
from rich.table import Table

from deploy.admin.worker_access import Fix, StateDir, environment_of, services
from deploy.ending import ending_clearly
from frontends.cli.console import FAILED, console
from services.runtime.rpc.errors import Refusal
from services.runtime.settings import load
from workflows.privacy.erasure import Erasure
from workflows.privacy.erasure_ledger import BrokenLedger, ErasureLedger, read
from workflows.privacy.reapplication import CameBack, Reapplication
from workflows.settings import WorkerSettings

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """Erasures, and the ledger of them."""


@app.command()
def reapply(state_dir: StateDir = None, fix: Fix = False) -> None:
    """Finds who was erased and is there again, by the erasure ledger; with --fix, erases them again.

    Run it after a database was restored, with the worker's environment: worker and gateway are stopped, the
    three services run. May be stopped and repeated. Exit code 1 if anybody is there who should not be, or
    the ledger was changed.
    """
    with ending_clearly(), environment_of(state_dir):
        try:
            checked, found, failed = asyncio.run(_reapply(load(WorkerSettings), fix=fix))
        except BrokenLedger as broken:
            typer.echo(f"The erasure ledger is not as it was written: {broken}", err=True)
            raise typer.Exit(FAILED) from None
        except Refusal as refusal:
            typer.echo(f"Stopped, a service does not answer as it should: {refusal.summary}", err=True)
            raise typer.Exit(FAILED) from None
    if found:
        table = Table("Kind", "Person", "There again in", "Done")
        for came_back in found:
            erased = came_back.erased
            done = "failed" if came_back in failed else "erased" if fix else "no"
            table.add_row(erased.kind, erased.person_id, ", ".join(came_back.services), done)
        console().print(table)
    typer.echo(f"{checked} erasures in the ledger; there again: {len(found)}.")
    if found and not fix:
        typer.echo("Erase them with --fix.")
    if failed or (found and not fix):
        raise typer.Exit(FAILED)


async def _reapply(settings: WorkerSettings, *, fix: bool) -> tuple[int, list[CameBack], list[CameBack]]:
    """How many erasures the ledger holds, which were there again, and which could not be repeated."""
    erasures = read(settings.erasure_ledger_dir)
    ledger = ErasureLedger(settings.erasure_ledger_dir, settings.erasure_ledger_keep)
    async with services(settings) as peers:
        reapplication = Reapplication(*peers, Erasure(*peers, ledger))
        found = [came_back async for came_back in reapplication.find(erasures)]
        failed = []
        if fix:
            for came_back in found:
                try:
                    await reapplication.erase(came_back.erased)
                except Refusal as refusal:
                    typer.echo(f"{came_back.erased.person_id}: {refusal.summary}", err=True)
                    failed.append(came_back)
    return len(erasures), found, failed
