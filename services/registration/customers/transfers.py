"""Transfers a person to another unit: the customer and all registrations (R16)."""

import uuid
from collections.abc import Sequence

from sqlalchemy import RowMapping, bindparam, case, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import (
    CheckTransferRequest,
    TransferCustomerRequest,
    TransferCustomerResponse,
)
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_CUSTOMER_HAS_ENDED,
    REASON_NOT_REGISTERED,
    REASON_REQUEST_ID_REUSED,
    REASON_TRANSFER_BY_CUSTOMER_SERVICE,
    REASON_UNIT_CLOSED,
    REASON_UNIT_NOT_FOUND,
)
from services.registration.audit.entries import use_row
from services.registration.db.mapping import told_account
from services.registration.db.models import customers, registrations, transfers, units
from services.registration.db.protected import is_protected
from services.registration.registrations import queries
from services.runtime.clock import now
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import already_exists, failed_precondition, not_found
from services.runtime.stages import BEGUN, NOT_BEGUN, UNFINISHED

_OF_PERSON = registrations.c.person_id == bindparam("person")

# Registrations before the customer: activating a registration locks them in this order.
_REGISTRATIONS = select(registrations).where(_OF_PERSON).order_by(registrations.c.created_at.desc())
_LOCK_REGISTRATIONS = _REGISTRATIONS.with_for_update()
_CUSTOMER = select(customers).where(customers.c.person_id == bindparam("person"))
_LOCK_CUSTOMER = _CUSTOMER.with_for_update()

_MADE_BEFORE = (
    select(
        transfers,
        registrations.c.person_id,
        registrations.c.customer_id,
        registrations.c.created_at,
    )
    .join(registrations, registrations.c.registration_id == transfers.c.registration_id)
    .where(transfers.c.request_id == bindparam("request"))
)
_IS_PROTECTED = select(is_protected(bindparam("person")))
_UNIT = select(units.c.unit_id, units.c.closed_at).where(units.c.unit_id == bindparam("unit"))


_MOVE_REGISTRATIONS = (
    update(registrations)
    .where(_OF_PERSON, queries.MOVES_WITH_PERSON)
    .values(
        unit_id=bindparam("unit"),
        # Who saved a registration never changes. Of a running one the mover is told from now on. Customer
        # service moves on others' behalf: then the unit's main users are.
        told_account_id=case(
            (registrations.c.stage.in_(UNFINISHED), bindparam("mover")), else_=registrations.c.told_account_id
        ),
    )
)
_MOVE_CUSTOMER = (
    update(customers)
    .where(customers.c.person_id == bindparam("person"))
    .values(unit_id=bindparam("unit"), version=customers.c.version + 1, updated_at=bindparam("moment"))
)
_INSERT_TRANSFER = insert(transfers)


async def transfer(
    connection: AsyncConnection, request: TransferCustomerRequest, *, decided: bool = False
) -> TransferCustomerResponse:
    """Transfers a person, in the connection's transaction; errors as the contract's.

    `decided`: customer service has decided so, by another call.
    """
    person = {"person": request.person_id}
    saved = (await connection.execute(_LOCK_REGISTRATIONS, person)).mappings().all()
    made = await _made_before(connection, request)
    if made is not None:
        return _to_message(made)
    if not decided:
        await _require_allowed(connection, request.person_id)
    customer = (await connection.execute(_LOCK_CUSTOMER, person)).mappings().first()
    latest = _in_force(request.unit_id, saved, customer)
    await _require_open(connection, request.unit_id)
    moment = now()
    moved = {
        "request_id": uuid.UUID(request.request_id),
        "registration_id": latest["registration_id"],
        "unit_id": request.unit_id,
        "previous_unit_id": latest["unit_id"],
        "previous_registrar_account_id": told_account(latest),
        "moved_at": moment,
    }
    place = {**person, "unit": request.unit_id}
    by_customer_service = current_actor().role == ROLE_CUSTOMER_SERVICE
    mover = "" if by_customer_service else request.registrar.account_id
    await connection.execute(_MOVE_REGISTRATIONS, {**place, "mover": mover})
    if customer is not None:
        await connection.execute(_MOVE_CUSTOMER, {**place, "moment": moment})
    await connection.execute(_INSERT_TRANSFER, moved)
    await _record_use(connection, moved, request.person_id, customer)
    return TransferCustomerResponse(
        customer_id=customer["customer_id"] if customer else "",
        registration_id=latest["registration_id"],
        registration_create_time=latest["created_at"],
        previous_unit_id=latest["unit_id"],
        previous_registrar_account_id=told_account(latest),
    )


async def check(connection: AsyncConnection, request: CheckTransferRequest) -> None:
    """Refuses what `transfer` would refuse. Locks nothing."""
    if await _made_before(connection, request) is not None:
        return
    person = {"person": request.person_id}
    saved = (await connection.execute(_REGISTRATIONS, person)).mappings().all()
    customer = (await connection.execute(_CUSTOMER, person)).mappings().first()
    _in_force(request.unit_id, saved, customer)
    await _require_open(connection, request.unit_id)
    await _require_allowed(connection, request.person_id)


async def _require_allowed(connection: AsyncConnection, person_id: str) -> None:
    """Customer service alone moves protected persons (R37)."""
    if current_actor().role != ROLE_CUSTOMER_SERVICE and await connection.scalar(
        _IS_PROTECTED, {"person": person_id}
    ):
        raise failed_precondition(REASON_TRANSFER_BY_CUSTOMER_SERVICE)


async def _require_open(connection: AsyncConnection, unit_id: str) -> None:
    unit = (await connection.execute(_UNIT, {"unit": unit_id})).first()
    if unit is None:
        raise not_found(REASON_UNIT_NOT_FOUND)
    if unit.closed_at is not None:
        raise failed_precondition(REASON_UNIT_CLOSED)


def _in_force(unit_id: str, saved: Sequence[RowMapping], customer: RowMapping | None) -> RowMapping:
    """The person's current registration; errors as the contract's if nothing can be transferred."""
    in_force = [row for row in saved if row["stage"] in (*NOT_BEGUN, *BEGUN)]
    waits = bool(in_force) and in_force[0]["stage"] in NOT_BEGUN
    if not in_force or (customer is None and not waits):
        raise not_found(REASON_NOT_REGISTERED)
    if customer is not None and customer["state"] != CUSTOMER_STATE_ACTIVE:
        raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
    if in_force[0]["unit_id"] == unit_id:
        raise already_exists(REASON_BEING_REGISTERED if waits else REASON_ALREADY_REGISTERED_IN_THIS_UNIT)
    return in_force[0]


async def _made_before(
    connection: AsyncConnection, request: TransferCustomerRequest | CheckTransferRequest
) -> RowMapping | None:
    """The transfer that the request has made, even if the person was transferred again since."""
    by_id = {"request": uuid.UUID(request.request_id)}
    made = (await connection.execute(_MADE_BEFORE, by_id)).mappings().first()
    if made is not None and (made["unit_id"], made["person_id"]) != (request.unit_id, request.person_id):
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return made


def _to_message(made: RowMapping) -> TransferCustomerResponse:
    return TransferCustomerResponse(
        customer_id=made["customer_id"] or "",
        registration_id=made["registration_id"],
        registration_create_time=made["created_at"],
        previous_unit_id=made["previous_unit_id"],
        previous_registrar_account_id=made["previous_registrar_account_id"],
    )


async def _record_use(
    connection: AsyncConnection, moved: dict[str, object], person_id: str, customer: RowMapping | None
) -> None:
    """Writes one entry for each unit, so that both logs show the transfer; each names both units."""
    subjects = {
        person_id,
        str(moved["registration_id"]),
        str(moved["unit_id"]),
        str(moved["previous_unit_id"]),
        *((customer["customer_id"],) if customer else ()),
    }
    arrival = use_row("customer:transfer", subjects)
    departure = use_row("customer:transfer-away", subjects) | {"for_unit_id": moved["previous_unit_id"]}
    await connection.execute(queries.INSERT_USE, [arrival, departure])
