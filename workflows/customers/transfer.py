"""`TransferWorkflow`: moves a person to another unit and notifies the previous one."""

from temporalio import workflow

from liity.registration.v1.customer_service_pb2 import TransferCustomerRequest
from liity.workflows.v1.registration_workflow_pb2 import Moved
from liity.workflows.v1.transfer_workflow_pb2 import TransferRequest, TransferResponse, TransferStep
from services.runtime.temporal.names import RegistrationWorkflowNames, TransferWorkflowNames
from services.runtime.temporal.search_attributes import REGISTRATION
from workflows.customers.transfer_activities import TransferActivities
from workflows.support.operators import Operated, set_details
from workflows.support.steps import first_message, mail_step, noted, quick_step, signal_registration


@workflow.defn(name=TransferWorkflowNames.WORKFLOW)
class TransferWorkflow(Operated):
    """Coordinates one transfer (R16). Started by the update `transfer`, which answers once it is done."""

    def __init__(self) -> None:
        self._transfer = TransferCustomerRequest()
        self._answer: TransferResponse | None = None

    @workflow.run
    async def run(self, request: TransferRequest | None = None) -> None:
        """Signals the registration's run and notifies the previous unit, once the person is moved."""
        if not await first_message(lambda: self._answer is not None, request, self._perform):
            return
        if self._answer is not None and self._answer.HasField("moved"):
            await self._tell(self._answer)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=TransferWorkflowNames.TRANSFER)
    async def transfer(self, request: TransferRequest) -> TransferResponse:
        """Moves the person. Answers with the result, or with the refusal."""
        return await self._perform(request)

    async def _perform(self, request: TransferRequest) -> TransferResponse:
        self._transfer = request.transfer
        self._answer = await quick_step(
            TransferActivities.transfer_customer, request.transfer, "Move to another unit"
        )
        return self._answer

    async def _tell(self, answer: TransferResponse) -> None:
        registration_id = answer.moved.registration_id
        workflow.upsert_search_attributes([REGISTRATION.value_set(registration_id)])
        set_details(
            f"**Notifies the previous unit** `{answer.moved.previous_unit_id}`.\n\n"
            f"Registration `{registration_id}`."
        )
        moved = Moved(unit_id=self._transfer.unit_id)
        await signal_registration(self._transfer.person_id, RegistrationWorkflowNames.MOVED, moved)
        step = TransferStep(moved=answer.moved, event_id=self._transfer.request_id)
        telling = "Notify the previous unit"
        await noted(mail_step(TransferActivities.tell_previous_unit, step, telling), telling)
