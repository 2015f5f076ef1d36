"""`liity reconcile`: whether rows, runs and the erasure ledger agree; after a restore, above all."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table
from temporalio.service import RPCError

from deploy.admin.audit_chain import Database, parsed
from deploy.admin.worker_access import Fix, StateDir, environment_of, services
from deploy.ending import ending_clearly
from frontends.cli.console import FAILED, console
from services.registration.audit import hash_chain
from services.registration.audit.anchors import Anchor
from services.runtime.data.database import DatabaseAccess
from services.runtime.rpc.errors import Refusal
from services.runtime.settings import SettingsError, load
from services.runtime.temporal import client as temporal_client
from workflows.privacy.erasure_ledger import BrokenLedger
from workflows.reconciliation.invariants import Check, invariants_of
from workflows.reconciliation.reconciler import Findings
from workflows.settings import WorkerSettings

app = typer.Typer(add_completion=False)

_CHAIN = ("chain_matches_anchor",)


@dataclass(frozen=True)
class Outcome:
    """What became of a check."""

    findings: Findings
    stopped: str = ""
    """Why it could not be carried through."""

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is left to repair."""
        return not self.stopped and self.findings.fixed == len(self.findings.found)


@app.command()
def reconcile(
    state_dir: StateDir = None,
    fix: Fix = False,
    anchor: Annotated[
        str,
        typer.Option(
            help="SEQUENCE:HASH of the log of use, kept elsewhere: checks the log too, in the database of"
            " LIITY_DATABASE_URL."
        ),
    ] = "",
) -> None:
    """Checks what must hold between rows, runs and the erasure ledger; with --fix, repairs it.

    Run it with the worker's environment. The worker does the same every few minutes, but for erasures,
    persons and the log of use. Repairs need a running worker. May be stopped and repeated. Exit code 1 if
    something is left to repair.
    """
    known = parsed(anchor) if anchor else None
    with ending_clearly(), environment_of(state_dir):
        try:
            outcomes = asyncio.run(_reconcile(load(WorkerSettings), known, fix=fix))
        except BrokenLedger as broken:
            typer.echo(f"The erasure ledger is not as it was written: {broken}", err=True)
            raise typer.Exit(FAILED) from None
    table = Table("Invariant", "Checked", "Healthy", "Corrupted", "Fixed", "Failed", "")
    for name, outcome in outcomes.items():
        of = outcome.findings
        healthy = of.checked - len(of.found)
        numbers = map(str, (of.checked, healthy, len(of.found), of.fixed, of.failed))
        table.add_row(name, *numbers, outcome.stopped)
    console().print(table)
    for name, outcome in outcomes.items():
        for found in outcome.findings.found:
            typer.echo(f"{name}: {found}")
    if not all(outcome.is_healthy for outcome in outcomes.values()):
        raise typer.Exit(FAILED)


async def _reconcile(settings: WorkerSettings, anchor: Anchor | None, *, fix: bool) -> Mapping[str, Outcome]:
    try:
        temporal = await temporal_client.connect(settings, lazy=False)
    except RuntimeError:
        raise SettingsError("Temporal does not answer: is it running?") from None
    async with services(settings) as (identity, registration, notification):
        checks = dict(invariants_of(settings, temporal, identity, registration, notification).checks())
        if anchor is not None:
            checks[_CHAIN] = _chain_check(load(DatabaseAccess), anchor)
        outcomes: dict[str, Outcome] = {}
        for names, check in checks.items():
            outcomes |= zip(names, await _outcomes(names, check, fix=fix), strict=True)
        return outcomes


async def _outcomes(names: Sequence[str], check: Check, *, fix: bool) -> Sequence[Outcome]:
    try:
        return [Outcome(findings) for findings in await check(fix)]
    except Refusal as refusal:
        reason = refusal.summary
    except RPCError as error:
        reason = error.message
    return [Outcome(Findings(), reason) for _ in names]


def _chain_check(access: DatabaseAccess, anchor: Anchor) -> Check:
    database = Database(access.database_url, access.database_tls_ca, "of LIITY_DATABASE_URL")

    async def check(_fix: bool) -> Sequence[Findings]:
        async with database.connect("REPEATABLE READ") as connection:
            try:
                end = await hash_chain.verify(connection, anchor)
            except hash_chain.BrokenChain as broken:
                return [Findings(checked=1, found=[str(broken)])]
            return [Findings(checked=end.sequence)]

    return check
