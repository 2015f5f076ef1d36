"""Checks and stores a Save (R5, R10, R11, R18)."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import Executable, RowMapping, Select
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.registration.v1.registration_service_pb2 import (
    ConsentEvidence,
    CreateRegistrationRequest,
    CreateRegistrationResponse,
    PrepareRegistrationRequest,
    PrepareRegistrationResponse,
    Registration,
)
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_REQUEST_ID_REUSED,
    REASON_UNIT_CLOSED,
    REASON_UNIT_NOT_FOUND,
)
from liity.v1.registration_pb2 import (
    CONSENT_STATE_AWAITED,
    CONSENT_STATE_GIVEN,
    CONSENT_STATE_NOT_NEEDED,
    CONSENT_STATE_UNSPECIFIED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    Stage,
)
from services.registration.audit.entries import use_row
from services.registration.audit.lookup_quota import LookUps
from services.registration.customers import protection
from services.registration.db.mapping import (
    Row,
    consent_row,
    customer_row,
    mailing_details,
    new_id,
    row_of,
    to_message,
)
from services.registration.forms import proto_dates
from services.registration.forms.normalise import missing_code_errors, normalise, save_errors, to_json
from services.registration.forms.withholding import withhold
from services.registration.registrations import guardian_addresses, queries
from services.registration.rules import (
    AGE_OF_OWN_DECISION,
    consent_needed,
    day_of_age,
    first_stage,
    full_years,
)
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.rpc.errors import (
    FieldViolation,
    Refusal,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
    unavailable,
)
from services.runtime.rpc.interceptor import violations_of
from services.runtime.stages import JOINED, UNDER_WAY

SaveRequest = PrepareRegistrationRequest | CreateRegistrationRequest


class Saving:
    """Checks Saves and stores them."""

    def __init__(self, engine: AsyncEngine, look_ups: LookUps) -> None:
        # Each step is one statement: a transaction around it would only cost round trips.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._transactions = engine
        self._look_ups = look_ups

    async def prepare(self, request: PrepareRegistrationRequest) -> PrepareRegistrationResponse:
        """Checks a Save; returns the registration that an earlier try of it made, if any."""
        known = await self._what_is_known(request)
        if known["registration_id"] is not None:
            return PrepareRegistrationResponse(
                registration=_made_before(known, request, request.account_id),
                unfinished=known["stage"] in UNDER_WAY and not known["over"],
            )
        _require_open_unit(known)
        today = helsinki_day(now())
        birth_date, errors = _birth_date(request, today)
        form = normalise(request.form)
        errors += save_errors(
            form,
            birth_date=birth_date,
            has_code=not request.HasField("missing_personal_identity_code"),
            unit_kind=known["unit_kind"],
            today=today,
        )
        if birth_date is not None and consent_needed(birth_date, today, form):
            errors += await self._doubts_of_guardian(request, form, errors)
        if errors:
            raise invalid(errors)
        standing = _refusal_of_known_person(known, request.unit_id)
        if standing is None:
            # Over the limit even a new person is refused: else a Save that goes on would reveal that they are
            # unknown.
            await self._look_ups.require()
            return PrepareRegistrationResponse(returning=_is_marked(known))
        await self._look_ups.admit()
        raise standing

    async def _doubts_of_guardian(
        self, request: PrepareRegistrationRequest, form: CustomerForm, errors: list[FieldViolation]
    ) -> list[FieldViolation]:
        """What the registrar must confirm of the guardian's address before it is mailed to (R40)."""
        if request.guardian_email_confirmed:
            return []
        wrong = {error.field for error in errors}
        async with self._engine.connect() as connection:
            known = await guardian_addresses.families(connection, request.unit_id, [form])
        doubts = guardian_addresses.doubts(form, known, request.registrars_email)
        return [doubt for doubt in doubts if doubt.field not in wrong]

    async def create(self, request: CreateRegistrationRequest) -> CreateRegistrationResponse:
        """Stores a registration, and its customer unless it must wait."""
        form = normalise(request.form)
        # `prepare` checked the rules before the run started; a change of day since then must not undo that.
        malformed = violations_of(form, "form.")
        if malformed:
            raise invalid(malformed)
        moment = now()
        birth_date = proto_dates.birth_date(request.birth_date, helsinki_day(moment))
        statement, row = _creation(request, form, birth_date, moment)
        created = await row_of(self._engine, statement, row)
        if created is None:
            created, form = await self._return(request, row, form)
        registration = to_message(row) if created else await self._already_made(request)
        awaited = registration.consent_state == CONSENT_STATE_AWAITED
        return CreateRegistrationResponse(
            registration=registration,
            consent_outgrown_date=to_proto_date(day_of_age(birth_date, AGE_OF_OWN_DECISION))
            if awaited
            else None,
            mailing_details=mailing_details(
                form, request.unit_id, created["unit_display_name"], request.registrar.account_id
            )
            if created
            else None,
        )

    async def _return(
        self, request: CreateRegistrationRequest, row: dict[str, Any], form: CustomerForm
    ) -> tuple[RowMapping | None, CustomerForm]:
        """Stores the registration of a person marked for deletion: it waits for customer service (R19).

        Returns the form as stored, too: a person who was protected stays so, whatever the form says (R37).
        """
        known = await self._what_is_known(request)
        made_before = known["registration_id"] is not None
        if made_before or known["unit_kind"] is None or known["waiting"] or not _is_marked(known):
            return None, form
        today = helsinki_day(row["created_at"])
        birth_date = proto_dates.birth_date(request.birth_date, today)
        deadline = proto_dates.moment(request.reactivation_deadline, "reactivation_deadline")
        async with self._transactions.begin() as connection:
            await connection.execute(queries.SET_OVER, {"person": request.person_id})
            withheld = None
            if await protection.locked(connection, request.person_id) or form.protected_person:
                form, withheld = withhold(form)
            row["is_protected"] = withheld is not None
            row |= _waiting_for_decision(STAGE_WAITING_FOR_REACTIVATION, form, birth_date, today, deadline)
            created = (await connection.execute(queries.CREATE_RETURNING, row)).mappings().first()
            if created is None:
                # Another Save came first: its registration must not be marked over.
                await connection.rollback()
            elif withheld is not None:
                await protection.keep(connection, request.person_id, withheld)
        return created, form

    async def _already_made(self, request: CreateRegistrationRequest) -> Registration:
        """The registration that `request_id` made; raises the reason if there is none."""
        known = await self._what_is_known(request)
        if known["registration_id"] is not None:
            return _made_before(known, request, request.registrar.account_id)
        _require_open_unit(known)
        standing = _refusal_of_known_person(known, request.unit_id)
        if standing is not None:
            # Refusing for the limit here would only make the activity retry.
            await self._look_ups.count()
            raise standing
        # The obstacle ended at this very moment: a retry can succeed.
        raise unavailable()

    async def _what_is_known(self, request: SaveRequest) -> RowMapping:
        parameters = {
            "request_id": uuid.UUID(request.request_id),
            "unit_id": request.unit_id,
            "person_id": request.person_id,
        }
        async with self._engine.connect() as connection:
            return (await connection.execute(queries.PREPARE, parameters)).mappings().one()


def _creation(
    request: CreateRegistrationRequest, form: CustomerForm, birth_date: date, moment: datetime
) -> tuple[Executable, dict[str, Any]]:
    """The statement that stores a registration in its first stage, and its parameters."""
    if form.protected_person:
        shown, withheld = withhold(form)
        statement, row = _creation_of_shown(request, shown, birth_date, moment)
        return queries.CREATE_PROTECTED[statement], row | {
            "is_protected": True,
            "withheld": to_json(withheld),
            "marked_at": moment,
        }
    return _creation_of_shown(request, form, birth_date, moment)


def _creation_of_shown(
    request: CreateRegistrationRequest, form: CustomerForm, birth_date: date, moment: datetime
) -> tuple[Select[str], dict[str, Any]]:
    today = helsinki_day(moment)
    row: dict[str, Any] = {
        "registration_id": new_id(),
        "request_id": uuid.UUID(request.request_id),
        "person_id": request.person_id,
        "unit_id": request.unit_id,
        "registrar_account_id": request.registrar.account_id,
        "registrar_display_name": request.registrar.display_name,
        "told_account_id": None,
        "kind": form.kind,
        "customer_display_name": f"{form.first_names} {form.last_name}".strip(),
        "created_at": moment,
        "updated_at": moment,
        "over": False,
        "missing_code_reason": request.missing_code_reason or None,
        "rejection_note": None,
        "decision_request_id": None,
        "undeliverable_since": None,
        "wrong_recipient_since": None,
        "declined_at": None,
        "decline_ends_at": None,
        "both_guardians_needed": request.both_guardians_needed,
        "asks_other_guardian": form.HasField("other_guardian"),
        "guardians": None,
        "is_protected": False,
    }
    row |= use_row("registration:create", [row["registration_id"], request.person_id])
    stage = first_stage(birth_date, today, form, has_code=not request.missing_code_reason)
    if stage == STAGE_WAITING_FOR_IDENTITY_CHECK:
        deadline = proto_dates.moment(request.identity_check_deadline, "identity_check_deadline")
        return queries.CREATE_WAITING, row | _waiting_for_decision(stage, form, birth_date, today, deadline)
    if stage == STAGE_WAITING_FOR_CONSENT:
        return queries.CREATE_WAITING, row | {
            "stage": stage,
            "consent_state": CONSENT_STATE_AWAITED,
            "form": to_json(form),
            "birth_date": birth_date,
            "deadline": proto_dates.moment(request.consent_deadline, "consent_deadline"),
            "customer_id": None,
        }
    customer = customer_row(
        form,
        person_id=request.person_id,
        unit_id=request.unit_id,
        birth_date=birth_date,
        moment=moment,
    )
    row |= customer | {"stage": stage, "form": None, "deadline": None}
    if full_years(birth_date, today) >= AGE_OF_OWN_DECISION:
        return queries.CREATE_ACTIVE, row | {"consent_state": CONSENT_STATE_NOT_NEEDED}
    evidence = consent_row(
        ConsentEvidence(method=ConsentEvidence.METHOD_PAPER, recorded_by=request.registrar.account_id),
        registration_id=row["registration_id"],
        customer_id=row["customer_id"],
        guardian_name=form.paper_consent.guardian_name,
        sign_date=proto_dates.calendar_day(form.paper_consent.sign_date, "form.paper_consent.sign_date"),
        moment=moment,
    )
    return queries.CREATE_WITH_CONSENT, row | evidence | {"consent_state": CONSENT_STATE_GIVEN}


def _waiting_for_decision(
    stage: Stage.ValueType, form: CustomerForm, birth_date: date, today: date, deadline: datetime
) -> dict[str, Any]:
    """The columns of a registration that waits for customer service."""
    grown = full_years(birth_date, today) >= AGE_OF_OWN_DECISION
    return {
        "stage": stage,
        # Under 15 it is decided when customer service approves.
        "consent_state": CONSENT_STATE_NOT_NEEDED if grown else CONSENT_STATE_UNSPECIFIED,
        "form": to_json(form),
        "birth_date": birth_date,
        "deadline": deadline,
        "customer_id": None,
    }


def _birth_date(request: PrepareRegistrationRequest, today: date) -> tuple[date | None, list[FieldViolation]]:
    """The date of birth for the rules of age, and errors if it was given instead of a code."""
    if request.HasField("missing_personal_identity_code"):
        return missing_code_errors(request.missing_personal_identity_code, today)
    return proto_dates.birth_date(request.birth_date, today) if request.HasField("birth_date") else None, []


def _is_marked(known: Row) -> bool:
    return bool(known["customer_state"] == CUSTOMER_STATE_MARKED_FOR_DELETION)


def _require_open_unit(known: Row) -> None:
    if known["unit_kind"] is None:
        raise not_found(REASON_UNIT_NOT_FOUND)
    if known["unit_closed_at"] is not None:
        raise failed_precondition(REASON_UNIT_CLOSED)


def _made_before(known: Row, request: SaveRequest, account_id: str) -> Registration:
    """What a repeated Save made before. ALREADY_EXISTS (REQUEST_ID_REUSED) if another Save made it."""
    saved_by = (known["registrar_account_id"], known["unit_id"])
    # An ended registration has no person ID any more; a linked one has its customer's.
    same_person = known["person_id"] in {None, request.person_id} or known["stage"] in JOINED
    if saved_by != (account_id, request.unit_id) or not same_person:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return to_message(known)


def _refusal_of_known_person(known: Row, unit_id: str) -> Refusal | None:
    """The refusal of a Save for a registered person; it reveals that they are known."""
    if _is_marked(known):
        return already_exists(REASON_BEING_REGISTERED) if known["waiting"] else None
    if known["customer_unit_id"] == unit_id:
        return already_exists(REASON_ALREADY_REGISTERED_IN_THIS_UNIT)
    if known["customer_unit_id"] is not None:
        return already_exists(REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT)
    return already_exists(REASON_BEING_REGISTERED) if known["running"] else None
