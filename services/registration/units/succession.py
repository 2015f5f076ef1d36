"""Moves all that a closed unit has to its successor, in batches (R41)."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    String,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.unit_service_pb2 import (
    CloseUnitRequest,
    ListUnitPersonsResponse,
    MoveUnitPersonsResponse,
)
from liity.v1.class_list_service_pb2 import CLASS_LIST_STATE_RECEIVED, CLASS_LIST_STATE_RUNNING
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from liity.v1.message_service_pb2 import MESSAGE_STATE_OPEN
from liity.v1.reason_pb2 import (
    REASON_UNIT_CLOSED,
    REASON_UNIT_HAS_SUCCESSOR,
    REASON_UNIT_NOT_FOUND,
    REASON_UNKNOWN_VALUE,
)
from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT
from services.registration.audit.entries import use_row
from services.registration.db.mapping import told_account
from services.registration.db.models import class_lists, customers, messages, registrations, transfers, units
from services.registration.registrations import queries
from services.runtime.clock import now
from services.runtime.rpc.errors import FieldViolation, failed_precondition, invalid, not_found
from services.runtime.stages import BEGUN, NOT_BEGUN, UNFINISHED, WAITING_FOR_CUSTOMER_SERVICE

_SOME = 500
"""Rows without a person that one call moves."""

_LOCK_UNITS = (
    select(*units.c)
    .where(units.c.unit_id.in_([bindparam("unit"), bindparam("successor")]))
    .order_by(units.c.unit_id)
    .with_for_update(key_share=True)
)
_CLOSE = (
    update(units)
    .where(units.c.unit_id == bindparam("unit"))
    .values(
        version=units.c.version + 1,
        closed_at=func.coalesce(units.c.closed_at, bindparam("moment")),
        successor_unit_id=bindparam("successor", type_=String),
    )
    .returning(*units.c)
)
_UNIT = select(*units.c).where(units.c.unit_id == bindparam("unit"))
# Waits for transactions that still store rows of the unit: their foreign keys hold a lock on it.
_LOCK_UNIT = _UNIT.with_for_update()

_PERSONS = bindparam("persons", type_=ARRAY(String))
_HERE = registrations.c.unit_id == bindparam("unit")
_HERE_OF_PERSONS = and_(_HERE, registrations.c.person_id == func.any(_PERSONS))

_NEXT_PERSONS = (
    select(registrations.c.person_id)
    .where(_HERE, registrations.c.person_id.is_not(None))
    .union(
        select(customers.c.person_id).where(
            customers.c.unit_id == bindparam("unit"),
            customers.c.state == literal(int(CUSTOMER_STATE_ACTIVE), literal_execute=True),
        )
    )
    .limit(bindparam("most"))
)
_ABOUT_PERSONS = (
    select(
        func.unnest(_PERSONS).label("person_id"),
    )
    .subquery()
    .alias("wanted")
)
_RUNNING = exists().where(
    registrations.c.person_id == _ABOUT_PERSONS.c.person_id, registrations.c.stage.in_(UNFINISHED)
)
_DESCRIBE_PERSONS = select(
    _ABOUT_PERSONS.c.person_id,
    customers.c.customer_id,
    _RUNNING.label("is_running"),
    (customers.c.profile["temporary"].as_string() == "true").label("is_temporary"),
).select_from(
    _ABOUT_PERSONS.outerjoin(customers, customers.c.person_id == _ABOUT_PERSONS.c.person_id),
)

# Registrations before customers, in the order of transfers and merges.
_LOCK_REGISTRATIONS = (
    select(registrations)
    .where(_HERE_OF_PERSONS)
    .order_by(registrations.c.created_at.desc(), registrations.c.registration_id)
    .with_for_update()
)
_LOCK_CUSTOMERS = (
    select(customers.c.customer_id, customers.c.person_id)
    .where(customers.c.unit_id == bindparam("unit"), customers.c.person_id == func.any(_PERSONS))
    .order_by(customers.c.customer_id)
    .with_for_update()
)
_MOVE_REGISTRATIONS = update(registrations).where(_HERE_OF_PERSONS).values(unit_id=bindparam("successor"))
_MOVE_CUSTOMERS = (
    update(customers)
    .where(customers.c.unit_id == bindparam("unit"), customers.c.person_id == func.any(_PERSONS))
    .values(unit_id=bindparam("successor"), version=customers.c.version + 1, updated_at=bindparam("moment"))
)
_COUNT_MOVED = (
    update(units)
    .where(units.c.unit_id == bindparam("unit"))
    .values(moved_persons=units.c.moved_persons + bindparam("number"))
    .returning(units.c.moved_persons)
)
_END = (
    update(units)
    .where(units.c.unit_id == bindparam("unit"))
    .values(move_ended_at=func.coalesce(units.c.move_ended_at, bindparam("moment")))
)


def _move_some(table: Table, key: str, *condition: ColumnElement[bool]) -> Any:  # noqa: ANN401
    some = select(table.c[key]).where(table.c.unit_id == bindparam("unit"), *condition).limit(_SOME)
    return (
        update(table)
        .where(table.c[key].in_(some.scalar_subquery()), table.c.unit_id == bindparam("unit"))
        .values(unit_id=bindparam("successor"))
    )


_MOVE_CLASS_LISTS = (
    update(class_lists)
    .where(class_lists.c.unit_id == bindparam("unit"))
    .values(unit_id=bindparam("successor"))
)
_MOVE_REST = (
    _move_some(registrations, "registration_id", registrations.c.person_id.is_(None)),
    _move_some(messages, "message_id"),
    _MOVE_CLASS_LISTS,
)


async def close(connection: AsyncConnection, request: CloseUnitRequest) -> RowMapping:
    """Closes a unit that has a successor, in the connection's transaction; errors as the contract's."""
    if request.successor_unit_id == request.unit_id:
        raise invalid([FieldViolation("successor", REASON_UNKNOWN_VALUE)])
    which = {"unit": request.unit_id, "successor": request.successor_unit_id}
    rows = {row["unit_id"]: row for row in (await connection.execute(_LOCK_UNITS, which)).mappings()}
    if len(rows) != len(which):
        raise not_found(REASON_UNIT_NOT_FOUND)
    unit, successor = rows[request.unit_id], rows[request.successor_unit_id]
    if unit["successor_unit_id"] is not None:
        if unit["successor_unit_id"] != request.successor_unit_id:
            raise failed_precondition(REASON_UNIT_HAS_SUCCESSOR)
        return unit
    if successor["closed_at"] is not None:
        raise failed_precondition(REASON_UNIT_CLOSED)
    closed = (await connection.execute(_CLOSE, {**which, "moment": now()})).mappings().one()
    # At once: the rows of a list that is being registered would be refused.
    await connection.execute(_MOVE_CLASS_LISTS, which)
    return closed


async def next_persons(connection: AsyncConnection, unit_id: str, most: int) -> ListUnitPersonsResponse:
    """The next persons of a unit, in no order."""
    found = (await connection.execute(_NEXT_PERSONS, {"unit": unit_id, "most": most})).scalars().all()
    described = await connection.execute(_DESCRIBE_PERSONS, {"persons": list(found)})
    return ListUnitPersonsResponse(
        persons=[
            ListUnitPersonsResponse.Person(
                person_id=row["person_id"],
                customer_id=row["customer_id"] or "",
                is_running=row["is_running"],
                is_temporary=row["is_temporary"] or False,
            )
            for row in described.mappings()
        ]
    )


async def move(
    connection: AsyncConnection, unit_id: str, person_ids: Sequence[str]
) -> MoveUnitPersonsResponse:
    """Moves persons, or some of the rest, in the connection's transaction; errors as the contract's."""
    if person_ids:
        successor_id = await _successor(connection, unit_id)
        moved = await _move_persons(connection, unit_id, successor_id, list(person_ids))
        return MoveUnitPersonsResponse(moved_persons=moved)
    await connection.execute(_LOCK_UNIT, {"unit": unit_id})
    which = {"unit": unit_id, "successor": await _successor(connection, unit_id)}
    is_done = not (await connection.execute(_NEXT_PERSONS, {"unit": unit_id, "most": 1})).first()
    for statement in _MOVE_REST:
        moved_rows = (await connection.execute(statement, which)).rowcount
        is_done = is_done and moved_rows < _SOME
    if is_done:
        await connection.execute(_END, {"unit": unit_id, "moment": now()})
    unit = (await connection.execute(_UNIT, {"unit": unit_id})).mappings().one()
    return MoveUnitPersonsResponse(moved_persons=unit["moved_persons"], is_done=is_done)


async def _successor(connection: AsyncConnection, unit_id: str) -> str:
    """The unit to move to: the successor, or the successor's own if that has closed meanwhile."""
    unit = (await connection.execute(_UNIT, {"unit": unit_id})).mappings().first()
    if unit is None:
        raise not_found(REASON_UNIT_NOT_FOUND)
    if unit["successor_unit_id"] is None:
        raise failed_precondition(REASON_UNIT_CLOSED)
    return await final_unit(connection, unit_id)


async def final_unit(connection: AsyncConnection, unit_id: str) -> str:
    """The unit that has taken over from a unit and its successors; the unit itself if none has."""
    while True:
        unit = (await connection.execute(_UNIT, {"unit": unit_id})).mappings().one()
        if unit["successor_unit_id"] is None:
            return unit_id
        # Ends: a successor was open when it was named, so that no unit leads back to itself.
        unit_id = unit["successor_unit_id"]


async def _move_persons(
    connection: AsyncConnection, unit_id: str, successor_id: str, person_ids: list[str]
) -> int:
    """Moves persons with a row for each in the history and two in the log of use. Persons moved so far."""
    moment = now()
    which = {"unit": unit_id, "successor": successor_id, "persons": person_ids}
    saved = (await connection.execute(_LOCK_REGISTRATIONS, which)).mappings().all()
    by_person = {row.person_id: row.customer_id for row in await connection.execute(_LOCK_CUSTOMERS, which)}
    await connection.execute(_MOVE_REGISTRATIONS, which)
    await connection.execute(_MOVE_CUSTOMERS, {**which, "moment": moment})
    latest: dict[str, RowMapping] = {}
    for row in saved:
        if row["stage"] in (*NOT_BEGUN, *BEGUN):
            latest.setdefault(row["person_id"], row)
    if latest:
        await connection.execute(
            insert(transfers),
            [
                {
                    "request_id": uuid.uuid4(),
                    "registration_id": row["registration_id"],
                    "unit_id": successor_id,
                    "previous_unit_id": unit_id,
                    "previous_registrar_account_id": told_account(row),
                    "moved_at": moment,
                }
                for row in latest.values()
            ],
        )
    moved = by_person.keys() | {row["person_id"] for row in saved}
    uses = []
    for person_id in sorted(moved):
        ids = {row["registration_id"] for row in saved if row["person_id"] == person_id}
        customer = {by_person[person_id]} if person_id in by_person else set()
        subjects = {person_id, *ids, *customer, unit_id, successor_id}
        uses.append(use_row("customer:transfer", subjects) | {"for_unit_id": successor_id})
        uses.append(use_row("customer:transfer-away", subjects) | {"for_unit_id": unit_id})
    if uses:
        await connection.execute(queries.INSERT_USE, uses)
    counted = await connection.scalar(_COUNT_MOVED, {"unit": unit_id, "number": len(moved)})
    return int(counted or 0)


def figures(unit_id: str) -> Select[Any]:
    """The figures of a unit: what a move would move, and how far it is. No row if there is no such unit."""

    def number(table: Table, name: str, *condition: ColumnElement[bool]) -> ColumnElement[int]:
        count = select(func.count()).select_from(table).where(table.c.unit_id == unit_id, *condition)
        return count.scalar_subquery().label(name)

    in_force = _one_of(customers.c.state, CUSTOMER_STATE_ACTIVE)
    return select(
        *units.c,
        number(customers, "customers", in_force),
        number(
            registrations, "waiting_for_consent", _one_of(registrations.c.stage, STAGE_WAITING_FOR_CONSENT)
        ),
        number(
            registrations,
            "waiting_for_customer_service",
            _one_of(registrations.c.stage, *WAITING_FOR_CUSTOMER_SERVICE),
        ),
        number(
            customers, "temporary_needs", in_force, customers.c.profile["temporary"].as_string() == "true"
        ),
        number(messages, "open_messages", _one_of(messages.c.state, MESSAGE_STATE_OPEN)),
        number(
            class_lists,
            "unfinished_class_lists",
            _one_of(class_lists.c.state, CLASS_LIST_STATE_RECEIVED, CLASS_LIST_STATE_RUNNING),
        ),
    ).where(units.c.unit_id == unit_id)


def _one_of(column: ColumnElement[int], *values: int) -> ColumnElement[bool]:
    # Literals: the planner needs them to use partial indexes.
    return or_(*(column == literal(int(value), literal_execute=True) for value in values))
