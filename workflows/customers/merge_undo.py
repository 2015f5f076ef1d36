"""`MergeUndoWorkflow`: takes back a merge of two customers."""

from temporalio import workflow

from liity.workflows.v1.merge_undo_workflow_pb2 import MergeUndoRequest, MergeUndoResponse
from liity.workflows.v1.need_workflow_pb2 import NeedWorkflowInput
from liity.workflows.v1.registration_workflow_pb2 import RegistrationStep
from services.runtime.temporal.names import MergeUndoWorkflowNames
from workflows.customers.merge_activities import MergeActivities
from workflows.customers.need_activities import NeedActivities
from workflows.removal.activities import RemovalActivities
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import Operated, set_details
from workflows.support.steps import first_message, quick_step


@workflow.defn(name=MergeUndoWorkflowNames.WORKFLOW)
class MergeUndoWorkflow(Operated):
    """Coordinates one undoing (R43). Started by the update `undo`, which answers once the two are two."""

    def __init__(self) -> None:
        self._request = MergeUndoRequest()
        self._answer: MergeUndoResponse | None = None
        self._others = BackgroundMails()

    @workflow.run
    async def run(self, request: MergeUndoRequest | None = None) -> None:
        """Starts again the runs of the customer who is there again."""
        if not await first_message(lambda: self._answer is not None, request, self._perform):
            return
        if self._answer is not None and self._answer.HasField("undone"):
            self._resume(self._answer)
        await workflow.wait_condition(lambda: self._others.all_sent() and workflow.all_handlers_finished())

    @workflow.update(name=MergeUndoWorkflowNames.UNDO)
    async def undo(self, request: MergeUndoRequest) -> MergeUndoResponse:
        """Takes the merge back. Answers with the result, or with the refusal."""
        return await self._perform(request)

    async def _perform(self, request: MergeUndoRequest) -> MergeUndoResponse:
        self._request = request
        self._answer = await quick_step(MergeActivities.undo_merge, request.undo, "Take the merge back")
        return self._answer

    def _resume(self, answer: MergeUndoResponse) -> None:
        undone, customer_id = answer.undone, self._request.undo.merged_customer_id
        set_details(f"**Starts the runs of the restored customer** `{customer_id}`.")
        if undone.is_temporary:
            watch = NeedWorkflowInput(customer_id=customer_id)
            watching = "Start watching the temporary need"
            self._others.start(quick_step(NeedActivities.watch_need, watch, watching), watching)
        if undone.resumed_registration_id:
            step = RegistrationStep(
                registration_id=undone.resumed_registration_id, person_id=undone.merged_person_id
            )
            resuming = "Resume the welcome mail"
            self._others.start(quick_step(RemovalActivities.resume_welcome, step, resuming), resuming)
