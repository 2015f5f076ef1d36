"""Activity of a password order. The link, and whether anybody has the address, stay in it."""

from temporalio import activity

from liity.identity.v1.account_service_pb2 import IssuePasswordLinkRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.credential_service_pb2 import FindUserNameRequest
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.notification.v1.notification_service_pb2 import PasswordOrder, SendMessageRequest
from liity.registration.v1.customer_service_pb2 import (
    FindOnlineCustomersRequest,
    OnlineCustomer,
    OrderCredentialsRequest,
)
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.v1.reason_pb2 import REASON_CUSTOMER_HAS_ENDED, REASON_CUSTOMER_NOT_FOUND
from liity.workflows.v1.password_order_workflow_pb2 import PasswordOrderWorkflowInput
from liity.workflows.v1.registration_workflow_pb2 import RegistrationStep
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing, key

_GONE = frozenset({REASON_CUSTOMER_HAS_ENDED, REASON_CUSTOMER_NOT_FOUND})
"""Refusals of an order for somebody who has ended or moved meanwhile."""


class PasswordOrderActivities:
    """An activity that calls the three services."""

    def __init__(self, identity: Peer, registration: Peer, mailing: Mailing) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._accounts = AccountServiceStub(identity.channel)
        self._credentials = CredentialServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)

    @activity.defn
    async def mail_password_link(self, order: PasswordOrderWorkflowInput) -> None:
        """Mails a one-time link to the account's own address; nothing if no account has the address (R22).

        If a customer has ordered it: to the address on file of each who has the user name or address (R42).
        """
        if order.for_customer:
            await self._mail_customers(order)
        else:
            await self._mail_account(order)

    async def _mail_account(self, order: PasswordOrderWorkflowInput) -> None:
        issue = IssuePasswordLinkRequest(
            request_id=order.request_id, email=order.email, only_without_link=order.only_without_link
        )
        issued = await self._identity.call(self._accounts.IssuePasswordLink, issue)
        # While the mail server was away, the password may have been chosen.
        if not issued.email or issued.link_void:
            return
        mail = SendMessageRequest(
            request_id=key(order.request_id, "password order"),
            subject_id=issued.account_id,
            recipient_email=issued.email,
            language=issued.language,
            password_order=PasswordOrder(link_token=issued.link_token, expire_time=issued.expire_time),
        )
        await self._mailing.send(mail)

    async def _mail_customers(self, order: PasswordOrderWorkflowInput) -> None:
        """Mails a link to each customer who has the user name or address, where their mail goes (R42)."""
        named = FindUserNameRequest(user_name=order.email)
        person_id = (await self._identity.call(self._credentials.FindUserName, named)).person_id
        find = FindOnlineCustomersRequest(person_id=person_id, email="" if person_id else order.email)
        found = await self._registration.call(self._customers.FindOnlineCustomers, find)
        for customer in found.customers:
            await self._mail_customer(order, customer)

    async def _mail_customer(self, order: PasswordOrderWorkflowInput, customer: OnlineCustomer) -> None:
        step = RegistrationStep(
            registration_id=customer.registration_id,
            person_id=customer.person_id,
            event_id=key(order.request_id, customer.customer_id),
        )
        details = await self._mailing.details(step) if customer.registration_id else None
        if details is None:
            return
        mail = await self._mailing.credentials(
            step,
            details,
            customer.recipient,
            ordered_by_customer=True,
            only_without_link=order.only_without_link,
        )
        if mail is None:
            return
        record = OrderCredentialsRequest(
            request_id=step.event_id,
            customer_id=customer.customer_id,
            unit_id=customer.unit_id,
            recipient=customer.recipient,
        )
        try:
            await self._registration.call(self._customers.OrderCredentials, record)
        except Refusal as refusal:
            if refusal.reason in _GONE:
                return
            raise
        await self._mailing.send_or_tell(step, details, mail)
