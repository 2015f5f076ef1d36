"""`MessageWorkflow`: a message to customer service, from its receipt until somebody has told the sender."""

import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from temporalio import workflow

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
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import Operated, show
from workflows.support.steps import insist, quick_step

_STORING = timedelta(minutes=10)
"""How long a run waits for its message to be stored: longer than any call takes."""


@workflow.defn(name=MessageWorkflowNames.WORKFLOW)
class MessageWorkflow(Operated):
    """Coordinates one message (R12, R25). Its words, and those of the answer, never come here."""

    @workflow.init
    def __init__(self, input: MessageWorkflowInput) -> None:  # noqa: A002
        self._message_id = input.message_id
        self._plan = MessagePlan()
        self._plan.CopyFrom(input.plan)
        self._told_closed = False
        self._is_gone = False
        self._mails = BackgroundMails()

    @workflow.run
    async def run(self, input: MessageWorkflowInput) -> MessageWorkflowResult:  # noqa: A002, ARG002
        """Tells customer service and the sender, reminds, and tells the sender how it ended."""
        await self._await_the_message()
        if self._is_open:
            self._show("Waits for customer service", self._deadline)
            # In the background: an answer does not wait for a mail server.
            self._mail(MessageActivities.tell_customer_service, "Tell customer service")
            self._mail(MessageActivities.confirm_receipt, "Confirm the receipt to the sender")
            if not workflow.patched("hear-while-mail-is-on-its-way"):
                await workflow.wait_condition(self._mails.all_sent)
            await self._await_the_answer()
        if self._is_gone:
            self._tell_if_it_was_there()
        elif self._state == MESSAGE_STATE_CLOSED:
            self._mail(MessageActivities.tell_answered, "Tell the sender of the answer")
        elif self._state == MESSAGE_STATE_LAPSED:
            self._mail(MessageActivities.tell_lapsed, "Tell the sender that nobody answered")
        await workflow.wait_condition(self._mails.all_sent)
        self._show("Ended", None)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return MessageWorkflowResult()

    async def _await_the_message(self) -> None:
        """The run begins before its message is stored, so that none is ever stored without a run."""
        await self._look()
        if self._is_gone:
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._told_closed,
                    timeout=_STORING,
                    timeout_summary=OperatorText("Message: is it stored?"),
                )
            await self._look()

    def _tell_if_it_was_there(self) -> None:
        """Of a message that was never stored nobody need hear: whoever wrote it was told of no success."""
        if self._plan.HasField("status"):
            self._mail(MessageActivities.tell_erased, "Tell the sender that it was erased")

    async def _await_the_answer(self) -> None:
        """Reminds customer service before the deadline and when it comes; in the end lets it lapse."""
        for number, reminder in enumerate(self._plan.reminders):
            moment = reminder.ToDatetime(UTC)
            if moment <= workflow.now():
                # The mail before it was long in going out: nobody wants two at once.
                continue
            if await self._closed_by(moment, "Message: reminder"):
                return
            step = self._step(f"reminder {number}")
            self._mails.mail(MessageActivities.remind_of_message, step, "Remind customer service")
            if not workflow.patched("hear-while-mail-is-on-its-way"):
                await workflow.wait_condition(self._mails.all_sent)
        lapse = self._plan.lapse_time.ToDatetime(UTC)
        self._show("Is late; waits for customer service", lapse)
        if not await self._closed_by(lapse, "Message: lapse"):
            closing = "Close without an answer"
            await insist(lambda: quick_step(MessageActivities.lapse_message, self._step(), closing), closing)
            await self._look()

    async def _closed_by(self, moment: datetime, summary: str) -> bool:
        """Waits for the answer until a moment; whether the message waits no more, as when it is erased."""
        while workflow.now() < moment:
            try:
                await workflow.wait_condition(
                    lambda: self._told_closed or self._is_long,
                    timeout=max(moment - workflow.now(), timedelta(0)),
                    timeout_summary=OperatorText(summary),
                )
            except TimeoutError:
                break
            await self._look()
            if not self._is_open:
                return True
            if self._is_long:
                # Who is not told yet is told by the new run; nobody is told twice.
                workflow.continue_as_new(MessageWorkflowInput(message_id=self._message_id, plan=self._plan))
        await self._look()
        return not self._is_open

    async def _look(self) -> None:
        """Looks how the message stands: an answer may have come without anybody telling."""
        self._told_closed = False
        looking = "Look at the message"
        looked = await insist(
            lambda: quick_step(MessageActivities.look_at_message, self._step(), looking), looking
        )
        self._is_gone = not looked.HasField("status")
        if self._is_gone:
            # What was known of it stays: its sender is told.
            return
        if self._plan.reminders:
            # The moments are given once, and kept whatever the settings are later.
            self._plan.status.CopyFrom(looked.status)
        else:
            self._plan.CopyFrom(looked)

    def _mail(
        self, step: Callable[[MessageActivities, MessageStep], Awaitable[MailStepResult]], summary: str
    ) -> None:
        self._mails.mail(step, self._step(), summary)

    @workflow.signal(name=MessageWorkflowNames.CLOSED)
    def closed(self, closed: MessageClosed) -> None:  # noqa: ARG002
        """The message may be stored or answered: the run looks. From Temporal UI or CLI `{}` is enough."""
        self._told_closed = True

    # What is known

    @property
    def _state(self) -> int:
        return self._plan.status.state

    @property
    def _is_long(self) -> bool:
        """Whether the run nears the limit of a history."""
        return workflow.info().is_continue_as_new_suggested()

    @property
    def _is_open(self) -> bool:
        return not self._is_gone and self._state == MESSAGE_STATE_OPEN

    @property
    def _deadline(self) -> datetime:
        return self._plan.status.deadline.ToDatetime(UTC)

    def _step(self, event: str = "") -> MessageStep:
        # The message is the event, whichever run tells of it: nobody is mailed twice.
        message = uuid.UUID(self._message_id)
        event_id = uuid.uuid5(message, event) if event else message
        return MessageStep(message_id=self._message_id, status=self._plan.status, event_id=str(event_id))

    def _show(self, note: str, deadline: datetime | None) -> None:
        """Shows operators, without personal data, what the run waits for and until when."""
        show(
            note,
            f"Message `{self._plan.status.reference}`. Customer service answers it in the work list.",
            deadline,
            signals=[MessageWorkflowNames.CLOSED] if self._is_open else (),
        )
