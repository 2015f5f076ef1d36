"""`ClassListWorkflow`: many are registered, row after row, and whoever uploaded them is told."""

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
from workflows.support.operators import Operated, show
from workflows.support.steps import HEARTBEAT, RETRY, insist, mail_step, noted, quick_step

_BATCH = timedelta(minutes=5)
"""For a step that registers a batch of rows: many times what it takes."""

_UNSTORED = timedelta(minutes=10)
"""How long the list may take to be stored: far longer than its caller is kept waiting."""

_PAUSE = timedelta(seconds=2)
"""Between two looks whether it is."""


@workflow.defn(name=ClassListWorkflowNames.WORKFLOW)
class ClassListWorkflow(Operated):
    """Coordinates one class list. The rows lie with the registration service: here pass numbers alone.

    Each batch takes the next rows that are not decided, so that a batch which breaks off anywhere is taken up
    where it was. Rows that cannot be decided are tried again until a deadline. `cancel`, as update or signal,
    decides all rows that are left.
    """

    @workflow.init
    def __init__(self, input: ClassListInput) -> None:  # noqa: A002
        self._list = input

    @workflow.run
    async def run(self, input: ClassListInput) -> ClassListResult:  # noqa: A002, ARG002
        """Registers every row, and tells whoever uploaded them."""
        progress = await self._begin()
        while progress.counts.remaining:
            self._show("Registers", progress)
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self._list)
            progress = await self._register_rows(progress.counts.remaining)
        if not progress.HasField("refused"):
            progress = await insist(
                lambda: quick_step(ClassListActivities.finish_class_list, self._list, "Finish"), "Finish"
            )
        if progress.HasField("refused"):
            workflow.logger.warning("the class list is gone")
            workflow.set_current_details(f"**Gone**.\n\n{self._which()}")
        else:
            self._show("Tells who uploaded it", progress)
            telling = "Tell who uploaded it"
            await noted(mail_step(ClassListActivities.tell_class_list_done, self._list, telling), telling)
            self._show("Complete", progress)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return ClassListResult(counts=progress.counts)

    @workflow.update(name=ClassListWorkflowNames.CANCEL)
    async def cancel(self, request: CancelClassListRequest) -> CancelClassListResponse:  # noqa: ARG002
        """Leaves out every row that is not registered. Answers with why not, if it is too late."""
        return await self._cancel()

    @workflow.signal(name=ClassListWorkflowNames.CANCEL)
    async def cancel_by_signal(self, request: CancelClassListRequest) -> None:  # noqa: ARG002
        """`cancel` from Temporal UI or CLI; `{}` is enough."""
        await self._cancel()

    async def take_cancellation(self) -> bool:
        """Cancels the list, as the message does."""
        return not (await self._cancel()).HasField("refused")

    async def _begin(self) -> ClassListProgress:
        """Begins as soon as the list is stored.

        A run comes before its list: else a list whose run nobody came to start would wait for ever.
        """
        given_up = workflow.now() + _UNSTORED
        while True:
            progress = await insist(
                lambda: quick_step(ClassListActivities.begin_class_list, self._list, "Begin"), "Begin"
            )
            if not progress.HasField("refused") or workflow.now() >= given_up:
                self._list.deadline.CopyFrom(progress.deadline)
                return progress
            await workflow.sleep(_PAUSE, summary=OperatorText("The list is being stored"))

    async def _register_rows(self, remaining: int) -> ClassListProgress:
        """Registers the next rows."""
        registering = f"Register the next of {remaining:,} rows"
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
        progress = await quick_step(ClassListActivities.cancel_class_list, self._list, "Cancel")
        refused = progress.refused if progress.HasField("refused") else None
        return CancelClassListResponse(refused=refused)

    def _show(self, note: str, progress: ClassListProgress) -> None:
        """Shows operators how far the list has come."""
        state = ClassListState.Name(progress.state).removeprefix("CLASS_LIST_STATE_")
        deadline = self._list.deadline.ToDatetime(UTC) if progress.counts.remaining else None
        rest = " What is not decided by the deadline is refused." if deadline else ""
        show(
            f"{note}: {progress_note(progress.counts)}",
            self._which() + rest,
            deadline,
            stage=state,
            signals=[ClassListWorkflowNames.CANCEL] if deadline else (),
        )

    def _which(self) -> str:
        return f"Class list `{self._list.class_list_id}` of unit `{self._list.unit_id}`."
