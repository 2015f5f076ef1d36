"""Activity of the yearly password reminder (R22). Addresses stay in it."""

import grpc
from temporalio import activity

from liity.identity.v1.account_service_pb2 import (
    AgedPassword,
    ListAgedPasswordsRequest,
    MarkPasswordRemindedRequest,
)
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.notification.v1.notification_service_pb2 import PasswordReminder, SendMessageRequest
from liity.workflows.v1.password_reminder_workflow_pb2 import RemindOfPasswordsResult
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing, key

_AT_ONCE = 20
"""Accounts per activity: few enough to be mailed within its timeout."""


class PasswordReminderActivities:
    """An activity that calls identity and notification."""

    def __init__(self, identity: Peer, mailing: Mailing) -> None:
        self._identity = identity
        self._mailing = mailing
        self._accounts = AccountServiceStub(identity.channel)

    @activity.defn
    async def remind_of_passwords(self) -> RemindOfPasswordsResult:
        """Reminds a batch of accounts whose password is old; returns how many."""
        page = ListAgedPasswordsRequest(page_size=_AT_ONCE)
        aged = (await self._identity.call(self._accounts.ListAgedPasswords, page)).aged
        reminded = 0
        for old in aged:
            reminded += await self._remind(old)
        return RemindOfPasswordsResult(reminded=reminded)

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
