"""Activities of reconciliation."""

from datetime import timedelta

from temporalio import activity

from liity.workflows.v1.reconciliation_workflow_pb2 import ReconciliationCount, ReconciliationStep
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing
from workflows.reconciliation.reconciler import Findings, Reconciler


class ReconciliationActivities:
    """Activities that call the services and Temporal. Rows younger than `age` are skipped."""

    def __init__(
        self, identity: Peer, registration: Peer, mailing: Mailing, age: timedelta, need_patience: timedelta
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._age = age
        self._need_patience = need_patience

    @activity.defn
    async def begin_missing_runs(self, step: ReconciliationStep) -> ReconciliationCount:
        """Checks every row of a kind, and begins the run of each row that no run knows."""
        return _count(await self._reconciler().rows_without_run(step.kind, fix=True))

    @activity.defn
    async def end_lost_runs(self) -> ReconciliationCount:
        """Ends the runs whose registration or customer has no row; notifies customer service.

        A run that still waits for a decision by which its registration has ended is told to take it.
        """
        without_row, behind_row = await self._reconciler().runs_without_row(fix=True)
        count = _count(without_row)
        count.mended += behind_row.fixed
        count.failed += behind_row.failed
        return count

    @activity.defn
    async def resume_cut_off_runs(self) -> ReconciliationCount:
        """Lets runs that were ended from outside go on, where no row tells of what they had left to do."""
        return _count(await self._reconciler().runs_cut_off(fix=True))

    def _reconciler(self) -> Reconciler:
        return Reconciler(
            activity.client(),
            self._identity,
            self._registration,
            self._mailing,
            self._age,
            self._need_patience,
        )


def _count(findings: Findings) -> ReconciliationCount:
    return ReconciliationCount(checked=findings.checked, mended=findings.fixed, failed=findings.failed)
