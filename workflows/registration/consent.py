"""The wait for the guardian's consent (R5, R8, R29, R30)."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from temporalio import workflow

from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.reason_pb2 import REASON_NOT_WAITING_FOR_CONSENT
from liity.v1.registration_pb2 import (
    CONSENT_STATE_OUTGROWN,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WITHDRAWN,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    ActivationStep,
    DeclineConsentRequest,
    EndStep,
    RecordConsentRequest,
    RegistrationState,
    StageResponse,
)
from services.runtime.stages import ENDED
from services.runtime.temporal.names import RegistrationWorkflowNames
from workflows.registration.activities import RegistrationActivities
from workflows.registration.state import RegistrationRun, acts_for_the_unit, refusal
from workflows.support.actor_context import acts_by_hand
from workflows.support.deadlines import reminder_times
from workflows.support.steps import quick_step


class ConsentWait(RegistrationRun):
    """Asks the guardian, and takes the answer, whichever way it comes."""

    def __init__(self, person_id: str) -> None:
        super().__init__(person_id)
        self._consent_method = ConsentEvidence.METHOD_UNSPECIFIED
        self._guardian_corrections = 0
        self._wait_begun: datetime | None = None
        """Since when consent is awaited, if an earlier run has asked."""
        # Held here: nothing else keeps a task of asyncio alive.
        self._asking_anew: asyncio.Task[None] | None = None

    async def _await_consent(self) -> None:
        """Asks the guardian, reminds, and lapses: until someone, or the 15th birthday, decides it."""
        asked = self._wait_begun = self._wait_begun or self._stage_begun()
        self._guardian_corrections = self._guardian_corrections or self._created.guardian_corrections
        lapse = self._registration.deadline.ToDatetime(UTC)
        self._show("Waits for the guardian's consent", lapse)
        if not self._asked:
            await self._mail_guardian(
                RegistrationActivities.request_consent, "Ask the guardian", lapse, "consent request"
            )
        for number, reminder in enumerate(reminder_times(asked, self._created.timetable), 1):
            if reminder <= workflow.now():
                # The mail before it was long in going out: nobody wants two at once.
                continue
            if await self._decided_by(reminder, "Consent: reminder"):
                return
            await self._mail_guardian(
                RegistrationActivities.remind_of_consent,
                "Remind the guardian",
                lapse,
                f"consent reminder {number}",
            )
        if not await self._decided_by(lapse, "Consent: lapse"):
            await self._see_to(STAGE_WAITING_FOR_CONSENT, self._lapse_consent, "Consent: lapse")
        self._wait_begun, self._asked = None, False

    async def _lapse_consent(self) -> None:
        await self._end([STAGE_WAITING_FOR_CONSENT], STAGE_LAPSED, self._step())

    async def _decided_by(self, moment: datetime, summary: str) -> bool:
        """Waits for a decision until a moment; on the 15th birthday decides itself (R8)."""
        birthday = self._birthday
        await self._wait_while(STAGE_WAITING_FOR_CONSENT, min(moment, birthday), summary)
        if workflow.now() >= birthday:
            await self._see_to(STAGE_WAITING_FOR_CONSENT, self._activate_at_15, "Consent: 15th birthday")
        return not self._waits_for_consent

    async def _activate_at_15(self) -> None:
        await self._activate(ActivationStep(step=self._step()))

    async def _mail_guardian(
        self, activity: Callable[..., Any], summary: str, lapse: datetime, event: str
    ) -> None:
        if self._waits_for_consent:
            corrections = self._guardian_corrections
            event_id = self._event(f"{event} {corrections}" if corrections else event)
            # The guardian is told the day until which an answer changes anything.
            until = min(lapse, self._birthday)
            step = self._step(until, event_id)
            step.guardian_corrections = corrections
            await self._mail_while(STAGE_WAITING_FOR_CONSENT, activity, step, summary, until)

    def _tell_how_consent_ended(self) -> None:
        """Tells the registrar, unless it was a person of the unit who decided."""
        stage = self._registration.stage
        if stage in {STAGE_DECLINED, STAGE_LAPSED}:
            end = EndStep(step=self._step(), stage=stage)
            self._tellings.mail(RegistrationActivities.tell_consent_not_given, end, "Tell the registrar")
        elif self._registration.consent_state == CONSENT_STATE_OUTGROWN:
            self._tellings.mail(
                RegistrationActivities.tell_consent_outgrown, self._step(), "Tell the registrar"
            )
        elif stage == STAGE_WITHDRAWN:
            self._tell_of_the_withdrawal()
        elif self._consent_method in {ConsentEvidence.METHOD_LINK, ConsentEvidence.METHOD_OPERATOR} or (
            self._for_the_unit and workflow.patched("tell-what-was-decided-for-the-unit")
        ):
            self._tellings.mail(RegistrationActivities.tell_consent_given, self._step(), "Tell the registrar")

    def _ask_guardian_anew(self) -> None:
        """The guardian's address was corrected: beside whatever runs, and no longer than the wait lasts."""
        self._guardian_corrections += 1
        if self._waits_for_consent:
            lapse = self._registration.deadline.ToDatetime(UTC)
            self._asking_anew = asyncio.create_task(
                self._mail_guardian(
                    RegistrationActivities.request_consent, "Ask the guardian anew", lapse, "consent request"
                )
            )

    @workflow.update(name=RegistrationWorkflowNames.RECORD_CONSENT)
    async def record_consent(self, request: RecordConsentRequest) -> StageResponse:
        """The guardian consents: the customership begins."""
        await self._activate(self._activation(request, by_hand=acts_by_hand()))
        return self._answer(REASON_NOT_WAITING_FOR_CONSENT, decided=self._registration.stage not in ENDED)

    @workflow.update(name=RegistrationWorkflowNames.DECLINE_CONSENT)
    async def decline_consent(self, request: DeclineConsentRequest) -> StageResponse:
        """The guardian declines: the registration ends and is erased (R30)."""
        step = self._step(event_id=request.request_id)
        link_id = "" if acts_by_hand() else request.link_id
        await self._end([STAGE_WAITING_FOR_CONSENT], STAGE_DECLINED, step, link_id=link_id)
        decided = self._registration.stage == STAGE_DECLINED
        return self._answer(REASON_NOT_WAITING_FOR_CONSENT, decided=decided)

    @record_consent.validator
    def _consent_is_awaited(self, request: RecordConsentRequest) -> None:  # noqa: ARG002
        if not self._waits_for_consent:
            raise refusal(REASON_NOT_WAITING_FOR_CONSENT)

    @decline_consent.validator
    def _consent_is_still_awaited(self, request: DeclineConsentRequest) -> None:  # noqa: ARG002
        if not self._waits_for_consent:
            raise refusal(REASON_NOT_WAITING_FOR_CONSENT)

    # A signal has nobody to answer: where nothing waits any more, it changes nothing. It carries no link.

    @workflow.signal(name=RegistrationWorkflowNames.RECORD_CONSENT)
    async def record_consent_by_signal(self, request: RecordConsentRequest) -> None:
        """`record_consent` from Temporal UI or CLI; `{}` is enough."""
        await self._activate(self._activation(request, by_hand=True))

    @workflow.signal(name=RegistrationWorkflowNames.DECLINE_CONSENT)
    async def decline_consent_by_signal(self, request: DeclineConsentRequest) -> None:  # noqa: ARG002
        """`decline_consent` from Temporal UI or CLI; `{}` is enough."""
        await self._end([STAGE_WAITING_FOR_CONSENT], STAGE_DECLINED, self._step())

    def _state(self) -> RegistrationState:
        state = super()._state()
        state.consent_method = self._consent_method
        state.guardian_corrections = self._guardian_corrections
        if self._wait_begun is not None:
            state.wait_begin_time.FromDatetime(self._wait_begun)
        return state

    def _take_up(self, state: RegistrationState) -> None:
        super()._take_up(state)
        self._consent_method = state.consent_method
        self._guardian_corrections = state.guardian_corrections
        if state.HasField("wait_begin_time"):
            self._wait_begun = state.wait_begin_time.ToDatetime(UTC)

    async def _activate(self, activation: ActivationStep) -> None:
        """Begins the customership, if consent is still awaited when it is this one's turn."""
        async with self._deciding:
            if not self._waits_for_consent:
                return
            activated = await quick_step(
                RegistrationActivities.activate_registration, activation, "Begin the customership"
            )
            self._for_the_unit = acts_for_the_unit()
            self._consent_method = activation.consent.evidence.method
            self._registration.CopyFrom(activated)

    def _activation(self, request: RecordConsentRequest, *, by_hand: bool) -> ActivationStep:
        activation = ActivationStep(step=self._step(event_id=request.request_id), consent=request)
        if by_hand:
            activation.consent.link_id = ""
            # Up to release 0.2 what an operator typed was kept; runs of then must go on as they began.
            if request.HasField("evidence") and workflow.patched("operators-evidence-is-their-own"):
                activation.consent.ClearField("evidence")
        if not activation.consent.HasField("evidence"):
            activation.consent.evidence.method = ConsentEvidence.METHOD_OPERATOR
        return activation

    @property
    def _waits_for_consent(self) -> bool:
        return self._registration.stage == STAGE_WAITING_FOR_CONSENT

    @property
    def _birthday(self) -> datetime:
        """When the customer turns 15, at which consent is needed no more (R8)."""
        return self._created.consent_outgrown_time.ToDatetime(UTC)
