"""Errors of a class list's rows: forms by the rules of a Save, and known persons."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liity.registration.v1.class_list_service_pb2 import ClassListRow, WrongField
from liity.registration.v1.unit_service_pb2 import UnitKind
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_UNIT_CLOSED,
    REASON_UNIT_NOT_FOUND,
    Reason,
)
from services.registration.class_lists import queries as sql
from services.registration.forms import proto_dates
from services.registration.forms.normalise import form_errors, normalise
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.errors import failed_precondition, not_found
from services.runtime.slices import one_by_one

CODE = "personal_identity_code"
"""The field of errors about the person."""


async def wrong_rows(engine: AsyncEngine, unit_id: str, rows: Sequence[ClassListRow]) -> list[ClassListRow]:
    """The rows with an error. Raises as `open_unit` does."""
    person_ids = [row.person_id for row in rows if row.person_id]
    async with engine.connect() as connection:
        unit_kind = await open_unit(connection, unit_id)
        of_persons = {"person_ids": person_ids}
        running = (await connection.scalars(sql.BEING_REGISTERED, of_persons)).all()
        customers = (await connection.execute(sql.KNOWN_CUSTOMERS, of_persons)).all()
    known: dict[str, Reason.ValueType] = dict.fromkeys(running, REASON_BEING_REGISTERED)
    for person_id, customer_unit_id in customers:
        own = customer_unit_id == unit_id
        known[person_id] = (
            REASON_ALREADY_REGISTERED_IN_THIS_UNIT if own else REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT
        )
    return [
        ClassListRow(row_number=row.row_number, wrong_fields=errors)
        async for row in one_by_one(rows)
        if (errors := _errors(row, unit_kind, known))
    ]


async def open_unit(connection: AsyncConnection, unit_id: str) -> UnitKind.ValueType:
    """The kind of a unit that registers customers.

    NOT_FOUND (UNIT_NOT_FOUND) if there is none; FAILED_PRECONDITION (UNIT_CLOSED) if it is closed.
    """
    unit = (await connection.execute(sql.GET_UNIT, {"unit": unit_id})).first()
    if unit is None:
        raise not_found(REASON_UNIT_NOT_FOUND)
    if unit.closed_at is not None:
        raise failed_precondition(REASON_UNIT_CLOSED)
    kind: UnitKind.ValueType = unit.kind
    return kind


def _errors(
    row: ClassListRow, unit_kind: UnitKind.ValueType, known: Mapping[str, Reason.ValueType]
) -> list[WrongField]:
    today = helsinki_day(now())
    errors = [
        WrongField(field=field, reason=reason)
        for field, reason in form_errors(
            normalise(row.form),
            birth_date=proto_dates.birth_date(row.birth_date, today) if row.HasField("birth_date") else None,
            unit_kind=unit_kind,
            today=today,
        )
    ]
    if row.person_id in known:
        errors.insert(0, WrongField(field=CODE, reason=known[row.person_id]))
    return errors
