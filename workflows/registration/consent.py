"""The wait for the guardian's consent (R5, R8, R29, R30)."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from temporalio import workflow

from liity.registration.v1.registration_service_pb2 import ConsentEvidence
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
)
from workflows.registration.activities import RegistrationActivities
from workflows.registration.state import RegistrationRun, acts_for_the_unit
from workflows.support.deadlines import reminder_times
from workflows.support.steps import quick_step


class ConsentPhase:
    """Asks the guardian, reminds, and lapses; makes the decision that comes."""

    def __init__(self, run: RegistrationRun) -> None:
        self._run = run
        # Held here: asyncio keeps no task alive.
        self._asking_anew: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Asks the guardian, reminds, and lapses, until a decision or the 15th birthday."""
        asked = self._run.consent_asked_at = self._run.consent_asked_at or self._run.stage_begun()
        self._run.guardian_corrections = (
            self._run.guardian_corrections or self._run.created.guardian_corrections
        )
        lapse = self._run.registration.deadline.ToDatetime(UTC)
        self._run.show("Waits for the guardian's consent", lapse)
        if not self._run.asked:
            await self._mail_guardian(
                RegistrationActivities.request_consent, "Ask the guardian", lapse, "consent request"
            )
        for number, reminder in enumerate(reminder_times(asked, self._run.created.timetable), 1):
            if reminder <= workflow.now():
                # The mail before was late: two at once help nobody.
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
            await self._run.decide_at_last(STAGE_WAITING_FOR_CONSENT, self._lapse, "Consent: lapse")
        self._run.consent_asked_at, self._run.asked = None, False

    async def _lapse(self) -> None:
        await self._run.end([STAGE_WAITING_FOR_CONSENT], STAGE_LAPSED, self._run.step())

    async def _decided_by(self, moment: datetime, summary: str) -> bool:
        """Waits for a decision until a moment. On the 15th birthday the customership begins (R8)."""
        birthday = self._birthday
        await self._run.wait_while(STAGE_WAITING_FOR_CONSENT, min(moment, birthday), summary)
        if workflow.now() >= birthday:
            await self._run.decide_at_last(
                STAGE_WAITING_FOR_CONSENT, self._activate_at_15, "Consent: 15th birthday"
            )
        return not self.awaited

    async def _activate_at_15(self) -> None:
        await self._activate(ActivationStep(step=self._run.step()))

    async def _mail_guardian(
        self, activity: Callable[..., Any], summary: str, lapse: datetime, event: str
    ) -> None:
        if self.awaited:
            corrections = self._run.guardian_corrections
            event_id = self._run.event_id(f"{event} {corrections}" if corrections else event)
            # The guardian is told the day until which an answer changes anything.
            until = min(lapse, self._birthday)
            step = self._run.step(until, event_id)
            step.guardian_corrections = corrections
            await self._run.mail_while(STAGE_WAITING_FOR_CONSENT, activity, step, summary, until)

    def mail_outcome(self) -> None:
        """Mails the registrar the outcome, unless the unit itself decided."""
        stage = self._run.registration.stage
        if stage in {STAGE_DECLINED, STAGE_LAPSED}:
            end = EndStep(step=self._run.step(), stage=stage)
            self._run.mails.mail(RegistrationActivities.tell_consent_not_given, end, "Tell the registrar")
        elif self._run.registration.consent_state == CONSENT_STATE_OUTGROWN:
            self._run.mails.mail(
                RegistrationActivities.tell_consent_outgrown, self._run.step(), "Tell the registrar"
            )
        elif stage == STAGE_WITHDRAWN:
            self._run.mail_withdrawal()
        elif self._run.consent_method in {ConsentEvidence.METHOD_LINK, ConsentEvidence.METHOD_OPERATOR} or (
            self._run.decided_for_unit and workflow.patched("tell-what-was-decided-for-the-unit")
        ):
            self._run.mails.mail(
                RegistrationActivities.tell_consent_given, self._run.step(), "Tell the registrar"
            )

    def ask_anew(self) -> None:
        """Asks the guardian at a corrected address, in the background, while consent is awaited."""
        self._run.guardian_corrections += 1
        if self.awaited:
            lapse = self._run.registration.deadline.ToDatetime(UTC)
            self._asking_anew = asyncio.create_task(
                self._mail_guardian(
                    RegistrationActivities.request_consent, "Ask the guardian anew", lapse, "consent request"
                )
            )

    async def record(self, request: RecordConsentRequest, *, by_hand: bool) -> None:
        """Begins the customership by the guardian's consent."""
        await self._activate(self._activation(request, by_hand=by_hand))

    async def decline(self, request: DeclineConsentRequest, *, by_hand: bool) -> None:
        """Ends and erases the registration: the guardian declines (R30)."""
        step = self._run.step(event_id=request.request_id)
        link_id = "" if by_hand else request.link_id
        await self._run.end([STAGE_WAITING_FOR_CONSENT], STAGE_DECLINED, step, link_id=link_id)

    async def _activate(self, activation: ActivationStep) -> None:
        """Begins the customership, if consent is still awaited once the lock is held."""
        async with self._run.decision_lock:
            if not self.awaited:
                return
            activated = await quick_step(
                RegistrationActivities.activate_registration, activation, "Begin the customership"
            )
            self._run.decided_for_unit = acts_for_the_unit()
            self._run.consent_method = activation.consent.evidence.method
            self._run.registration.CopyFrom(activated)

    def _activation(self, request: RecordConsentRequest, *, by_hand: bool) -> ActivationStep:
        activation = ActivationStep(step=self._run.step(event_id=request.request_id), consent=request)
        if by_hand:
            activation.consent.link_id = ""
            # Up to release 0.2 what an operator typed was kept; runs of then must go on as they began.
            if request.HasField("evidence") and workflow.patched("operators-evidence-is-their-own"):
                activation.consent.ClearField("evidence")
        if not activation.consent.HasField("evidence"):
            activation.consent.evidence.method = ConsentEvidence.METHOD_OPERATOR
        return activation

    @property
    def awaited(self) -> bool:
        """Whether the registration waits for consent."""
        return self._run.registration.stage == STAGE_WAITING_FOR_CONSENT

    @property
    def _birthday(self) -> datetime:
        """When the customer turns 15, at which consent is needed no more (R8)."""
        return self._run.created.consent_outgrown_time.ToDatetime(UTC)
