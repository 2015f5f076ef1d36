"""`MergeWorkflow`: merges two customers who are the same person."""

from temporalio import workflow

from liity.workflows.v1.credentials_workflow_pb2 import CredentialsStep
from liity.workflows.v1.merge_workflow_pb2 import MergeRequest, MergeResponse
from liity.workflows.v1.registration_workflow_pb2 import Merged, RegistrationStep
from liity.workflows.v1.transfer_workflow_pb2 import TransferStep
from services.runtime.temporal.names import MergeWorkflowNames, RegistrationWorkflowNames
from services.runtime.temporal.search_attributes import REGISTRATION
from workflows.customers.credentials_activities import CredentialsActivities
from workflows.customers.merge_activities import MergeActivities
from workflows.customers.transfer_activities import TransferActivities
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import Operated, set_details
from workflows.support.steps import first_message, quick_step, signal_need, signal_registration


@workflow.defn(name=MergeWorkflowNames.WORKFLOW)
class MergeWorkflow(Operated):
    """Coordinates one merge (R24, R34). Started by the update `merge`, which answers once it is done."""

    def __init__(self) -> None:
        self._request = MergeRequest()
        self._answer: MergeResponse | None = None
        self._mails = BackgroundMails()

    @workflow.run
    async def run(self, request: MergeRequest | None = None) -> None:
        """Ends the merged customer's other runs and sends the mails, once the merge is done."""
        if not await first_message(lambda: self._answer is not None, request, self._perform):
            return
        if self._answer is not None and self._answer.HasField("merged"):
            await self._tell(self._answer)
        await workflow.wait_condition(lambda: self._mails.all_sent() and workflow.all_handlers_finished())

    @workflow.update(name=MergeWorkflowNames.MERGE)
    async def merge(self, request: MergeRequest) -> MergeResponse:
        """Merges two customers. Answers with the result, or with the refusal."""
        return await self._perform(request)

    async def _perform(self, request: MergeRequest) -> MergeResponse:
        self._request = request
        self._answer = await quick_step(MergeActivities.merge_customers, request, "Merge the customers")
        return self._answer

    async def _tell(self, answer: MergeResponse) -> None:
        merge, moved = self._request.merge, answer.merged.moved
        workflow.upsert_search_attributes([REGISTRATION.value_set(moved.registration_id)])
        set_details(f"**Ends the merged customer's other runs**.\n\nRegistration `{moved.registration_id}`.")
        await signal_registration(answer.merged.merged_person_id, RegistrationWorkflowNames.MERGED, Merged())
        await signal_need(merge.merged_customer_id)
        if answer.merged.credentials_erased:
            step = RegistrationStep(
                registration_id=moved.registration_id,
                person_id=answer.merged.person_id,
                event_id=merge.request_id,
            )
            anew = CredentialsStep(step=step)
            # The person may have logged in with the credentials that were erased.
            self._mails.mail(
                CredentialsActivities.send_credentials_anew, anew, "Send the remaining credentials"
            )
        if merge.merged_unit_id != merge.unit_id:
            set_details(
                f"**Notifies the merged customer's unit** `{moved.previous_unit_id}`.\n\n"
                f"Registration `{moved.registration_id}`."
            )
            left = TransferStep(moved=moved, event_id=merge.request_id)
            self._mails.mail(TransferActivities.tell_previous_unit, left, "Notify the merged customer's unit")
        elif workflow.patched("tell-of-a-merge-within-the-unit"):
            within = TransferStep(moved=moved, event_id=merge.request_id)
            self._mails.mail(
                TransferActivities.tell_unit_of_merge, within, "Notify the registrar of the merge"
            )
