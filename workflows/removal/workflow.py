"""`RemovalWorkflow`: keeps the data of an ended customership for its time, then erases it."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from liity.v1.customer_service_pb2 import END_REASON_DECEASED
from liity.v1.reason_pb2 import REASON_CUSTOMER_NOT_FOUND
from liity.workflows.v1.credentials_workflow_pb2 import CredentialsStep
from liity.workflows.v1.need_workflow_pb2 import NeedWorkflowInput
from liity.workflows.v1.registration_workflow_pb2 import CustomershipEnded, RegistrationStep
from liity.workflows.v1.removal_workflow_pb2 import (
    EndRequest,
    EndResponse,
    ErasureResult,
    RemovalStep,
    RemovalWorkflowInput,
    Returned,
    UndoRequest,
    UndoResponse,
)
from services.runtime.rpc.errors import reason_name
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import RegistrationWorkflowNames, RemovalWorkflowNames
from workflows.customers.credentials_activities import CredentialsActivities
from workflows.customers.need_activities import NeedActivities
from workflows.registration.state import acts_for_the_unit
from workflows.removal.activities import RemovalActivities
from workflows.support import steps
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import Operated, show
from workflows.support.steps import first_message, noted, quick_step, signal_need, signal_registration

_ONE_RUN = timedelta(days=365)
"""A longer wait continues as new, so that no run outlives a release by years."""

_UNTIL_DECIDED = timedelta(days=1)
"""Time between attempts while a registration of the person is undecided."""


@workflow.defn(name=RemovalWorkflowNames.WORKFLOW)
class RemovalWorkflow(Operated):
    """Coordinates the end of one customership (R19, R20).

    Started by the update `end`, answered once the customer is marked for deletion. Until the erasure, the
    update or signal `undo` reverses the end; the signal `returned` says that a new registration did.
    """

    @workflow.init
    def __init__(self, input: RemovalWorkflowInput) -> None:  # noqa: A002
        self._customer_id = input.customer_id
        self._kept = input.kept
        self._marked = input.HasField("kept")
        # A run continued as new has handled its first message.
        self._begun = self._marked
        self._erased = False
        self._look_time = self._erase_time()
        # Serialises decisions: an undo and the erasure may come together.
        self._deciding = asyncio.Lock()
        self._mails = BackgroundMails()
        self._other_runs_told = True
        self._updates = 0

    @workflow.run
    async def run(self, input: RemovalWorkflowInput) -> None:  # noqa: A002, ARG002
        """Runs until the data is erased or the customership is resumed."""
        if not await first_message(lambda: self._begun):
            return
        while True:
            if self._marked:
                await self._keep()
            # Mails may take long; meanwhile the customership may end again.
            await workflow.wait_condition(lambda: self._marked or self._idle)
            if not self._marked:
                return

    # Phases

    async def _keep(self) -> None:
        """Keeps the data until it is due, unless the customership is resumed."""
        anew = workflow.now() + _ONE_RUN
        self._show_kept()
        while self._marked:
            due = self._look_time
            await self._wait_until(min(due, anew), due)
            if workflow.now() >= anew or self._is_long:
                await self._go_on_in_a_new_run()
            if workflow.now() >= self._look_time:
                await self._erase_if_due()

    async def _wait_until(self, moment: datetime, due: datetime) -> None:
        try:
            await workflow.wait_condition(
                lambda: not self._marked or self._look_time != due or self._is_long,
                timeout=max(moment - workflow.now(), timedelta(0)),
                # The last day in Finland: midnight there is the evening before in UTC.
                timeout_summary=OperatorText(f"Erasure, data is kept until {self._kept_until():%Y-%m-%d}"),
            )
        except TimeoutError:
            return

    async def _erase_if_due(self) -> None:
        async with self._deciding:
            if not self._marked:
                return
            step = RemovalStep(customer_id=self._customer_id, person_id=self._kept.person_id)
            step.moment.FromDatetime(workflow.now())
            erasing = "Erase the customer in every service"
            result = await noted(quick_step(RemovalActivities.erase_customer, step, erasing), erasing)
            if result is None:
                self._look_time = workflow.now() + _UNTIL_DECIDED
                self._show("Waits to retry the erasure: a service refused it", self._look_time)
            elif result.outcome == ErasureResult.OUTCOME_UNDECIDED:
                self._look_time = workflow.now() + _UNTIL_DECIDED
                self._show(
                    "Waits to retry the erasure: a registration of the person is undecided", self._look_time
                )
            elif result.outcome == ErasureResult.OUTCOME_NOT_DUE:
                self._kept.erase_time.CopyFrom(result.erase_time)
                self._look_time = self._erase_time()
                self._show_kept()
            else:
                self._marked = False
                self._erased = result.outcome == ErasureResult.OUTCOME_ERASED
                self._show(
                    "Erased in every service: 1 customer" if self._erased else "No data left to erase", None
                )

    async def _go_on_in_a_new_run(self) -> None:
        """Continues as new and drops unsent mails: a mail server must not delay the erasure."""
        await workflow.wait_condition(lambda: workflow.all_handlers_finished() or not self._marked)
        if self._marked:
            workflow.continue_as_new(RemovalWorkflowInput(customer_id=self._customer_id, kept=self._kept))

    # Messages

    @workflow.update(name=RemovalWorkflowNames.END)
    async def end(self, request: EndRequest) -> EndResponse:
        """Ends the customership. Answers with the day of erasure, or with the refusal."""
        self._updates += 1
        async with self._deciding:
            answer = await quick_step(
                RemovalActivities.end_customership, request, "Mark the customer for deletion"
            )
            self._begun = True
            if answer.HasField("kept"):
                self._marked, self._kept = True, answer.kept
                self._look_time = self._erase_time()
                self._tell_of_the_end(request)
        return answer

    @workflow.update(name=RemovalWorkflowNames.UNDO)
    async def undo(self, request: UndoRequest) -> UndoResponse:
        """Makes the person a customer again. Answers with the refusal, if any."""
        self._updates += 1
        return await self._undo(request.request_id)

    @undo.validator
    def _not_erased(self, request: UndoRequest) -> None:  # noqa: ARG002
        if self._erased:
            name = reason_name(REASON_CUSTOMER_NOT_FOUND)
            raise ApplicationError(name, type=name, non_retryable=True)

    @workflow.signal(name=RemovalWorkflowNames.UNDO)
    async def undo_by_signal(self, request: UndoRequest) -> None:
        """`undo` from Temporal UI or CLI; `{}` is enough."""
        if self._marked:
            await self._undo(request.request_id or str(workflow.uuid4()))

    @workflow.signal(
        name=RemovalWorkflowNames.RETURNED,
        description="Sent by other runs, not by people: the run checks whether the customer was reactivated.",
    )
    async def returned(self, returned: Returned) -> None:  # noqa: ARG002
        """Ends the removal if a new registration has made the person a customer again."""
        if workflow.patched("look-whether-it-is-so"):
            async with self._deciding:
                step = RemovalStep(customer_id=self._customer_id)
                looked = await quick_step(
                    RemovalActivities.look_whether_returned,
                    step,
                    "Check whether the customer was reactivated",
                )
            if not looked.returned:
                return
        self._marked = False
        self._show("The customership was resumed", None)

    async def _undo(self, request_id: str) -> UndoResponse:
        async with self._deciding:
            step = RemovalStep(customer_id=self._customer_id, event_id=request_id)
            answer = await quick_step(RemovalActivities.undo_removal, step, "Undo the removal")
            self._begun = True
            if answer.HasField("returned"):
                self._marked, self._kept = False, answer.returned
                self._show("The customership was resumed", None)
                self._tell_of_the_return(request_id, answer)
        return answer

    # Notifications

    def _tell_of_the_end(self, request: EndRequest) -> None:
        step = self._step(request.end.request_id)
        step.deadline.CopyFrom(self._kept.erase_time)
        self._other_runs_told = False
        self._mails.start(self._tell_other_runs(), "Signal the registration and the temporary need")
        if request.end.withdrawn_registration_id:
            step.guardian = request.end.withdrawn_guardian
            self._mails.mail(
                RemovalActivities.tell_consent_withdrawn, step, "Notify of the withdrawn consent"
            )
            return
        if request.end.reason != END_REASON_DECEASED:
            self._mails.mail(
                RemovalActivities.tell_customership_ended, step, "Notify the customer of the end"
            )
        if request.link_id or acts_for_the_unit():
            self._mails.mail(
                RemovalActivities.tell_registrar_of_the_end, step, "Notify the registrar of the end"
            )

    def _tell_of_the_return(self, request_id: str, answer: UndoResponse) -> None:
        step = self._step(request_id)
        self._mails.mail(RemovalActivities.tell_removal_undone, step, "Notify the registrar of the return")
        self._mails.mail(
            RemovalActivities.tell_customership_goes_on, step, "Notify the customer of the return"
        )
        if answer.online:
            anew = CredentialsStep(step=step)
            self._mails.mail(CredentialsActivities.send_credentials_anew, anew, "Send the credentials")
        watch = NeedWorkflowInput(customer_id=self._customer_id)
        watching = "Start watching the temporary need"
        self._mails.start(quick_step(NeedActivities.watch_need, watch, watching), watching)
        if answer.resumed_registration_id:
            self._mails.start(self._resume(answer.resumed_registration_id), "Resume the welcome mail")

    async def _resume(self, registration_id: str) -> None:
        """Resumes the welcome mail, once the registration's run has received the signal of the end."""
        await workflow.wait_condition(lambda: self._other_runs_told)
        step = RegistrationStep(registration_id=registration_id, person_id=self._kept.person_id)
        await quick_step(RemovalActivities.resume_welcome, step, "Resume the welcome mail")

    async def _tell_other_runs(self) -> None:
        await signal_registration(
            self._kept.person_id, RegistrationWorkflowNames.CUSTOMERSHIP_ENDED, CustomershipEnded()
        )
        await signal_need(self._customer_id)
        self._other_runs_told = True

    # State

    def _kept_until(self) -> datetime:
        return self._kept.erase_time.ToDatetime(UTC)

    def _erase_time(self) -> datetime:
        return self._kept_until() + self._kept.spread.ToTimedelta()

    @property
    def _is_long(self) -> bool:
        """Whether the run nears the limit of its history or updates."""
        return self._updates >= steps.UPDATES_PER_RUN or workflow.info().is_continue_as_new_suggested()

    @property
    def _idle(self) -> bool:
        return self._mails.all_sent() and workflow.all_handlers_finished()

    def _step(self, event_id: str) -> RegistrationStep:
        return RegistrationStep(
            registration_id=self._kept.registration_id, person_id=self._kept.person_id, event_id=event_id
        )

    def _show_kept(self) -> None:
        self._show("Customership ended; data kept", self._kept_until())

    def _show(self, note: str, deadline: datetime | None) -> None:
        """Shows operators, without personal data, what the run waits for and until when."""
        show(
            note,
            f"Customer `{self._customer_id}`.",
            deadline,
            stage="MARKED_FOR_DELETION" if self._marked else "ERASED" if self._erased else "RETURNED",
            unit_id=self._kept.unit_id,
            registration_id=self._kept.registration_id,
            signals=[RemovalWorkflowNames.UNDO] if self._marked else (),
        )
