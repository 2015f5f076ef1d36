"""`RegistrationWorkflow`: one person's registration, from Save to the welcome mail."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_NOT_WAITING,
    REASON_NOT_WAITING_FOR_CONSENT,
    REASON_TOO_MANY_EDITS,
)
from liity.v1.registration_pb2 import (
    STAGE_DECLINED,
    STAGE_LINKED,
    STAGE_MERGED,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WITHDRAWN,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    AddressChanged,
    Adopt,
    ConvertRequest,
    ConvertResponse,
    CreatedRegistration,
    CustomershipEnded,
    DeclineConsentRequest,
    DissentRequest,
    EditRequest,
    EditResponse,
    LinkToCustomerRequest,
    MakeWayRequest,
    MakeWayResponse,
    Merged,
    Moved,
    ReactivateRequest,
    RecordConsentRequest,
    RegistrationStep,
    RegistrationWorkflowInput,
    RegistrationWorkflowResult,
    RejectRequest,
    RemindGuardianRequest,
    RemindGuardianResponse,
    ReportWrongRecipientRequest,
    Resumed,
    SaveRequest,
    SaveResponse,
    SendConsentLinkRequest,
    StageResponse,
    TakeBackDeclineRequest,
    VerifyIdentityRequest,
    WithdrawRequest,
)
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.security.hetu_detector import looks_like_hetu
from services.runtime.stages import BEGUN, ENDED, UNDER_WAY, WAITING
from services.runtime.temporal.names import RegistrationWorkflowNames
from services.runtime.temporal.search_attributes import KIND, UNIT, kind_name
from workflows.reconciliation.adoption_activities import AdoptionActivities
from workflows.registration.activities import RegistrationActivities, named_guardians
from workflows.registration.consent import ConsentPhase
from workflows.registration.decisions import DecisionPhase
from workflows.registration.state import FOR_CUSTOMER_SERVICE, RegistrationRun, refusal
from workflows.registration.welcome import WelcomePhase
from workflows.support.actor_context import acts_by_hand
from workflows.support.operators import Operated
from workflows.support.steps import first_message, quick_step

EDITS_AT_ONCE = 30
"""Edits and reminders accepted within a minute for one waiting registration: no person makes more."""

EDITS_WITHIN = timedelta(minutes=1)


@workflow.defn(name=RegistrationWorkflowNames.WORKFLOW)
class RegistrationWorkflow(Operated):
    """Coordinates one registration.

    Started by the update `save`, answered once the outcome is decided. The updates `reactivate`,
    `verify_identity`, `link_to_customer` and `reject` are customer service's decisions, `record_consent` and
    `decline_consent` the guardian's answers; `withdraw` ends either wait. Signals of the same names do the
    same, except for `link_to_customer`. A signal that comes too late changes nothing.
    """

    @workflow.init
    def __init__(self, input: RegistrationWorkflowInput) -> None:  # noqa: A002
        self._run = RegistrationRun(input)
        self._decision = DecisionPhase(self._run)
        self._consent = ConsentPhase(self._run)
        self._welcome = WelcomePhase(self._run)
        # Held while a handler stores or adopts the registration.
        self._store_lock = asyncio.Lock()
        self._begins_anew = False
        self._dissents = 0
        self._edit_times: deque[datetime] = deque(maxlen=EDITS_AT_ONCE)

    @workflow.run
    async def run(self, input: RegistrationWorkflowInput) -> RegistrationWorkflowResult:  # noqa: A002, ARG002
        """Runs the phases, until the welcome mail or another end."""
        if not await first_message(lambda: self._run.created.ByteSize() > 0 or self._dissents > 0):
            return RegistrationWorkflowResult()
        if self._dissents:
            # Begun for a dissent after the registration's own run has ended.
            await workflow.wait_condition(lambda: self._run.created.ByteSize() > 0 or self._is_at_rest())
            if not self._run.created.ByteSize():
                return RegistrationWorkflowResult()
        await self._run_until_ended(self._run_phases())
        await workflow.wait_condition(self._is_at_rest)
        while self._begins_anew:
            # Saved, resumed or converted anew while a mail was being sent or the run was ending.
            self._begins_anew, self._run.ended_by = False, ""
            await self._run_until_ended(self._run_phases())
            await workflow.wait_condition(self._is_at_rest)
        return RegistrationWorkflowResult(stage=self._run.registration.stage)

    def _is_at_rest(self) -> bool:
        sent = self._run.mails.all_sent()
        return workflow.all_handlers_finished() and (sent or self._begins_anew)

    async def _run_until_ended(self, phases: Coroutine[object, object, None]) -> None:
        """Runs the phases; cancels them when the run is superseded, merged or ended."""
        running = asyncio.ensure_future(phases)
        await workflow.wait_condition(lambda: running.done() or bool(self._run.ended_by))
        if not running.done():
            running.cancel()
            self._run.show(self._run.ended_by, None)
        await asyncio.wait([running])
        error = None if running.cancelled() else running.exception()
        if error is not None and not (self._run.ended_by and is_cancelled_exception(error)):
            raise error

    async def _run_phases(self) -> None:
        """Runs the phases needed: customer service's decision, the guardian's consent, the welcome."""
        run = self._run
        awaited = run.registration.stage
        run.returning = run.returning or awaited == STAGE_WAITING_FOR_REACTIVATION
        if awaited in FOR_CUSTOMER_SERVICE:
            await self._decision.run(awaited)
            self._decision.mail_outcome(awaited)
        mails = self._consent.awaited or run.returning
        if self._consent.awaited:
            await self._consent.run()
            self._consent.mail_outcome()
        if self._decision.is_back:
            run.returning = False
            run.mails.start(self._decision.tell_return(), "End the removal and notify the previous unit")
        # As a task after mails: the order of commands in histories of earlier releases.
        await (asyncio.ensure_future(self._welcome.run()) if mails else self._welcome.run())

    # Saving

    @workflow.update(name=RegistrationWorkflowNames.SAVE)
    async def save(self, request: SaveRequest) -> SaveResponse:
        """Stores the registration. Answers with it, or with the reason of the refusal."""
        run = self._run
        run.save_request_id = request.registration.request_id
        if acts_by_hand():
            # Only the registrar may attest consent on paper; an operator signals `record_consent`.
            request.registration.form.ClearField("paper_consent")
        async with self._store_lock:
            if run.created.ByteSize() and run.registration.stage not in ENDED:
                return SaveResponse(registration=run.registration, refusal=run.created.refusal)
            # If an earlier run stored the row, this run continues from the row's stage.
            created = await quick_step(
                RegistrationActivities.create_registration, request.registration, "Store the registration"
            )
            if not run.created.ByteSize():
                run.unit_id = run.unit_id or created.registration.unit_id
                self._take(created)
            elif not created.refusal and run.registration.stage in ENDED:
                self._begin_anew(created)
        return SaveResponse(registration=created.registration, refusal=created.refusal)

    @save.validator
    def _save_comes_first(self, request: SaveRequest) -> None:
        """Refuses a second Save of the same person (R18); a refusal leaves no event in the history."""
        run = self._run
        if run.save_request_id in {"", request.registration.request_id}:
            # The first Save, or a repeat of it: storing it again gives the same registration.
            return
        stage = run.registration.stage
        if stage in ENDED:
            # A person marked for deletion may be saved again: the activity decides.
            return
        if stage not in BEGUN:
            raise refusal(REASON_BEING_REGISTERED)
        same_unit = run.unit_id == request.registration.unit_id
        raise refusal(
            REASON_ALREADY_REGISTERED_IN_THIS_UNIT if same_unit else REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT
        )

    @workflow.signal(
        name=RegistrationWorkflowNames.ADOPT,
        description="Sent by reconciliation, not by people: the run continues from a row without a run.",
    )
    async def adopt(self, adopted: Adopt) -> None:
        """Continues from the stage of a row that reconciliation found without a run."""
        run = self._run
        if not (adopted.registration_id and adopted.request_id):
            return
        if run.save_request_id not in {"", adopted.request_id}:
            return
        run.save_request_id = adopted.request_id
        adopted.person_id = run.person_id
        async with self._store_lock:
            if run.created.ByteSize():
                await self._catch_up(adopted)
                return
            created = await quick_step(
                AdoptionActivities.adopt_registration, adopted, "Adopt the registration"
            )
            if created.registration.stage not in UNDER_WAY:
                run.save_request_id = ""
                return
            self._take(created)
            run.unit_id = run.unit_id or run.registration.unit_id

    async def _catch_up(self, adopted: Adopt) -> None:
        """Takes a stored decision of which the run does not know, because Temporal lost its update."""
        run = self._run
        if adopted.registration_id != run.registration.registration_id or not workflow.patched(
            "catch-up-with-the-row"
        ):
            return
        awaited = run.registration.stage
        if awaited not in WAITING:
            return
        found = await quick_step(
            AdoptionActivities.adopt_registration, adopted, "Read the stored registration"
        )
        stage, decision = found.registration.stage, found.registration.decision_request_id
        if found.HasField("registration") and stage == awaited:
            self._consent.adopt_answers(found.registration)
        if not found.HasField("registration") or stage == awaited:
            return
        # Every service answers a repeated decision as it did the first time.
        if stage == STAGE_LINKED:
            customer_id, unit_id = found.registration.customer_id, found.registration.unit_id
            await self._decision.link(
                LinkToCustomerRequest(request_id=decision, customer_id=customer_id, unit_id=unit_id)
            )
        elif stage in ENDED:
            await run.end([awaited], stage, run.step(event_id=decision))
        elif awaited in FOR_CUSTOMER_SERVICE:
            await self._decision.approve(awaited, decision)
        else:
            # How the guardian consented is unknown: the registrar is mailed as for a link.
            evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK)
            await self._consent.record(RecordConsentRequest(evidence=evidence), by_hand=False)

    @workflow.update(name=RegistrationWorkflowNames.CONVERT)
    async def convert(self, request: ConvertRequest) -> ConvertResponse:
        """Converts a CD borrower to an online customer and begins the welcome phase (R23)."""
        run = self._run
        run.save_request_id = run.save_request_id or request.conversion.request_id
        async with self._store_lock:
            converted = await quick_step(
                RegistrationActivities.convert_to_online, request.conversion, "Convert to online customer"
            )
            if not run.created.ByteSize() or not converted.HasField("refused"):
                self._begins_anew = run.created.ByteSize() > 0
                run.unit_id = run.unit_id or converted.created.registration.unit_id
                self._take(converted.created)
        if converted.HasField("refused"):
            return ConvertResponse(refused=converted.refused)
        return ConvertResponse(registration=converted.created.registration)

    @workflow.update(name=RegistrationWorkflowNames.MAKE_WAY)
    async def supersede(self, request: MakeWayRequest) -> MakeWayResponse:  # noqa: ARG002
        """Ends the run of an ended customership so that the person can be saved anew (R19)."""
        run = self._run
        if run.registration.stage in BEGUN:
            looked = await quick_step(
                RegistrationActivities.look_whether_over,
                run.step(),
                "Check whether the customership has ended",
            )
            run.ended_by = run.ended_by or ("Superseded by a new registration" if looked.over else "")
        return MakeWayResponse()

    # While the registration waits

    @workflow.update(name=RegistrationWorkflowNames.EDIT)
    async def edit(self, request: EditRequest) -> EditResponse:
        """Updates the form while the registration waits (R14)."""
        self._run.edits += 1
        self._edit_times.append(workflow.now())
        async with self._run.decision_lock:
            edited = await quick_step(RegistrationActivities.edit_registration, request, "Update the form")
        if not edited.HasField("refused") and not edited.updated.HasField("changed_meanwhile"):
            self._run.created.temporary = edited.updated.temporary
            corrected = named_guardians(request.update)
            if corrected:
                self._consent.ask_anew(edited.updated.registration, corrected)
        return edited

    @edit.validator
    def _edit_is_possible(self, request: EditRequest) -> None:  # noqa: ARG002
        self._require_waiting()
        self._require_few_updates()

    def _require_few_updates(self) -> None:
        times = self._edit_times
        if len(times) == EDITS_AT_ONCE and workflow.now() - times[0] < EDITS_WITHIN:
            raise refusal(REASON_TOO_MANY_EDITS)

    @workflow.update(name=RegistrationWorkflowNames.WITHDRAW)
    async def withdraw(self, request: WithdrawRequest) -> StageResponse:
        """Ends and erases the registration: the unit withdraws it (R30)."""
        await self._withdraw(request)
        decided = self._run.registration.stage == STAGE_WITHDRAWN
        return self._run.answer(REASON_NOT_WAITING, decided=decided)

    @withdraw.validator
    def _withdrawal_is_possible(self, request: WithdrawRequest) -> None:  # noqa: ARG002
        self._require_waiting()

    @workflow.signal(name=RegistrationWorkflowNames.WITHDRAW)
    async def withdraw_by_signal(self, request: WithdrawRequest) -> None:
        """`withdraw` from Temporal UI or CLI; `{}` is enough."""
        request.request_id = ""
        await self._withdraw(request)

    async def take_cancellation(self) -> bool:
        """Withdraws a waiting registration and erases its data; does nothing in any other stage."""
        if self._run.registration.stage in WAITING:
            await self._withdraw(WithdrawRequest())
            return self._run.registration.stage == STAGE_WITHDRAWN
        return False

    async def _withdraw(self, request: WithdrawRequest) -> None:
        run = self._run
        await run.end(WAITING, STAGE_WITHDRAWN, run.step(event_id=request.request_id))

    def _require_waiting(self) -> None:
        if self._run.registration.stage not in WAITING:
            raise refusal(REASON_NOT_WAITING)

    # The guardian's answer

    @workflow.update(name=RegistrationWorkflowNames.RECORD_CONSENT)
    async def record_consent(self, request: RecordConsentRequest) -> StageResponse:
        """Begins the customership: the guardian consents (R5)."""
        await self._consent.record(request, by_hand=acts_by_hand())
        decided = self._run.registration.stage not in ENDED
        return self._run.answer(REASON_NOT_WAITING_FOR_CONSENT, decided=decided)

    @record_consent.validator
    def _consent_is_awaited(self, request: RecordConsentRequest) -> None:  # noqa: ARG002
        self._require_consent_awaited()

    @workflow.update(name=RegistrationWorkflowNames.REMIND_GUARDIAN)
    async def remind_guardian(self, request: RemindGuardianRequest) -> RemindGuardianResponse:
        """Mails the guardian the consent request once more, unless a mail went to them recently (R29)."""
        self._run.edits += 1
        self._edit_times.append(workflow.now())
        return self._consent.remind(request)

    @remind_guardian.validator
    def _reminder_is_possible(self, request: RemindGuardianRequest) -> None:  # noqa: ARG002
        self._require_consent_awaited()
        if self._run.declined:
            raise refusal(REASON_NOT_WAITING_FOR_CONSENT)
        self._require_few_updates()

    @workflow.update(name=RegistrationWorkflowNames.DECLINE_CONSENT)
    async def decline_consent(self, request: DeclineConsentRequest) -> StageResponse:
        """Ends and erases the registration, after the grace: the guardian declines (R30, R38)."""
        await self._consent.decline(request, by_hand=acts_by_hand())
        declined = self._run.declined or self._consent.has_declined(request.guardian)
        decided = self._run.registration.stage == STAGE_DECLINED or declined
        return self._run.answer(REASON_NOT_WAITING_FOR_CONSENT, decided=decided)

    @decline_consent.validator
    def _consent_is_still_awaited(self, request: DeclineConsentRequest) -> None:  # noqa: ARG002
        self._require_consent_awaited()

    @workflow.update(name=RegistrationWorkflowNames.TAKE_BACK_DECLINE)
    async def take_back_decline(self, request: TakeBackDeclineRequest) -> StageResponse:
        """Waits for the answer again: the guardian takes a decline back (R38)."""
        await self._consent.take_back_decline(request)
        return self._run.answer(REASON_NOT_WAITING_FOR_CONSENT, decided=self._consent.awaited)

    @take_back_decline.validator
    def _decline_may_be_taken_back(self, request: TakeBackDeclineRequest) -> None:  # noqa: ARG002
        self._require_consent_awaited()

    @workflow.signal(name=RegistrationWorkflowNames.RECORD_CONSENT)
    async def record_consent_by_signal(self, request: RecordConsentRequest) -> None:
        """`record_consent` from Temporal UI or CLI; `{}` is enough."""
        await self._consent.record(request, by_hand=True)

    @workflow.signal(name=RegistrationWorkflowNames.DECLINE_CONSENT)
    async def decline_consent_by_signal(self, request: DeclineConsentRequest) -> None:  # noqa: ARG002
        """`decline_consent` from Temporal UI or CLI; `{}` is enough."""
        await self._consent.decline(DeclineConsentRequest(), by_hand=True)

    @workflow.update(name=RegistrationWorkflowNames.SEND_CONSENT_LINK)
    async def send_consent_link(self, request: SendConsentLinkRequest) -> StageResponse:
        """Mails the guardian's link anew, to the address on file."""
        self._run.edits += 1
        self._consent.send_link_anew(request)
        return StageResponse(registration=self._run.registration)

    @send_consent_link.validator
    def _link_may_be_sent(self, request: SendConsentLinkRequest) -> None:  # noqa: ARG002
        self._require_consent_awaited()

    @workflow.update(name=RegistrationWorkflowNames.REPORT_WRONG_RECIPIENT)
    async def report_wrong_recipient(self, request: ReportWrongRecipientRequest) -> StageResponse:
        """Marks the guardian's address as wrong: another person got the mail."""
        await self._consent.report_wrong_recipient(request)
        return StageResponse(registration=self._run.registration)

    @report_wrong_recipient.validator
    def _recipient_may_be_wrong(self, request: ReportWrongRecipientRequest) -> None:  # noqa: ARG002
        self._require_consent_awaited()

    @workflow.update(name=RegistrationWorkflowNames.DISSENT)
    async def dissent(self, request: DissentRequest) -> StageResponse:
        """Records that a guardian does not agree to the other one's consent (R39); it ends nothing."""
        step = RegistrationStep(
            registration_id=request.registration_id,
            person_id=self._run.person_id,
            event_id=request.request_id,
            guardian=request.guardian,
        )
        self._dissents += 1
        recorded = await quick_step(RegistrationActivities.record_dissent, step, "Record the dissent")
        self._run.mails.mail(
            RegistrationActivities.mail_dissent_receipt, step, "Mail the guardian a receipt of the dissent"
        )
        return StageResponse(registration=recorded)

    def _require_consent_awaited(self) -> None:
        if not self._consent.awaited:
            raise refusal(REASON_NOT_WAITING_FOR_CONSENT)

    # Customer service's decision

    @workflow.update(name=RegistrationWorkflowNames.REACTIVATE)
    async def reactivate(self, request: ReactivateRequest) -> StageResponse:
        """Activates a person who was marked for deletion (R19)."""
        await self._decision.approve(STAGE_WAITING_FOR_REACTIVATION, request.request_id)
        return self._decision.answer(request.request_id)

    @reactivate.validator
    def _reactivation_is_awaited(self, request: ReactivateRequest) -> None:  # noqa: ARG002
        self._decision.require(STAGE_WAITING_FOR_REACTIVATION)

    @workflow.update(name=RegistrationWorkflowNames.VERIFY_IDENTITY)
    async def verify_identity(self, request: VerifyIdentityRequest) -> StageResponse:
        """Activates a person whose identity customer service has checked (R24)."""
        await self._decision.approve(STAGE_WAITING_FOR_IDENTITY_CHECK, request.request_id)
        return self._decision.answer(request.request_id)

    @verify_identity.validator
    def _identity_check_is_awaited(self, request: VerifyIdentityRequest) -> None:  # noqa: ARG002
        self._decision.require(STAGE_WAITING_FOR_IDENTITY_CHECK)

    @workflow.update(name=RegistrationWorkflowNames.LINK_TO_CUSTOMER)
    async def link_to_customer(self, request: LinkToCustomerRequest) -> StageResponse:
        """Links the registration to the existing customer that the person is (R24)."""
        await self._decision.link(request)
        return self._decision.answer(request.request_id)

    @link_to_customer.validator
    def _identity_check_is_still_awaited(self, request: LinkToCustomerRequest) -> None:  # noqa: ARG002
        self._decision.require(STAGE_WAITING_FOR_IDENTITY_CHECK)

    @workflow.update(name=RegistrationWorkflowNames.REJECT)
    async def reject(self, request: RejectRequest) -> StageResponse:
        """Ends and erases the registration: customer service rejects it (R19, R24)."""
        await self._decision.reject(request)
        return self._decision.answer(request.request_id)

    @reject.validator
    def _decision_is_awaited(self, request: RejectRequest) -> None:  # noqa: ARG002
        self._decision.require(*FOR_CUSTOMER_SERVICE)

    @workflow.signal(name=RegistrationWorkflowNames.REACTIVATE)
    async def reactivate_by_signal(self, request: ReactivateRequest) -> None:  # noqa: ARG002
        """`reactivate` from Temporal UI or CLI; `{}` is enough."""
        await self._decision.approve(STAGE_WAITING_FOR_REACTIVATION, "")

    @workflow.signal(name=RegistrationWorkflowNames.VERIFY_IDENTITY)
    async def verify_identity_by_signal(self, request: VerifyIdentityRequest) -> None:  # noqa: ARG002
        """`verify_identity` from Temporal UI or CLI; `{}` is enough."""
        await self._decision.approve(STAGE_WAITING_FOR_IDENTITY_CHECK, "")

    @workflow.signal(name=RegistrationWorkflowNames.REJECT)
    async def reject_by_signal(self, request: RejectRequest) -> None:
        """`reject` from Temporal UI or CLI; `{}` is enough, but then the unit gets no reason."""
        request.request_id = ""
        if looks_like_hetu(request.note):
            workflow.logger.warning("signal dropped: its note seems to contain a personal identity code")
            return
        await self._decision.reject(request)

    # Signals from other runs

    @workflow.signal(
        name=RegistrationWorkflowNames.ADDRESS_CHANGED,
        description="Sent by other runs, not by people: a waiting welcome mail checks the address again.",
    )
    def address_changed(self, changed: AddressChanged) -> None:  # noqa: ARG002
        """Makes a waiting welcome mail check the address on file again (R27)."""
        self._run.address_changed = True

    @workflow.signal(
        name=RegistrationWorkflowNames.MOVED,
        description="Sent by other runs, not by people: the run checks which unit the person belongs to.",
    )
    async def moved(self, moved: Moved) -> None:
        """Records the unit that the row has now (R16); operators search runs by it."""
        run, unit_id = self._run, moved.unit_id
        if workflow.patched("look-which-unit"):
            # Two looks must be taken in the order of the moves, and none before the registration is stored.
            async with self._store_lock:
                if not run.created.ByteSize():
                    return
                looked = await quick_step(
                    RegistrationActivities.look_which_unit, run.step(), "Check which unit it is"
                )
            unit_id = looked.unit_id
        run.unit_id = unit_id
        workflow.upsert_search_attributes([UNIT.value_set(unit_id)])

    @workflow.signal(
        name=RegistrationWorkflowNames.CUSTOMERSHIP_ENDED,
        description="Sent by other runs, not by people: the run checks whether the customership has ended.",
    )
    async def customership_ended(self, ended: CustomershipEnded) -> None:  # noqa: ARG002
        """Ends the run if the customership has ended (R19)."""
        if self._run.registration.stage in BEGUN and await self._has_ended():
            self._run.ended_by = "The customership has ended"

    @workflow.signal(
        name=RegistrationWorkflowNames.RESUMED,
        description="Sent by other runs, not by people: the end of the customership was undone.",
    )
    async def resumed(self, resumed: Resumed) -> None:
        """Resumes the welcome phase: the end of the customership was undone (R19, R26)."""
        run = self._run
        if run.save_request_id and not run.ended_by:
            return
        saved_by, created = run.save_request_id, CreatedRegistration()
        run.save_request_id = saved_by or resumed.registration_id
        try:
            created = await quick_step(
                RegistrationActivities.resume_registration, resumed, "Read the resumed registration"
            )
        finally:
            if created.registration.person_id != run.person_id:
                # Else every Save of the person would be refused.
                run.save_request_id = saved_by
        if created.registration.person_id != run.person_id:
            workflow.logger.warning("signal dropped: the registration is another person's")
            return
        self._begin_anew(created)

    @workflow.signal(
        name=RegistrationWorkflowNames.MERGED,
        description="Sent by other runs, not by people: the run checks whether the customer was merged.",
    )
    async def merged(self, merged: Merged) -> None:  # noqa: ARG002
        """Ends the run if the person was merged into another, whose own run continues."""
        run = self._run
        if run.registration.stage in (*BEGUN, *WAITING) and await self._has_ended():
            run.registration.stage = STAGE_MERGED
            run.ended_by = "Merged into another customer"

    async def _has_ended(self) -> bool:
        """Whether the row confirms a signal that the customership has ended."""
        if not workflow.patched("look-whether-it-is-so"):
            return True
        looked = await quick_step(
            RegistrationActivities.look_whether_over,
            self._run.step(),
            "Check whether the customership has ended",
        )
        return looked.over

    def _begin_anew(self, created: CreatedRegistration) -> None:
        """Runs the phases again, for a person saved anew or a customership resumed."""
        run = self._run
        self._begins_anew = run.created.ByteSize() > 0
        self._take(created)
        run.unit_id = run.registration.unit_id
        run.decided_for_unit = run.returning = False
        run.guardian_corrections = {FIRST_GUARDIAN: 0, OTHER_GUARDIAN: 0}
        kind = kind_name(run.registration.kind)
        workflow.upsert_search_attributes([UNIT.value_set(run.unit_id), KIND.value_set(kind)])

    def _take(self, created: CreatedRegistration) -> None:
        self._run.created = created
        self._run.registration.CopyFrom(created.registration)
