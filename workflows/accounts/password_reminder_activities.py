"""Activities of the reminders of passwords (R13, R22). Addresses and links stay in them."""

import uuid

import grpc
from temporalio import activity

from liity.identity.v1.account_service_pb2 import (
    AgedPassword,
    ListAgedPasswordsRequest,
    MarkPasswordRemindedRequest,
)
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.credential_service_pb2 import (
    ListUnusedPasswordLinksRequest,
    MarkUnusedPasswordLinkRequest,
    UnusedPasswordLink,
)
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.notification.v1.notification_service_pb2 import (
    CustomerNotice,
    PasswordReminder,
    SendMessageRequest,
)
from liity.registration.v1.customer_service_pb2 import FindOnlineCustomersRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import MailingDetails
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_REGISTRAR, CredentialsRecipient
from liity.workflows.v1.password_reminder_workflow_pb2 import (
    RemindOfPasswordsResult,
    UnusedLinksResult,
    UnusedLinksStep,
)
from liity.workflows.v1.registration_workflow_pb2 import RegistrationStep
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing, key

_AT_ONCE = 20
"""Accounts per activity: few enough to be mailed within its timeout."""


class PasswordReminderActivities:
    """Activities that call the three services."""

    def __init__(self, identity: Peer, registration: Peer, mailing: Mailing) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._accounts = AccountServiceStub(identity.channel)
        self._credentials = CredentialServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)

    @activity.defn
    async def remind_of_passwords(self) -> RemindOfPasswordsResult:
        """Reminds a batch of accounts whose password is old; returns how many."""
        page = ListAgedPasswordsRequest(page_size=_AT_ONCE)
        aged = (await self._identity.call(self._accounts.ListAgedPasswords, page)).aged
        reminded = 0
        for old in aged:
            reminded += await self._remind(old)
        return RemindOfPasswordsResult(reminded=reminded)

    @activity.defn
    async def tell_of_unused_links(self, step: UnusedLinksStep) -> UnusedLinksResult:
        """Tells of a batch of links to choose a password that nobody has used.

        Before a link ends the customer is mailed it once more; afterwards the registrar is mailed.
        """
        page = ListUnusedPasswordLinksRequest(page_size=_AT_ONCE, page_token=step.page_token)
        found = await self._identity.call(self._credentials.ListUnusedPasswordLinks, page)
        for link in found.links:
            if await self._tell_of_link(link):
                mark = MarkUnusedPasswordLinkRequest(link_id=link.link_id, has_expired=link.has_expired)
                await self._identity.call(self._credentials.MarkUnusedPasswordLink, mark)
            activity.heartbeat()
        return UnusedLinksResult(next_page_token=found.next_page_token)

    async def _tell_of_link(self, link: UnusedPasswordLink) -> bool:
        """Whether somebody was mailed, or nobody is to be; False to try again tomorrow."""
        find = FindOnlineCustomersRequest(person_id=link.person_id)
        for customer in (await self._registration.call(self._customers.FindOnlineCustomers, find)).customers:
            notice = "unused link" if link.has_expired else "unused link reminder"
            step = RegistrationStep(
                registration_id=customer.registration_id,
                person_id=customer.person_id,
                event_id=key(str(uuid.UUID(link.link_id)), notice),
            )
            details = await self._mailing.details(step) if customer.registration_id else None
            if details is None:
                continue
            try:
                if link.has_expired:
                    await self._tell_of_the_end(step, details)
                else:
                    await self._remind_of_link(step, details, link, customer.recipient)
            except Refusal as refusal:
                if refusal.code is not grpc.StatusCode.RESOURCE_EXHAUSTED and not is_permanent(refusal.code):
                    raise
                # The address has reached its daily limit of mail, or the link has ended in this moment.
                activity.logger.warning("nobody told of an unused link: %s", refusal.summary)
                return False
        return True

    async def _remind_of_link(
        self,
        step: RegistrationStep,
        details: MailingDetails,
        link: UnusedPasswordLink,
        recipient: CredentialsRecipient.ValueType,
    ) -> None:
        if link.to_registrar:
            recipient = CREDENTIALS_RECIPIENT_REGISTRAR
        elif details.was_refused:
            # The registrar knows that no mail arrives there.
            return
        await self._mailing.remind_of_credentials(step, details, recipient, link)

    async def _tell_of_the_end(self, step: RegistrationStep, details: MailingDetails) -> None:
        content = CustomerNotice(first_names=details.first_names, unit_display_name=details.unit_display_name)
        await self._mailing.tell_registrar(step, details, "credentials unused", credentials_unused=content)

    async def _remind(self, old: AgedPassword) -> bool:
        account = old.account
        # Each reminder is an event of its own, also next year's.
        event = f"password reminder {old.choose_time.ToJsonString()} {old.remind_time.ToJsonString()}"
        mail = SendMessageRequest(
            request_id=key(account.account_id, event),
            subject_id=account.account_id,
            recipient_email=account.email,
            language=account.language,
            password_reminder=PasswordReminder(choose_time=old.choose_time),
        )
        try:
            if not await self._mailing.send(mail):
                activity.logger.warning("account %s could not be reminded", account.account_id)
        except Refusal as refusal:
            if refusal.code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            # The address has reached its daily limit of mail: skip it until tomorrow.
            return False
        mark = MarkPasswordRemindedRequest(account_id=account.account_id)
        await self._identity.call(self._accounts.MarkPasswordReminded, mark)
        return True
