"""Begins a customership, or begins it anew for a person marked for deletion (R19)."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.registration_service_pb2 import PreviousCustomership
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.reason_pb2 import REASON_CUSTOMER_NOT_ENDED
from services.registration.audit.entries import use_row
from services.registration.customers import removals
from services.registration.db.mapping import customer_row
from services.registration.db.models import (
    customer_changes,
    customer_names,
    customers,
    registrations,
    transfers,
)
from services.registration.forms.normalise import from_json
from services.registration.registrations import queries
from services.runtime.rpc.errors import failed_precondition
from services.runtime.stages import BEGUN

_FORGET_NAMES = delete(customer_names).where(customer_names.c.customer_id == bindparam("customer"))
_CHANGE_CUSTOMER = update(customers).where(customers.c.customer_id == bindparam("customer"))
_INSERT_CHANGE = insert(customer_changes)
_INSERT_TRANSFER = insert(transfers)

_BEFORE = (
    select(registrations)
    .where(registrations.c.person_id == bindparam("person"), registrations.c.stage.in_(BEGUN))
    .order_by(registrations.c.created_at.desc())
    .limit(1)
)
_MOVE_REGISTRATIONS = (
    update(registrations)
    .where(registrations.c.person_id == bindparam("person"), queries.MOVES_WITH_PERSON)
    .values(unit_id=bindparam("unit"))
)
_MOVED = (
    select(transfers, registrations.c.created_at)
    .join(registrations, registrations.c.registration_id == transfers.c.registration_id)
    .where(transfers.c.request_id == bindparam("request"))
)


async def begin(connection: AsyncConnection, row: RowMapping, moment: datetime) -> str:
    """Creates the customer of a waiting registration, and returns the customer's ID.

    For a person marked for deletion it is the same customer: the new form applies, and they move to the
    registration's unit. FAILED_PRECONDITION (CUSTOMER_NOT_ENDED) for an active customer: an older form must
    not replace newer data.
    """
    customer = customer_row(
        from_json(row["form"]),
        person_id=row["person_id"],
        unit_id=row["unit_id"],
        birth_date=row["birth_date"],
        moment=moment,
    )
    search_keys = customer.pop("search_keys")
    person = {"person": row["person_id"]}
    known = (await connection.execute(queries.GET_CUSTOMER_FOR_CHANGE, person)).mappings().first()
    if known is None:
        await connection.execute(queries.INSERT_CUSTOMER, customer)
    elif known["state"] != CUSTOMER_STATE_MARKED_FOR_DELETION:
        raise failed_precondition(REASON_CUSTOMER_NOT_ENDED)
    else:
        customer["customer_id"] = known["customer_id"]
        await _begin_anew(connection, row, known, customer)
    found_by = {
        "customer_id": customer["customer_id"],
        "unit_id": customer["unit_id"],
        "search_keys": search_keys,
    }
    await connection.execute(queries.INSERT_NAMES, found_by)
    return str(customer["customer_id"])


async def previous_of(connection: AsyncConnection, row: RowMapping) -> PreviousCustomership | None:
    """The customership in another unit that a registration would bring back; None if there is none."""
    person = {"person": row["person_id"]}
    known = (await connection.execute(queries.GET_CUSTOMER_FOR_CHANGE, person)).mappings().first()
    before = (await connection.execute(_BEFORE, person)).mappings().first()
    if known is None or before is None or known["unit_id"] == row["unit_id"]:
        return None
    return PreviousCustomership(
        unit_id=known["unit_id"],
        registration_id=before["registration_id"],
        registration_create_time=before["created_at"],
        registrar_account_id=before["registrar_account_id"],
    )


async def moved_by(connection: AsyncConnection, request_id: str) -> PreviousCustomership | None:
    """The unit from which a call has moved a customer; None if it moved none."""
    moved = (await connection.execute(_MOVED, {"request": uuid.UUID(request_id)})).mappings().first()
    if moved is None:
        return None
    return PreviousCustomership(
        unit_id=moved["previous_unit_id"],
        registration_id=moved["registration_id"],
        registration_create_time=moved["created_at"],
        registrar_account_id=moved["previous_registrar_account_id"],
    )


async def _begin_anew(
    connection: AsyncConnection, row: RowMapping, known: RowMapping, customer: dict[str, Any]
) -> None:
    previous = await previous_of(connection, row)
    changed = customer | {
        "version": known["version"] + 1,
        "created_at": known["created_at"],
        # A loan once made stays recorded (R20).
        "lent": known["lent"] or customer["lent"],
    }
    customer_id = changed.pop("customer_id")
    await removals.record_return(connection, customer_id, known["ended_at"], changed["updated_at"])
    # The search keys are replaced: they need not move to the new unit.
    await connection.execute(_FORGET_NAMES, {"customer": customer_id})
    await connection.execute(_CHANGE_CUSTOMER.values(**changed), {"customer": customer_id})
    change = {
        "customer_id": customer_id,
        "version": changed["version"],
        "request_id": uuid.uuid4(),
        "paths": [field.name for field in CustomerForm.DESCRIPTOR.fields],
        "changed_at": changed["updated_at"],
        # A confirmation link mailed before the end must not confirm another address.
        "previous_email": known["email"] if changed["email"] != known["email"] else None,
    }
    await connection.execute(_INSERT_CHANGE, change)
    if previous is not None:
        await _move(connection, row, previous, customer_id, changed["updated_at"])


async def _move(
    connection: AsyncConnection,
    row: RowMapping,
    previous: PreviousCustomership,
    customer_id: str,
    moment: datetime,
) -> None:
    place = {"person": row["person_id"], "unit": row["unit_id"]}
    await connection.execute(_MOVE_REGISTRATIONS, place)
    moved = {
        "request_id": row["decision_request_id"] or uuid.uuid4(),
        "registration_id": previous.registration_id,
        "unit_id": row["unit_id"],
        "previous_unit_id": previous.unit_id,
        "previous_registrar_account_id": previous.registrar_account_id,
        "moved_at": moment,
    }
    await connection.execute(_INSERT_TRANSFER, moved)
    # The log of both units must show the move.
    subjects = [row["person_id"], customer_id, previous.registration_id, row["unit_id"], previous.unit_id]
    departure = use_row("customer:transfer-away", subjects) | {"for_unit_id": previous.unit_id}
    await connection.execute(queries.INSERT_USE, departure)
