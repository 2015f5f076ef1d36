"""One run of a registration: its state, its waits, and how it ends."""

import asyncio
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
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
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_LINKED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
    Stage,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    CreatedRegistration,
    EndStep,
    RegistrationStep,
    StageResponse,
)
from services.runtime.errors import reason_name
from services.runtime.requests import current_actor
from services.runtime.search_attributes import DEADLINE, REGISTRATION, STAGE, stage_name
from services.runtime.temporal import OperatorText, RegistrationWorkflowNames
from workflows.registration_activities import RegistrationActivities
from workflows.steps import HEARTBEAT, MAIL, RETRY, mail_step, quick_step


class RegistrationRun:
    """What is known of a registration, and what all that it waits for share."""

    def __init__(self, person_id: str) -> None:
        self._person_id = person_id
        self._created = CreatedRegistration()
        self._registration = Registration()
        self._unit_id = ""
        self._for_the_unit = False
        """Whether customer service or an operator has decided for the unit, which does not know it yet."""
        # Whoever holds it decides: an answer and the deadline may come at the same moment.
        self._deciding = asyncio.Lock()

    async def _wait_while(self, awaited: Stage.ValueType, until: datetime, summary: str) -> None:
        """Waits while a stage lasts, until a moment at most."""
        remaining = max(until - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(
                lambda: self._registration.stage != awaited,
                timeout=remaining,
                timeout_summary=OperatorText(summary),
            )
        except TimeoutError:
            # Someone may be deciding at this very moment: theirs counts.
            async with self._deciding:
                return

    async def _mail_while(
        self,
        awaited: Stage.ValueType,
        activity: Callable[..., Any],
        step: Message,
        summary: str,
        until: datetime,
    ) -> None:
        """Mails who is waited for; an answer, or the lapse, does not wait for a mail server that is away."""
        if self._registration.stage != awaited:
            return
        mail = workflow.start_activity_method(
            activity,
            step,
            start_to_close_timeout=MAIL,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
            summary=OperatorText(summary),
        )
        try:
            await workflow.wait_condition(
                lambda: mail.done() or self._registration.stage != awaited,
                timeout=until - workflow.now(),
                timeout_summary=OperatorText(f"{summary}: mail"),
            )
        except TimeoutError:
            workflow.logger.warning("who is waited for could not be mailed in time")
        if not mail.done():
            mail.cancel()
            # How it ends is of no interest; asyncio would log an error nobody has looked at.
            mail.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

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
            self._show("Ended", None)

    async def _tell_of_the_withdrawal(self) -> None:
        """Tells the registrar, unless it was a person of the unit who withdrew."""
        if self._for_the_unit and workflow.patched("tell-what-was-decided-for-the-unit"):
            await mail_step(RegistrationActivities.tell_withdrawn, self._step(), "Tell the registrar")

    def _event(self, name: str) -> str:
        """The ID of an event that a registration has once: the same in whichever run it comes.

        So a run that goes on from the row mails nobody what was mailed before.
        """
        return str(uuid.uuid5(uuid.UUID(self._registration.registration_id), name))

    def _begun(self) -> datetime:
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

WAITING = frozenset({STAGE_WAITING_FOR_CONSENT, *FOR_CUSTOMER_SERVICE})
"""The unit may withdraw."""

ENDED = frozenset({STAGE_DECLINED, STAGE_LAPSED, STAGE_WITHDRAWN, STAGE_REJECTED, STAGE_LINKED})
"""No customership has begun, nor will."""

CUSTOMER = frozenset({STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED})
"""The customership has begun."""


def acts_for_the_unit() -> bool:
    """Whether the message at hand comes from customer service or an operator."""
    actor = current_actor()
    return actor.kind == ACTOR_KIND_OPERATOR or actor.role == ROLE_CUSTOMER_SERVICE


def refusal(reason: Reason.ValueType) -> ApplicationError:
    """What an update is refused with: the gateway tells the reason."""
    name = reason_name(reason)
    return ApplicationError(name, type=name, non_retryable=True)
