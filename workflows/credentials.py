"""`CredentialsWorkflow`: credentials are sent anew."""

from temporalio import workflow

from liity.workflows.v1.credentials_workflow_pb2 import (
    CredentialsStep,
    SendCredentialsRequest,
    SendCredentialsResponse,
)
from liity.workflows.v1.registration_workflow_pb2 import RegistrationStep
from services.runtime.search_attributes import REGISTRATION
from services.runtime.temporal import CredentialsWorkflowNames
from workflows.credentials_activities import CredentialsActivities
from workflows.operators import Operated
from workflows.steps import first_message, mail_step, noted, quick_step


@workflow.defn(name=CredentialsWorkflowNames.WORKFLOW)
class CredentialsWorkflow(Operated):
    """Sends one customer's credentials anew (R17). Started by the update `send`, which answers at once."""

    def __init__(self) -> None:
        self._request = SendCredentialsRequest()
        self._answer: SendCredentialsResponse | None = None

    @workflow.run
    async def run(self) -> None:
        """Mails the credentials, unless they may not be sent."""
        if not await first_message(lambda: self._answer is not None):
            return
        if self._answer is not None and self._answer.HasField("ordered"):
            await self._send(self._answer)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=CredentialsWorkflowNames.SEND)
    async def send(self, request: SendCredentialsRequest) -> SendCredentialsResponse:
        """Decides whether they may be sent. Answers with why not, if so."""
        self._request = request
        self._answer = await quick_step(
            CredentialsActivities.order_credentials, request.order, "Order the credentials"
        )
        return self._answer

    async def _send(self, answer: SendCredentialsResponse) -> None:
        registration_id = answer.ordered.registration_id
        workflow.upsert_search_attributes([REGISTRATION.value_set(registration_id)])
        workflow.set_current_details(f"**Sends credentials anew**.\n\nRegistration `{registration_id}`.")
        order = self._request.order
        step = RegistrationStep(
            registration_id=registration_id,
            person_id=answer.ordered.person_id,
            registrar_account_id=self._request.account_id,
            event_id=order.request_id,
        )
        anew = CredentialsStep(step=step, recipient=order.recipient)
        sending = "Send the credentials"
        await noted(mail_step(CredentialsActivities.send_credentials_anew, anew, sending), sending)
