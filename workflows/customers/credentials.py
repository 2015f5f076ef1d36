"""`CredentialsWorkflow`: sends credentials anew."""

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow

from liity.v1.reason_pb2 import REASON_CUSTOMER_HAS_ENDED
from liity.workflows.v1.credentials_workflow_pb2 import (
    CredentialsStep,
    SendCredentialsRequest,
    SendCredentialsResponse,
)
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, RegistrationStep
from services.runtime.rpc.errors import failed_precondition
from services.runtime.rpc.refusal_message import to_refused
from services.runtime.temporal.names import CredentialsWorkflowNames
from services.runtime.temporal.search_attributes import REGISTRATION
from workflows.customers.credentials_activities import CredentialsActivities
from workflows.support.operators import Operated, set_details
from workflows.support.steps import first_message, mail_step, noted, quick_step

_AT_ONCE = timedelta(seconds=2)
"""How long the answer waits for the mail before it says that the mail was ordered."""


@workflow.defn(name=CredentialsWorkflowNames.WORKFLOW)
class CredentialsWorkflow(Operated):
    """Sends one customer's credentials anew (R17). Started by the update `send`, answered within moments."""

    def __init__(self) -> None:
        self._request = SendCredentialsRequest()
        self._answer: SendCredentialsResponse | None = None
        self._sent: MailStepResult | None = None

    @workflow.run
    async def run(self, request: SendCredentialsRequest | None = None) -> None:
        """Mails the credentials, if the order is accepted."""
        if not await first_message(lambda: self._answer is not None, request, self._perform):
            return
        if self._answer is not None and self._answer.HasField("ordered"):
            await self._send(self._answer)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=CredentialsWorkflowNames.SEND)
    async def send(self, request: SendCredentialsRequest) -> SendCredentialsResponse:
        """Orders the credentials. Answers with the refusal, also if the customership ends meanwhile."""
        return await self._perform(request)

    async def _perform(self, request: SendCredentialsRequest) -> SendCredentialsResponse:
        self._request = request
        self._answer = await quick_step(
            CredentialsActivities.order_credentials, request.order, "Order the credentials"
        )
        if self._answer.HasField("ordered") and workflow.patched("credentials-say-that-it-ended"):
            with contextlib.suppress(asyncio.TimeoutError):
                await workflow.wait_condition(lambda: self._sent is not None, timeout=_AT_ONCE)
            if self._sent is not None and self._sent.customership_ended:
                ended = failed_precondition(REASON_CUSTOMER_HAS_ENDED)
                return SendCredentialsResponse(refused=to_refused(ended))
        return self._answer

    async def _send(self, answer: SendCredentialsResponse) -> None:
        registration_id = answer.ordered.registration_id
        workflow.upsert_search_attributes([REGISTRATION.value_set(registration_id)])
        set_details(f"**Sends new credentials**.\n\nRegistration `{registration_id}`.")
        order = self._request.order
        step = RegistrationStep(
            registration_id=registration_id,
            person_id=answer.ordered.person_id,
            registrar_account_id=self._request.account_id,
            event_id=order.request_id,
        )
        anew = CredentialsStep(step=step, recipient=order.recipient)
        sending = "Send the credentials"
        mailing = mail_step(CredentialsActivities.send_credentials_anew, anew, sending)
        self._sent = await noted(mailing, sending)
