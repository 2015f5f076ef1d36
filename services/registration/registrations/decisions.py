"""Decisions of customer service on waiting registrations (R19, R24)."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.customer_service_pb2 import TransferCustomerRequest
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from liity.v1.reason_pb2 import (
    REASON_CUSTOMER_NOT_FOUND,
    REASON_NOT_WAITING_FOR_DECISION,
    REASON_ONE_IS_PROTECTED,
    REASON_REGISTRATION_NOT_FOUND,
    REASON_UNDO_REMOVAL_FIRST,
    REASON_UNIT_CLOSED,
)
from liity.v1.registration_pb2 import (
    CONSENT_STATE_GIVEN,
    CONSENT_STATE_NOT_NEEDED,
    STAGE_LINKED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
)
from services.registration.audit.entries import use_row
from services.registration.customers import begin as customer_begin
from services.registration.customers.transfers import transfer
from services.registration.db.mapping import consent_row, to_message
from services.registration.db.models import customers, units
from services.registration.db.protected import is_protected
from services.registration.forms import proto_dates
from services.registration.forms.normalise import from_json
from services.registration.registrations import queries
from services.registration.rules import AGE_OF_OWN_DECISION, consent_needed, day_of_age, full_years
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.rpc.errors import failed_precondition, not_found
from services.runtime.stages import BEGUN, WAITING_FOR_CUSTOMER_SERVICE

_ACTIONS = {
    STAGE_WAITING_FOR_REACTIVATION: "registration:reactivate",
    STAGE_WAITING_FOR_IDENTITY_CHECK: "registration:verify-identity",
}
"""The action of an approval in the log of use, by stage."""

_CLOSED = select(units.c.closed_at).where(units.c.unit_id == bindparam("unit"))

_CUSTOMER = select(customers, is_protected(customers.c.person_id).label("is_protected")).where(
    customers.c.customer_id == bindparam("customer"), customers.c.unit_id == bindparam("unit")
)


async def approve(
    connection: AsyncConnection, request: pb.ApproveRegistrationRequest
) -> pb.ApproveRegistrationResponse:
    """Approves a registration, in the connection's transaction; errors as the contract's."""
    by_id = {"id": request.registration_id}
    day = helsinki_day(proto_dates.moment(request.decide_time, "decide_time"))
    deadline = proto_dates.moment(request.consent_deadline, "consent_deadline")
    row = await _locked(connection, request.registration_id)
    if row["stage"] not in WAITING_FOR_CUSTOMER_SERVICE:
        return await _approved_before(connection, row)
    decision = {"decision": uuid.UUID(request.decision_request_id)}
    await connection.execute(queries.SET_DECISION, by_id | decision)
    action = _ACTIONS[row["stage"]]
    # Read again, with the decision.
    row = await _locked(connection, request.registration_id)
    if await connection.scalar(_CLOSED, {"unit": row["unit_id"]}) is not None:
        # A closed unit registers nobody: the registration must be rejected, and saved by another unit.
        raise failed_precondition(REASON_UNIT_CLOSED)
    previous = await customer_begin.previous_of(connection, row)
    moment = now()
    form, birth_date = from_json(row["form"]), row["birth_date"]
    outgrown = None
    if consent_needed(birth_date, day, form):
        change: dict[str, Any] = {"new_deadline": deadline, "now": moment}
        statement = queries.AWAIT_CONSENT
        outgrown = to_proto_date(day_of_age(birth_date, AGE_OF_OWN_DECISION))
    else:
        customer_id = await customer_begin.begin(connection, row, moment)
        grown = full_years(birth_date, day) >= AGE_OF_OWN_DECISION
        if not grown:
            await _insert_paper_consent(connection, row, form, customer_id, moment)
        change = {
            "new_consent_state": CONSENT_STATE_NOT_NEEDED if grown else CONSENT_STATE_GIVEN,
            "new_customer_id": customer_id,
            "now": moment,
        }
        statement = queries.ACTIVATE
    changed = (await connection.execute(statement, by_id | change)).mappings().one()
    subjects = {row["registration_id"], row["person_id"], changed["customer_id"]} - {None}
    await connection.execute(queries.INSERT_USE, use_row(action, subjects))
    return pb.ApproveRegistrationResponse(
        registration=to_message(changed), consent_outgrown_date=outgrown, previous=previous
    )


async def link(
    connection: AsyncConnection, request: pb.LinkRegistrationRequest
) -> pb.LinkRegistrationResponse:
    """Links a registration to an existing customer and ends it; errors as the contract's."""
    row = await _locked(connection, request.registration_id)
    if row["stage"] == STAGE_LINKED and str(row["decision_request_id"]) == request.decision_request_id:
        previous = await customer_begin.moved_by(connection, request.decision_request_id)
        return pb.LinkRegistrationResponse(registration=to_message(row), previous=previous)
    if row["stage"] != STAGE_WAITING_FOR_IDENTITY_CHECK:
        raise failed_precondition(REASON_NOT_WAITING_FOR_DECISION)
    whom = {"customer": request.customer_id, "unit": request.unit_id}
    customer = (await connection.execute(_CUSTOMER, whom)).mappings().first()
    if customer is None:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    if customer["state"] != CUSTOMER_STATE_ACTIVE:
        raise failed_precondition(REASON_UNDO_REMOVAL_FIRST)
    if row["is_protected"] and not customer["is_protected"]:
        # The registration's mark would end with it (R37).
        raise failed_precondition(REASON_ONE_IS_PROTECTED)
    if customer["unit_id"] != row["unit_id"]:
        move = TransferCustomerRequest(
            request_id=request.decision_request_id,
            person_id=customer["person_id"],
            unit_id=row["unit_id"],
            registrar=pb.Registrar(
                account_id=row["registrar_account_id"], display_name=row["registrar_display_name"]
            ),
        )
        await transfer(connection, move, decided=True)
    change = {
        "id": request.registration_id,
        "new_person_id": customer["person_id"],
        "new_customer_id": customer["customer_id"],
        "decision": uuid.UUID(request.decision_request_id),
        "now": now(),
    }
    linked = (await connection.execute(queries.LINK, change)).mappings().one()
    subjects = {row["registration_id"], row["person_id"], customer["person_id"], customer["customer_id"]}
    await connection.execute(queries.INSERT_USE, use_row("registration:link", subjects))
    previous = await customer_begin.moved_by(connection, request.decision_request_id)
    return pb.LinkRegistrationResponse(registration=to_message(linked), previous=previous)


async def _approved_before(connection: AsyncConnection, row: RowMapping) -> pb.ApproveRegistrationResponse:
    if row["stage"] == STAGE_WAITING_FOR_CONSENT and row["decision_request_id"] is not None:
        return pb.ApproveRegistrationResponse(
            registration=to_message(row),
            consent_outgrown_date=to_proto_date(_birthday(row)),
            previous=await customer_begin.previous_of(connection, row),
        )
    if row["stage"] in BEGUN and row["decision_request_id"] is not None:
        previous = await customer_begin.moved_by(connection, str(row["decision_request_id"]))
        return pb.ApproveRegistrationResponse(registration=to_message(row), previous=previous)
    raise failed_precondition(REASON_NOT_WAITING_FOR_DECISION)


def _birthday(row: RowMapping) -> date:
    return day_of_age(row["birth_date"], AGE_OF_OWN_DECISION)


async def _locked(connection: AsyncConnection, registration_id: str) -> RowMapping:
    by_id = {"id": registration_id}
    row = (await connection.execute(queries.GET_FOR_CHANGE, by_id)).mappings().first()
    if row is None:
        raise not_found(REASON_REGISTRATION_NOT_FOUND)
    return row


async def _insert_paper_consent(
    connection: AsyncConnection, row: RowMapping, form: CustomerForm, customer_id: str, moment: datetime
) -> None:
    evidence = consent_row(
        pb.ConsentEvidence(method=pb.ConsentEvidence.METHOD_PAPER, recorded_by=row["registrar_account_id"]),
        registration_id=row["registration_id"],
        customer_id=customer_id,
        guardian_name=form.paper_consent.guardian_name,
        sign_date=proto_dates.calendar_day(form.paper_consent.sign_date, "form.paper_consent.sign_date"),
        moment=moment,
    )
    await connection.execute(queries.INSERT_CONSENT, evidence)
