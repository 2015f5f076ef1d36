"""Activities of feedback on accessibility. What was written stays out of the history."""

from collections.abc import Mapping
from datetime import UTC, timedelta

from google.protobuf.message import Message
from temporalio import activity

from liity.notification.v1.notification_service_pb2 import (
    FeedbackAnswer,
    MessageDeadline,
    SendMessageRequest,
)
from liity.registration.v1.feedback_service_pb2 import GetFeedbackRequest, StoredFeedback
from liity.registration.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from liity.v1.reason_pb2 import REASON_FEEDBACK_NOT_FOUND
from liity.v1.work_service_pb2 import WORK_ITEM_KIND_FEEDBACK
from liity.workflows.v1.feedback_workflow_pb2 import (
    FEEDBACK_NOTICE_KIND_NEW,
    FEEDBACK_NOTICE_KIND_OVERDUE,
    FEEDBACK_NOTICE_KIND_REMINDER,
    FeedbackNoticeKind,
    FeedbackPlan,
    FeedbackStep,
)
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, RegistrationStep
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from services.runtime.work_item_ids import work_item_id
from workflows.mail.notifier import Mailing, key

_NOTICES: Mapping[FeedbackNoticeKind.ValueType, str] = {
    FEEDBACK_NOTICE_KIND_NEW: "feedback_waits",
    FEEDBACK_NOTICE_KIND_REMINDER: "feedback_reminder",
    FEEDBACK_NOTICE_KIND_OVERDUE: "feedback_overdue",
}
"""The mail's template for each kind of notice to customer service."""


class FeedbackActivities:
    """Activities that call the services. `reminder` is how long before the deadline the reminder goes out."""

    def __init__(self, registration: Peer, mailing: Mailing, reminder: timedelta) -> None:
        self._registration = registration
        self._mailing = mailing
        self._reminder = reminder
        self._feedback = FeedbackServiceStub(registration.channel)

    @activity.defn
    async def look_at_feedback(self, step: FeedbackStep) -> FeedbackPlan:
        """What the run needs to know of the feedback; an empty plan once it is erased."""
        stored = await self._read(step.feedback_id)
        if stored is None:
            return FeedbackPlan()
        plan = FeedbackPlan(
            reference=stored.reference,
            has_email=bool(stored.sender_email),
            answered=stored.HasField("answer_time"),
            deadline=stored.deadline,
        )
        plan.reminder_time.FromDatetime(stored.deadline.ToDatetime(UTC) - self._reminder)
        return plan

    @activity.defn
    async def tell_of_feedback(self, step: FeedbackStep) -> MailStepResult:
        """Mails customer service that feedback has come, is due soon, or is overdue."""
        template = _NOTICES[step.kind]
        mailed = RegistrationStep(registration_id=step.feedback_id, event_id=step.event_id)
        notice = _deadline_of(step)
        notice.work_item_id = work_item_id(WORK_ITEM_KIND_FEEDBACK, step.feedback_id)
        content = {template: notice}
        return await self._mailing.tell(
            mailed, self._mailing.customer_service, template, resource="", **content
        )

    @activity.defn
    async def confirm_feedback(self, step: FeedbackStep) -> MailStepResult:
        """Mails the sender the reference, and until when the answer comes."""
        return await self._to_sender(step, "feedback_received", _deadline_of(step))

    @activity.defn
    async def tell_feedback_late(self, step: FeedbackStep) -> MailStepResult:
        """Mails the sender that the answer is late, and who supervises us."""
        return await self._to_sender(step, "feedback_late", _deadline_of(step))

    @activity.defn
    async def mail_feedback_answer(self, step: FeedbackStep) -> MailStepResult:
        """Mails the answer to the sender."""
        return await self._to_sender(step, "feedback_answered")

    async def _to_sender(
        self, step: FeedbackStep, template: str, content: Message | None = None
    ) -> MailStepResult:
        """Mails the sender; nothing if the feedback is erased. Without content: the answer."""
        stored = await self._read(step.feedback_id)
        if stored is None:
            return MailStepResult()
        answer = FeedbackAnswer(
            reference=stored.reference,
            create_time=stored.create_time,
            answer_lines=[line.strip() for line in stored.answer.splitlines() if line.strip()],
        )
        mail = SendMessageRequest(
            request_id=key(step.event_id, template),
            subject_id=step.feedback_id,
            recipient_email=stored.sender_email,
            language=stored.language,
            **{template: content or answer},  # type: ignore[arg-type] # one field of the oneof, by its name
        )
        return MailStepResult(delivered=await self._mailing.send(mail))

    async def _read(self, feedback_id: str) -> StoredFeedback | None:
        request = GetFeedbackRequest(feedback_id=feedback_id)
        try:
            return (await self._registration.call(self._feedback.GetFeedback, request)).feedback
        except Refusal as refusal:
            if refusal.reason == REASON_FEEDBACK_NOT_FOUND:
                return None
            raise


def _deadline_of(step: FeedbackStep) -> MessageDeadline:
    return MessageDeadline(reference=step.plan.reference, deadline=step.plan.deadline)
