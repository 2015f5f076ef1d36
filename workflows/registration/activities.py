"""Activities of `RegistrationWorkflow`, made of idempotent calls.

Links, user names and addresses stay within an activity: they never enter a history.
"""

import asyncio
import uuid
from collections.abc import Mapping
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import activity

from liity.identity.v1.account_service_pb2 import FindAccountRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CONSENT,
    IssueLinkResponse,
    RedeemLinkRequest,
    VoidLinksRequest,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.identity.v1.person_service_pb2 import RetainPersonRequest, UnretainPersonRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.notification.v1.notification_service_pb2 import (
    ChangeAddressReminder,
    ConsentDeadline,
    ConsentQuestion,
    ConsentReceipt,
    CustomerNotice,
    CustomershipBegun,
    GuardianNotice,
    RegistrationNotice,
    Welcome,
)
from liity.registration.v1.customer_service_pb2 import ConvertToOnlineRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.personal_data_service_pb2 import IsPersonKnownRequest
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.registration.v1.registration_service_pb2 import (
    ActivateRegistrationRequest,
    AdvanceRegistrationRequest,
    CreateRegistrationRequest,
    EndRegistrationRequest,
    GetRegistrationRequest,
    MailingDetails,
    MarkWrongRecipientRequest,
    RecordDeclineRequest,
    RecordDissentRequest,
    Registration,
    TakeBackDeclineRequest,
    UpdateFormRequest,
)
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_ACCEPTED,
    CONSENT_REQUEST_STATE_ASKED,
    CONSENT_REQUEST_STATE_CLOSED,
    CONSENT_REQUEST_STATE_DECLINED,
    CONSENT_REQUEST_STATE_LAPSED,
    CONSENT_REQUEST_STATE_NO_LONGER_NEEDED,
    CONSENT_REQUEST_STATE_REPLACED,
    CONSENT_REQUEST_STATE_WITHDRAWN,
    CONSENT_REQUEST_STATE_WRONG_RECIPIENT,
    ConsentRequestState,
)
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, CUSTOMER_KIND_ONLINE
from liity.v1.reason_pb2 import REASON_NOT_WAITING
from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
    Stage,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    ActivationStep,
    AddressStepResult,
    ConvertedRegistration,
    CreatedRegistration,
    DeclineStep,
    EditRequest,
    EditResponse,
    EndStep,
    MailStepResult,
    OverStepResult,
    ReceiptStep,
    RegistrationStep,
    Resumed,
    Timetable,
    UnitStepResult,
    WelcomePlan,
    WelcomePlanStep,
    WrongRecipientStep,
)
from services.runtime.clock import deadline_after, from_proto_date, helsinki_moment, now
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.peer import Peer
from services.runtime.rpc.refusal_message import to_refused
from services.runtime.stages import JOINED
from services.runtime.text.unnamed_unit import UNNAMED_UNIT
from workflows.mail.customership_links import CustomershipLinks
from workflows.mail.notifier import Mailing, guardian_address, key
from workflows.mail.origin import mailed_by
from workflows.privacy.erasure import Erasure
from workflows.reconciliation.adoption_activities import consent_link_request, go_on
from workflows.support.deadlines import lapse_time, welcome_time
from workflows.support.refusals import answers_refusals

_CONSENT_STATES: Mapping[Stage.ValueType, ConsentRequestState.ValueType] = {
    STAGE_DECLINED: CONSENT_REQUEST_STATE_DECLINED,
    STAGE_LAPSED: CONSENT_REQUEST_STATE_LAPSED,
    STAGE_WITHDRAWN: CONSENT_REQUEST_STATE_WITHDRAWN,
    # Decided before a guardian is asked.
    STAGE_REJECTED: CONSENT_REQUEST_STATE_CLOSED,
}
"""What became of the consent request, by the stage in which the registration ends."""

_RECEIPTS: Mapping[ConsentRequestState.ValueType, str] = {
    CONSENT_REQUEST_STATE_ACCEPTED: "consent_receipt_given",
    CONSENT_REQUEST_STATE_DECLINED: "consent_receipt_declined",
    CONSENT_REQUEST_STATE_ASKED: "consent_receipt_taken_back",
}
"""The guardian's receipt by their answer; ASKED when a decline was taken back."""

_AT_ONCE = 2.0
"""Seconds for which Save waits for the credentials' mail before it answers."""


class RegistrationActivities:
    """Activities that call the three services."""

    def __init__(
        self,
        identity: Peer,
        registration: Peer,
        mailing: Mailing,
        customership_links: CustomershipLinks,
        erasure: Erasure,
        timetable: Timetable,
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._timetable = timetable
        self._erasure = erasure
        self._persons = PersonServiceStub(identity.channel)
        self._accounts = AccountServiceStub(identity.channel)
        self._links = LinkServiceStub(identity.channel)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)
        self._customers = CustomerServiceStub(registration.channel)
        self._personal_data = PersonalDataServiceStub(registration.channel)
        self._mailing = mailing
        self._customership_links = customership_links

    @activity.defn
    async def create_registration(self, request: CreateRegistrationRequest) -> CreatedRegistration:
        """Retains the person and stores the registration. A permanent refusal is returned, not raised.

        Mails the credentials too, if that is quick: it spares a round trip through Temporal.
        """
        begun = now()
        request.consent_deadline.FromDatetime(lapse_time(begun, self._timetable))
        request.reactivation_deadline.FromDatetime(
            deadline_after(begun, self._timetable.reactivation_lapse.ToTimedelta())
        )
        request.both_guardians_needed = self._timetable.both_guardians_needed
        request.identity_check_deadline.FromDatetime(
            deadline_after(begun, self._timetable.identity_check_lapse.ToTimedelta())
        )
        retain = RetainPersonRequest(person_id=request.person_id)
        try:
            await self._identity.call(self._persons.RetainPerson, retain)
            response = await self._registration.call(self._registrations.CreateRegistration, request)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                await self._unretain_unless_known(request.person_id)
                return CreatedRegistration(refusal=refusal.reason)
            raise
        registration = response.registration
        created = CreatedRegistration(
            registration=registration,
            timetable=self._timetable,
            temporary=request.form.temporary and request.form.HasField("expected_end_date"),
        )
        if response.HasField("consent_outgrown_date"):
            birthday = from_proto_date(response.consent_outgrown_date)
            created.consent_outgrown_time.FromDatetime(helsinki_moment(birthday))
        if not response.HasField("mailing_details"):
            # An earlier attempt or run has stored the registration, but its answer was lost.
            go_on(created)
        online = registration.stage == STAGE_ACTIVE and registration.kind == CUSTOMER_KIND_ONLINE
        if online and response.HasField("mailing_details"):
            await self._send_credentials_at_once(created, response.mailing_details)
        return created

    @activity.defn
    async def plan_welcome(self, step: WelcomePlanStep) -> WelcomePlan:
        """When the welcome mail is due (R26)."""
        plan = WelcomePlan()
        begun = step.begin_time.ToDatetime(UTC)
        plan.welcome_time.FromDatetime(welcome_time(begun, step.timetable, step.registration_id))
        return plan

    @activity.defn
    async def convert_to_online(self, request: ConvertToOnlineRequest) -> ConvertedRegistration:
        """Converts a CD borrower to an online customer (R23). A permanent refusal is returned, not raised."""
        try:
            response = await self._registration.call(self._customers.ConvertToOnline, request)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                created = CreatedRegistration(refusal=refusal.reason)
                return ConvertedRegistration(created=created, refused=to_refused(refusal))
            raise
        registration = response.registration
        created = CreatedRegistration(registration=registration, timetable=self._timetable)
        if registration.stage == STAGE_CREDENTIALS_SENT:
            created.welcome_time.CopyFrom(registration.deadline)
        return ConvertedRegistration(created=created)

    @activity.defn
    @answers_refusals(EditResponse)
    async def edit_registration(self, request: EditRequest) -> EditResponse:
        """Updates the form. A permanent refusal is returned, not raised.

        If the guardian's address is updated, the links mailed to the previous one are voided.
        """
        update = request.update
        updated = await self._registration.call(self._registrations.UpdateForm, update)
        corrected = named_guardians(update)
        if corrected and not updated.HasField("changed_meanwhile"):
            for guardian in corrected:
                await self._void_links(
                    update.registration_id, CONSENT_REQUEST_STATE_REPLACED, guardian=guardian
                )
        return EditResponse(updated=updated)

    @activity.defn
    async def resume_registration(self, resumed: Resumed) -> CreatedRegistration:
        """The registration of a resumed customership. Its credentials are sent by another activity."""
        request = GetRegistrationRequest(registration_id=resumed.registration_id)
        response = await self._registration.call(self._registrations.GetRegistration, request)
        registration = response.registration
        created = CreatedRegistration(registration=registration, timetable=self._timetable)
        if registration.HasField("deadline"):
            created.welcome_time.CopyFrom(registration.deadline)
        else:
            # The first credentials were never sent.
            welcome = welcome_time(now(), self._timetable, registration.registration_id)
            created.welcome_time.FromDatetime(welcome)
        return created

    @activity.defn
    async def request_consent(self, step: RegistrationStep) -> MailStepResult:
        """Mails the guardian a link for the answer (R29)."""
        return await self._ask_guardian(step, "consent_request")

    @activity.defn
    async def remind_of_consent(self, step: RegistrationStep) -> MailStepResult:
        """Mails the guardian the same link again (R30)."""
        return await self._ask_guardian(step, "consent_reminder")

    @activity.defn
    async def report_wrong_recipient(self, reported: WrongRecipientStep) -> Registration:
        """Marks the guardian's address as wrong. The link, used for that, opens nothing any more."""
        step = reported.step
        await self._redeem_link(step, reported.link_id, CONSENT_REQUEST_STATE_WRONG_RECIPIENT)
        request = MarkWrongRecipientRequest(registration_id=step.registration_id, guardian=step.guardian)
        response = await self._registration.call(self._registrations.MarkWrongRecipient, request)
        return response.registration

    @activity.defn
    async def tell_wrong_recipient(self, step: RegistrationStep) -> MailStepResult:
        """Notifies the registrar that the guardian's mail reached another person."""
        details = await self._mailing.details(step)
        if details is None:
            return MailStepResult()
        if details.guardian_name:
            named = GuardianNotice(
                first_names=details.first_names,
                unit_display_name=details.unit_display_name,
                guardian_name=details.guardian_name,
            )
            return await self._mailing.tell_registrar(
                step, details, "consent wrong recipient", guardian_wrong_recipient=named
            )
        content = CustomerNotice(first_names=details.first_names, unit_display_name=details.unit_display_name)
        return await self._mailing.tell_registrar(
            step, details, "consent wrong recipient", consent_wrong_recipient=content
        )

    @activity.defn
    async def record_decline(self, declined: DeclineStep) -> Registration:
        """Records that the guardian declined; the registration ends later (R38)."""
        request = RecordDeclineRequest(
            registration_id=declined.step.registration_id,
            decline_time=declined.decline_time,
            decline_end_time=declined.step.deadline,
            guardian=declined.step.guardian,
        )
        return (await self._registration.call(self._registrations.RecordDecline, request)).registration

    @activity.defn
    async def take_back_decline(self, step: RegistrationStep) -> Registration:
        """Records that the guardian took the decline back (R38)."""
        request = TakeBackDeclineRequest(registration_id=step.registration_id, guardian=step.guardian)
        return (await self._registration.call(self._registrations.TakeBackDecline, request)).registration

    @activity.defn
    async def activate_registration(self, activation: ActivationStep) -> Registration:
        """Begins the customership, by consent or because the customer has turned 15 (R8)."""
        step = activation.step
        evidence = activation.consent.evidence if activation.HasField("consent") else None
        link_id = activation.consent.link_id
        # One of two guardians can change their mind by the link while the other's consent is awaited.
        await self._redeem_link(step, link_id, CONSENT_REQUEST_STATE_ACCEPTED, check_only=step.guardian > 0)
        request = ActivateRegistrationRequest(
            registration_id=step.registration_id, consent=evidence, guardian=step.guardian
        )
        response = await self._registration.call(self._registrations.ActivateRegistration, request)
        if response.registration.stage == STAGE_WAITING_FOR_CONSENT:
            return response.registration
        if step.guardian:
            await self._redeem_link(step, link_id, CONSENT_REQUEST_STATE_ACCEPTED)
        is_given = evidence is not None
        await self._void_links(
            step.registration_id,
            CONSENT_REQUEST_STATE_ACCEPTED if is_given else CONSENT_REQUEST_STATE_NO_LONGER_NEEDED,
        )
        return response.registration

    @activity.defn
    async def mail_receipt(self, receipt: ReceiptStep) -> MailStepResult:
        """Mails the guardian a receipt of their answer, with the link to change their mind by (R38)."""
        step = receipt.step
        details = await self._mailing.details(step)
        if details is None or details.wrong_recipient:
            return MailStepResult()
        address = guardian_address(details, step.guardian)
        if not address:
            return MailStepResult()
        link = await self._consent_link(step)
        is_decided = receipt.answer == CONSENT_REQUEST_STATE_ACCEPTED and not receipt.waits_for_other
        if is_decided and not link.link_void:
            # The consent came another way, before the guardian was mailed a link.
            await self._void_links(step.registration_id, CONSENT_REQUEST_STATE_ACCEPTED)
        field = _RECEIPTS[receipt.answer]
        content = ConsentReceipt(
            first_names=details.first_names,
            unit_display_name=details.unit_display_name,
            answer_time=receipt.answer_time,
            link_token=link.token,
            deadline=step.deadline,
            waits_for_other=receipt.waits_for_other,
            other_can_decide=receipt.other_can_decide,
        )
        mail = self._mailing.mail(step, field, address, details, **{field: content})
        return MailStepResult(delivered=await self._mailing.send(mail))

    @activity.defn
    async def record_dissent(self, step: RegistrationStep) -> Registration:
        """Records that a guardian does not agree to the other one's consent (R39)."""
        request = RecordDissentRequest(registration_id=step.registration_id, guardian=step.guardian)
        return (await self._registration.call(self._registrations.RecordDissent, request)).registration

    @activity.defn
    async def mail_dissent_receipt(self, step: RegistrationStep) -> MailStepResult:
        """Mails the guardian who does not agree a receipt (R39)."""
        details = await self._mailing.details(step)
        address = guardian_address(details, step.guardian) if details is not None else ""
        if details is None or not address:
            return MailStepResult()
        content = CustomerNotice(first_names=details.first_names, unit_display_name=details.unit_display_name)
        field = "consent_receipt_dissent"
        mail = self._mailing.mail(step, field, address, details, consent_receipt_dissent=content)
        return MailStepResult(delivered=await self._mailing.send(mail))

    @activity.defn
    async def tell_consent_given(self, step: RegistrationStep) -> MailStepResult:
        """Notifies the registrar that the guardian consented."""
        details = await self._mailing.details(step)
        if details is None:
            return MailStepResult()
        content = CustomerNotice(first_names=details.first_names, unit_display_name=details.unit_display_name)
        return await self._mailing.tell_registrar(step, details, "consent given", consent_given=content)

    @activity.defn
    async def tell_consent_outgrown(self, step: RegistrationStep) -> MailStepResult:
        """Notifies the registrar that consent is no longer needed (R8)."""
        details = await self._mailing.details(step)
        if details is None:
            return MailStepResult()
        content = CustomerNotice(first_names=details.first_names, unit_display_name=details.unit_display_name)
        return await self._mailing.tell_registrar(step, details, "consent outgrown", consent_outgrown=content)

    @activity.defn
    async def end_registration(self, end: EndStep) -> Registration:
        """Ends the registration and erases the person everywhere (R30), unless they are a customer (R19).

        Returned unchanged if it has ended meanwhile, because the person was erased, or if the decline that it
        should end for was taken back.
        """
        step = end.step
        consent_state = _CONSENT_STATES[end.stage]
        await self._redeem_link(step, end.link_id, consent_state)
        request = EndRegistrationRequest(
            registration_id=step.registration_id, stage=end.stage, rejection_note=end.rejection_note
        )
        if end.HasField("decline_time"):
            request.decline_time.CopyFrom(end.decline_time)
        if end.stage == STAGE_REJECTED:
            request.decision_request_id = step.event_id
        # Read before the erasure: the mail about the end tells whose registration it was.
        details = await self._mailing.details(step)
        try:
            response = await self._registration.call(self._registrations.EndRegistration, request)
        except Refusal as refusal:
            if refusal.reason != REASON_NOT_WAITING:
                raise
            return await self._get(step)
        # Before the erasure, which cuts the links off from the registration.
        state_time = end.decline_time if end.HasField("decline_time") else None
        await self._void_links(step.registration_id, consent_state, state_time)
        if response.is_customer:
            await self._erasure.erase_registration(step.person_id, step.registration_id, end.stage)
        else:
            await self._erasure.erase_person(step.person_id)
        response.registration.first_names = details.first_names if details else ""
        return response.registration

    @activity.defn
    async def tell_lapses_soon(self, step: RegistrationStep) -> MailStepResult:
        """Notifies the registrar that the guardian has not answered and the registration lapses soon."""
        details = await self._mailing.details(step)
        if details is None or (await self._get(step)).stage != STAGE_WAITING_FOR_CONSENT:
            return MailStepResult()
        content = ConsentDeadline(
            first_names=details.first_names,
            unit_display_name=details.unit_display_name,
            deadline=step.deadline,
        )
        return await self._mailing.tell_registrar(
            step, details, "consent lapses soon", consent_lapses_soon=content
        )

    @activity.defn
    async def tell_consent_not_given(self, end: EndStep) -> MailStepResult:
        """Notifies the registrar that the guardian declined or did not answer (R30)."""
        field = "consent_declined" if end.stage == STAGE_DECLINED else "consent_lapsed"
        return await self._tell_of_the_end(end.step, "consent not given", field)

    @activity.defn
    async def tell_withdrawn(self, step: RegistrationStep) -> MailStepResult:
        """Notifies the registrar that someone else withdrew the registration for the unit."""
        return await self._tell_of_the_end(step, "withdrawn", "registration_withdrawn")

    @activity.defn
    async def send_credentials(self, step: RegistrationStep) -> MailStepResult:
        """Issues the credentials, mails them (R13) and records the stage."""
        details = await self._mailing.details(step)
        if details is None:
            return MailStepResult()
        mail = await self._mailing.credentials(step, details, details.credentials_recipient)
        result = (
            # A later order sends newer credentials.
            MailStepResult(delivered=True)
            if mail is None
            else await self._mailing.send_or_tell(step, details, mail)
        )
        if result.delivered:
            await self._advance(step, STAGE_CREDENTIALS_SENT)
        return result

    @activity.defn
    async def tell_customership_begun(self, step: RegistrationStep) -> MailStepResult:
        """Mails a CD borrower their link (R21), unless the address on file is a registrar's."""
        details = await self._mailing.details(step)
        if details is None or details.kind != CUSTOMER_KIND_CD_BORROWER or not details.customer_email:
            return MailStepResult()
        if await self._registrar_on_file(details) is not None:
            return MailStepResult()
        token = await self._customership_links.issue(
            key(step.event_id, "customership link"), step.registration_id
        )
        content = CustomershipBegun(
            first_names=details.first_names, link_token=token, temporary=details.temporary
        )
        mail = self._mailing.mail(
            step, "customership begun", details.customer_email, details, customership_begun=content
        )
        return await self._mailing.send_or_tell(step, details, mail)

    @activity.defn
    async def remind_to_change_address(self, step: RegistrationStep) -> MailStepResult:
        """Reminds the registrar whose own address is still on file (R27)."""
        details = await self._mailing.details(step)
        account_id = await self._registrar_on_file(details)
        if details is None or account_id is None:
            return MailStepResult()
        content = ChangeAddressReminder(
            first_names=details.first_names,
            unit_display_name=details.unit_display_name,
            welcome_time=step.deadline,
        )
        # If the customer has moved to another unit, the registrar on file can no longer edit them.
        responsible = await self._mailing.responsible(
            details.unit_id, account_id, details.registrar_account_id
        )
        page = self._mailing.page_of(step, details)
        return await self._mailing.tell_all(
            step, responsible, "change address reminder", resource=page, change_address_reminder=content
        )

    @activity.defn
    async def look_whose_address(self, step: RegistrationStep) -> AddressStepResult:
        """Whether a registrar's address is on file; if so, records the welcome mail's latest time (R27)."""
        registrars = await self._registrar_on_file(await self._mailing.details(step)) is not None
        if registrars and step.HasField("deadline"):
            await self._advance(step, STAGE_CREDENTIALS_SENT)
        return AddressStepResult(registrars=registrars)

    @activity.defn
    async def send_welcome(self, step: RegistrationStep) -> MailStepResult:
        """Sends the welcome mail to the address on file (R26), unless the customership has ended."""
        details = await self._mailing.details(step)
        if details is None:
            return MailStepResult()
        recipient = details.customer_email or await self._mailing.registrars_address(step, details)
        token = await self._customership_links.issue(
            key(step.event_id, "customership link"), step.registration_id
        )
        content = Welcome(first_names=details.first_names, link_token=token, temporary=details.temporary)
        mail = self._mailing.mail(step, "welcome", recipient, details, welcome=content)
        result = await self._mailing.send_or_tell(step, details, mail)
        step.ClearField("deadline")
        await self._advance(step, STAGE_WELCOMED)
        return result

    @activity.defn
    async def look_whether_over(self, step: RegistrationStep) -> OverStepResult:
        """Whether the customership has ended (R19) or was merged into another customer's (R24)."""
        if await self._mailing.details(step) is None:
            return OverStepResult(over=True)
        return OverStepResult(over=(await self._get(step)).stage in JOINED)

    @activity.defn
    async def look_which_unit(self, step: RegistrationStep) -> UnitStepResult:
        """The unit of the registration; of a closed unit its successor, to which all is being moved (R41)."""
        units = BatchGetUnitsRequest(unit_ids=[(await self._get(step)).unit_id])
        unit = (await self._registration.call(self._units.BatchGetUnits, units)).units[0]
        return UnitStepResult(unit_id=unit.successor_unit_id or unit.unit_id)

    async def _tell_of_the_end(self, step: RegistrationStep, name: str, field: str) -> MailStepResult:
        """Notifies the registrar of an ended registration, with the name from before the erasure."""
        registration = await self._get(step)
        units = BatchGetUnitsRequest(unit_ids=[registration.unit_id])
        unit = (await self._registration.call(self._units.BatchGetUnits, units)).units[0]
        told = RegistrationNotice(
            unit_display_name=UNNAMED_UNIT if registration.is_protected else unit.display_name,
            registration_id=registration.registration_id,
            registration_create_time=registration.create_time,
            first_names=step.first_names,
        )
        account_id = registration.told_account_id or registration.registrar_account_id
        responsible = await self._mailing.responsible(registration.unit_id, account_id)
        # Its data is erased: there is no page to be read.
        return await self._mailing.tell_all(step, responsible, name, resource="", **{field: told})

    async def _unretain_unless_known(self, person_id: str) -> None:
        """Lets identity delete the person's code if no other data of the person is stored.

        No other Save of the person runs at the same time: there is one run per person.
        """
        known = await self._registration.call(
            self._personal_data.IsPersonKnown, IsPersonKnownRequest(person_id=person_id)
        )
        if not known.known:
            unretain = UnretainPersonRequest(person_id=person_id)
            await self._identity.call(self._persons.UnretainPerson, unretain)

    async def _get(self, step: RegistrationStep) -> Registration:
        request = GetRegistrationRequest(registration_id=step.registration_id)
        return (await self._registration.call(self._registrations.GetRegistration, request)).registration

    async def _ask_guardian(self, step: RegistrationStep, field: str) -> MailStepResult:
        """Mails the guardian, unless the registration has ended, or the link or the address is void."""
        details = await self._mailing.details(step)
        if details is None or details.wrong_recipient:
            return MailStepResult()
        link = await self._consent_link(step)
        if link.link_void:
            return MailStepResult()
        registration = await self._get(step)
        if registration.HasField("decline_time") or _has_answered(registration, step.guardian):
            # Answered while the mail waited for its turn.
            return MailStepResult()
        asked = ConsentQuestion(
            first_names=details.first_names,
            unit_display_name=details.unit_display_name,
            link_token=link.token,
            deadline=step.deadline,
            # The mail names the 15th birthday if it comes before the lapse (R8).
            outgrown=step.deadline.ToDatetime() < registration.deadline.ToDatetime(),
            number=details.request_number,
            count=details.request_count,
            other_can_decide=step.guardian > 0 and not registration.both_guardians_needed,
            both_needed=step.guardian > 0 and registration.both_guardians_needed,
        )
        address = guardian_address(details, step.guardian)
        mail = self._mailing.mail(step, field, address, details, **{field: asked})
        return await self._mailing.send_or_tell(step, details, mail)

    async def _send_credentials_at_once(self, created: CreatedRegistration, details: MailingDetails) -> None:
        """Mails the credentials if that takes moments; otherwise `send_credentials` does."""
        registration = created.registration
        begun = registration.create_time.ToDatetime(UTC)
        step = RegistrationStep(
            registration_id=registration.registration_id,
            person_id=registration.person_id,
            event_id=first_credentials(registration.registration_id),
        )
        step.deadline.FromDatetime(welcome_time(begun, self._timetable, registration.registration_id))
        try:
            async with asyncio.timeout(_AT_ONCE):
                # Storing the registration is not to be repeated if the mail comes back.
                with mailed_by(RegistrationActivities.send_credentials.__name__, step):
                    await self._mail_credentials_at_once(created, details, step)
        except (Refusal, TimeoutError) as error:
            activity.logger.info("credentials not mailed at once: %s", type(error).__name__)

    async def _mail_credentials_at_once(
        self, created: CreatedRegistration, details: MailingDetails, step: RegistrationStep
    ) -> None:
        mail = await self._mailing.credentials(step, details, details.credentials_recipient)
        if mail is not None and await self._mailing.send(mail):
            await self._advance(step, STAGE_CREDENTIALS_SENT)
            created.welcome_time.CopyFrom(step.deadline)

    async def _registrar_on_file(self, details: MailingDetails | None) -> str | None:
        """The account whose address receives the customer's mail; None if the address is no account's.

        Empty if that mail goes to the registrars responsible for the unit.
        """
        if details is None:
            return None
        if not details.customer_email:
            return details.registrar_account_id
        find = FindAccountRequest(email=details.customer_email)
        return (await self._identity.call(self._accounts.FindAccount, find)).account_id or None

    async def _consent_link(self, step: RegistrationStep) -> IssueLinkResponse:
        request = consent_link_request(
            step.registration_id, step.guardian_corrections, step.deadline, step.guardian or FIRST_GUARDIAN
        )
        return await self._identity.call(self._links.IssueLink, request)

    async def _redeem_link(
        self,
        step: RegistrationStep,
        link_id: str,
        state: ConsentRequestState.ValueType,
        *,
        check_only: bool = False,
    ) -> None:
        """Redeems the link used for a decision, before the decision is made: a link works once."""
        if link_id:
            redeem = RedeemLinkRequest(
                link_id=link_id, request_id=step.event_id, consent_state=state, check_only=check_only
            )
            await self._identity.call(self._links.RedeemLink, redeem)

    async def _void_links(
        self,
        registration_id: str,
        state: ConsentRequestState.ValueType,
        state_time: Timestamp | None = None,
        *,
        guardian: int = 0,
    ) -> None:
        """Voids the registration's links, or one guardian's; each tells the state from then on."""
        void = VoidLinksRequest(
            purpose=LINK_PURPOSE_CONSENT,
            subject=registration_id,
            consent_state=state,
            consent_state_time=state_time,
            guardian=guardian,
        )
        await self._identity.call(self._links.VoidLinks, void)

    async def _advance(self, step: RegistrationStep, stage: Stage.ValueType) -> None:
        request = AdvanceRegistrationRequest(
            registration_id=step.registration_id,
            stage=stage,
            deadline=step.deadline if step.HasField("deadline") else None,
        )
        await self._registration.call(self._registrations.AdvanceRegistration, request)


def named_guardians(update: UpdateFormRequest) -> list[int]:
    """The guardians whose address an update changes (R39)."""
    return [
        number
        for number, field in ((FIRST_GUARDIAN, "related_person"), (OTHER_GUARDIAN, "other_guardian"))
        if not {field, f"{field}.email"}.isdisjoint(update.update_mask.paths)
    ]


def _has_answered(registration: Registration, guardian: int) -> bool:
    """Whether one of two guardians has answered."""
    return any(state.answer for state in registration.guardians if state.guardian == guardian)


def first_credentials(registration_id: str) -> str:
    """The event ID of a registration's first credentials, the same for every activity that mails them."""
    return str(uuid.uuid5(uuid.UUID(registration_id), "first credentials"))
