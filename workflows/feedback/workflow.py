"""`FeedbackWorkflow`: feedback on accessibility, from its receipt to the mail with the answer."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio import workflow
from typing_extensions import override

from liity.workflows.v1.feedback_workflow_pb2 import (
    FEEDBACK_NOTICE_KIND_NEW,
    FEEDBACK_NOTICE_KIND_OVERDUE,
    FEEDBACK_NOTICE_KIND_REMINDER,
    FeedbackAnswered,
    FeedbackNoticeKind,
    FeedbackPlan,
    FeedbackStep,
    FeedbackWorkflowInput,
    FeedbackWorkflowResult,
)
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult
from services.runtime.temporal.names import FeedbackWorkflowNames
from workflows.feedback.activities import FeedbackActivities
from workflows.support.answers import AwaitsAnswer
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import show
from workflows.support.steps import insist, quick_step

_LOST_SIGNAL = timedelta(days=30)
"""How often overdue feedback is read: a signal of its answer or its erasure may have been lost."""


@workflow.defn(name=FeedbackWorkflowNames.WORKFLOW)
class FeedbackWorkflow(AwaitsAnswer):
    """Keeps the law's 14 days for one feedback. Neither its text nor the answer's enters the history."""

    @workflow.init
    def __init__(self, input: FeedbackWorkflowInput) -> None:  # noqa: A002
        self._feedback_id = input.feedback_id
        self._plan = FeedbackPlan()
        self._plan.CopyFrom(input.plan)
        self._is_gone = False
        self._mails = BackgroundMails()

    @workflow.run
    async def run(self, input: FeedbackWorkflowInput) -> FeedbackWorkflowResult:  # noqa: A002, ARG002
        """Mails customer service and the sender, reminds, escalates, and mails the answer."""
        await self.look()
        if self.is_open:
            self._tell(FEEDBACK_NOTICE_KIND_NEW, "Notify customer service")
            self._mail_sender(FeedbackActivities.confirm_feedback, "Confirm the receipt to the sender")
            await self._await_the_answer()
        if not self._is_gone:
            self._mail_sender(FeedbackActivities.mail_feedback_answer, "Mail the answer to the sender")
        await workflow.wait_condition(self._mails.all_sent)
        self._show("Ended", None)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return FeedbackWorkflowResult()

    async def _await_the_answer(self) -> None:
        """Reminds before the deadline, and escalates when it passes."""
        reminder, deadline = self._plan.reminder_time.ToDatetime(UTC), self._plan.deadline.ToDatetime(UTC)
        self._show("Waits for customer service", deadline)
        if reminder > workflow.now():
            if await self.answered_by(reminder, "Feedback: reminder"):
                return
            self._tell(FEEDBACK_NOTICE_KIND_REMINDER, "Remind customer service")
        if await self.answered_by(deadline, "Feedback: deadline"):
            return
        self._tell(FEEDBACK_NOTICE_KIND_OVERDUE, "Tell customer service: overdue")
        self._mail_sender(FeedbackActivities.tell_feedback_late, "Notify the sender: the answer is late")
        self._show("Overdue: waits for customer service", None)
        # The daily digest of the work list reminds from now on.
        while not await self.answered_by(workflow.now() + _LOST_SIGNAL, "Feedback: overdue"):
            pass

    @override
    async def go_on_in_new_run(self) -> None:
        await workflow.wait_condition(self._mails.all_sent)
        # The next run repeats no mail: each has its key.
        workflow.continue_as_new(FeedbackWorkflowInput(feedback_id=self._feedback_id, plan=self._plan))

    @override
    async def look(self) -> None:
        """Reads the feedback: a signal of its answer may have been lost."""
        self.told_answered = False
        looking = "Read the feedback's status"
        looked = await insist(
            lambda: quick_step(FeedbackActivities.look_at_feedback, self._step(), looking), looking
        )
        self._is_gone = not looked.reference
        if not self._plan.reference:
            self._plan.CopyFrom(looked)
        # Keep the times once set, whatever the settings are later.
        self._plan.answered = looked.answered

    def _tell(self, kind: FeedbackNoticeKind.ValueType, summary: str) -> None:
        step = self._step()
        step.kind = kind
        self._mails.mail(FeedbackActivities.tell_of_feedback, step, summary)

    def _mail_sender(
        self, step: Callable[[FeedbackActivities, FeedbackStep], Awaitable[MailStepResult]], summary: str
    ) -> None:
        # In the background: an answer must not wait for a mail server.
        if self._plan.has_email:
            self._mails.mail(step, self._step(), summary)

    @workflow.signal(name=FeedbackWorkflowNames.ANSWERED)
    def answered(self, answered: FeedbackAnswered) -> None:  # noqa: ARG002
        """Reads the feedback: it may be answered. From Temporal UI or CLI `{}` is enough."""
        self.told_answered = True

    @property
    @override
    def is_open(self) -> bool:
        return not self._is_gone and not self._plan.answered

    def _step(self) -> FeedbackStep:
        # The event ID comes from the feedback, so that no run repeats a mail.
        event_id = uuid.uuid5(uuid.NAMESPACE_OID, self._feedback_id)
        return FeedbackStep(feedback_id=self._feedback_id, plan=self._plan, event_id=str(event_id))

    def _show(self, note: str, deadline: datetime | None) -> None:
        """Shows operators, without personal data, what the run waits for and until when."""
        show(
            note,
            f"Feedback `{self._plan.reference}`. Customer service answers it in the work list.",
            deadline,
            signals=[FeedbackWorkflowNames.ANSWERED] if self.is_open else (),
        )
