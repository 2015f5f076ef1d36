"""Recipients, sending, and handling of undeliverable addresses, for all activities.

Links, user names and addresses stay within the activity: they never enter a history.
"""

import uuid
from collections.abc import Sequence

import grpc
from google.protobuf.message import Message
from temporalio import activity

from liity.identity.v1.account_service_pb2 import Account, GetAccountRequest, ListAccountsRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.credential_service_pb2 import (
    IssueCredentialsRequest,
    IssueCredentialsResponse,
    UnusedPasswordLink,
)
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_RETURNED,
    DELIVERY_STATE_SENT,
    AddressUndeliverable,
    Credentials,
    SendMessageRequest,
)
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.registration.v1.customer_service_pb2 import (
    MarkEmailDeliveredRequest,
    MarkEmailUndeliverableRequest,
)
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import GetMailingDetailsRequest, MailingDetails
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_MAIN_USER
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_REGISTRAR,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    LANGUAGE_FI,
    CredentialsRecipient,
)
from liity.v1.reason_pb2 import REASON_ACCOUNT_NOT_FOUND
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, RegistrationStep
from services.runtime.guardians import OTHER_GUARDIAN
from services.runtime.rpc.errors import Refusal, unavailable
from services.runtime.rpc.peer import Peer
from services.runtime.text.email_addresses import mailbox
from services.runtime.text.unnamed_unit import UNNAMED_UNIT
from workflows.mail.origin import sealed_origin

_SMTP_TIMEOUT = 45.0
"""Seconds a mail may take: longer than the notification service waits for a mail server."""


class Mailing:
    """Writes and sends the mails of a registration and its customer, through the three services.

    `customer_service` is its address: it gets the mails of units without registrars.
    """

    def __init__(self, identity: Peer, registration: Peer, notification: Peer, customer_service: str) -> None:
        # Customer service works in Finnish.
        self.customer_service = Account(email=customer_service, language=LANGUAGE_FI)
        self._identity = identity
        self._registration = registration
        self._notification = notification
        self._accounts = AccountServiceStub(identity.channel)
        self._credentials = CredentialServiceStub(identity.channel)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._customers = CustomerServiceStub(registration.channel)
        self._notifications = NotificationServiceStub(notification.channel)

    async def details(self, step: RegistrationStep, *, also_if_ended: bool = False) -> MailingDetails | None:
        """Recipients; None once the registration or (without `also_if_ended`) the customership has ended."""
        request = GetMailingDetailsRequest(
            registration_id=step.registration_id, also_if_ended=also_if_ended, guardian=step.guardian
        )
        response = await self._registration.call(self._registrations.GetMailingDetails, request)
        return response.mailing_details if response.HasField("mailing_details") else None

    async def responsible(self, unit_id: str, *account_ids: str) -> list[Account]:
        """The accounts responsible for a unit's customer: the first of those given that still acts for it.

        A registrar who left the unit gets no mail about its customers. If all have left: the unit's main
        users, or all its registrars if it has none; nobody for a closed unit.
        """
        for account_id in filter(None, account_ids):
            account = await self.find(account_id)
            if account is not None and _acts_for(account, unit_id):
                return [account]
        request = ListAccountsRequest(unit_id=unit_id)
        accounts = list((await self._identity.call(self._accounts.ListAccounts, request)).accounts)
        main_users = [account for account in accounts if _is_main_user(account, unit_id)]
        return main_users or accounts

    async def tell_registrar(
        self, step: RegistrationStep, details: MailingDetails, name: str, **content: Message
    ) -> MailStepResult:
        """Mails the activity's registrar, else the registration's, else those responsible for the unit."""
        registrars = await self._registrars(step, details)
        page = self.page_of(step, details)
        return await self.tell_all(step, registrars, name, resource=page, **content)

    def page_of(self, step: RegistrationStep, details: MailingDetails) -> str:
        """The resource whose page the link of a registrar's mail opens.

        Empty for protected persons: nothing of theirs tells the unit.
        """
        is_protected = details.unit_display_name == UNNAMED_UNIT
        return "" if is_protected else registration_name(details.unit_id, step.registration_id)

    async def account(self, account_id: str) -> Account:
        """An account."""
        request = GetAccountRequest(account_id=account_id)
        return (await self._identity.call(self._accounts.GetAccount, request)).account

    async def find(self, account_id: str) -> Account | None:
        """An account; None if it is gone."""
        try:
            return await self.account(account_id)
        except Refusal as refusal:
            if refusal.reason == REASON_ACCOUNT_NOT_FOUND:
                return None
            raise

    async def credentials(
        self,
        step: RegistrationStep,
        details: MailingDetails,
        recipient: CredentialsRecipient.ValueType,
        *,
        ordered_by_customer: bool = False,
        only_without_link: bool = False,
    ) -> SendMessageRequest | None:
        """Issues credentials, which voids earlier links, and writes their mail (R13).

        None if a later order voided this one's link: its mail carries the valid link. If the customer has
        ordered them, a link of the last hour is mailed again, or with `only_without_link` nothing (R42).
        """
        issue = IssueCredentialsRequest(
            request_id=key(step.event_id, "issue"),
            person_id=step.person_id,
            ordered_by_customer=ordered_by_customer,
            only_without_link=only_without_link,
            to_registrar=recipient == CREDENTIALS_RECIPIENT_REGISTRAR,
        )
        credentials = await self._identity.call(self._credentials.IssueCredentials, issue)
        if credentials.link_void:
            return None
        content = _credentials(credentials, details, recipient)
        address = await self._address_of(recipient, step, details)
        return self.mail(step, "credentials", address, details, credentials=content)

    async def remind_of_credentials(
        self,
        step: RegistrationStep,
        details: MailingDetails,
        recipient: CredentialsRecipient.ValueType,
        link: UnusedPasswordLink,
    ) -> MailStepResult:
        """Mails an unused link to choose a password once more, where the credentials go."""
        address = await self._address_of(recipient, step, details)
        content = _credentials(link, details, recipient)
        mail = self.mail(step, "credentials reminder", address, details, credentials_reminder=content)
        return await self.send_or_tell(step, details, mail)

    def mail(
        self, step: RegistrationStep, name: str, address: str, details: MailingDetails, **content: Message
    ) -> SendMessageRequest:
        """A mail in the customer's language."""
        return SendMessageRequest(
            request_id=key(step.event_id, name),
            subject_id=step.registration_id,
            recipient_email=address,
            language=details.language,
            **content,  # type: ignore[arg-type] # one field of the oneof, by its name
        )

    async def send_or_tell(
        self, step: RegistrationStep, details: MailingDetails, mail: SendMessageRequest
    ) -> MailStepResult:
        """Sends a mail; if it is undeliverable, marks the address and notifies the registrar."""
        if await self.send(mail):
            if details.was_refused:
                taken = MarkEmailDeliveredRequest(person_id=step.person_id, email=mail.recipient_email)
                await self._registration.call(self._customers.MarkEmailDelivered, taken)
            return MailStepResult(delivered=True)
        template = mail.WhichOneof("content") or ""
        await self.tell_undeliverable(step, details, mail.recipient_email, template)
        return MailStepResult(delivered=False)

    async def tell_undeliverable(
        self, step: RegistrationStep, details: MailingDetails, address: str, template: str
    ) -> None:
        """Marks an address that took no mail, and notifies the registrar."""
        if address:
            mark = MarkEmailUndeliverableRequest(person_id=step.person_id, email=address)
            await self._registration.call(self._customers.MarkEmailUndeliverable, mark)
        content = AddressUndeliverable(
            first_names=details.first_names,
            unit_display_name=details.unit_display_name,
            template=template,
            guardian_name=details.guardian_name
            if address == guardian_address(details, step.guardian)
            else "",
        )
        await self.tell_registrar(step, details, "address undeliverable", address_undeliverable=content)

    async def tell_all(
        self,
        step: RegistrationStep,
        accounts: Sequence[Account],
        name: str,
        *,
        resource: str = "",
        **content: Message,
    ) -> MailStepResult:
        """Mails each of the responsible accounts; customer service, if none can be mailed.

        Delivered, if one of the mails was. `resource` is the name of what the mail's link opens.
        """
        told = await self.tell_each(step, accounts, name, resource=resource, **content)
        if not told.delivered:
            service = f"{name} customer service"
            told = await self.tell(step, self.customer_service, service, resource=resource, **content)
        if not told.delivered:
            activity.logger.warning("no recipient could be mailed: %s", name)
        return told

    async def tell_each(
        self,
        step: RegistrationStep,
        accounts: Sequence[Account],
        name: str,
        *,
        resource: str = "",
        **content: Message,
    ) -> MailStepResult:
        """Mails each of the accounts. Delivered, if one of the mails was; `resource` as `tell_all`."""
        told = MailStepResult()
        for account in accounts:
            to_account = f"{name} {account.account_id}"
            sent = await self.tell(step, account, to_account, resource=resource, **content)
            told.delivered |= sent.delivered
        return told

    async def tell(
        self, step: RegistrationStep, account: Account, name: str, *, resource: str = "", **content: Message
    ) -> MailStepResult:
        """Mails an account, in its language; `resource` as `tell_all`."""
        mail = SendMessageRequest(
            request_id=key(step.event_id, name),
            subject_id=step.registration_id,
            recipient_email=account.email,
            language=account.language,
            resource=resource,
            **content,  # type: ignore[arg-type] # one field of the oneof, by its name
        )
        return MailStepResult(delivered=await self.send(mail))

    async def send(self, mail: SendMessageRequest) -> bool:
        """Whether a mail server accepted the mail. False for an invalid address, too.

        One that came back because of us was accepted, and is sent again by itself.
        """
        mail.origin = await sealed_origin()
        try:
            response = await self._notification.call(
                self._notifications.SendMessage, mail, timeout=_SMTP_TIMEOUT
            )
        except Refusal as refusal:
            if any(violation.field == "recipient_email" for violation in refusal.violations):
                return False
            if refusal.code is grpc.StatusCode.INVALID_ARGUMENT:
                # The notification service's release may not know the mail, or the mail is wrong. A deploy
                # fixes either: retry until then.
                activity.logger.error("mail refused as invalid: %s", refusal.summary)
                raise unavailable() from None
            raise
        return response.delivery.state in {DELIVERY_STATE_SENT, DELIVERY_STATE_RETURNED}

    async def registrars_address(self, step: RegistrationStep, details: MailingDetails) -> str:
        """The registrar's address; empty if the unit has nobody left."""
        accounts = await self._registrars(step, details)
        return accounts[0].email if accounts else ""

    async def _registrars(self, step: RegistrationStep, details: MailingDetails) -> list[Account]:
        """The registrar who ordered the activity, else the registration's registrar."""
        return await self.responsible(
            details.unit_id, step.registrar_account_id, details.registrar_account_id
        )

    async def _address_of(
        self, recipient: CredentialsRecipient.ValueType, step: RegistrationStep, details: MailingDetails
    ) -> str:
        if recipient == CREDENTIALS_RECIPIENT_REGISTRAR:
            return await self.registrars_address(step, details)
        if recipient == CREDENTIALS_RECIPIENT_RELATED_PERSON:
            return details.related_person_email
        return details.customer_email


def registration_name(unit_id: str, registration_id: str) -> str:
    """The resource name of a registration, which is the address of its page."""
    return f"units/{unit_id}/registrations/{registration_id}"


def guardian_address(details: MailingDetails, guardian: int) -> str:
    """The address of one of two guardians (R39); of the only one with 0."""
    return details.other_guardian_email if guardian == OTHER_GUARDIAN else details.related_person_email


def key(event_id: str, name: str) -> str:
    """The idempotency key of one action for an event."""
    return str(uuid.uuid5(uuid.UUID(event_id), name))


def _credentials(
    issued: IssueCredentialsResponse | UnusedPasswordLink,
    details: MailingDetails,
    recipient: CredentialsRecipient.ValueType,
) -> Credentials:
    """What a mail says of credentials."""
    return Credentials(
        first_names=details.first_names,
        user_name=issued.user_name,
        link_token=issued.link_token,
        expire_time=issued.expire_time,
        for_another=recipient != CREDENTIALS_RECIPIENT_CUSTOMER
        or mailbox(details.customer_email) == mailbox(details.related_person_email),
    )


def _acts_for(account: Account, unit_id: str) -> bool:
    """Whether an account may see a unit's customers: customer service acts for every unit."""
    of_unit = any(membership.unit_id == unit_id for membership in account.memberships)
    return of_unit or ROLE_CUSTOMER_SERVICE in account.roles


def _is_main_user(account: Account, unit_id: str) -> bool:
    return any(
        membership.unit_id == unit_id and membership.role == ROLE_MAIN_USER
        for membership in account.memberships
    )
