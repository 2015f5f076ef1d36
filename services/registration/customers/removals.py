"""Ends a customership and undoes that (R19): the customer is marked, hidden, and kept until erasure (R20)."""

import uuid
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import RowMapping, Uuid, bindparam, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import (
    CheckConsentWithdrawalRequest,
    EndCustomershipRequest,
    UndoRemovalRequest,
)
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, CUSTOMER_KIND_ONLINE
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.reason_pb2 import (
    REASON_CONSENT_WITHDRAWN,
    REASON_CUSTOMER_HAS_ENDED,
    REASON_CUSTOMER_NOT_ENDED,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_NO_CONSENT_TO_WITHDRAW,
    REASON_REGISTRATION_UNDECIDED,
    REASON_REQUEST_ID_REUSED,
)
from liity.v1.registration_pb2 import STAGE_WELCOMED
from services.registration.audit.entries import use_row
from services.registration.customers.merges import MERGES
from services.registration.db.mapping import Row
from services.registration.db.models import consents, customers, registrations, removals
from services.registration.registrations import guardians, queries
from services.registration.rules import AGE_OF_OWN_DECISION, full_years
from services.runtime.clock import helsinki_day, now
from services.runtime.guardians import FIRST_GUARDIAN
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import already_exists, failed_precondition, not_found
from services.runtime.stages import NOT_BEGUN, STARTING

_BY_ID = customers.c.customer_id == bindparam("id")

_PERSON = select(customers.c.person_id).where(_BY_ID)

# Registrations before the customer: activating a registration locks them in this order.
_LOCK_REGISTRATIONS = (
    select(
        registrations.c.registration_id,
        registrations.c.customer_id,
        registrations.c.stage,
        registrations.c.deadline,
    )
    .where(registrations.c.person_id == bindparam("person"))
    .order_by(registrations.c.created_at.desc())
    .with_for_update()
)
_LOCK_CUSTOMER = select(customers, MERGES).where(_BY_ID).with_for_update()

_ENDED_BEFORE = select(removals).where(removals.c.request_id == bindparam("request"))
_UNDONE_BEFORE = select(removals).where(removals.c.undo_request_id == bindparam("request"))

_MARK = (
    update(customers)
    .where(_BY_ID)
    .values(
        state=CUSTOMER_STATE_MARKED_FOR_DELETION,
        ended_at=bindparam("moment"),
        updated_at=bindparam("moment"),
        version=customers.c.version + 1,
        # A CD borrower counts as having borrowed discs, however they became one.
        lent=or_(customers.c.lent, customers.c.kind == CUSTOMER_KIND_CD_BORROWER),
    )
    .returning(*customers.c)
)


# They must not go on, and the person can be registered anew.
_COMPLETE_REGISTRATIONS = (
    update(registrations)
    .where(
        registrations.c.customer_id == bindparam("id"),
        registrations.c.stage.in_(STARTING),
    )
    .values(stage=STAGE_WELCOMED, deadline=None, updated_at=bindparam("moment"))
)
_INSERT_REMOVAL = insert(removals)

_UNMARK = (
    update(customers)
    .where(_BY_ID)
    .values(
        state=CUSTOMER_STATE_ACTIVE,
        ended_at=None,
        updated_at=bindparam("moment"),
        version=customers.c.version + 1,
    )
    .returning(*customers.c)
)
_MARK_UNDONE = (
    update(removals)
    .where(removals.c.customer_id == bindparam("id"), removals.c.ended_at == bindparam("ended"))
    .values(undone_at=bindparam("moment"), undo_request_id=bindparam("request", type_=Uuid))
    .returning(*removals.c)
)
_RESUME = (
    update(registrations)
    .where(
        registrations.c.registration_id == bindparam("interrupted"), registrations.c.stage == STAGE_WELCOMED
    )
    .values(
        stage=bindparam("resumed_stage"),
        deadline=bindparam("resumed_deadline"),
        updated_at=bindparam("moment"),
    )
)
_RESUMED = select(registrations.c.registration_id).where(
    registrations.c.registration_id == bindparam("interrupted"),
    registrations.c.kind == CUSTOMER_KIND_ONLINE,
    registrations.c.stage.in_(STARTING),
)
_SAVED_ANEW = select(
    exists().where(registrations.c.person_id == bindparam("person"), registrations.c.stage.in_(NOT_BEGUN))
)

# The consent that the customership rests on: the last one given.
_STANDING_CONSENT = (
    select(consents.c.registration_id)
    .where(consents.c.customer_id == bindparam("id"), consents.c.withdrawn_at.is_(None))
    .order_by(consents.c.recorded_at.desc())
    .limit(1)
)
_WITHDRAWN = select(consents.c.withdrawn_at).where(consents.c.registration_id == bindparam("withdrawn"))
_CUSTOMER = select(customers).where(_BY_ID)
_WITHDRAW_CONSENT = (
    update(consents)
    .where(consents.c.registration_id == bindparam("withdrawn"))
    .values(withdrawn_at=bindparam("moment"))
)
_ENDED_BY_WITHDRAWAL = select(
    exists().where(consents.c.customer_id == bindparam("id"), consents.c.withdrawn_at == bindparam("ended"))
)

_REPORT_LOAN = (
    update(customers)
    .where(_BY_ID, ~customers.c.lent)
    .values(lent=True)
    .returning(customers.c.customer_id, customers.c.person_id)
)


async def end(connection: AsyncConnection, request: EndCustomershipRequest) -> dict[str, Any]:
    """Marks a customer for deletion, in the connection's transaction; errors as the contract's."""
    by_id = {"id": request.customer_id}
    customer, saved = await _lock(connection, request.customer_id)
    registration_id = next((row["registration_id"] for row in saved), None)
    if request.unit_id not in {"", customer["unit_id"]}:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    request_id = uuid.UUID(request.request_id)
    made = (await connection.execute(_ENDED_BEFORE, {"request": request_id})).mappings().first()
    if made is not None:
        _require_same(made, request.customer_id, customer["ended_at"])
        return {**customer, "registration_id": registration_id}
    if customer["state"] != CUSTOMER_STATE_ACTIVE:
        raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
    moment = now()
    if request.withdrawn_registration_id:
        await _withdraw_consent(connection, customer, request, moment)
    marked = (await connection.execute(_MARK, {**by_id, "moment": moment})).mappings().one()
    await connection.execute(_COMPLETE_REGISTRATIONS, {**by_id, "moment": moment})
    removal = {
        "request_id": request_id,
        "customer_id": request.customer_id,
        "ended_at": moment,
        "ended_by": current_actor().kind,
        "reason": request.reason,
        **_interrupted(saved),
    }
    await connection.execute(_INSERT_REMOVAL, removal)
    use = use_row("customership:end", [request.customer_id, customer["person_id"]])
    await connection.execute(queries.INSERT_USE, use)
    return {**customer, **marked, "registration_id": registration_id}


async def undo(connection: AsyncConnection, request: UndoRemovalRequest) -> tuple[dict[str, Any], str]:
    """Undoes a removal, in the connection's transaction; errors as the contract's.

    Returns the customer, and the registration whose welcome is still to come; empty if there is none.
    """
    customer, saved = await _lock(connection, request.customer_id)
    registration_id = next((row["registration_id"] for row in saved), None)
    request_id = uuid.UUID(request.request_id)
    made = (await connection.execute(_UNDONE_BEFORE, {"request": request_id})).mappings().first()
    if made is not None:
        if made["customer_id"] != request.customer_id or customer["state"] != CUSTOMER_STATE_ACTIVE:
            raise already_exists(REASON_REQUEST_ID_REUSED)
        return {**customer, "registration_id": registration_id}, await _resumed(connection, made)
    if customer["state"] != CUSTOMER_STATE_MARKED_FOR_DELETION:
        raise failed_precondition(REASON_CUSTOMER_NOT_ENDED)
    withdrawn = {"id": request.customer_id, "ended": customer["ended_at"]}
    if _is_child(customer["birth_date"]) and await connection.scalar(_ENDED_BY_WITHDRAWAL, withdrawn):
        raise failed_precondition(REASON_CONSENT_WITHDRAWN)
    # Checked after the customer is locked: a Save locks the registrations before it adds one.
    if await connection.scalar(_SAVED_ANEW, {"person": customer["person_id"]}):
        raise failed_precondition(REASON_REGISTRATION_UNDECIDED)
    moment = now()
    change = {"id": request.customer_id, "moment": moment}
    undone = {**change, "ended": customer["ended_at"], "request": request_id}
    removal = (await connection.execute(_MARK_UNDONE, undone)).mappings().first() or _interrupted(())
    await _resume(connection, removal, moment)
    unmarked = (await connection.execute(_UNMARK, change)).mappings().one()
    use = use_row("customership:undo", [request.customer_id, customer["person_id"]])
    await connection.execute(queries.INSERT_USE, use)
    resumed = await _resumed(connection, removal)
    return {**customer, **unmarked, "registration_id": registration_id}, resumed


async def record_return(
    connection: AsyncConnection, customer_id: str, ended_at: datetime, moment: datetime
) -> None:
    """Records that a new registration has undone a removal (R19)."""
    undone = {"id": customer_id, "ended": ended_at, "moment": moment, "request": None}
    await connection.execute(_MARK_UNDONE, undone)


async def report_loan(connection: AsyncConnection, customer_id: str) -> None:
    """Records that the customer has borrowed something, once. NOT_FOUND (CUSTOMER_NOT_FOUND)."""
    by_id = {"id": customer_id}
    lent = (await connection.execute(_REPORT_LOAN, by_id)).first()
    if lent is not None:
        await connection.execute(queries.INSERT_USE, use_row("customer:report-loan", lent))
    elif await connection.scalar(_PERSON, by_id) is None:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)


async def _withdraw_consent(
    connection: AsyncConnection, customer: RowMapping, request: EndCustomershipRequest, moment: datetime
) -> None:
    """Records that the guardian withdrew the consent (R38). FAILED_PRECONDITION (NO_CONSENT_TO_WITHDRAW)."""
    registration_id = request.withdrawn_registration_id
    guardian = request.withdrawn_guardian or FIRST_GUARDIAN
    await _require_standing(connection, customer, registration_id, guardian)
    await connection.execute(_WITHDRAW_CONSENT, {"withdrawn": registration_id, "moment": moment})
    await guardians.withdraw(connection, registration_id, guardian, moment)
    use = use_row("consent:withdraw", [registration_id, customer["customer_id"], customer["person_id"]])
    await connection.execute(queries.INSERT_USE, use)


async def check_withdrawal(connection: AsyncConnection, request: CheckConsentWithdrawalRequest) -> None:
    """Refuses a withdrawal that `end` would refuse; one that was made is fine."""
    customer = (await connection.execute(_CUSTOMER, {"id": request.customer_id})).mappings().first()
    if customer is None:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    if await connection.scalar(_WITHDRAWN, {"withdrawn": request.registration_id}) is not None:
        return
    if customer["state"] != CUSTOMER_STATE_ACTIVE:
        raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
    guardian = request.guardian or FIRST_GUARDIAN
    await _require_standing(connection, customer, request.registration_id, guardian)


async def _require_standing(
    connection: AsyncConnection, customer: RowMapping, registration_id: str, guardian: int
) -> None:
    """Refuses if the customership does not rest on the guardian's consent, or no longer on any."""
    standing = await connection.scalar(_STANDING_CONSENT, {"id": customer["customer_id"]})
    stands = standing == registration_id and _is_child(customer["birth_date"])
    # Who does not agree to the other guardian's consent cannot withdraw it (R39).
    if not (stands and await guardians.may_withdraw(connection, registration_id, guardian)):
        raise failed_precondition(REASON_NO_CONSENT_TO_WITHDRAW)


def _is_child(birth_date: date | None) -> bool:
    """Whether a guardian decides for a customer of this birth date (R8)."""
    return birth_date is not None and full_years(birth_date, helsinki_day(now())) < AGE_OF_OWN_DECISION


async def _lock(connection: AsyncConnection, customer_id: str) -> tuple[RowMapping, Sequence[RowMapping]]:
    """Locks the customer and their registrations, newest first. NOT_FOUND (CUSTOMER_NOT_FOUND)."""
    by_id = {"id": customer_id}
    person = {"person": await connection.scalar(_PERSON, by_id)}
    saved = (await connection.execute(_LOCK_REGISTRATIONS, person)).mappings().all()
    customer = (await connection.execute(_LOCK_CUSTOMER, by_id)).mappings().first()
    if customer is None:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    return customer, [row for row in saved if row["customer_id"] == customer_id]


def _interrupted(saved: Sequence[RowMapping]) -> dict[str, Any]:
    """Columns of the registration that the removal interrupts: a person has one at most (R18)."""
    under_way = next((row for row in saved if row["stage"] in STARTING), None)
    return {
        "interrupted_registration_id": under_way and under_way["registration_id"],
        "interrupted_stage": under_way and under_way["stage"],
        "interrupted_deadline": under_way and under_way["deadline"],
    }


async def _resume(connection: AsyncConnection, removal: Row, moment: datetime) -> None:
    """Resumes the interrupted registration at its former stage."""
    resumption = {
        "interrupted": removal["interrupted_registration_id"],
        "resumed_stage": removal["interrupted_stage"],
        "resumed_deadline": removal["interrupted_deadline"],
        "moment": moment,
    }
    await connection.execute(_RESUME, resumption)


async def _resumed(connection: AsyncConnection, removal: Row) -> str:
    interrupted = {"interrupted": removal["interrupted_registration_id"]}
    return await connection.scalar(_RESUMED, interrupted) or ""


def _require_same(made: RowMapping, customer_id: str, ended_at: datetime | None) -> None:
    """ALREADY_EXISTS (REQUEST_ID_REUSED) if the request ended another customership, or one since resumed."""
    if made["customer_id"] != customer_id or made["ended_at"] != ended_at:
        raise already_exists(REASON_REQUEST_ID_REUSED)
