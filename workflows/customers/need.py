"""`NeedWorkflow`: asks the customer, when a temporary need is expected to end, if it goes on (R21)."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import workflow

from liity.workflows.v1.need_workflow_pb2 import (
    ExtendRequest,
    ExtendResponse,
    Need,
    NeedChanged,
    NeedQuestion,
    NeedStep,
    NeedWorkflowInput,
)
from liity.workflows.v1.registration_workflow_pb2 import RegistrationStep
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import NeedWorkflowNames
from workflows.customers.need_activities import NeedActivities
from workflows.support import steps
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import Operated, show
from workflows.support.steps import first_message, insist, mail_step, noted, quick_step

_ONE_RUN = timedelta(days=365)
"""A longer wait continues as new, so that no run outlives a release by years."""


@workflow.defn(name=NeedWorkflowNames.WORKFLOW)
class NeedWorkflow(Operated):
    """Coordinates the questions about one customer's temporary need.

    The signal `changed` makes the run read the need again; the update `extend` moves its expected end. The
    run ends when the customership does.
    """

    @workflow.init
    def __init__(self, input: NeedWorkflowInput) -> None:  # noqa: A002
        self._customer_id = input.customer_id
        self._need = Need()
        self._changed = self._begun = workflow.info().continued_run_id is not None
        self._mails = BackgroundMails()
        self._updates = 0
        self._waits_for: NeedQuestion | None = None
        # The question asked by the run before, until the need is read.
        self._asked = input.question if input.HasField("question") else None

    @workflow.run
    async def run(self, input: NeedWorkflowInput) -> None:  # noqa: A002, ARG002
        """Runs until there is no more to ask, or no answer has come."""
        if not await first_message(lambda: self._begun):
            return
        # An answer received after the last check is handled before the need is read.
        await workflow.wait_condition(workflow.all_handlers_finished)
        while self._changed:
            await self._look()
            while self._need.HasField("ask_time"):
                if await self._see_through():
                    break
            await workflow.wait_condition(
                lambda: workflow.all_handlers_finished() and (self._changed or self._mails.all_sent())
            )

    # Phases

    async def _see_through(self) -> bool:
        """Asks at the expected end, then again, then notifies the registrar. False if the need changes."""
        asked = self._asked_before()
        if asked is None and await self._changes_before_the_question():
            return False
        for again in (True,) if asked is not None and asked.again else (False, True):
            # Do not ask a customer whose customership has ended or who was merged.
            if await self._has_changed(self._need.ask_time):
                return False
            due = self._answer_due(asked, again=again)
            asking = asyncio.ensure_future(self._ask(due, again=again))
            if not workflow.patched("hear-while-mail-is-on-its-way") and not await asking:
                break
            # Do not let an answer wait for a mail server.
            changed = await self._changes_before(due, "Wait for the customer's answer", asking)
            if changed or not asking.done():
                asking.cancel()
            if changed:
                return False
            if asking.done() and not asking.result():
                break
        self._mails.mail(NeedActivities.tell_need_unanswered, self._step(), "Notify the registrar: no answer")
        if not workflow.patched("hear-while-mail-is-on-its-way"):
            await workflow.wait_condition(self._mails.all_sent)
        self._waits_for = None
        self._show("UNANSWERED", "No answer; the registrar was notified", None)
        return True

    def _asked_before(self) -> NeedQuestion | None:
        """The question asked by the run before, if it still applies."""
        asked, self._asked, self._waits_for = self._asked, None, None
        return asked if asked is not None and asked.ask_time == self._need.ask_time else None

    def _answer_due(self, asked: NeedQuestion | None, *, again: bool) -> datetime:
        """When the time for an answer ends."""
        planned = self._need.repeated_answer_due_time if again else self._need.answer_due_time
        due = planned.ToDatetime(UTC)
        # Unplanned, or asked late: the mail then names the hour.
        if due <= workflow.now():
            due = workflow.now() + self._need.patience.ToTimedelta()
        if asked is not None and asked.again == again:
            due = asked.due_time.ToDatetime(UTC)
        self._waits_for = NeedQuestion(ask_time=self._need.ask_time, again=again)
        self._waits_for.due_time.FromDatetime(due)
        return due

    async def _changes_before_the_question(self) -> bool:
        """Waits for the expected end; continues as new if that takes long."""
        question = self._need.ask_time.ToDatetime(UTC) + self._need.spread.ToTimedelta()
        anew = workflow.now() + _ONE_RUN
        self._show("WAITING_FOR_EXPECTED_END", "Waits for the expected end of a temporary need", question)
        if await self._changes_before(min(question, anew), "Wait for the expected end of the need"):
            return True
        if workflow.now() < question:
            await self._go_on_in_a_new_run()
        return False

    async def _go_on_in_a_new_run(self) -> None:
        """Continues as new. The next run reads the need and asks what is not asked yet, nothing twice."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(NeedWorkflowInput(customer_id=self._customer_id, question=self._waits_for))

    async def _changes_before(
        self, moment: datetime, summary: str, asking: asyncio.Task[bool] | None = None
    ) -> bool:
        """Whether the question changes before a moment comes, or before the customer proves unreachable."""
        question = self._need.ask_time
        while True:
            try:
                await workflow.wait_condition(
                    lambda: (
                        self._changed
                        or self._is_long
                        or (asking is not None and asking.done() and not asking.result())
                    ),
                    timeout=max(moment - workflow.now(), timedelta(0)),
                    timeout_summary=OperatorText(summary),
                )
            except TimeoutError:
                return False
            if self._is_long:
                await self._go_on_in_a_new_run()
            if not self._changed:
                return False
            if await self._has_changed(question):
                return True

    async def _has_changed(self, question: Timestamp) -> bool:
        await self._look()
        return self._need.ask_time != question

    async def _look(self) -> None:
        self._changed = False
        customer = NeedWorkflowInput(customer_id=self._customer_id)
        looking = "Read the temporary need"
        self._need = await insist(lambda: quick_step(NeedActivities.look_at_need, customer, looking), looking)
        if not self._need.HasField("ask_time"):
            self._show("ENDED", "No question about the need is due", None)

    async def _ask(self, due: datetime, *, again: bool) -> bool:
        """Asks the customer. False if there is no address to ask."""
        self._show("WAITING_FOR_ANSWER", "Waits for the customer's answer: is help still needed?", due)
        step = NeedStep(step=self._step(due), again=again)
        # The event ID comes from the question, so that no run asks it twice.
        question = f"{self._need.ask_time.seconds} {again}"
        step.step.event_id = str(uuid.uuid5(uuid.UUID(self._customer_id), question))
        asking = "Ask the customer whether help is still needed"
        asked = await noted(mail_step(NeedActivities.ask_whether_needed, step, asking), asking)
        return asked is None or asked.somebody

    # Messages

    @workflow.signal(
        name=NeedWorkflowNames.CHANGED,
        description="Sent by other runs, not by people: the run reads the need again.",
    )
    def changed(self, changed: NeedChanged) -> None:  # noqa: ARG002
        """Reads the need again: it may have changed, or the customership may have ended."""
        self._changed = self._begun = True

    @workflow.update(name=NeedWorkflowNames.EXTEND)
    async def extend(self, request: ExtendRequest) -> ExtendResponse:
        """Extends the need. Answers with the new expected end, or with the refusal."""
        self._updates += 1
        answer = await quick_step(NeedActivities.extend_need, request, "Extend the temporary need")
        self._begun = True
        self._changed = self._changed or not answer.HasField("refused")
        return answer

    # State

    @property
    def _is_long(self) -> bool:
        """Whether the run nears the limit of its history or updates."""
        return self._updates >= steps.UPDATES_PER_RUN or workflow.info().is_continue_as_new_suggested()

    def _step(self, deadline: datetime | None = None) -> RegistrationStep:
        step = RegistrationStep(
            registration_id=self._need.registration_id,
            person_id=self._need.person_id,
            event_id=str(workflow.uuid4()),
        )
        if deadline:
            step.deadline.FromDatetime(deadline)
        return step

    def _show(self, stage: str, note: str, deadline: datetime | None) -> None:
        """Shows operators, without personal data, what the run waits for and until when."""
        show(
            note,
            f"Customer `{self._customer_id}`.",
            deadline,
            stage=stage,
            unit_id=self._need.unit_id,
            registration_id=self._need.registration_id,
        )
