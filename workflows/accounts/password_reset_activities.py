"""Activity of a password order. The link, and whether an account has the address, stay in it."""

import uuid

from temporalio import activity

from liity.identity.v1.account_service_pb2 import IssuePasswordLinkRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.notification.v1.notification_service_pb2 import PasswordOrder, SendMessageRequest
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.workflows.v1.password_order_workflow_pb2 import PasswordOrderWorkflowInput
from services.runtime.rpc.peer import Peer

_SMTP_TIMEOUT = 45.0
"""Seconds a mail may take: longer than the notification service waits for a mail server."""


class PasswordOrderActivities:
    """An activity that calls identity and notification."""

    def __init__(self, identity: Peer, notification: Peer) -> None:
        self._identity = identity
        self._notification = notification
        self._accounts = AccountServiceStub(identity.channel)
        self._notifications = NotificationServiceStub(notification.channel)

    @activity.defn
    async def mail_password_link(self, order: PasswordOrderWorkflowInput) -> None:
        """Mails a one-time link to the account's own address; nothing if no account has the address (R22)."""
        issue = IssuePasswordLinkRequest(
            request_id=order.request_id, email=order.email, only_without_link=order.only_without_link
        )
        issued = await self._identity.call(self._accounts.IssuePasswordLink, issue)
        # While the mail server was away, the password may have been chosen.
        if not issued.email or issued.link_void:
            return
        mail = SendMessageRequest(
            request_id=str(uuid.uuid5(uuid.UUID(order.request_id), "password order")),
            subject_id=issued.account_id,
            recipient_email=issued.email,
            language=issued.language,
            password_order=PasswordOrder(link_token=issued.link_token, expire_time=issued.expire_time),
        )
        await self._notification.call(self._notifications.SendMessage, mail, timeout=_SMTP_TIMEOUT)
