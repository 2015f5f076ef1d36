"""Waiting for the guardian's consent (R5, R8, R29, R30)."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import workflow

from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_ACCEPTED,
    CONSENT_REQUEST_STATE_ASKED,
    CONSENT_REQUEST_STATE_DECLINED,
    ConsentRequestState,
)
from liity.v1.registration_pb2 import (
    CONSENT_STATE_OUTGROWN,
    GUARDIAN_ANSWER_CONSENTS,
    GUARDIAN_ANSWER_DECLINES,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WITHDRAWN,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    ActivationStep,
    DeclineConsentRequest,
    DeclineStep,
    EndStep,
    ReceiptStep,
    RecordConsentRequest,
    RemindGuardianRequest,
    RemindGuardianResponse,
    ReportWrongRecipientRequest,
    SendConsentLinkRequest,
    TakeBackDeclineRequest,
    WrongRecipientStep,
)
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.temporal.codec import OperatorText
from workflows.registration.activities import RegistrationActivities
from workflows.registration.state import RegistrationRun, acts_for_the_unit
from workflows.support.deadlines import reminder_gap, reminder_times
from workflows.support.steps import AGAIN, noted, quick_step

_WAITS = "Waits for the guardian's consent"


class ConsentPhase:
    """Mails the guardian the request and reminders; handles the answer, the lapse and the 15th birthday."""

    def __init__(self, run: RegistrationRun) -> None:
        self._run = run
        # asyncio keeps only weak references to tasks.
        self._mails: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Mails the request and reminders, until an answer, the lapse or the 15th birthday."""
        asked = self._run.consent_asked_at = self._run.consent_asked_at or self._run.stage_begun()
        self._run.guardian_corrections = {
            FIRST_GUARDIAN: self._run.guardian_corrections[FIRST_GUARDIAN]
            or self._run.created.guardian_corrections,
            OTHER_GUARDIAN: self._run.guardian_corrections[OTHER_GUARDIAN]
            or self._run.created.other_guardian_corrections,
        }
        lapse = self._run.registration.deadline.ToDatetime(UTC)
        self._run.show(_WAITS, lapse)
        if self._run.declined:
            self._end_unless_taken_back()
        if not self._run.asked:
            await self._mail_guardians(
                RegistrationActivities.request_consent, "Send the consent request", lapse, "consent request"
            )
        for reminder, number in self._mails_while_waiting(asked, lapse):
            if reminder <= workflow.now():
                # The mail before was late: skip this reminder.
                continue
            if await self._decided_by(reminder, "Consent: reminder"):
                return
            if not number:
                self._tell_lapses_soon(lapse)
                continue
            if self._is_reminded_before(reminder):
                continue
            await self._mail_guardians(
                RegistrationActivities.remind_of_consent,
                "Remind the guardian",
                lapse,
                f"consent reminder {number}",
            )
        if not await self._decided_by(lapse, "Consent: timeout"):
            await self._run.decide_at_last(STAGE_WAITING_FOR_CONSENT, self._lapse, "Lapse the registration")
        self._run.consent_asked_at, self._run.asked = None, False
        self._run.guardian_mailed_at = self._run.reminded_at = None

    def _mails_while_waiting(self, asked: datetime, lapse: datetime) -> list[tuple[datetime, int]]:
        """When a mail is due, and the reminder's number: 0 for the notice to the registrar."""
        timetable = self._run.created.timetable
        mails = [(moment, number) for number, moment in enumerate(reminder_times(asked, timetable), 1)]
        notice = lapse - timetable.lapse_notice.ToTimedelta()
        # On the 15th birthday nothing lapses (R8).
        if timetable.HasField("lapse_notice") and asked < notice < lapse <= self._birthday:
            mails.append((notice, 0))
        return sorted(mails)

    def _tell_lapses_soon(self, lapse: datetime) -> None:
        if self.awaited and not self._run.declined:
            step = self._run.step(lapse, self._run.event_id("consent lapses soon"))
            self._run.mails.mail(
                RegistrationActivities.tell_lapses_soon, step, "Notify the registrar: the request lapses soon"
            )

    async def _lapse(self) -> None:
        if self._run.declined:
            await self._end_declined(self._run.registration.decline_time)
            return
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
        if self._run.declined:
            await self._end_declined(self._run.registration.decline_time)
            return
        await self._activate(ActivationStep(step=self._run.step()))

    async def _mail_guardians(
        self, activity: Callable[..., Any], summary: str, lapse: datetime, event: str
    ) -> None:
        """Mails whoever has not answered."""
        mails = [
            self._mail_guardian(activity, summary, lapse, event, guardian)
            for guardian in self._run.guardians
            if not self._run.answer_of(guardian)
        ]
        if len(mails) == 1:
            # No task of its own: the order of commands in histories of earlier releases.
            await mails[0]
        else:
            # At once: an address that takes no mail must not hold up the other's.
            await asyncio.gather(*mails)

    async def _mail_guardian(
        self, activity: Callable[..., Any], summary: str, lapse: datetime, event: str, guardian: int
    ) -> None:
        if self.awaited and not self._run.declined:
            self._run.guardian_mailed_at = workflow.now()
            if guardian == OTHER_GUARDIAN:
                event = f"{event} other guardian"
            corrections = self._run.guardian_corrections[guardian]
            event_id = self._run.event_id(f"{event} {corrections}" if corrections else event)
            # The mail names the last day on which an answer is accepted.
            until = min(lapse, self._birthday)
            step = self._run.step(until, event_id)
            step.guardian_corrections = corrections
            step.guardian = self._one_of_two(guardian)
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

    def _one_of_two(self, guardian: int) -> int:
        """The guardian's number in a step; 0 if only one is asked."""
        return guardian or FIRST_GUARDIAN if self._run.registration.other_guardian_asked else 0

    def ask_anew(self, stored: Registration, guardians: Collection[int]) -> None:
        """Sends the request to corrected addresses, in the background, if consent is awaited.

        A decline from the previous address no longer counts.
        """
        if not stored.HasField("decline_time"):
            self._run.registration.ClearField("decline_time")
            self._run.registration.ClearField("decline_end_time")
        self._run.registration.other_guardian_asked = stored.other_guardian_asked
        del self._run.registration.guardians[:]
        self._run.registration.guardians.extend(stored.guardians)
        for guardian in self._run.guardians:
            if guardian not in guardians:
                continue
            self._run.guardian_corrections[guardian] += 1
            if self.awaited:
                lapse = self._run.registration.deadline.ToDatetime(UTC)
                summary = "Send the consent request anew"
                mail = self._mail_guardian(
                    RegistrationActivities.request_consent, summary, lapse, "consent request", guardian
                )
                self._start(mail)

    def remind(self, request: RemindGuardianRequest) -> RemindGuardianResponse:
        """Reminds the guardian in the background, unless a mail went to them recently."""
        run, moment = self._run, workflow.now()
        answer = RemindGuardianResponse(registration=run.registration)
        # A state of an earlier release does not say when the last mail went.
        mailed = run.guardian_mailed_at or run.consent_asked_at or moment
        earliest = mailed + reminder_gap(run.created.timetable)
        if request.request_id != run.reminder_request_id:
            if moment < earliest:
                answer.retry_after.FromTimedelta(earliest - moment)
            else:
                run.reminder_request_id = request.request_id
                run.reminded_at = mailed = moment
                lapse = run.registration.deadline.ToDatetime(UTC)
                self._start(
                    self._mail_guardians(
                        RegistrationActivities.remind_of_consent,
                        "Remind the guardian for the unit",
                        lapse,
                        f"consent reminder {request.request_id}",
                    )
                )
        answer.mail_time.FromDatetime(mailed)
        return answer

    def _is_reminded_before(self, moment: datetime) -> bool:
        """Whether the unit had the guardian reminded shortly before a moment."""
        reminded = self._run.reminded_at
        return reminded is not None and moment - reminded < reminder_gap(self._run.created.timetable)

    def _start(self, mails: Coroutine[Any, Any, None]) -> None:
        mail = asyncio.create_task(mails)
        self._mails.add(mail)
        mail.add_done_callback(self._mails.discard)

    def send_link_anew(self, request: SendConsentLinkRequest) -> None:
        """Mails the valid link to the address on file, in the background: the one mailed before is old."""
        lapse = self._run.registration.deadline.ToDatetime(UTC)
        if min(lapse, self._birthday) > workflow.now():
            summary = "Send the consent link anew"
            event = f"consent link {request.request_id}"
            guardian = request.guardian or FIRST_GUARDIAN
            mail = self._mail_guardian(
                RegistrationActivities.request_consent, summary, lapse, event, guardian
            )
            self._run.mails.start(mail, summary)

    async def report_wrong_recipient(self, request: ReportWrongRecipientRequest) -> None:
        """Marks the guardian's address as wrong, and notifies the registrar; consent is still awaited."""
        step = self._run.step(event_id=request.request_id)
        step.guardian = self._one_of_two(request.guardian)
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
        """Ends and erases the registration: the guardian declines (R30).

        Until the grace is over the guardian can take it back (R38). Of two guardians (R39) the registration
        service tells whether the decline ends the registration.
        """
        grace = self._run.created.timetable.decline_grace.ToTimedelta()
        step = self._run.step(event_id=request.request_id)
        if request.guardian and not by_hand:
            step.guardian = self._one_of_two(request.guardian)
        if not grace and not step.guardian:
            link_id = "" if by_hand else request.link_id
            await self._run.end([STAGE_WAITING_FOR_CONSENT], STAGE_DECLINED, step, link_id=link_id)
            return
        async with self._run.decision_lock:
            if not self.awaited or (self._run.declined and not step.guardian):
                return
            declined_before = self._run.declined
            lapse = self._run.registration.deadline.ToDatetime(UTC)
            # The link, by which it is taken back, works no longer than this.
            step.deadline.FromDatetime(min(workflow.now() + grace, lapse, self._birthday))
            decline = DeclineStep(step=step)
            decline.decline_time.FromDatetime(workflow.now())
            declined = await quick_step(RegistrationActivities.record_decline, decline, "Record the decline")
            self._run.registration.CopyFrom(declined)
        until = declined.decline_end_time
        if not self._run.declined:
            # The other guardian can still consent: the decline can be taken back as long as that is awaited.
            until.FromDatetime(min(lapse, self._birthday))
        self._mail_receipt(CONSENT_REQUEST_STATE_DECLINED, step.event_id, until, step.guardian)
        if self._run.declined and not declined_before:
            self._end_unless_taken_back()

    async def take_back_decline(self, request: TakeBackDeclineRequest) -> None:
        """Waits for the answer again, if a decline has not ended the registration yet (R38)."""
        async with self._run.decision_lock:
            guardian = self._one_of_two(request.guardian)
            if not (self.awaited and self.has_declined(guardian)):
                return
            step = self._run.step(event_id=request.request_id)
            step.guardian = guardian
            summary = "Take the decline back"
            waits = await quick_step(RegistrationActivities.take_back_decline, step, summary)
            self._run.registration.CopyFrom(waits)
            if not self._run.declined:
                self._run.show(_WAITS, waits.deadline.ToDatetime(UTC))
        until = Timestamp()
        until.FromDatetime(min(waits.deadline.ToDatetime(UTC), self._birthday))
        self._mail_receipt(CONSENT_REQUEST_STATE_ASKED, step.event_id, until, guardian)

    def has_declined(self, guardian: int) -> bool:
        """Whether the guardian has declined; with 0, whether the registration ends for a decline."""
        if guardian and self._run.registration.other_guardian_asked:
            return self._run.answer_of(guardian) == GUARDIAN_ANSWER_DECLINES
        return self._run.declined

    def adopt_answers(self, stored: Registration) -> None:
        """Takes stored answers of which the run does not know, because Temporal lost their update."""
        if self.awaited and stored.other_guardian_asked:
            self._run.registration.other_guardian_asked = True
            del self._run.registration.guardians[:]
            self._run.registration.guardians.extend(stored.guardians)
        if self.awaited and stored.HasField("decline_time") and not self._run.declined:
            self._run.registration.CopyFrom(stored)
            self._end_unless_taken_back()

    def _end_unless_taken_back(self) -> None:
        """Ends the registration in the background when the grace of the decline is over."""
        decline = Timestamp()
        decline.CopyFrom(self._run.registration.decline_time)
        end = self._run.registration.decline_end_time.ToDatetime(UTC)
        self._run.show("Declined: ends unless the guardian takes it back", end)
        self._ending = asyncio.create_task(self._end_when_due(decline, end))

    async def _end_when_due(self, decline: Timestamp, end: datetime) -> None:
        def stands() -> bool:
            return self._run.registration.decline_time == decline and not self._run.ended_by

        while stands():
            try:
                await workflow.wait_condition(
                    lambda: not stands(),
                    timeout=max(end - workflow.now(), timedelta(0)),
                    timeout_summary=OperatorText("Consent declined: end"),
                )
            except TimeoutError:
                await noted(self._end_declined(decline), "End the declined registration")
                end = workflow.now() + AGAIN

    async def _end_declined(self, decline: Timestamp) -> None:
        await self._run.end(
            [STAGE_WAITING_FOR_CONSENT], STAGE_DECLINED, self._run.step(), decline_time=decline
        )

    async def _activate(self, activation: ActivationStep) -> None:
        """Begins the customership, if consent is still awaited once the lock is held."""
        async with self._run.decision_lock:
            if not self.awaited:
                return
            lapse = Timestamp()
            lapse.CopyFrom(self._run.registration.deadline)
            if activation.HasField("consent") and self._run.registration.other_guardian_asked:
                activation.step.guardian = activation.consent.guardian or self._next_to_consent()
            activated = await quick_step(
                RegistrationActivities.activate_registration, activation, "Begin the customership"
            )
            self._run.registration.CopyFrom(activated)
            if not self.awaited:
                self._run.decided_for_unit = acts_for_the_unit()
                self._run.consent_method = activation.consent.evidence.method
            elif not self._run.declined:
                self._run.show(_WAITS, lapse.ToDatetime(UTC))
        if activation.HasField("consent"):
            guardian = activation.step.guardian
            self._mail_receipt(CONSENT_REQUEST_STATE_ACCEPTED, activation.step.event_id, lapse, guardian)

    def _next_to_consent(self) -> int:
        """The first of two guardians who has not consented."""
        awaited = (
            guardian
            for guardian in self._run.guardians
            if self._run.answer_of(guardian) != GUARDIAN_ANSWER_CONSENTS
        )
        return next(awaited, FIRST_GUARDIAN)

    def _mail_receipt(
        self, answer: ConsentRequestState.ValueType, event_id: str, deadline: Timestamp, guardian: int
    ) -> None:
        """Mails the guardian a receipt of their answer, in the background (R38)."""
        if not workflow.patched("receipts-to-the-guardian"):
            return
        receipt = ReceiptStep(step=self._run.step(event_id=event_id), answer=answer)
        receipt.step.deadline.CopyFrom(deadline)
        receipt.answer_time.FromDatetime(workflow.now())
        receipt.step.guardian_corrections = self._run.guardian_corrections[guardian or FIRST_GUARDIAN]
        if guardian:
            receipt.step.guardian = guardian
            receipt.waits_for_other = self.awaited
            receipt.other_can_decide = self.awaited and not self._run.declined
        self._run.mails.mail(RegistrationActivities.mail_receipt, receipt, "Mail the guardian a receipt")

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
