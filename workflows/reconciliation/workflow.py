"""`ReconciliationWorkflow`: begins missing runs of rows, and ends runs without a row."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from temporalio import workflow

from liity.registration.v1.reconciliation_service_pb2 import (
    UNFINISHED_KIND_ANSWERED_FEEDBACK,
    UNFINISHED_KIND_CLOSED_MESSAGE,
    UNFINISHED_KIND_FEEDBACK,
    UNFINISHED_KIND_UNIT_MOVE,
    UnfinishedKind,
)
from liity.workflows.v1.reconciliation_workflow_pb2 import (
    ReconciliationCount,
    ReconciliationResult,
    ReconciliationStep,
)
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import ReconciliationWorkflowNames
from services.runtime.temporal.search_attributes import STAGE
from workflows.mail.returned_mail_activities import ReturnedMailActivities
from workflows.reconciliation.activities import ReconciliationActivities
from workflows.support.operators import set_details
from workflows.support.steps import HEARTBEAT, MAIL, RETRY, noted

_ROUND = timedelta(hours=2)
"""Timeout of an activity that checks all rows of a kind: many times what it takes."""

_KINDS: Sequence[UnfinishedKind.ValueType] = sorted(UnfinishedKind.values())
"""Each kind of row. The first, unspecified, stands for invitations."""

_LATER_KINDS: Mapping[UnfinishedKind.ValueType, str] = {
    UNFINISHED_KIND_UNIT_MOVE: "reconcile-unit-moves",
    UNFINISHED_KIND_FEEDBACK: "feedback-without-a-run",
    UNFINISHED_KIND_CLOSED_MESSAGE: "closed-messages-without-a-run",
    UNFINISHED_KIND_ANSWERED_FEEDBACK: "answered-feedback-without-a-run",
}
"""Kinds that runs of earlier releases do not check, with the patch that brought them."""

_REFUSED = ReconciliationCount(failed=1)
"""The count of an activity that a service refuses."""


@workflow.defn(name=ReconciliationWorkflowNames.WORKFLOW)
class ReconciliationWorkflow:
    """Repairs rows and runs that a crash, a restored backup or an operator has separated.

    A schedule starts it every few minutes, and each worker when it starts.
    """

    def __init__(self) -> None:
        self._result = ReconciliationResult()

    @workflow.run
    async def run(self) -> ReconciliationResult:
        """Begins missing runs and ends runs whose row is gone. Returns how many.

        A refused activity counts as one failure; the next run tries again.
        """
        result = self._result
        for kind in _KINDS:
            patch = _LATER_KINDS.get(kind)
            if patch and not workflow.patched(patch):
                continue
            name = UnfinishedKind.Name(kind).removeprefix("UNFINISHED_KIND_").lower().replace("_", " ")
            looking = f"Rows without a run: {name if kind else 'invitation'}"
            step = ReconciliationStep(kind=kind)
            count = await self._look(ReconciliationActivities.begin_missing_runs, looking, step)
            result.rows += count.checked
            result.begun += count.mended
            result.failed += count.failed
            self._show("Checks rows without a run")
        if workflow.patched("resume-cut-off-runs"):
            await self._resume_cut_off_runs()
        lost = await self._look(ReconciliationActivities.end_lost_runs, "Runs without a row")
        result.ended += lost.mended
        result.failed += lost.failed
        if workflow.patched("tell-of-returned-mail"):
            await self._tell_of_returned_mail()
        self._show("Complete")
        return result

    async def _resume_cut_off_runs(self) -> None:
        """After the rows: of what a row tells, a run has been begun by then."""
        count = await self._look(
            ReconciliationActivities.resume_cut_off_runs, "Runs that were ended from outside"
        )
        self._result.begun += count.mended
        self._result.failed += count.failed

    async def _tell_of_returned_mail(self) -> None:
        told = await self._look(
            ReturnedMailActivities.tell_of_returned_mail, "Tell of mail that came back", heartbeat=MAIL
        )
        self._result.failed += told.failed

    async def _look(
        self,
        activity: Callable[..., Awaitable[ReconciliationCount]],
        summary: str,
        *arguments: ReconciliationStep,
        heartbeat: timedelta = HEARTBEAT,
    ) -> ReconciliationCount:
        """Runs an activity that looks at all rows or runs; one that is refused counts as failed."""
        count = await noted(
            workflow.execute_activity_method(
                activity,
                args=arguments,
                start_to_close_timeout=_ROUND,
                heartbeat_timeout=heartbeat,
                retry_policy=RETRY,
                summary=OperatorText(summary),
            ),
            summary,
        )
        return count or _REFUSED

    def _show(self, note: str) -> None:
        """Shows operators the numbers."""
        result = self._result
        mended = result.begun + result.ended
        stage = "INCOMPLETE" if result.failed else "MENDED" if mended else "CLEAN"
        workflow.upsert_search_attributes([STAGE.value_set(stage)])
        set_details(
            f"**{note}**: {result.rows:,} rows checked.\n\n"
            f"Missing runs begun: {result.begun:,}. "
            f"Runs without a row ended: {result.ended:,}. "
            f"Failed: {result.failed:,}."
        )
