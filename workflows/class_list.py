"""`ClassListWorkflow`: many are registered, row after row, and whoever uploaded them is told."""

from datetime import timedelta

from temporalio import workflow

from liity.v1.class_list_service_pb2 import ClassListState
from liity.workflows.v1.class_list_workflow_pb2 import (
    CancelClassListRequest,
    CancelClassListResponse,
    ClassListInput,
    ClassListProgress,
    ClassListResult,
)
from services.runtime.search_attributes import STAGE
from services.runtime.temporal import ClassListWorkflowNames
from workflows.class_list_activities import ClassListActivities, progress_note
from workflows.steps import HEARTBEAT, RETRY, mail_step, quick_step

_BATCH = timedelta(minutes=5)
"""For a step that registers a batch of rows: many times what it takes."""


@workflow.defn(name=ClassListWorkflowNames.WORKFLOW)
class ClassListWorkflow:
    """Coordinates one class list. The rows lie with the registration service: here pass numbers alone.

    Each batch takes the next rows that are not decided, so that a batch which breaks off anywhere is taken up
    where it was. `cancel`, as update or signal, decides all rows that are left.
    """

    @workflow.init
    def __init__(self, input: ClassListInput) -> None:  # noqa: A002
        self._list = input

    @workflow.run
    async def run(self, input: ClassListInput) -> ClassListResult:  # noqa: A002, ARG002
        """Registers every row, and tells whoever uploaded them."""
        progress = await quick_step(ClassListActivities.begin_class_list, self._list, "Begin")
        while progress.counts.remaining:
            self._show("Registers", progress)
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self._list)
            progress = await workflow.execute_activity_method(
                ClassListActivities.register_rows,
                self._list,
                start_to_close_timeout=_BATCH,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRY,
                summary=f"Register the next of {progress.counts.remaining:,} rows",
            )
        if progress.HasField("refused"):
            workflow.logger.warning("the class list is gone")
        else:
            progress = await quick_step(ClassListActivities.finish_class_list, self._list, "Finish")
            self._show("Tells who uploaded it", progress)
            await mail_step(ClassListActivities.tell_class_list_done, self._list, "Tell who uploaded it")
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

    async def _cancel(self) -> CancelClassListResponse:
        progress = await quick_step(ClassListActivities.cancel_class_list, self._list, "Cancel")
        refused = progress.refused if progress.HasField("refused") else None
        return CancelClassListResponse(refused=refused)

    def _show(self, note: str, progress: ClassListProgress) -> None:
        """Shows operators how far the list has come."""
        state = ClassListState.Name(progress.state).removeprefix("CLASS_LIST_STATE_")
        workflow.upsert_search_attributes([STAGE.value_set(state)])
        signals = (
            f"\n\nSignal: `{ClassListWorkflowNames.CANCEL}` with the body `{{}}`."
            if progress.counts.remaining
            else ""
        )
        workflow.set_current_details(
            f"**{note}**: {progress_note(progress.counts)}.\n\n"
            f"Class list `{self._list.class_list_id}` of unit `{self._list.unit_id}`.{signals}"
        )
