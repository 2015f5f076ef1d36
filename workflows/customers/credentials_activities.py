"""Activities that send credentials anew (R17)."""

from temporalio import activity

from liity.registration.v1.customer_service_pb2 import OrderCredentialsRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
)
from liity.workflows.v1.credentials_workflow_pb2 import CredentialsStep, SendCredentialsResponse
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing
from workflows.support.refusals import answers_refusals


class CredentialsActivities:
    """Activities that call the three services."""

    def __init__(self, registration: Peer, mailing: Mailing) -> None:
        self._registration = registration
        self._mailing = mailing
        self._customers = CustomerServiceStub(registration.channel)

    @activity.defn
    @answers_refusals(SendCredentialsResponse)
    async def order_credentials(self, order: OrderCredentialsRequest) -> SendCredentialsResponse:
        """Checks the order. A permanent refusal is returned, not raised."""
        ordered = await self._registration.call(self._customers.OrderCredentials, order)
        return SendCredentialsResponse(ordered=ordered)

    @activity.defn
    async def send_credentials_anew(self, anew: CredentialsStep) -> MailStepResult:
        """Issues and mails the credentials, unless the customership has ended or a later order has come."""
        details = await self._mailing.details(anew.step)
        if details is None:
            return MailStepResult(customership_ended=True)
        recipient = anew.recipient
        if not recipient:
            # Nobody has ordered them: they go where the form says, but never to a registrar of long ago.
            by_form = details.credentials_recipient == CREDENTIALS_RECIPIENT_RELATED_PERSON
            recipient = CREDENTIALS_RECIPIENT_RELATED_PERSON if by_form else CREDENTIALS_RECIPIENT_CUSTOMER
        mail = await self._mailing.credentials(anew.step, details, recipient)
        if mail is None:
            return MailStepResult()
        return await self._mailing.send_or_tell(anew.step, details, mail)
