"""Activities of a change of address (R14)."""

from datetime import timedelta

from temporalio import activity

from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_EMAIL, IssueLinkRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.notification.v1.notification_service_pb2 import (
    CustomerNotice,
    EmailChanged,
    EmailConfirmation,
    EmailConfirmationReminder,
)
from liity.registration.v1.customer_service_pb2 import CheckEmailConfirmationRequest, UpdateCustomerRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import MailingDetails
from liity.workflows.v1.address_workflow_pb2 import AddressChange, AddressStep, ChangeAddressResponse
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult
from services.runtime.clock import deadline_after, now
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.peer import Peer
from services.runtime.rpc.refusal_message import to_refused
from services.runtime.text.email_addresses import fold
from workflows.mail.customership_links import CustomershipLinks
from workflows.mail.notifier import Mailing, key

_OF_NEED = frozenset({"temporary", "expected_end_date"})


class AddressActivities:
    """Activities that call the three services. `link_lifetime` is the lifetime of the confirmation link."""

    def __init__(
        self,
        identity: Peer,
        registration: Peer,
        mailing: Mailing,
        customership_links: CustomershipLinks,
        link_lifetime: timedelta,
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._customership_links = customership_links
        self._link_lifetime = link_lifetime
        self._links = LinkServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)

    @activity.defn
    async def change_address(self, update: UpdateCustomerRequest) -> AddressChange:
        """Makes the change. A permanent refusal is returned, not raised."""
        try:
            updated = await self._registration.call(self._customers.UpdateCustomer, update)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                return AddressChange(answer=ChangeAddressResponse(refused=to_refused(refusal)))
            raise
        if updated.HasField("changed_meanwhile"):
            answer = ChangeAddressResponse(changed_meanwhile=updated.changed_meanwhile)
            return AddressChange(answer=answer)
        customer = updated.customer
        change = AddressChange(
            person_id=customer.person_id,
            registration_id=customer.registration_id,
            need_changed=any(path.partition(".")[0] in _OF_NEED for path in update.update_mask.paths),
        )
        change.previous_related_email = updated.previous_related_email
        if updated.HasField("previous_email"):
            change.email.before = updated.previous_email
            change.email.after = updated.email
            change.email.link_expire_time.FromDatetime(deadline_after(now(), self._link_lifetime))
            change.email.link_lifetime.FromTimedelta(self._link_lifetime)
        return change

    @activity.defn
    async def confirm_address(self, change: AddressStep) -> MailStepResult:
        """Mails the new address a confirmation link, unless the address was changed again."""
        details = await self._mailing.details(change.step)
        if details is None or details.customer_email != change.email.after:
            return MailStepResult()
        # Its life counts from this attempt: the mail may have waited for the mail server.
        change.email.link_expire_time.FromDatetime(deadline_after(now(), self._link_lifetime))
        link_token = await self._issue(change)
        own = key(change.change_request_id, "customership link")
        own_token = await self._customership_links.issue(own, change.step.registration_id)
        # A reader of the old address, perhaps a stranger, can no longer end the customership.
        await self._customership_links.void(change.step.registration_id, kept_request_id=own)
        content = EmailConfirmation(
            first_names=details.first_names,
            link_token=link_token,
            expire_time=change.email.link_expire_time,
            customership_link_token=own_token,
            temporary=details.temporary,
        )
        mail = self._mailing.mail(
            change.step, "email confirmation", change.email.after, details, email_confirmation=content
        )
        return await self._mailing.send_or_tell(change.step, details, mail)

    @activity.defn
    async def remind_to_confirm(self, change: AddressStep) -> MailStepResult:
        """Mails the link to the new address once more, if nobody has confirmed the address."""
        details = await self._unconfirmed(change)
        if details is None:
            return MailStepResult()
        left = change.email.link_lifetime.ToTimedelta() / 2
        change.email.link_expire_time.FromDatetime(deadline_after(now(), left))
        content = EmailConfirmationReminder(
            first_names=details.first_names,
            link_token=await self._issue(change),
            expire_time=change.email.link_expire_time,
        )
        mail = self._mailing.mail(
            change.step,
            "email confirmation reminder",
            change.email.after,
            details,
            email_confirmation_reminder=content,
        )
        return await self._mailing.send_or_tell(change.step, details, mail)

    @activity.defn
    async def tell_unconfirmed(self, change: AddressStep) -> MailStepResult:
        """Notifies the registrar that nobody has confirmed the new address, and the link has ended."""
        details = await self._unconfirmed(change)
        if details is None:
            return MailStepResult()
        content = CustomerNotice(first_names=details.first_names, unit_display_name=details.unit_display_name)
        return await self._mailing.tell_registrar(
            change.step, details, "email unconfirmed", email_unconfirmed=content
        )

    @activity.defn
    async def tell_previous_related_address(self, change: AddressStep) -> MailStepResult:
        """Notifies the previous address of a guardian or contact person."""
        details = await self._mailing.details(change.step)
        if details is None:
            return MailStepResult()
        content = EmailChanged(first_names=details.first_names)
        mail = self._mailing.mail(
            change.step,
            "related email changed",
            change.previous_related_email,
            details,
            email_changed=content,
        )
        return MailStepResult(delivered=await self._mailing.send(mail))

    @activity.defn
    async def tell_previous_address(self, change: AddressStep) -> MailStepResult:
        """Notifies the previous address. A failure is ignored: it may be why the address was changed."""
        details = await self._mailing.details(change.step)
        if details is None:
            return MailStepResult()
        if fold(change.email.before) == fold(details.related_person_email):
            # The customer had no address of their own: the guardian's stays as it is.
            return MailStepResult()
        if not details.customer_email:
            # No other address could receive a new link.
            await self._customership_links.void(change.step.registration_id)
        content = EmailChanged(first_names=details.first_names)
        mail = self._mailing.mail(
            change.step, "email changed", change.email.before, details, email_changed=content
        )
        return MailStepResult(delivered=await self._mailing.send(mail))

    async def _unconfirmed(self, change: AddressStep) -> MailingDetails | None:
        """Recipients, if the new address is still to be confirmed."""
        check = CheckEmailConfirmationRequest(change_request_id=change.change_request_id)
        checked = await self._registration.call(self._customers.CheckEmailConfirmation, check)
        return await self._mailing.details(change.step) if checked.is_awaited else None

    async def _issue(self, change: AddressStep) -> str:
        """The token of the link that confirms the new address; it lives until the change says, at least."""
        issue = IssueLinkRequest(
            # One link per change: it confirms that address and no later one.
            request_id=change.change_request_id,
            purpose=LINK_PURPOSE_EMAIL,
            subject=change.step.registration_id,
            expire_time=change.email.link_expire_time,
        )
        return (await self._identity.call(self._links.IssueLink, issue)).token
