"""Waiting for the guardian's consent (R5, R8, R29, R30)."""

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
    ReportWrongRecipientRequest,
    WrongRecipientStep,
)
from workflows.registration.activities import RegistrationActivities
from workflows.registration.state import RegistrationRun, acts_for_the_unit
from workflows.support.deadlines import reminder_times
from workflows.support.steps import quick_step


class ConsentPhase:
    """Mails the guardian the request and reminders; handles the answer, the lapse and the 15th birthday."""

    def __init__(self, run: RegistrationRun) -> None:
        self._run = run
        # asyncio keeps only weak references to tasks.
        self._asking_anew: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Mails the request and reminders, until an answer, the lapse or the 15th birthday."""
        asked = self._run.consent_asked_at = self._run.consent_asked_at or self._run.stage_begun()
        self._run.guardian_corrections = (
            self._run.guardian_corrections or self._run.created.guardian_corrections
        )
        lapse = self._run.registration.deadline.ToDatetime(UTC)
        self._run.show("Waits for the guardian's consent", lapse)
        if not self._run.asked:
            await self._mail_guardian(
                RegistrationActivities.request_consent, "Send the consent request", lapse, "consent request"
            )
        for number, reminder in enumerate(reminder_times(asked, self._run.created.timetable), 1):
            if reminder <= workflow.now():
                # The mail before was late: skip this reminder.
                continue
            if await self._decided_by(reminder, "Consent: reminder"):
                return
            await self._mail_guardian(
                RegistrationActivities.remind_of_consent,
                "Remind the guardian",
                lapse,
                f"consent reminder {number}",
            )
        if not await self._decided_by(lapse, "Consent: timeout"):
            await self._run.decide_at_last(STAGE_WAITING_FOR_CONSENT, self._lapse, "Lapse the registration")
        self._run.consent_asked_at, self._run.asked = None, False

    async def _lapse(self) -> None:
        await self._run.end([STAGE_WAITING_FOR_CONSENT], STAGE_LAPSED, self._run.step())

    async def _decided_by(self, moment: datetime, summary: str) -> bool:
        """Waits for an answer until a moment. Begins the customership on the 15th birthday (R8)."""
        birthday = self._birthday
        await self._run.wait_while(STAGE_WAITING_FOR_CONSENT, min(moment, birthday), summary)
        if workflow.now() >= birthday:
            await self._run.decide_at_last(
                STAGE_WAITING_FOR_CONSENT, self._activate_at_15, "Begin the customership at 15"
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
            # The mail names the last day on which an answer is accepted.
            until = min(lapse, self._birthday)
            step = self._run.step(until, event_id)
            step.guardian_corrections = corrections
            await self._run.mail_while(STAGE_WAITING_FOR_CONSENT, activity, step, summary, until)

    def mail_outcome(self) -> None:
        """Mails the outcome to the registrar, unless the unit itself decided."""
        stage = self._run.registration.stage
        if stage in {STAGE_DECLINED, STAGE_LAPSED}:
            end = EndStep(step=self._run.step(), stage=stage)
            self._run.mails.mail(
                RegistrationActivities.tell_consent_not_given, end, "Notify the registrar: no consent"
            )
        elif self._run.registration.consent_state == CONSENT_STATE_OUTGROWN:
            self._run.mails.mail(
                RegistrationActivities.tell_consent_outgrown,
                self._run.step(),
                "Notify the registrar: consent no longer needed",
            )
        elif stage == STAGE_WITHDRAWN:
            self._run.mail_withdrawal()
        elif self._run.consent_method in {ConsentEvidence.METHOD_LINK, ConsentEvidence.METHOD_OPERATOR} or (
            self._run.decided_for_unit and workflow.patched("tell-what-was-decided-for-the-unit")
        ):
            self._run.mails.mail(
                RegistrationActivities.tell_consent_given,
                self._run.step(),
                "Notify the registrar: consent given",
            )

    def ask_anew(self) -> None:
        """Sends the request to a corrected address, in the background, if consent is awaited."""
        self._run.guardian_corrections += 1
        if self.awaited:
            lapse = self._run.registration.deadline.ToDatetime(UTC)
            self._asking_anew = asyncio.create_task(
                self._mail_guardian(
                    RegistrationActivities.request_consent,
                    "Send the consent request anew",
                    lapse,
                    "consent request",
                )
            )

    def send_link_anew(self, request_id: str) -> None:
        """Mails the valid link to the address on file, in the background: the one mailed before is old."""
        lapse = self._run.registration.deadline.ToDatetime(UTC)
        if min(lapse, self._birthday) > workflow.now():
            summary = "Send the consent link anew"
            mail = self._mail_guardian(
                RegistrationActivities.request_consent, summary, lapse, f"consent link {request_id}"
            )
            self._run.mails.start(mail, summary)

    async def report_wrong_recipient(self, request: ReportWrongRecipientRequest) -> None:
        """Marks the guardian's address as wrong, and notifies the registrar; consent is still awaited."""
        step = self._run.step(event_id=request.request_id)
        async with self._run.decision_lock:
            if not self.awaited:
                return
            reported = WrongRecipientStep(step=step, link_id=request.link_id)
            await quick_step(
                RegistrationActivities.report_wrong_recipient,
                reported,
                "Mark the guardian's address as wrong",
            )
        self._run.mails.mail(
            RegistrationActivities.tell_wrong_recipient, step, "Notify the registrar: wrong recipient"
        )

    async def record(self, request: RecordConsentRequest, *, by_hand: bool) -> None:
        """Begins the customership: the guardian consents."""
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
            # Releases up to 0.2 kept evidence typed by operators; runs begun by them must replay.
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
        """When the customer turns 15 and consent is no longer needed (R8)."""
        return self._run.created.consent_outgrown_time.ToDatetime(UTC)
