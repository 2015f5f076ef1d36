"""Activities of a customership's end and return (R19, R20)."""

from datetime import UTC

import grpc
from temporalio import activity

from liity.identity.v1.credential_service_pb2 import VoidCredentialsRequest
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_CONSENT, VoidLinksRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.notification.v1.notification_service_pb2 import (
    CustomerNotice,
    CustomershipEnded,
    CustomershipEndedNotice,
    CustomershipGoesOn,
)
from liity.registration.v1.customer_service_pb2 import (
    Customer,
    GetCustomerRequest,
    UndoRemovalRequest,
)
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import MailingDetails
from liity.v1.actor_pb2 import ACTOR_KIND_LINK
from liity.v1.consent_service_pb2 import CONSENT_REQUEST_STATE_CONSENT_WITHDRAWN
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.reason_pb2 import REASON_CUSTOMER_NOT_ENDED, REASON_REGISTRATION_UNDECIDED
from liity.workflows.v1.registration_workflow_pb2 import (
    MailStepResult,
    RegistrationStep,
    RegistrationWorkflowInput,
    Resumed,
)
from liity.workflows.v1.removal_workflow_pb2 import (
    EndRequest,
    EndResponse,
    ErasureResult,
    RemovalStep,
    RemovedCustomer,
    ReturnResult,
    UndoResponse,
)
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.peer import Peer
from services.runtime.rpc.refusal_message import to_refused
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import TASK_QUEUE, RegistrationWorkflowNames
from workflows.mail.customership_links import CustomershipLinks
from workflows.mail.notifier import Mailing, guardian_address, key
from workflows.privacy.erasure import Erasure
from workflows.removal.retention import Retention


class RemovalActivities:
    """Activities that call the three services."""

    def __init__(
        self,
        identity: Peer,
        registration: Peer,
        mailing: Mailing,
        links: CustomershipLinks,
        erasure: Erasure,
        retention: Retention,
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._links = links
        self._erasure = erasure
        self._retention = retention
        self._credentials = CredentialServiceStub(identity.channel)
        self._consent_links = LinkServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)

    @activity.defn
    async def end_customership(self, request: EndRequest) -> EndResponse:
        """Marks the customer, voids credentials and links. A permanent refusal is returned, not raised."""
        try:
            response = await self._registration.call(self._customers.EndCustomership, request.end)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                return EndResponse(refused=to_refused(refusal))
            raise
        kept = self._removed(response.customer)
        await self._links.use_up(request.link_id, request.end.request_id)
        if kept.registration_id:
            await self._links.void(kept.registration_id)
        if request.end.withdrawn_registration_id:
            withdrawn = VoidLinksRequest(
                purpose=LINK_PURPOSE_CONSENT,
                subject=request.end.withdrawn_registration_id,
                consent_state=CONSENT_REQUEST_STATE_CONSENT_WITHDRAWN,
            )
            await self._identity.call(self._consent_links.VoidLinks, withdrawn)
        void = VoidCredentialsRequest(person_id=kept.person_id)
        await self._identity.call(self._credentials.VoidCredentials, void)
        return EndResponse(kept=kept)

    @activity.defn
    async def tell_customership_ended(self, step: RegistrationStep) -> MailStepResult:
        """Notifies the customer, and the guardian or contact person if there is one."""
        told = MailStepResult()
        if await self._mailing.details(step) is not None:
            # The end was undone before the mail was sent.
            return told
        details = await self._mailing.details(step, also_if_ended=True)
        if details is None:
            return told
        content = CustomershipEnded(
            first_names=details.first_names,
            erase_time=step.deadline,
            online=details.kind == CUSTOMER_KIND_ONLINE,
        )
        for address, recipient in _addresses(details).items():
            name = f"customership ended {recipient}"
            mail = self._mailing.mail(step, name, address, details, customership_ended=content)
            told.delivered |= await self._mailing.send(mail)
        return told

    @activity.defn
    async def tell_registrar_of_the_end(self, step: RegistrationStep) -> MailStepResult:
        """Notifies the registrar that the customer or customer service ended the customership."""
        details = await self._mailing.details(step, also_if_ended=True)
        if details is None:
            return MailStepResult()
        by_link = current_actor().kind == ACTOR_KIND_LINK
        content = CustomershipEndedNotice(
            first_names=details.first_names,
            unit_display_name=details.unit_display_name,
            erase_time=step.deadline,
            by_own_link=by_link,
            by_customer_service=not by_link,
        )
        return await self._mailing.tell_registrar(
            step, details, "customership ended notice", customership_ended_notice=content
        )

    @activity.defn
    async def tell_consent_withdrawn(self, step: RegistrationStep) -> MailStepResult:
        """Mails the guardian a receipt of the withdrawal (R38), and notifies customer and registrar."""
        told = MailStepResult()
        details = await self._mailing.details(step, also_if_ended=True)
        if details is None:
            return told
        notice = CustomershipEndedNotice(
            first_names=details.first_names,
            unit_display_name=details.unit_display_name,
            erase_time=step.deadline,
        )
        address = guardian_address(details, step.guardian)
        if address:
            mail = self._mailing.mail(
                step,
                "consent receipt",
                address,
                details,
                consent_receipt_withdrawn=notice,
            )
            told.delivered = await self._mailing.send(mail)
        for other, recipient in _addresses(details).items():
            if other != address:
                ended = CustomershipEnded(
                    first_names=details.first_names,
                    erase_time=step.deadline,
                    online=details.kind == CUSTOMER_KIND_ONLINE,
                )
                name = f"customership ended {recipient}"
                mail = self._mailing.mail(step, name, other, details, customership_ended=ended)
                told.delivered |= await self._mailing.send(mail)
        registrar = await self._mailing.tell_registrar(
            step, details, "consent withdrawn", consent_withdrawn=notice
        )
        told.delivered |= registrar.delivered
        return told

    @activity.defn
    async def undo_removal(self, step: RemovalStep) -> UndoResponse:
        """Makes the person a customer again. A permanent refusal is returned, not raised."""
        request = UndoRemovalRequest(request_id=step.event_id, customer_id=step.customer_id)
        try:
            response = await self._registration.call(self._customers.UndoRemoval, request)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                return UndoResponse(refused=to_refused(refusal))
            raise
        customer = response.customer
        online = customer.form.kind == CUSTOMER_KIND_ONLINE
        return UndoResponse(
            returned=self._removed(customer),
            online=online,
            resumed_registration_id=response.resumed_registration_id,
        )

    @activity.defn
    async def look_whether_returned(self, step: RemovalStep) -> ReturnResult:
        """Whether the customer is no longer marked for deletion."""
        customer = await self._find(step.customer_id)
        return ReturnResult(returned=customer is None or customer.state != CUSTOMER_STATE_MARKED_FOR_DELETION)

    @activity.defn
    async def resume_welcome(self, step: RegistrationStep) -> None:
        """Resumes the registration's run or starts one: the welcome mail is still to be sent (R26)."""
        await activity.client().start_workflow(
            RegistrationWorkflowNames.WORKFLOW,
            RegistrationWorkflowInput(person_id=step.person_id),
            id=RegistrationWorkflowNames.workflow_id(step.person_id),
            task_queue=TASK_QUEUE,
            start_signal=RegistrationWorkflowNames.RESUMED,
            start_signal_args=[Resumed(registration_id=step.registration_id)],
            static_summary=OperatorText("Resumed customership: the welcome mail is still to be sent"),
        )

    @activity.defn
    async def tell_removal_undone(self, step: RegistrationStep) -> MailStepResult:
        """Notifies the registrar that the removal was undone."""
        details = await self._mailing.details(step)
        if details is None:
            return MailStepResult()
        content = CustomerNotice(first_names=details.first_names, unit_display_name=details.unit_display_name)
        return await self._mailing.tell_registrar(step, details, "removal undone", removal_undone=content)

    @activity.defn
    async def tell_customership_goes_on(self, step: RegistrationStep) -> MailStepResult:
        """Notifies everyone notified of the end; gives the customer a new link (R21)."""
        told = MailStepResult()
        details = await self._mailing.details(step)
        if details is None:
            return told
        for address, recipient in _addresses(details).items():
            content = CustomershipGoesOn(first_names=details.first_names, temporary=details.temporary)
            own = address == details.customer_email
            if own:
                link = key(step.event_id, "customership link")
                content.link_token = await self._links.issue(link, step.registration_id)
            name = f"customership goes on {recipient}"
            mail = self._mailing.mail(step, name, address, details, customership_goes_on=content)
            sent = await self._mailing.send_or_tell(step, details, mail)
            told.delivered |= sent.delivered
        return told

    @activity.defn
    async def erase_customer(self, step: RemovalStep) -> ErasureResult:
        """Erases a customer who is due (R20). May fail anywhere, and be repeated."""
        person_id = step.person_id
        customer = await self._find(step.customer_id)
        if customer is not None:
            if customer.state != CUSTOMER_STATE_MARKED_FOR_DELETION:
                return ErasureResult(outcome=ErasureResult.OUTCOME_NOT_KEPT)
            # Read now: a loan or a setting may have changed the date since.
            kept = self._removed(customer)
            if step.moment.ToDatetime(UTC) < kept.erase_time.ToDatetime(UTC):
                return ErasureResult(outcome=ErasureResult.OUTCOME_NOT_DUE, erase_time=kept.erase_time)
            person_id = customer.person_id
        try:
            await self._erasure.erase_person(person_id, only_if_ended=True)
        except Refusal as refusal:
            if refusal.reason == REASON_REGISTRATION_UNDECIDED:
                return ErasureResult(outcome=ErasureResult.OUTCOME_UNDECIDED)
            if refusal.reason == REASON_CUSTOMER_NOT_ENDED:
                return ErasureResult(outcome=ErasureResult.OUTCOME_NOT_KEPT)
            raise
        return ErasureResult(outcome=ErasureResult.OUTCOME_ERASED)

    async def _find(self, customer_id: str) -> Customer | None:
        request = GetCustomerRequest(customer_id=customer_id)
        try:
            return (await self._registration.call(self._customers.GetCustomer, request)).customer
        except Refusal as refusal:
            if refusal.code is grpc.StatusCode.NOT_FOUND:
                # An earlier attempt, or another run, has erased the customer.
                return None
            raise

    def _removed(self, customer: Customer) -> RemovedCustomer:
        removed = RemovedCustomer(
            person_id=customer.person_id,
            registration_id=customer.registration_id,
            unit_id=customer.unit_id,
        )
        if customer.HasField("end_time"):
            removed.end_time.CopyFrom(customer.end_time)
            ended = customer.end_time.ToDatetime(UTC)
            removed.erase_time.FromDatetime(self._retention.erase_time(ended, lent=customer.lent))
            removed.spread.FromTimedelta(self._retention.spread_of(customer.customer_id))
        return removed


def _addresses(details: MailingDetails) -> dict[str, str]:
    """Addresses of the customer, and of guardians or contact person, each with a name for its mail's key.

    Without an address of their own, the customer's mail goes to the first of them.
    """
    named: dict[str, str] = {}
    for address, name in (
        # Whether it is the customer's: the names of earlier releases.
        (details.customer_email, "True"),
        (details.related_person_email, "False"),
        (details.other_guardian_email, "other guardian"),
    ):
        if address:
            named.setdefault(address, name)
    return named
