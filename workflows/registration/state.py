"""`RegistrationRun`: the state of one run of a registration, and helpers of its phases."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from liity.registration.v1.registration_service_pb2 import PreviousCustomership, Registration
from liity.v1.actor_pb2 import ACTOR_KIND_OPERATOR
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.reason_pb2 import Reason
from liity.v1.registration_pb2 import (
    GUARDIAN_ANSWER_UNSPECIFIED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    GuardianAnswer,
    Stage,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    CreatedRegistration,
    EndStep,
    RegistrationState,
    RegistrationStep,
    RegistrationWorkflowInput,
    StageResponse,
)
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import reason_name
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import RegistrationWorkflowNames
from services.runtime.temporal.search_attributes import stage_name
from workflows.registration.activities import RegistrationActivities
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import show
from workflows.support.steps import AGAIN, mail_while, noted, quick_step

_LAST_MAILS = timedelta(minutes=10)
"""How long a run waits for its mails before it continues as new."""

EDITS_PER_RUN = 1000
"""Edits and orders of a link after which a run continues as new. Temporal accepts 2,000 updates per run."""


class RegistrationRun:
    """State of one run, shared by its phases and handlers, with their helpers."""

    def __init__(self, given: RegistrationWorkflowInput) -> None:
        """Takes over the state of the run before, if there is one."""
        before = given.state
        self.person_id = given.person_id
        self.created = CreatedRegistration()
        self.created.CopyFrom(before.created)
        self.registration = Registration()
        self.registration.CopyFrom(before.registration)
        self.unit_id = before.unit_id
        self.save_request_id = before.save_request_id
        """The request ID of the Save that made the registration; a Save with another ID is refused."""
        self.decided_for_unit = before.decided_for_unit
        """Whether customer service or an operator decided for the unit, which is then notified."""
        self.asked = before.asked
        """Whether the guardian or customer service was mailed at the beginning of the current wait."""
        self.consent_method = before.consent_method
        self.guardian_corrections = {
            FIRST_GUARDIAN: before.guardian_corrections,
            OTHER_GUARDIAN: before.other_guardian_corrections,
        }
        """How often each guardian's address was corrected: each correction sends another request."""
        self.consent_asked_at = _moment(before, "wait_begin_time")
        """When the current wait for consent began."""
        self.guardian_mailed_at = _moment(before, "guardian_mail_time")
        """When a mail to the guardian was last begun in the current wait for consent."""
        self.reminded_at = _moment(before, "reminder_time")
        """When the unit last had the guardian reminded."""
        self.reminder_request_id = before.reminder_request_id
        """The request ID of that call: repeated, it sends nothing."""
        self.returning = before.returning
        """Whether the person was marked for deletion when saved (R19)."""
        self.previous = PreviousCustomership()
        self.previous.CopyFrom(before.previous)
        self.begun = _moment(before, "begin_time")
        """When the customership began, once the credentials are sent."""
        self.welcome_time = _moment(before, "welcome_time")
        self.waited_for_welcome_before = self.welcome_time is not None
        """Whether the run before waited for the welcome mail, and may have sent the reminder."""
        self.address_changed = False
        """Whether the address on file may have changed since the last check."""
        self.ended_by = ""
        """What ended the run from outside, as a note for operators."""
        self.edits = 0
        self.mails = BackgroundMails()
        # Serialises decisions: an answer and the timeout may arrive together.
        self.decision_lock = asyncio.Lock()

    @property
    def is_long(self) -> bool:
        """Whether the run nears the limit of its history or updates, and should continue as new."""
        return self.edits >= EDITS_PER_RUN or workflow.info().is_continue_as_new_suggested()

    @property
    def declined(self) -> bool:
        """Whether the guardian has declined, and may still take it back (R38)."""
        return self.registration.HasField("decline_time")

    @property
    def guardians(self) -> tuple[int, ...]:
        """The guardians who are asked for consent: one or two (R39)."""
        return (
            (FIRST_GUARDIAN, OTHER_GUARDIAN) if self.registration.other_guardian_asked else (FIRST_GUARDIAN,)
        )

    def answer_of(self, guardian: int) -> GuardianAnswer.ValueType:
        """What one of two guardians has answered."""
        given = (state.answer for state in self.registration.guardians if state.guardian == guardian)
        return next(given, GUARDIAN_ANSWER_UNSPECIFIED)

    async def wait_while(self, awaited: Stage.ValueType, until: datetime, summary: str) -> None:
        """Waits until a stage ends or a moment comes. Continues as new if the run is long."""
        remaining = max(until - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(
                lambda: self.registration.stage != awaited or self.is_long,
                timeout=remaining,
                timeout_summary=OperatorText(summary),
            )
        except TimeoutError:
            # Let a decision that is being made finish first.
            async with self.decision_lock:
                return
        if self.registration.stage == awaited:
            await self.continue_as_new()

    async def continue_as_new(self) -> None:
        """Continues as new with this run's state, unless a decision comes first.

        Drops mails that are not sent within minutes; the next run sends the current wait's request again.
        """
        stage = self.registration.stage
        if not self.mails.all_sent():
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    self.mails.all_sent,
                    timeout=_LAST_MAILS,
                    timeout_summary=OperatorText("Wait for the run's last mails"),
                )
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self.ended_by:
            # `RegistrationWorkflow` is about to cancel this phase.
            await asyncio.Event().wait()
        if self.registration.stage == stage:
            state = self._state()
            workflow.continue_as_new(RegistrationWorkflowInput(person_id=self.person_id, state=state))

    def _state(self) -> RegistrationState:
        """The state passed to the next run."""
        state = RegistrationState(
            created=self.created,
            registration=self.registration,
            unit_id=self.unit_id,
            save_request_id=self.save_request_id,
            decided_for_unit=self.decided_for_unit,
            asked=self.asked,
            consent_method=self.consent_method,
            guardian_corrections=self.guardian_corrections[FIRST_GUARDIAN],
            other_guardian_corrections=self.guardian_corrections[OTHER_GUARDIAN],
            returning=self.returning,
            previous=self.previous,
            reminder_request_id=self.reminder_request_id,
        )
        if self.consent_asked_at is not None:
            state.wait_begin_time.FromDatetime(self.consent_asked_at)
        if self.guardian_mailed_at is not None:
            state.guardian_mail_time.FromDatetime(self.guardian_mailed_at)
        if self.reminded_at is not None:
            state.reminder_time.FromDatetime(self.reminded_at)
        if self.begun is not None and self.welcome_time is not None:
            state.begin_time.FromDatetime(self.begun)
            state.welcome_time.FromDatetime(self.welcome_time)
        return state

    async def decide_at_last(
        self, awaited: Stage.ValueType, decide: Callable[[], Awaitable[None]], summary: str
    ) -> None:
        """Makes a decision that is due; repeats it every hour while a service refuses it."""
        await noted(decide(), summary)
        while self.registration.stage == awaited:
            await self.wait_while(awaited, workflow.now() + AGAIN, f"{summary}: retry")
            await noted(decide(), summary)

    async def mail_while(
        self,
        awaited: Stage.ValueType,
        activity: Callable[..., Any],
        step: Message,
        summary: str,
        until: datetime,
    ) -> None:
        """Sends a mail while a stage lasts. An answer or the lapse does not wait for it."""
        await mail_while(
            lambda: self.registration.stage == awaited and not self.is_long and not self.declined,
            activity,
            step,
            summary,
            until,
        )
        # The next run sends the mail if this one is long.
        self.asked = not self.is_long

    async def end(
        self,
        awaited: Collection[Stage.ValueType],
        stage: Stage.ValueType,
        step: RegistrationStep,
        *,
        link_id: str = "",
        note: str = "",
        decline_time: Timestamp | None = None,
    ) -> None:
        """Ends and erases the registration, if it is in one of the awaited stages once the lock is held.

        With `decline_time`, only if that decline has not been taken back.
        """
        async with self.decision_lock:
            if self.registration.stage not in awaited:
                return
            if decline_time is not None and self.registration.decline_time != decline_time:
                return
            end = EndStep(
                step=step, stage=stage, link_id=link_id, rejection_note=note, decline_time=decline_time
            )
            ended = await quick_step(
                RegistrationActivities.end_registration, end, "End the registration and erase its data"
            )
            self.registration.CopyFrom(ended)
            if decline_time is not None and ended.stage in awaited:
                # Temporal has lost that the guardian took the decline back.
                return
            self.decided_for_unit = acts_for_the_unit()
            self.show("Ended", None)

    def mail_withdrawal(self) -> None:
        """Notifies the registrar of a withdrawal, unless the unit itself withdrew the registration."""
        if self.decided_for_unit and workflow.patched("tell-what-was-decided-for-the-unit"):
            self.mails.mail(
                RegistrationActivities.tell_withdrawn, self.step(), "Notify the registrar of the withdrawal"
            )

    def event_id(self, name: str) -> str:
        """The ID of an event that happens once per registration, the same in every run.

        So no run repeats a mail of an earlier run.
        """
        return str(uuid.uuid5(uuid.UUID(self.registration.registration_id), name))

    def stage_begun(self) -> datetime:
        """When the stage began: as the row says if the run was started from a row, otherwise now."""
        if not self.created.HasField("begin_time"):
            return workflow.now()
        begun = self.created.begin_time.ToDatetime(UTC)
        # The row's time applies only to the run's first stage.
        self.created.ClearField("begin_time")
        return begun

    def step(self, deadline: datetime | None = None, event_id: str = "") -> RegistrationStep:
        """The input of an activity."""
        step = RegistrationStep(
            registration_id=self.registration.registration_id,
            person_id=self.person_id,
            event_id=event_id or str(workflow.uuid4()),
            first_names=self.registration.first_names,
        )
        if deadline:
            step.deadline.FromDatetime(deadline)
        return step

    def answer(self, otherwise: Reason.ValueType, *, decided: bool) -> StageResponse:
        """The registration, if the update decided it; otherwise refuses the update with the reason."""
        if not decided:
            raise refusal(otherwise)
        return StageResponse(registration=self.registration)

    def show(self, note: str, deadline: datetime | None) -> None:
        """Shows operators, without personal data, what the run waits for and until when."""
        registration = self.registration
        show(
            note,
            f"Registration `{registration.registration_id}`.",
            deadline,
            stage=stage_name(registration.stage),
            registration_id=registration.registration_id,
            signals=_SIGNALS.get(registration.stage, ()),
        )


FOR_CUSTOMER_SERVICE: Mapping[Stage.ValueType, str] = {
    STAGE_WAITING_FOR_REACTIVATION: "Waits for customer service to activate the customer",
    STAGE_WAITING_FOR_IDENTITY_CHECK: "Waits for customer service to check the identity",
}
"""Notes for operators while customer service's decision is awaited."""

_SIGNALS: Mapping[Stage.ValueType, Sequence[str]] = {
    STAGE_WAITING_FOR_CONSENT: (
        RegistrationWorkflowNames.RECORD_CONSENT,
        RegistrationWorkflowNames.DECLINE_CONSENT,
        RegistrationWorkflowNames.WITHDRAW,
    ),
    STAGE_WAITING_FOR_REACTIVATION: (
        RegistrationWorkflowNames.REACTIVATE,
        RegistrationWorkflowNames.REJECT,
        RegistrationWorkflowNames.WITHDRAW,
    ),
    STAGE_WAITING_FOR_IDENTITY_CHECK: (
        RegistrationWorkflowNames.VERIFY_IDENTITY,
        RegistrationWorkflowNames.REJECT,
        RegistrationWorkflowNames.WITHDRAW,
    ),
}


def acts_for_the_unit() -> bool:
    """Whether customer service or an operator sent the current message."""
    actor = current_actor()
    return actor.kind == ACTOR_KIND_OPERATOR or actor.role == ROLE_CUSTOMER_SERVICE


def refusal(reason: Reason.ValueType) -> ApplicationError:
    """The failure that refuses an update with a reason, which the gateway passes on."""
    name = reason_name(reason)
    return ApplicationError(name, type=name, non_retryable=True)


def _moment(state: RegistrationState, field: str) -> datetime | None:
    """A time from the state of the run before, if it is set."""
    if not state.HasField(field):  # type: ignore[arg-type]
        return None
    moment: Timestamp = getattr(state, field)
    return moment.ToDatetime(UTC)
