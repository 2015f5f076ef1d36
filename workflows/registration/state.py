"""One run of a registration: its state, its waits, and how it ends."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.actor_pb2 import ACTOR_KIND_OPERATOR
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.reason_pb2 import Reason
from liity.v1.registration_pb2 import (
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
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
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import reason_name
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import RegistrationWorkflowNames
from services.runtime.temporal.search_attributes import DEADLINE, REGISTRATION, STAGE, stage_name
from workflows.registration.activities import RegistrationActivities
from workflows.support.operators import Operated
from workflows.support.steps import AGAIN, mail_while, noted, quick_step
from workflows.support.telling import Tellings

_LAST_TELLINGS = timedelta(minutes=10)
"""How long a run that has grown long waits for mails that are on their way."""

EDITS_PER_RUN = 1000
"""A run takes 2,000 updates at most: after so many edits the registration goes on in a new run."""


class RegistrationRun(Operated):
    """What is known of a registration, and what all that it waits for share."""

    def __init__(self, person_id: str) -> None:
        self._person_id = person_id
        self._created = CreatedRegistration()
        self._registration = Registration()
        self._unit_id = ""
        self._for_the_unit = False
        """Whether customer service or an operator has decided for the unit, which does not know it yet."""
        self._over = ""
        """Why the story is over, if something has ended it from outside."""
        self._tellings = Tellings()
        self._edits = 0
        self._asked = False
        """Whether whoever is waited for was mailed, in this run or an earlier one."""
        # Whoever holds it decides: an answer and the deadline may come at the same moment.
        self._deciding = asyncio.Lock()

    async def _wait_while(self, awaited: Stage.ValueType, until: datetime, summary: str) -> None:
        """Waits while a stage lasts, until a moment at most."""
        remaining = max(until - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(
                lambda: self._registration.stage != awaited or self._is_long,
                timeout=remaining,
                timeout_summary=OperatorText(summary),
            )
        except TimeoutError:
            # Someone may be deciding at this very moment: theirs counts.
            async with self._deciding:
                return
        if self._registration.stage == awaited:
            await self._go_on_in_a_new_run()

    async def _mail_while(
        self,
        awaited: Stage.ValueType,
        activity: Callable[..., Any],
        step: Message,
        summary: str,
        until: datetime,
    ) -> None:
        """Mails who is waited for; an answer, or the lapse, does not wait for a mail server that is away."""
        await mail_while(
            lambda: self._registration.stage == awaited and not self._is_long, activity, step, summary, until
        )
        # A run that has grown long leaves it to the next.
        self._asked = not self._is_long

    async def _see_to(
        self, awaited: Stage.ValueType, decide: Callable[[], Awaitable[None]], summary: str
    ) -> None:
        """Has a decision made whose time has come; again every hour if a service refuses it."""
        await noted(decide(), summary)
        while self._registration.stage == awaited:
            await self._wait_while(awaited, workflow.now() + AGAIN, f"{summary}: again")
            await noted(decide(), summary)

    @property
    def _is_long(self) -> bool:
        """Whether the run nears the limits of a history or of updates."""
        return self._edits >= EDITS_PER_RUN or workflow.info().is_continue_as_new_suggested()

    async def _go_on_in_a_new_run(self) -> None:
        """Goes on in a new run, which knows what this one does, unless a decision comes first.

        Whoever could not be told by now is told no more; those who are waited for are asked anew.
        """
        stage = self._registration.stage
        if not self._tellings.all_told():
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    self._tellings.all_told,
                    timeout=_LAST_TELLINGS,
                    timeout_summary=OperatorText("Last mails of the run"),
                )
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._over:
            # What has ended the story cancels it in a moment.
            await asyncio.Event().wait()
        if self._registration.stage == stage:
            workflow.continue_as_new(
                RegistrationWorkflowInput(person_id=self._person_id, state=self._state())
            )

    def _state(self) -> RegistrationState:
        """What a new run must know to go on."""
        return RegistrationState(
            created=self._created,
            registration=self._registration,
            unit_id=self._unit_id,
            decided_for_unit=self._for_the_unit,
            asked=self._asked,
        )

    def _take_up(self, state: RegistrationState) -> None:
        """Goes on with what the run before knew."""
        self._created.CopyFrom(state.created)
        self._registration.CopyFrom(state.registration)
        self._unit_id = state.unit_id
        self._for_the_unit = state.decided_for_unit
        self._asked = state.asked

    async def _end(
        self,
        awaited: Collection[Stage.ValueType],
        stage: Stage.ValueType,
        step: RegistrationStep,
        *,
        link_id: str = "",
        note: str = "",
    ) -> None:
        """Ends and erases, if one of these stages lasts when it is this one's turn."""
        async with self._deciding:
            if self._registration.stage not in awaited:
                return
            end = EndStep(step=step, stage=stage, link_id=link_id, rejection_note=note)
            ended = await quick_step(RegistrationActivities.end_registration, end, "End and erase")
            self._registration.CopyFrom(ended)
            self._for_the_unit = acts_for_the_unit()
            self._show("Ended", None)

    def _tell_of_the_withdrawal(self) -> None:
        """Tells the registrar, unless it was a person of the unit who withdrew."""
        if self._for_the_unit and workflow.patched("tell-what-was-decided-for-the-unit"):
            self._tellings.mail(RegistrationActivities.tell_withdrawn, self._step(), "Tell the registrar")

    def _event(self, name: str) -> str:
        """The ID of an event that a registration has once: the same in whichever run it comes.

        So a run that goes on from the row mails nobody what was mailed before.
        """
        return str(uuid.uuid5(uuid.UUID(self._registration.registration_id), name))

    def _stage_begun(self) -> datetime:
        """When the stage at hand began: now, unless the run goes on from a row that tells it."""
        if not self._created.HasField("begin_time"):
            return workflow.now()
        begun = self._created.begin_time.ToDatetime(UTC)
        # It tells of the first stage of the run alone.
        self._created.ClearField("begin_time")
        return begun

    def _step(self, deadline: datetime | None = None, event_id: str = "") -> RegistrationStep:
        step = RegistrationStep(
            registration_id=self._registration.registration_id,
            person_id=self._person_id,
            event_id=event_id or str(workflow.uuid4()),
        )
        if deadline:
            step.deadline.FromDatetime(deadline)
        return step

    def _answer(self, otherwise: Reason.ValueType, *, decided: bool) -> StageResponse:
        if not decided:
            raise refusal(otherwise)
        return StageResponse(registration=self._registration)

    def _show(self, note: str, deadline: datetime | None) -> None:
        """Shows operators, without personal data, what the run waits for and until when."""
        registration = self._registration
        workflow.upsert_search_attributes(
            [
                STAGE.value_set(stage_name(registration.stage)),
                REGISTRATION.value_set(registration.registration_id),
                DEADLINE.value_set(deadline) if deadline else DEADLINE.value_unset(),
            ]
        )
        until = f" until {deadline:%Y-%m-%d %H:%M} UTC" if deadline else ""
        names = ", ".join(f"`{name}`" for name in _SIGNALS.get(registration.stage, ()))
        signals = f"\n\nSignals: {names}, each with the body `{{}}`." if names else ""
        workflow.set_current_details(
            f"**{note}**{until}.\n\nRegistration `{registration.registration_id}`.{signals}"
        )


FOR_CUSTOMER_SERVICE: Mapping[Stage.ValueType, str] = {
    STAGE_WAITING_FOR_REACTIVATION: "Waits for customer service to activate the customer",
    STAGE_WAITING_FOR_IDENTITY_CHECK: "Waits for customer service to check who it is",
}
"""What waits for customer service, in words for operators."""

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
    """Whether the message at hand comes from customer service or an operator."""
    actor = current_actor()
    return actor.kind == ACTOR_KIND_OPERATOR or actor.role == ROLE_CUSTOMER_SERVICE


def refusal(reason: Reason.ValueType) -> ApplicationError:
    """What an update is refused with: the gateway tells the reason."""
    name = reason_name(reason)
    return ApplicationError(name, type=name, non_retryable=True)
