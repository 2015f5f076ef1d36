"""Activities of a message to customer service (R12, R25). Its text stays in the registration service."""

from datetime import UTC, timedelta

from google.protobuf.message import Message
from temporalio import activity

from liity.notification.v1.notification_service_pb2 import (
    MessageDeadline,
    MessageNotice,
)
from liity.registration.v1.message_service_pb2 import GetMessageStatusRequest, LapseMessageRequest
from liity.registration.v1.message_service_pb2_grpc import MessageServiceStub
from liity.v1.work_service_pb2 import WORK_ITEM_KIND_MESSAGE
from liity.workflows.v1.message_workflow_pb2 import MessagePlan, MessageStep
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, RegistrationStep
from services.runtime.rpc.peer import Peer
from services.runtime.work_item_ids import work_item_id
from workflows.mail.notifier import Mailing


class MessageActivities:
    """Activities that call the three services.

    `reminder` is how long before the deadline customer service is reminded; `lapse` is how long after it an
    unanswered message is closed.
    """

    def __init__(
        self,
        registration: Peer,
        mailing: Mailing,
        *,
        reminder: timedelta,
        lapse: timedelta,
    ) -> None:
        self._registration = registration
        self._mailing = mailing
        self._reminder = reminder
        self._lapse = lapse
        self._messages = MessageServiceStub(registration.channel)

    @activity.defn
    async def look_at_message(self, step: MessageStep) -> MessagePlan:
        """The message's status, and the times of its reminders and lapse."""
        request = GetMessageStatusRequest(message_id=step.message_id)
        looked = await self._registration.call(self._messages.GetMessageStatus, request)
        if not looked.HasField("status"):
            return MessagePlan()
        deadline = looked.status.deadline.ToDatetime(UTC)
        plan = MessagePlan(status=looked.status)
        for moment in (deadline - self._reminder, deadline):
            plan.reminders.add().FromDatetime(moment)
        plan.lapse_time.FromDatetime(deadline + self._lapse)
        return plan

    @activity.defn
    async def tell_customer_service(self, step: MessageStep) -> MailStepResult:
        """Mails customer service the reference of a waiting message, without its text."""
        return await self._to_customer_service(step, "message waits", message_waits=_to_answer(step))

    @activity.defn
    async def remind_of_message(self, step: MessageStep) -> MailStepResult:
        """Reminds customer service of the message."""
        return await self._to_customer_service(step, "message reminder", message_reminder=_to_answer(step))

    @activity.defn
    async def confirm_receipt(self, step: MessageStep) -> MailStepResult:
        """Mails the sender the message's reference."""
        content = MessageDeadline(reference=step.status.reference, deadline=step.status.deadline)
        return await self._to_sender(step, "message received", message_received=content)

    @activity.defn
    async def tell_answered(self, step: MessageStep) -> MailStepResult:
        """Mails the sender where to read the answer."""
        content = MessageNotice(reference=step.status.reference)
        return await self._to_sender(step, "message answered", message_answered=content)

    @activity.defn
    async def lapse_message(self, step: MessageStep) -> None:
        """Closes an unanswered message."""
        request = LapseMessageRequest(message_id=step.message_id)
        await self._registration.call(self._messages.LapseMessage, request)

    @activity.defn
    async def tell_lapsed(self, step: MessageStep) -> MailStepResult:
        """Notifies the sender that the message was not answered, and where to turn."""
        content = MessageNotice(reference=step.status.reference)
        return await self._to_sender(step, "message lapsed", message_lapsed=content)

    @activity.defn
    async def tell_erased(self, step: MessageStep) -> MailStepResult:
        """Notifies the sender that the message was erased with the person it was about."""
        content = MessageNotice(reference=step.status.reference)
        # The person's records of mail are erased: this mail is recorded under the message.
        step.status.subject_id = step.message_id
        return await self._to_sender(step, "message erased", is_erased=True, message_erased=content)

    async def _to_customer_service(self, step: MessageStep, name: str, **content: Message) -> MailStepResult:
        return await self._mailing.tell(
            _mailed(step), self._mailing.customer_service, name, resource="", **content
        )

    async def _to_sender(
        self, step: MessageStep, name: str, *, is_erased: bool = False, **content: Message
    ) -> MailStepResult:
        """Mails the sender; if they have left, those responsible for the unit; nobody if it is closed."""
        page = "" if is_erased else f"units/{step.status.unit_id}/messages/{step.message_id}"
        accounts = await self._mailing.responsible(step.status.unit_id, step.status.sender_account_id)
        return await self._mailing.tell_each(_mailed(step), accounts, name, resource=page, **content)


def _to_answer(step: MessageStep) -> MessageDeadline:
    return MessageDeadline(
        reference=step.status.reference,
        deadline=step.status.deadline,
        work_item_id=work_item_id(WORK_ITEM_KIND_MESSAGE, step.message_id),
    )


def _mailed(step: MessageStep) -> RegistrationStep:
    """The input under which a message's mail is recorded, and sent once."""
    return RegistrationStep(registration_id=step.status.subject_id, event_id=step.event_id)
