"""Corrects a wrong date of birth of somebody without a personal identity code (R5, R24)."""

import uuid
from datetime import date
from typing import Any

from google.type.date_pb2 import Date
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import CorrectBirthDateRequest
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from liity.v1.reason_pb2 import (
    REASON_BIRTH_DATE_CHANGES_CONSENT,
    REASON_BIRTH_DATE_OF_CODE,
    REASON_CUSTOMER_HAS_ENDED,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_NOT_WAITING,
    REASON_REGISTRATION_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
)
from liity.v1.registration_service_pb2 import MissingPersonalIdentityCode
from services.registration.audit.entries import use_row
from services.registration.db.models import consents, customer_changes, customers, registrations, units
from services.registration.forms.normalise import form_errors, from_json
from services.registration.registrations import queries
from services.registration.rules import AGE_OF_OWN_DECISION, full_years, missing_code_violations
from services.runtime.clock import from_proto_date, helsinki_day, now
from services.runtime.rpc.errors import (
    FieldViolation,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
)
from services.runtime.stages import NOT_BEGUN

_CUSTOMER = (
    select(
        customers.c.unit_id,
        customers.c.person_id,
        customers.c.state,
        customers.c.birth_date,
        customers.c.profile,
        customers.c.version,
        units.c.kind.label("unit_kind"),
    )
    .join(units, units.c.unit_id == customers.c.unit_id)
    .where(customers.c.customer_id == bindparam("id"))
    .with_for_update(of=customers)
)
_REGISTRATION = (
    select(
        registrations.c.unit_id,
        registrations.c.person_id,
        registrations.c.stage,
        registrations.c.birth_date,
        registrations.c.form,
        registrations.c.deadline,
        registrations.c.missing_code_reason,
        units.c.kind.label("unit_kind"),
    )
    .join(units, units.c.unit_id == registrations.c.unit_id)
    .where(registrations.c.registration_id == bindparam("id"))
    .with_for_update(of=registrations)
)
_MADE_BEFORE = select(customer_changes.c.customer_id).where(
    customer_changes.c.request_id == bindparam("request")
)
_CONSENT = (
    select(consents.c.registration_id)
    .where(consents.c.customer_id == bindparam("id"), consents.c.withdrawn_at.is_(None))
    .limit(1)
)
_ACTION = "customer:correct-birth-date"


async def correct(connection: AsyncConnection, request: CorrectBirthDateRequest) -> None:
    """Corrects a date of birth, in the connection's transaction; errors as the contract's."""
    today = helsinki_day(now())
    born = _valid(request.birth_date, today)
    if request.registration_id:
        await _of_registration(connection, request, born, today)
    else:
        await _of_customer(connection, request, born, today)


def _valid(given: Date, today: date) -> date:
    """The date, by the rules of a Save without a code. INVALID_ARGUMENT if it is none."""
    violations = missing_code_violations(MissingPersonalIdentityCode(birth_date=given), today)
    errors = [each for each in violations if each.field == "birth_date"]
    if errors:
        raise invalid(errors)
    return from_proto_date(given)


async def _of_customer(
    connection: AsyncConnection, request: CorrectBirthDateRequest, born: date, today: date
) -> None:
    by_id = {"id": request.customer_id}
    row = (await connection.execute(_CUSTOMER, by_id)).mappings().first()
    if row is None or row["unit_id"] != request.unit_id:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    made = await connection.scalar(_MADE_BEFORE, {"request": uuid.UUID(request.request_id)})
    if made is not None and made != request.customer_id:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    if made is not None or row["birth_date"] == born:
        return
    if row["state"] != CUSTOMER_STATE_ACTIVE:
        raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
    is_child = full_years(born, today) < AGE_OF_OWN_DECISION
    if is_child and await connection.scalar(_CONSENT, by_id) is None:
        # Nobody has consented to this customership.
        raise failed_precondition(REASON_BIRTH_DATE_CHANGES_CONSENT)
    _require_form_fits(row, from_json(row["profile"]), born, today)
    moment, version = now(), row["version"] + 1
    await connection.execute(
        update(customers)
        .where(customers.c.customer_id == request.customer_id)
        .values(birth_date=born, version=version, updated_at=moment)
    )
    await connection.execute(
        insert(customer_changes).values(
            customer_id=request.customer_id,
            version=version,
            request_id=uuid.UUID(request.request_id),
            # No field of the form changed.
            paths=[],
            changed_at=moment,
            previous_email=None,
        )
    )
    use = use_row(_ACTION, [request.customer_id, row["person_id"]])
    await connection.execute(queries.INSERT_USE, use)


async def _of_registration(
    connection: AsyncConnection, request: CorrectBirthDateRequest, born: date, today: date
) -> None:
    row = (await connection.execute(_REGISTRATION, {"id": request.registration_id})).mappings().first()
    if row is None or row["unit_id"] != request.unit_id:
        raise not_found(REASON_REGISTRATION_NOT_FOUND)
    if row["stage"] not in NOT_BEGUN:
        raise failed_precondition(REASON_NOT_WAITING)
    if row["missing_code_reason"] is None:
        raise failed_precondition(REASON_BIRTH_DATE_OF_CODE)
    if row["birth_date"] == born:
        return
    # By this date its run waits for the guardian, or lets the child grow out of the consent.
    days = (today, helsinki_day(row["deadline"]) if row["deadline"] is not None else today)
    if any(_needs_consent(born, day) != _needs_consent(row["birth_date"], day) for day in days):
        raise failed_precondition(REASON_BIRTH_DATE_CHANGES_CONSENT)
    _require_form_fits(row, from_json(row["form"]), born, today)
    await connection.execute(
        update(registrations)
        .where(registrations.c.registration_id == request.registration_id)
        .values(birth_date=born)
    )
    use = use_row(_ACTION, [request.registration_id, row["person_id"]])
    await connection.execute(queries.INSERT_USE, use)


def _needs_consent(born: date, day: date) -> bool:
    return full_years(born, day) < AGE_OF_OWN_DECISION


def _require_form_fits(row: Any, form: CustomerForm, born: date, today: date) -> None:  # noqa: ANN401
    """INVALID_ARGUMENT with what is wrong in the form at this age, and was right at the age before."""

    def wrong(at: date | None) -> list[FieldViolation]:
        return form_errors(form, birth_date=at, unit_kind=row["unit_kind"], today=today)

    known = set(wrong(row["birth_date"]))
    errors = [error for error in wrong(born) if error not in known]
    if errors:
        raise invalid(errors)
