"""What must hold between the services' rows, Temporal's runs and the erasure ledger; each by its name."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import structlog
from temporalio.client import Client

from liity.registration.v1.reconciliation_service_pb2 import (
    UNFINISHED_KIND_NEED,
    UNFINISHED_KIND_REMOVAL,
    UnfinishedKind,
)
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing
from workflows.privacy.erasure import Erasure
from workflows.privacy.erasure_ledger import Erased, ErasureLedger, read
from workflows.privacy.reapplication import Reapplication
from workflows.reconciliation.reconciler import Findings, Reconciler
from workflows.settings import WorkerSettings

log = structlog.get_logger()

Check = Callable[[bool], Awaitable[Sequence[Findings]]]
"""Checks invariants, and gives the findings of each; repairs if it is given True."""

_OPEN_ROWS = sorted(set(UnfinishedKind.values()) - {UNFINISHED_KIND_NEED, UNFINISHED_KIND_REMOVAL})
"""The unspecified kind stands for invitations."""


def invariants_of(
    settings: WorkerSettings, temporal: Client, identity: Peer, registration: Peer, notification: Peer
) -> "Invariants":
    """The invariants of an installation. BrokenLedger if the erasure ledger is not as it was written."""
    reconciler = Reconciler(
        temporal,
        identity,
        registration,
        Mailing(identity, registration, notification, settings.customer_service_email),
        settings.workflows_reconciliation_age,
        settings.workflows_need_patience,
    )
    ledger = ErasureLedger(settings.erasure_ledger_dir, settings.erasure_ledger_keep)
    erasure = Erasure(identity, registration, notification, ledger)
    reapplication = Reapplication(identity, registration, notification, erasure)
    return Invariants(reconciler, reapplication, read(settings.erasure_ledger_dir))


class Invariants:
    """The checks."""

    def __init__(
        self, reconciler: Reconciler, reapplication: Reapplication, ledger: Mapping[Erased, datetime]
    ) -> None:
        self._reconciler = reconciler
        self._reapplication = reapplication
        self._ledger = ledger

    def checks(self) -> Mapping[tuple[str, ...], Check]:
        """Each check by the names of its invariants, in the order in which they are to be repaired."""
        return {
            # First: a run that is begun from the row of an erased person would be for nothing.
            ("erased_stays_erased",): self._erased_stays_erased,
            ("row_has_person",): self._row_has_person,
            ("open_row_has_run",): self._rows_have_runs(_OPEN_ROWS),
            ("customer_marked_has_removal_run",): self._rows_have_runs([UNFINISHED_KIND_REMOVAL]),
            ("temporary_need_has_run",): self._rows_have_runs([UNFINISHED_KIND_NEED]),
            ("run_has_row", "run_follows_row"): self._runs_have_rows,
        }

    async def _erased_stays_erased(self, fix: bool) -> Sequence[Findings]:
        findings = Findings(checked=len(self._ledger))
        async for came_back in self._reapplication.find(self._ledger):
            erased = came_back.erased
            findings.found.append(f"{erased.kind}/{erased.person_id} in {', '.join(came_back.services)}")
            if fix:
                try:
                    await self._reapplication.erase(erased)
                except Refusal as refusal:
                    log.warning("not erased", person_id=erased.person_id, reason=refusal.summary)
                    findings.failed += 1
                else:
                    findings.fixed += 1
        return [findings]

    async def _row_has_person(self, _fix: bool) -> Sequence[Findings]:
        return [await self._reconciler.rows_without_person()]

    def _rows_have_runs(self, kinds: Sequence[UnfinishedKind.ValueType]) -> Check:
        async def check(fix: bool) -> Sequence[Findings]:
            parts = [await self._reconciler.rows_without_run(kind, fix=fix) for kind in kinds]
            return [
                Findings(
                    checked=sum(part.checked for part in parts),
                    found=[found for part in parts for found in part.found],
                    fixed=sum(part.fixed for part in parts),
                    failed=sum(part.failed for part in parts),
                )
            ]

        return check

    async def _runs_have_rows(self, fix: bool) -> Sequence[Findings]:
        return await self._reconciler.runs_without_row(fix=fix)
