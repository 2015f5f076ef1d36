"""RegistrationService: registrations, the customers they become, and the evidence of consent."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceServicer
from liity.registration.v1.unit_service_pb2 import UNIT_KIND_UNSPECIFIED, UnitKind
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.reason_pb2 import (
    REASON_CENTURY_PERHAPS_WRONG,
    REASON_CUSTOMER_HAS_ENDED,
    REASON_NAME_OF_NEITHER_GUARDIAN,
    REASON_NOT_WAITING,
    REASON_NOT_WAITING_FOR_CONSENT,
    REASON_REGISTRATION_NOT_FOUND,
)
from liity.v1.registration_pb2 import (
    CONSENT_STATE_GIVEN,
    CONSENT_STATE_OUTGROWN,
    GUARDIAN_ANSWER_CONSENTS,
    GUARDIAN_ANSWER_DECLINES,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
)
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_MARKED_FOR_DELETION,
    STANDING_NOT_REGISTERED,
    STANDING_REGISTERED_IN_ANOTHER_UNIT,
    STANDING_REGISTERED_IN_THIS_UNIT,
    Standing,
)
from services.registration.audit.entries import use_row
from services.registration.audit.lookup_quota import LookUps
from services.registration.customers import begin as customer_begin
from services.registration.db.mapping import consent_row, mailing_details, row_of, to_message, told_account
from services.registration.forms import proto_dates
from services.registration.forms.normalise import consent_errors, from_json
from services.registration.registrations import (
    decisions,
    guardian_addresses,
    guardians,
    listing,
    pending_form,
    queries,
)
from services.registration.registrations.consent_wording import current_wording
from services.registration.registrations.create import Saving
from services.registration.registrations.duplicates import possible_duplicates_of
from services.registration.rules import (
    AGE_OF_OWN_DECISION,
    century_is_doubtful,
    day_of_age,
    guardians_named,
    guardians_of,
)
from services.runtime.clock import helsinki_day, helsinki_moment, now, to_proto_date
from services.runtime.guardians import FIRST_GUARDIAN
from services.runtime.rpc.errors import FieldViolation, failed_precondition, invalid, not_found
from services.runtime.stages import BEGUN, JOINED, NOT_BEGUN, UNFINISHED
from services.runtime.text import references
from services.runtime.text.cleaning import clean_line


class RegistrationServicer(RegistrationServiceServicer):
    """Checks, stores, reads and ends registrations."""

    def __init__(self, engine: AsyncEngine, look_ups: LookUps) -> None:
        self._engine = engine
        # For calls of one statement: a transaction around it would only cost round trips.
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._look_ups = look_ups
        self._saving = Saving(engine, look_ups)

    @override
    async def PrepareRegistration(
        self, request: pb.PrepareRegistrationRequest, _context: object
    ) -> pb.PrepareRegistrationResponse:
        """Checks a Save, or finds that it was made. Stores nothing."""
        return await self._saving.prepare(request)

    @override
    async def CreateRegistration(
        self, request: pb.CreateRegistrationRequest, _context: object
    ) -> pb.CreateRegistrationResponse:
        """Stores a registration and decides its first stage (R5)."""
        return await self._saving.create(request)

    @override
    async def GetRegistration(
        self, request: pb.GetRegistrationRequest, _context: object
    ) -> pb.GetRegistrationResponse:
        """Reads a registration."""
        return pb.GetRegistrationResponse(registration=await self._get(request.registration_id))

    @override
    async def FindRegistrations(
        self, request: pb.FindRegistrationsRequest, _context: object
    ) -> pb.FindRegistrationsResponse:
        """Reads the registrations of a reference."""
        ids = references.registration_ids(request.reference)
        if ids is None:
            raise not_found(REASON_REGISTRATION_NOT_FOUND)
        least, greatest = ids
        async with self._autocommit.connect() as connection:
            rows = await connection.execute(queries.OF_IDS, {"least": least, "greatest": greatest})
            found = [to_message(row) for row in rows.mappings()]
        if not found:
            raise not_found(REASON_REGISTRATION_NOT_FOUND)
        return pb.FindRegistrationsResponse(registrations=found)

    @override
    async def ListRegistrations(
        self, request: pb.ListRegistrationsRequest, _context: object
    ) -> pb.ListRegistrationsResponse:
        """Lists a unit's registrations. Later pages leave out those saved meanwhile."""
        async with self._autocommit.connect() as connection:
            return await listing.page(connection, request)

    @override
    async def LookUpPerson(
        self, request: pb.LookUpPersonRequest, _context: object
    ) -> pb.LookUpPersonResponse:
        """A person's status as seen by a unit (R10). An unknown person takes the same path."""
        await self._look_ups.admit()
        async with self._autocommit.connect() as connection:
            result = await connection.execute(queries.LOOK_UP, {"person_id": request.person_id})
            row = result.mappings().one()
            alike = {"unit": request.unit_id, "persons": list(request.other_sign_person_ids)}
            others = (await connection.scalars(queries.OWN_CUSTOMERS, alike)).all()
            waiting = (await connection.scalars(queries.OWN_REGISTRATIONS, alike)).all()
            kind = await connection.scalar(queries.UNIT_KIND, {"unit": request.unit_id})
        known, is_protected = row["registration_id"] is not None, bool(row["is_protected_person"])
        names = () if is_protected else (row["first_names"], row["last_name"])
        standing = _standing(row, request.unit_id)
        if standing == STANDING_NOT_REGISTERED and request.HasField("birth_date"):
            _require_likely_century(proto_dates.birth_date(request.birth_date, helsinki_day(now())), kind)
        return pb.LookUpPersonResponse(
            other_sign_customer_ids=others,
            other_sign_registration_ids=waiting,
            standing=standing,
            registration=to_message(row) if known else None,
            customer_id=row["known_customer_id"] or "",
            initials=" ".join(f"{name[0]}." for name in names if name),
            unit_display_name="" if is_protected else row["unit_display_name"] or "",
            customer_unit_id=row["customer_unit_id"] or "",
            is_protected=is_protected,
        )

    @override
    async def CheckConsent(
        self, request: pb.CheckConsentRequest, _context: object
    ) -> pb.CheckConsentResponse:
        """Checks a consent on paper. Stores nothing."""
        errors = consent_errors(request.consent, helsinki_day(now()))
        if errors:
            raise invalid(errors)
        asked = {"id": request.registration_id}
        row = await row_of(self._autocommit, pending_form.GET, asked) if request.registration_id else None
        if row is None:
            return pb.CheckConsentResponse()
        form = from_json(row["form"])
        signers = guardians_named(form, request.consent.guardian_name)
        if row["both_guardians_needed"] and form.HasField("other_guardian") and not signers:
            # Whose consent it is decides whose is still awaited.
            raise invalid([FieldViolation("consent.guardian_name", REASON_NAME_OF_NEITHER_GUARDIAN)])
        signer = signers[0] if len(signers) == 1 else 0
        return pb.CheckConsentResponse(guardian=signer)

    @override
    async def GetConsentRequest(
        self, request: pb.GetConsentRequestRequest, _context: object
    ) -> pb.GetConsentRequestResponse:
        """What a guardian is asked. FAILED_PRECONDITION once consent is no longer awaited."""
        row = await row_of(self._autocommit, queries.GET_WITH_UNIT, {"id": request.registration_id})
        if row is None:
            raise not_found(REASON_REGISTRATION_NOT_FOUND)
        if row["stage"] != STAGE_WAITING_FOR_CONSENT:
            raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)
        outgrown = day_of_age(row["birth_date"], AGE_OF_OWN_DECISION)
        return pb.GetConsentRequestResponse(
            child_first_names=from_json(row["form"]).first_names,
            unit_display_name=row["unit_display_name"],
            deadline=min(row["deadline"], helsinki_moment(outgrown)),
            wording=current_wording(request.language),
        )

    @override
    async def GetForm(self, request: pb.GetFormRequest, _context: object) -> pb.GetFormResponse:
        """The form of a waiting registration; empty if it does not wait."""
        row = await row_of(self._autocommit, pending_form.GET, {"id": request.registration_id})
        if row is None:
            return pb.GetFormResponse()
        form = from_json(row["form"])
        birth_date = to_proto_date(row["birth_date"]) if row["missing_code_reason"] else None
        return pb.GetFormResponse(form=form, etag=pending_form.etag_of(form), birth_date=birth_date)

    @override
    async def UpdateForm(self, request: pb.UpdateFormRequest, _context: object) -> pb.UpdateFormResponse:
        """Corrects the form of a waiting registration (R14)."""
        async with self._engine.begin() as connection:
            return await pending_form.correct(connection, request)

    @override
    async def GetMailingDetails(
        self, request: pb.GetMailingDetailsRequest, _context: object
    ) -> pb.GetMailingDetailsResponse:
        """The current recipients of a registration's mail."""
        guardian = request.guardian or FIRST_GUARDIAN
        asked = {
            "id": request.registration_id,
            "also_if_ended": request.also_if_ended,
            "guardian": guardian,
        }
        row = await row_of(self._autocommit, queries.GET_PROFILE, asked)
        if row is None:
            raise not_found(REASON_REGISTRATION_NOT_FOUND)
        if row["profile"] is None:
            return pb.GetMailingDetailsResponse()
        form = from_json(row["profile"])
        asked_for_consent = guardians_of(form)
        details = mailing_details(form, row["unit_id"], row["unit_display_name"], told_account(row))
        details.was_refused = row["was_refused"]
        if len(asked_for_consent) > 1:
            details.guardian_name = asked_for_consent[guardian].full_name
        details.wrong_recipient = row["wrong_recipient"]
        if row["waits_for_consent"]:
            address = asked_for_consent[guardian].email if guardian in asked_for_consent else ""
            async with self._autocommit.connect() as connection:
                details.request_number, details.request_count = await guardian_addresses.place_among_requests(
                    connection, request.registration_id, address
                )
        return pb.GetMailingDetailsResponse(mailing_details=details)

    @override
    async def MarkWrongRecipient(
        self, request: pb.MarkWrongRecipientRequest, _context: object
    ) -> pb.MarkWrongRecipientResponse:
        """Records that mail to the guardian reached another person."""
        async with self._engine.begin() as connection:
            moment = now()
            change = {"id": request.registration_id, "now": moment}
            row = (await connection.execute(queries.MARK_WRONG_RECIPIENT, change)).mappings().first()
            if request.guardian:
                await self._mark_wrong_one(connection, request, moment)
            if row is not None:
                subjects = [row["registration_id"], row["person_id"]]
                use = use_row("registration:report-wrong-recipient", subjects)
                await connection.execute(queries.INSERT_USE, use)
        registration = to_message(row) if row is not None else await self._get(request.registration_id)
        return pb.MarkWrongRecipientResponse(registration=registration)

    @override
    async def RecordDecline(
        self, request: pb.RecordDeclineRequest, _context: object
    ) -> pb.RecordDeclineResponse:
        """Records that the guardian declined (R38)."""
        decline = {
            "decline_time": proto_dates.moment(request.decline_time, "decline_time"),
            "decline_end": proto_dates.moment(request.decline_end_time, "decline_end_time"),
        }
        action = "registration:decline"
        if request.guardian:
            async with self._of_two(request.registration_id, action) as (connection, row, form):
                await guardians.decline(
                    connection, row, form, request.guardian, decline["decline_time"], decline["decline_end"]
                )
            return pb.RecordDeclineResponse(registration=await self._get(request.registration_id))
        registration = await self._set_decline(request.registration_id, action, decline)
        return pb.RecordDeclineResponse(registration=registration)

    @override
    async def TakeBackDecline(
        self, request: pb.TakeBackDeclineRequest, _context: object
    ) -> pb.TakeBackDeclineResponse:
        """Records that the guardian took the decline back (R38)."""
        action = "registration:take-back-decline"
        if request.guardian:
            async with self._of_two(request.registration_id, action) as (connection, row, _form):
                await guardians.take_back(connection, row, request.guardian)
            return pb.TakeBackDeclineResponse(registration=await self._get(request.registration_id))
        registration = await self._set_decline(request.registration_id, action, queries.NO_DECLINE)
        return pb.TakeBackDeclineResponse(registration=registration)

    @asynccontextmanager
    async def _of_two(
        self, registration_id: str, action: str
    ) -> AsyncIterator[tuple[AsyncConnection, RowMapping, CustomerForm]]:
        """A transaction for the answer of one of two guardians, with the locked row; records the use.

        FAILED_PRECONDITION (NOT_WAITING_FOR_CONSENT) if consent is not awaited, or only one is asked.
        """
        async with self._engine.begin() as connection:
            by_id = {"id": registration_id}
            row = (await connection.execute(queries.GET_FOR_CHANGE, by_id)).mappings().first()
            if row is None:
                raise not_found(REASON_REGISTRATION_NOT_FOUND)
            if row["stage"] != STAGE_WAITING_FOR_CONSENT or not row["asks_other_guardian"]:
                raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)
            yield connection, row, from_json(row["form"])
            use = use_row(action, [row["registration_id"], row["person_id"]])
            await connection.execute(queries.INSERT_USE, use)

    @staticmethod
    async def _mark_wrong_one(
        connection: AsyncConnection, request: pb.MarkWrongRecipientRequest, moment: datetime
    ) -> None:
        by_id = {"id": request.registration_id}
        row = (await connection.execute(queries.GET_FOR_CHANGE, by_id)).mappings().first()
        if row is not None and row["stage"] == STAGE_WAITING_FOR_CONSENT and row["asks_other_guardian"]:
            await guardians.mark(connection, request.registration_id, request.guardian, moment, moment)

    @override
    async def RecordDissent(
        self, request: pb.RecordDissentRequest, _context: object
    ) -> pb.RecordDissentResponse:
        """Records that a guardian does not agree to the other one's consent (R39)."""
        async with self._engine.begin() as connection:
            by_id = {"id": request.registration_id}
            row = (await connection.execute(queries.GET_FOR_CHANGE, by_id)).mappings().first()
            if row is None:
                raise not_found(REASON_REGISTRATION_NOT_FOUND)
            answers = await guardians.answers(connection, request.registration_id)
            own = answers.pop(request.guardian)
            rests_on_other = GUARDIAN_ANSWER_CONSENTS in answers.values()
            if row["consent_state"] != CONSENT_STATE_GIVEN or not rests_on_other:
                raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)
            if own == GUARDIAN_ANSWER_CONSENTS:
                raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)
            profile = await connection.scalar(queries.PROFILE, {"customer": row["customer_id"]})
            if profile is None:
                raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
            form = from_json(profile)
            if request.guardian not in guardians_of(form):
                raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)
            if own != GUARDIAN_ANSWER_DECLINES:
                await guardians.dissent(connection, request.registration_id, form, request.guardian, now())
                use = use_row("consent:dissent", [row["registration_id"], row["person_id"]])
                await connection.execute(queries.INSERT_USE, use)
        return pb.RecordDissentResponse(registration=await self._get(request.registration_id))

    async def _set_decline(
        self, registration_id: str, action: str, decline: Mapping[str, datetime | None]
    ) -> pb.Registration:
        async with self._engine.begin() as connection:
            change = {"id": registration_id, **decline}
            row = (await connection.execute(queries.SET_DECLINE, change)).mappings().first()
            if row is not None:
                use = use_row(action, [row["registration_id"], row["person_id"]])
                await connection.execute(queries.INSERT_USE, use)
                return to_message(row)
        registration = await self._get(registration_id)
        if registration.stage != STAGE_WAITING_FOR_CONSENT:
            raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)
        return registration

    @override
    async def ActivateRegistration(
        self, request: pb.ActivateRegistrationRequest, _context: object
    ) -> pb.ActivateRegistrationResponse:
        """Begins the customership of a registration that waits for consent (R8, R29, R31)."""
        given = request.HasField("consent")
        moment = now()
        sign_date = (
            proto_dates.calendar_day(request.consent.sign_date, "consent.sign_date")
            if request.consent.HasField("sign_date")
            else helsinki_day(moment)
        )
        async with self._engine.begin() as connection:
            by_id = {"id": request.registration_id}
            row = (await connection.execute(queries.GET_FOR_CHANGE, by_id)).mappings().first()
            if row is None:
                raise not_found(REASON_REGISTRATION_NOT_FOUND)
            if row["stage"] in BEGUN:
                # Read again: a statement that waited for the lock does not see what others committed
                # meanwhile.
                row = (await connection.execute(queries.GET, by_id)).mappings().one()
                return pb.ActivateRegistrationResponse(registration=to_message(row))
            if row["stage"] != STAGE_WAITING_FOR_CONSENT:
                raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)
            form = from_json(row["form"])
            if (
                given
                and row["asks_other_guardian"]
                and not await self._consents(connection, row, form, request, sign_date, moment)
            ):
                row = (await connection.execute(queries.GET, by_id)).mappings().one()
                return pb.ActivateRegistrationResponse(registration=to_message(row))
            customer_id = await customer_begin.begin(connection, row, moment)
            if given:
                by_link = request.consent.method == pb.ConsentEvidence.METHOD_LINK
                consenting = guardians_of(form)[request.guardian or FIRST_GUARDIAN]
                evidence = consent_row(
                    request.consent,
                    registration_id=row["registration_id"],
                    customer_id=customer_id,
                    guardian_name=clean_line(request.consent.guardian_name) or consenting.full_name,
                    sign_date=sign_date,
                    moment=moment,
                    # Correcting the address voids the links mailed to the one before.
                    link_email=consenting.email if by_link else "",
                )
                await connection.execute(queries.INSERT_CONSENT, evidence)
            change = {
                "new_consent_state": CONSENT_STATE_GIVEN if given else CONSENT_STATE_OUTGROWN,
                "new_customer_id": customer_id,
                "now": moment,
            }
            activated = (await connection.execute(queries.ACTIVATE, by_id | change)).mappings().one()
            use = use_row("registration:activate", [row["registration_id"], row["person_id"]])
            await connection.execute(queries.INSERT_USE, use)
        return pb.ActivateRegistrationResponse(registration=to_message(activated))

    @staticmethod
    async def _consents(
        connection: AsyncConnection,
        row: RowMapping,
        form: CustomerForm,
        request: pb.ActivateRegistrationRequest,
        sign_date: date,
        moment: datetime,
    ) -> bool:
        """Records the consent of one of two guardians (R39); whether the customership begins by it."""
        if request.guardian not in guardians_of(form):
            # Nobody in particular, an operator for example: the first who has not consented.
            answers = await guardians.answers(connection, row["registration_id"])
            request.guardian = next(
                (number for number, answer in answers.items() if answer != GUARDIAN_ANSWER_CONSENTS),
                FIRST_GUARDIAN,
            )
        consenting = guardians_of(form)[request.guardian]
        evidence = pb.ConsentEvidence()
        evidence.CopyFrom(request.consent)
        evidence.guardian_name = clean_line(evidence.guardian_name) or consenting.full_name
        evidence.sign_date.CopyFrom(to_proto_date(sign_date))
        by_link = evidence.method == pb.ConsentEvidence.METHOD_LINK
        given = await guardians.consent(
            connection,
            row,
            evidence,
            number=request.guardian,
            link_email=consenting.email if by_link else "",
            moment=moment,
        )
        if not given:
            use = use_row("registration:consent-of-one", [row["registration_id"], row["person_id"]])
            await connection.execute(queries.INSERT_USE, use)
        return given

    @override
    async def AdvanceRegistration(
        self, request: pb.AdvanceRegistrationRequest, _context: object
    ) -> pb.AdvanceRegistrationResponse:
        """Records a stage and its deadline. FAILED_PRECONDITION if no customership has begun."""
        deadline = proto_dates.moment(request.deadline, "deadline") if request.HasField("deadline") else None
        row = await row_of(
            self._autocommit,
            queries.ADVANCE,
            {
                "id": request.registration_id,
                "new_stage": request.stage,
                "new_deadline": deadline,
                "now": now(),
            },
        )
        if row is not None:
            return pb.AdvanceRegistrationResponse(registration=to_message(row))
        registration = await self._get(request.registration_id)
        if registration.stage not in {*BEGUN, *JOINED}:
            raise failed_precondition(REASON_NOT_WAITING)
        return pb.AdvanceRegistrationResponse(registration=registration)

    @override
    async def EndRegistration(
        self, request: pb.EndRegistrationRequest, _context: object
    ) -> pb.EndRegistrationResponse:
        """Ends a waiting registration and erases its form: no more mail is sent about it (R30)."""
        decision = request.decision_request_id
        change = {
            "id": request.registration_id,
            "new_stage": request.stage,
            "note": clean_line(request.rejection_note) or None,
            "decision": uuid.UUID(decision) if decision else None,
            "decline_time": proto_dates.moment(request.decline_time, "decline_time")
            if request.HasField("decline_time")
            else None,
            "now": now(),
        }
        rejected = request.stage == STAGE_REJECTED
        change |= use_row(
            "registration:reject" if rejected else "registration:end", [request.registration_id]
        )
        row = await row_of(self._autocommit, queries.END, change)
        registration = to_message(row) if row is not None else await self._get(request.registration_id)
        if registration.stage != request.stage:
            raise failed_precondition(REASON_NOT_WAITING)
        async with self._autocommit.connect() as connection:
            person = {"person": registration.person_id}
            is_customer = await connection.scalar(queries.IS_CUSTOMER, person)
        return pb.EndRegistrationResponse(registration=registration, is_customer=bool(is_customer))

    @override
    async def ApproveRegistration(
        self, request: pb.ApproveRegistrationRequest, _context: object
    ) -> pb.ApproveRegistrationResponse:
        """Approves a registration for customer service (R19, R24)."""
        async with self._engine.begin() as connection:
            return await decisions.approve(connection, request)

    @override
    async def LinkRegistration(
        self, request: pb.LinkRegistrationRequest, _context: object
    ) -> pb.LinkRegistrationResponse:
        """Links a registration to an existing customer (R24)."""
        async with self._engine.begin() as connection:
            return await decisions.link(connection, request)

    @override
    async def ListPossibleDuplicates(
        self, request: pb.ListPossibleDuplicatesRequest, _context: object
    ) -> pb.ListPossibleDuplicatesResponse:
        """Lists possible duplicates of a registration that waits for an identity check (R24)."""
        async with self._autocommit.connect() as connection:
            by_id = {"id": request.registration_id}
            row = (await connection.execute(queries.GET_FOR_CHECK, by_id)).mappings().first()
            if row is None:
                return pb.ListPossibleDuplicatesResponse()
            found = await possible_duplicates_of(
                connection, row["person_id"], row["birth_date"], from_json(row["form"])
            )
        return pb.ListPossibleDuplicatesResponse(possible_duplicates=found)

    @override
    async def ListSameGuardian(
        self, request: pb.ListSameGuardianRequest, _context: object
    ) -> pb.ListSameGuardianResponse:
        """Lists a unit's customers and waiting registrations whose guardian has an address."""
        async with self._autocommit.connect() as connection:
            others = await guardian_addresses.same_guardian(connection, request.unit_id, request.email)
        return pb.ListSameGuardianResponse(others=others)

    async def _get(self, registration_id: str) -> pb.Registration:
        row = await row_of(self._autocommit, queries.GET, {"id": registration_id})
        if row is None:
            raise not_found(REASON_REGISTRATION_NOT_FOUND)
        return to_message(row)


def _require_likely_century(birth_date: date, unit_kind: UnitKind.ValueType | None) -> None:
    """INVALID_ARGUMENT (CENTURY_PERHAPS_WRONG) at the code if no new customer of such a unit is as old."""
    kind, today = unit_kind or UNIT_KIND_UNSPECIFIED, helsinki_day(now())
    if century_is_doubtful(CustomerForm(), birth_date=birth_date, unit_kind=kind, today=today):
        raise invalid([FieldViolation("personal_identity_code", REASON_CENTURY_PERHAPS_WRONG)])


def _standing(row: RowMapping, unit_id: str) -> Standing.ValueType:
    if row["customer_state"] == CUSTOMER_STATE_MARKED_FOR_DELETION:
        waits = row["stage"] in NOT_BEGUN
        return STANDING_BEING_REGISTERED if waits else STANDING_MARKED_FOR_DELETION
    if row["customer_unit_id"] == unit_id:
        return STANDING_REGISTERED_IN_THIS_UNIT
    if row["customer_unit_id"] is not None:
        return STANDING_REGISTERED_IN_ANOTHER_UNIT
    return STANDING_BEING_REGISTERED if row["stage"] in UNFINISHED else STANDING_NOT_REGISTERED
