"""`MessageWorkflow`: a message to customer service, from its receipt to the mail about its end."""

import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from temporalio import workflow
from typing_extensions import override

from liity.v1.message_service_pb2 import MESSAGE_STATE_CLOSED, MESSAGE_STATE_LAPSED, MESSAGE_STATE_OPEN
from liity.workflows.v1.message_workflow_pb2 import (
    MessageClosed,
    MessagePlan,
    MessageStep,
    MessageWorkflowInput,
    MessageWorkflowResult,
)
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import MessageWorkflowNames
from workflows.messages.activities import MessageActivities
from workflows.support.answers import AwaitsAnswer
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import show
from workflows.support.steps import insist, quick_step

_STORING = timedelta(minutes=10)
"""How long a run waits for its message to be stored: longer than any call takes."""


@workflow.defn(name=MessageWorkflowNames.WORKFLOW)
class MessageWorkflow(AwaitsAnswer):
    """Coordinates one message (R12, R25). Neither its text nor the answer's enters the history."""

    @workflow.init
    def __init__(self, input: MessageWorkflowInput) -> None:  # noqa: A002
        self._message_id = input.message_id
        self._plan = MessagePlan()
        self._plan.CopyFrom(input.plan)
        self._is_gone = False
        self._mails = BackgroundMails()

    @workflow.run
    async def run(self, input: MessageWorkflowInput) -> MessageWorkflowResult:  # noqa: A002, ARG002
        """Mails customer service and the sender, reminds, and mails the sender the outcome."""
        await self._await_the_message()
        if self.is_open:
            self._show("Waits for customer service", self._deadline)
            # In the background: an answer must not wait for a mail server.
            self._mail(MessageActivities.tell_customer_service, "Notify customer service")
            self._mail(MessageActivities.confirm_receipt, "Confirm the receipt to the sender")
            if not workflow.patched("hear-while-mail-is-on-its-way"):
                await workflow.wait_condition(self._mails.all_sent)
            await self._await_the_answer()
        if self._is_gone:
            self._tell_if_it_was_there()
        elif self._state == MESSAGE_STATE_CLOSED:
            self._mail(MessageActivities.tell_answered, "Notify the sender of the answer")
        elif self._state == MESSAGE_STATE_LAPSED:
            self._mail(MessageActivities.tell_lapsed, "Notify the sender: not answered")
        await workflow.wait_condition(self._mails.all_sent)
        self._show("Ended", None)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return MessageWorkflowResult()

    async def _await_the_message(self) -> None:
        """Waits until the message is stored: the run is started first, so no message lacks a run."""
        await self.look()
        if self._is_gone:
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self.told_answered,
                    timeout=_STORING,
                    timeout_summary=OperatorText("Wait until the message is stored"),
                )
            await self.look()

    def _tell_if_it_was_there(self) -> None:
        """Mails the sender of an erased message. A message never stored needs no mail: its call failed."""
        if self._plan.HasField("status"):
            self._mail(MessageActivities.tell_erased, "Notify the sender of the erasure")

    async def _await_the_answer(self) -> None:
        """Reminds customer service before the deadline and at it; finally closes the message."""
        for number, reminder in enumerate(self._plan.reminders):
            moment = reminder.ToDatetime(UTC)
            if moment <= workflow.now():
                # The mail before was late: skip this reminder.
                continue
            if await self.answered_by(moment, "Message: reminder"):
                return
            step = self._step(f"reminder {number}")
            self._mails.mail(MessageActivities.remind_of_message, step, "Remind customer service")
            if not workflow.patched("hear-while-mail-is-on-its-way"):
                await workflow.wait_condition(self._mails.all_sent)
        lapse = self._plan.lapse_time.ToDatetime(UTC)
        self._show("Overdue: waits for customer service", lapse)
        if not await self.answered_by(lapse, "Message: timeout"):
            closing = "Close the unanswered message"
            await insist(lambda: quick_step(MessageActivities.lapse_message, self._step(), closing), closing)
            await self.look()

    @override
    async def go_on_in_new_run(self) -> None:
        # The next run sends the mails that are missing, none twice.
        workflow.continue_as_new(MessageWorkflowInput(message_id=self._message_id, plan=self._plan))

    @override
    async def look(self) -> None:
        """Reads the message: a signal of its answer may have been lost."""
        self.told_answered = False
        looking = "Read the message's status"
        looked = await insist(
            lambda: quick_step(MessageActivities.look_at_message, self._step(), looking), looking
        )
        self._is_gone = not looked.HasField("status")
        if self._is_gone:
            # Keep the earlier status: its sender is mailed.
            return
        if self._plan.reminders:
            # Keep the times once set, whatever the settings are later.
            self._plan.status.CopyFrom(looked.status)
        else:
            self._plan.CopyFrom(looked)

    def _mail(
        self, step: Callable[[MessageActivities, MessageStep], Awaitable[MailStepResult]], summary: str
    ) -> None:
        self._mails.mail(step, self._step(), summary)

    @workflow.signal(name=MessageWorkflowNames.CLOSED)
    def closed(self, closed: MessageClosed) -> None:  # noqa: ARG002
        """Reads the message: it may be stored or answered. From Temporal UI or CLI `{}` is enough."""
        self.told_answered = True

    # State

    @property
    def _state(self) -> int:
        return self._plan.status.state

    @property
    @override
    def is_open(self) -> bool:
        return not self._is_gone and self._state == MESSAGE_STATE_OPEN

    @property
    def _deadline(self) -> datetime:
        return self._plan.status.deadline.ToDatetime(UTC)

    def _step(self, event: str = "") -> MessageStep:
        # The event ID comes from the message, so that no run repeats a mail.
        message = uuid.UUID(self._message_id)
        event_id = uuid.uuid5(message, event) if event else message
        return MessageStep(message_id=self._message_id, status=self._plan.status, event_id=str(event_id))

    def _show(self, note: str, deadline: datetime | None) -> None:
        """Shows operators, without personal data, what the run waits for and until when."""
        show(
            note,
            f"Message `{self._plan.status.reference}`. Customer service answers it in the work list.",
            deadline,
            signals=[MessageWorkflowNames.CLOSED] if self.is_open else (),
        )
