"""`NeedWorkflow`: a need is temporary; when its expected end comes, the customer is asked (R21)."""

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
"""A longer wait goes on in a run of its own: so no run outlives a release by years."""


@workflow.defn(name=NeedWorkflowNames.WORKFLOW)
class NeedWorkflow(Operated):
    """Coordinates what is asked about one customer's temporary need.

    The signal `changed` has it look anew; the update `extend` is the answer that the need goes on. Whoever
    ends the customership ends the watch.
    """

    @workflow.init
    def __init__(self, input: NeedWorkflowInput) -> None:  # noqa: A002
        self._customer_id = input.customer_id
        self._need = Need()
        self._changed = self._begun = workflow.info().continued_run_id is not None
        self._mails = BackgroundMails()
        self._updates = 0
        self._waits_for: NeedQuestion | None = None
        # What an earlier run has asked, until it is looked at.
        self._asked = input.question if input.HasField("question") else None

    @workflow.run
    async def run(self, input: NeedWorkflowInput) -> None:  # noqa: A002, ARG002
        """Watches until there is nothing more to ask about, or nobody answers."""
        if not await first_message(lambda: self._begun):
            return
        # An answer that came when all was over: it counts before anything is looked at.
        await workflow.wait_condition(workflow.all_handlers_finished)
        while self._changed:
            await self._look()
            while self._need.HasField("ask_time"):
                if await self._see_through():
                    break
            await workflow.wait_condition(
                lambda: workflow.all_handlers_finished() and (self._changed or self._mails.all_sent())
            )

    # The story

    async def _see_through(self) -> bool:
        """Asks when it is time, once more, and then tells the registrar. False if the need changes before."""
        asked = self._asked_before()
        if asked is None and await self._changes_before_the_question():
            return False
        for again in (True,) if asked is not None and asked.again else (False, True):
            # Whoever has ended it, or become another customer, is not asked.
            if await self._has_changed(self._need.ask_time):
                return False
            due = self._answer_due(asked, again=again)
            asking = asyncio.ensure_future(self._ask(due, again=again))
            if not workflow.patched("hear-while-mail-is-on-its-way") and not await asking:
                break
            # An answer does not wait for a mail server.
            changed = await self._changes_before(due, "Answer of the customer", asking)
            if changed or not asking.done():
                asking.cancel()
            if changed:
                return False
            if asking.done() and not asking.result():
                break
        self._mails.mail(NeedActivities.tell_need_unanswered, self._step(), "Tell the registrar")
        if not workflow.patched("hear-while-mail-is-on-its-way"):
            await workflow.wait_condition(self._mails.all_sent)
        self._waits_for = None
        self._show("UNANSWERED", "No answer came, and the registrar was told", None)
        return True

    def _asked_before(self) -> NeedQuestion | None:
        """What an earlier run has asked, if it is still the question."""
        asked, self._asked, self._waits_for = self._asked, None, None
        return asked if asked is not None and asked.ask_time == self._need.ask_time else None

    def _answer_due(self, asked: NeedQuestion | None, *, again: bool) -> datetime:
        """Until when an answer is waited for."""
        due = workflow.now() + self._need.patience.ToTimedelta()
        if asked is not None and asked.again == again:
            due = asked.due_time.ToDatetime(UTC)
        self._waits_for = NeedQuestion(ask_time=self._need.ask_time, again=again)
        self._waits_for.due_time.FromDatetime(due)
        return due

    async def _changes_before_the_question(self) -> bool:
        """Waits for the expected end; in a run of its own if that is long."""
        question, anew = self._need.ask_time.ToDatetime(UTC), workflow.now() + _ONE_RUN
        self._show("WAITING_FOR_EXPECTED_END", "Waits for the expected end of a temporary need", question)
        if await self._changes_before(min(question, anew), "Expected end of the need"):
            return True
        if workflow.now() < question:
            await self._go_on_in_a_new_run()
        return False

    async def _go_on_in_a_new_run(self) -> None:
        """Goes on in a new run, which looks anew. Who is not asked yet is asked by it, nobody twice."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(NeedWorkflowInput(customer_id=self._customer_id, question=self._waits_for))

    async def _changes_before(
        self, moment: datetime, summary: str, asking: asyncio.Task[bool] | None = None
    ) -> bool:
        """Whether something else is to be asked, or nothing, before a moment comes or nobody can be asked."""
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
        looking = "Look at the need"
        self._need = await insist(lambda: quick_step(NeedActivities.look_at_need, customer, looking), looking)
        if not self._need.HasField("ask_time"):
            self._show("ENDED", "There is nothing to ask", None)

    async def _ask(self, due: datetime, *, again: bool) -> bool:
        """Whether there is somebody to ask, who then is."""
        self._show("WAITING_FOR_ANSWER", "Waits for the customer's answer: is the help still needed?", due)
        step = NeedStep(step=self._step(due), again=again)
        # The question is the event, whichever run asks it: nobody is asked twice.
        question = f"{self._need.ask_time.seconds} {again}"
        step.step.event_id = str(uuid.uuid5(uuid.UUID(self._customer_id), question))
        asking = "Ask the customer"
        asked = await noted(mail_step(NeedActivities.ask_whether_needed, step, asking), asking)
        return asked is None or asked.somebody

    # Messages

    @workflow.signal(
        name=NeedWorkflowNames.CHANGED,
        description="Sent by other runs, not by people: the run looks at the need anew.",
    )
    def changed(self, changed: NeedChanged) -> None:  # noqa: ARG002
        """The need may have changed, or the customership ended."""
        self._changed = self._begun = True

    @workflow.update(name=NeedWorkflowNames.EXTEND)
    async def extend(self, request: ExtendRequest) -> ExtendResponse:
        """The need goes on. Answers with until when, or with why it does not."""
        self._updates += 1
        answer = await quick_step(NeedActivities.extend_need, request, "Move the expected end")
        self._begun = True
        self._changed = self._changed or not answer.HasField("refused")
        return answer

    # What is known

    @property
    def _is_long(self) -> bool:
        """Whether the run nears the limits of a history or of updates."""
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
