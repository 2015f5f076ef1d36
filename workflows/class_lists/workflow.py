"""`ClassListWorkflow`: registers the rows of a class list one by one, and mails the uploader."""

from datetime import UTC, timedelta

from temporalio import workflow

from liity.v1.class_list_service_pb2 import ClassListState
from liity.workflows.v1.class_list_workflow_pb2 import (
    CancelClassListRequest,
    CancelClassListResponse,
    ClassListInput,
    ClassListProgress,
    ClassListResult,
)
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import ROWS_TASK_QUEUE, ClassListWorkflowNames
from workflows.class_lists.activities import ClassListActivities, progress_note
from workflows.support.operators import Operated, set_details, show
from workflows.support.steps import HEARTBEAT, RETRY, insist, mail_step, noted, quick_step

_BATCH = timedelta(minutes=5)
"""Timeout of an activity that registers a batch: many times what it takes."""

_UNSTORED = timedelta(minutes=10)
"""How long to wait until the list is stored: longer than its caller waits."""

_PAUSE = timedelta(seconds=2)
"""Time between checks whether the list is stored."""


@workflow.defn(name=ClassListWorkflowNames.WORKFLOW)
class ClassListWorkflow(Operated):
    """Coordinates one class list. The registration service keeps the rows; the run sees only counts.

    Each batch takes the next undecided rows, so a batch that fails anywhere is continued. Rows that cannot be
    decided are retried until a deadline. `cancel`, as update or signal, cancels the remaining rows.
    """

    @workflow.init
    def __init__(self, input: ClassListInput) -> None:  # noqa: A002
        self._list = input

    @workflow.run
    async def run(self, input: ClassListInput) -> ClassListResult:  # noqa: A002, ARG002
        """Registers every row, and mails the uploader."""
        progress = await self._begin()
        while progress.counts.remaining:
            self._show("Registers rows", progress)
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self._list)
            progress = await self._register_rows(progress.counts.remaining)
        if not progress.HasField("refused"):
            progress = await insist(
                lambda: quick_step(
                    ClassListActivities.finish_class_list, self._list, "Mark the class list as done"
                ),
                "Mark the class list as done",
            )
        if progress.HasField("refused"):
            workflow.logger.warning("the class list is gone")
            set_details(f"**The class list is gone**.\n\n{self._which()}")
        else:
            self._show("Mails the uploader", progress)
            telling = "Mail the uploader"
            await noted(mail_step(ClassListActivities.tell_class_list_done, self._list, telling), telling)
            self._show("Complete", progress)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return ClassListResult(counts=progress.counts)

    @workflow.update(name=ClassListWorkflowNames.CANCEL)
    async def cancel(self, request: CancelClassListRequest) -> CancelClassListResponse:  # noqa: ARG002
        """Cancels every row that is not registered. Answers with the refusal if it is too late."""
        return await self._cancel()

    @workflow.signal(name=ClassListWorkflowNames.CANCEL)
    async def cancel_by_signal(self, request: CancelClassListRequest) -> None:  # noqa: ARG002
        """`cancel` from Temporal UI or CLI; `{}` is enough."""
        await self._cancel()

    async def take_cancellation(self) -> bool:
        """Cancels the list, as `cancel` does."""
        return not (await self._cancel()).HasField("refused")

    async def _begin(self) -> ClassListProgress:
        """Begins once the list is stored.

        The run is started before the list is stored: otherwise a lost start would leave the list waiting for
        ever.
        """
        given_up = workflow.now() + _UNSTORED
        while True:
            progress = await insist(
                lambda: quick_step(ClassListActivities.begin_class_list, self._list, "Begin the class list"),
                "Begin the class list",
            )
            if not progress.HasField("refused") or workflow.now() >= given_up:
                self._list.deadline.CopyFrom(progress.deadline)
                return progress
            await workflow.sleep(_PAUSE, summary=OperatorText("Wait until the list is stored"))

    async def _register_rows(self, remaining: int) -> ClassListProgress:
        """Registers the next batch of rows."""
        registering = f"Register the next of {remaining:,} rows" if remaining > 1 else "Register the last row"
        return await insist(
            lambda: workflow.execute_activity_method(
                ClassListActivities.register_rows,
                self._list,
                task_queue=ROWS_TASK_QUEUE,
                start_to_close_timeout=_BATCH,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRY,
                summary=OperatorText(registering),
            ),
            registering,
        )

    async def _cancel(self) -> CancelClassListResponse:
        progress = await quick_step(
            ClassListActivities.cancel_class_list, self._list, "Cancel the class list"
        )
        refused = progress.refused if progress.HasField("refused") else None
        return CancelClassListResponse(refused=refused)

    def _show(self, note: str, progress: ClassListProgress) -> None:
        """Shows operators how far the list has come."""
        state = ClassListState.Name(progress.state).removeprefix("CLASS_LIST_STATE_")
        deadline = self._list.deadline.ToDatetime(UTC) if progress.counts.remaining else None
        rest = " Rows not decided by the deadline are refused." if deadline else ""
        show(
            f"{note}: {progress_note(progress.counts)}",
            self._which() + rest,
            deadline,
            stage=state,
            signals=[ClassListWorkflowNames.CANCEL] if deadline else (),
        )

    def _which(self) -> str:
        return f"Class list `{self._list.class_list_id}` of unit `{self._list.unit_id}`."
