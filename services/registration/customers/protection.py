"""Protected persons (R37): withholds data from rows, restores it, and shows it for a reason."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ARRAY, RowMapping, String, bindparam, cast, delete, exists, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_unless_there
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import (
    GetProtectedDetailsRequest,
    MarkProtectedRequest,
    PersonOfUnit,
    RemoveProtectionRequest,
)
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import ProtectedDetails, ProtectedReadReason
from liity.v1.message_service_pb2 import MESSAGE_CONTEXT_TRANSFER
from liity.v1.reason_pb2 import (
    REASON_CUSTOMER_NOT_FOUND,
    REASON_MESSAGE_NOT_FOUND,
    REASON_NOT_PROTECTED,
    REASON_NOT_REGISTERED,
    REASON_REGISTRATION_NOT_FOUND,
    Reason,
)
from services.registration.audit.entries import use_row
from services.registration.db.models import (
    customer_changes,
    customers,
    merges,
    messages,
    protected_persons,
    registrations,
    units,
    use_entries,
)
from services.registration.forms.normalise import from_json, to_json
from services.registration.forms.withholding import replaced, restored, withhold
from services.runtime.clock import now
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import failed_precondition, not_found

_WITHHELD_FIELDS = ("additional_information", "address", "phone", "protected_person", "related_person")

_OF_PERSON = protected_persons.c.person_id == bindparam("person")
_LOCK = select(protected_persons.c.withheld).where(_OF_PERSON).with_for_update()
_GET = select(protected_persons.c.withheld).where(_OF_PERSON)
_DELETE = delete(protected_persons).where(_OF_PERSON)
_INSERT = insert_unless_there(protected_persons)
_PUT = _INSERT.on_conflict_do_update(
    index_elements=[protected_persons.c.person_id], set_={"withheld": _INSERT.excluded.withheld}
)

# Registrations before the customer, as everywhere.
_LOCK_FORMS = (
    select(registrations.c.registration_id, registrations.c.form)
    .where(registrations.c.person_id == bindparam("person"), registrations.c.form.is_not(None))
    .order_by(registrations.c.created_at.desc())
    .with_for_update()
)
_LOCK_CUSTOMER = select(customers).where(customers.c.person_id == bindparam("person")).with_for_update()
_LOCK_MERGES = select(merges).where(merges.c.customer_id == bindparam("customer")).with_for_update()
_SET_FORM = (
    update(registrations)
    .where(registrations.c.registration_id == bindparam("registration"))
    .values(form=bindparam("new_form"))
)
_SET_PROFILE = (
    update(customers)
    .where(customers.c.customer_id == bindparam("customer"))
    .values(
        profile=bindparam("new_profile"),
        version=customers.c.version + 1,
        updated_at=bindparam("moment"),
    )
    .returning(customers.c.version)
)
_SET_MERGED = (
    update(merges)
    .where(merges.c.request_id == bindparam("merge"))
    .values(merged_profile=bindparam("new_profile"), undo=bindparam("new_undo"))
)

_PERSONS: Mapping[str, tuple[Any, Reason.ValueType]] = {
    "customer_id": (
        select(customers.c.person_id).where(
            customers.c.customer_id == bindparam("key"), customers.c.unit_id == bindparam("unit")
        ),
        REASON_CUSTOMER_NOT_FOUND,
    ),
    "registration_id": (
        select(registrations.c.person_id).where(
            registrations.c.registration_id == bindparam("key"), registrations.c.unit_id == bindparam("unit")
        ),
        REASON_REGISTRATION_NOT_FOUND,
    ),
    "message_id": (
        select(registrations.c.person_id)
        .join(messages, messages.c.registration_id == registrations.c.registration_id)
        .where(
            messages.c.message_id == bindparam("key"),
            messages.c.unit_id == bindparam("unit"),
            messages.c.context == MESSAGE_CONTEXT_TRANSFER,
        ),
        REASON_MESSAGE_NOT_FOUND,
    ),
}
"""The person by what a request names, and the reason if there is none."""

_UNDONE_BEFORE = select(
    exists().where(
        use_entries.c.action == "protected:remove",
        use_entries.c.call_id == bindparam("request"),
        use_entries.c.subject_ids.overlap(cast(bindparam("subjects"), ARRAY(String))),
    )
)
_LATEST = (
    select(
        registrations.c.registration_id,
        registrations.c.customer_id,
        registrations.c.unit_id,
        units.c.display_name,
    )
    .join(units, units.c.unit_id == registrations.c.unit_id)
    .where(registrations.c.person_id == bindparam("person"))
    .order_by((registrations.c.form.is_not(None)).desc(), registrations.c.created_at.desc())
    .limit(1)
)
_OF_CUSTOMER = (
    select(customers.c.customer_id, customers.c.unit_id, units.c.display_name)
    .join(units, units.c.unit_id == customers.c.unit_id)
    .where(customers.c.person_id == bindparam("person"))
)
_INSERT_USE = insert(use_entries)
_INSERT_CHANGE = insert(customer_changes)


async def mark(connection: AsyncConnection, request: MarkProtectedRequest) -> None:
    """Marks a person, in the connection's transaction; errors as the contract's."""
    person_id = await _person(connection, request.person)
    person = {"person": person_id}
    forms = (await connection.execute(_LOCK_FORMS, person)).mappings().all()
    customer = (await connection.execute(_LOCK_CUSTOMER, person)).mappings().first()
    if await connection.scalar(_LOCK, person) is not None:
        return
    # The customer's data is the older one where a new registration waits.
    kept = CustomerForm()
    if customer is not None:
        shown, kept = withhold(from_json(customer["profile"]))
        await _set_profile(connection, customer, shown)
        await _withhold_merged(connection, customer["customer_id"])
    for row in forms:
        shown, withheld = withhold(from_json(row["form"]))
        kept = replaced(kept, withheld)
        await connection.execute(
            _SET_FORM, {"registration": row["registration_id"], "new_form": to_json(shown)}
        )
    await keep(connection, person_id, kept)
    await connection.execute(_INSERT_USE, use_row("protected:mark", _subjects(person_id, customer, forms)))


async def remove(connection: AsyncConnection, request: RemoveProtectionRequest) -> None:
    """Takes the mark back, in the connection's transaction; errors as the contract's."""
    person_id = await _person(connection, request.person)
    person = {"person": person_id}
    forms = (await connection.execute(_LOCK_FORMS, person)).mappings().all()
    customer = (await connection.execute(_LOCK_CUSTOMER, person)).mappings().first()
    stored = await connection.scalar(_LOCK, person)
    if stored is None:
        if await connection.scalar(
            _UNDONE_BEFORE, {"subjects": [person_id], "request": current_actor().request_id}
        ):
            return
        raise failed_precondition(REASON_NOT_PROTECTED)
    withheld = from_json(stored)
    if customer is not None:
        await _set_profile(connection, customer, restored(from_json(customer["profile"]), withheld))
        await _restore_merged(connection, customer["customer_id"])
    for row in forms:
        whole = restored(from_json(row["form"]), withheld)
        await connection.execute(
            _SET_FORM, {"registration": row["registration_id"], "new_form": to_json(whole)}
        )
    await connection.execute(_DELETE, person)
    await connection.execute(_INSERT_USE, use_row("protected:remove", _subjects(person_id, customer, forms)))


async def details(connection: AsyncConnection, request: GetProtectedDetailsRequest) -> ProtectedDetails:
    """What is withheld; writes the reason into the log of use, in the same transaction."""
    person_id = request.person_id or await _person(connection, request.person)
    person = {"person": person_id}
    stored = await connection.scalar(_GET, person)
    latest = (await connection.execute(_LATEST, person)).mappings().first()
    if latest is None:
        raise not_found(REASON_NOT_REGISTERED)
    if stored is None:
        raise failed_precondition(REASON_NOT_PROTECTED)
    customer = (await connection.execute(_OF_CUSTOMER, person)).mappings().first()
    withheld, place = from_json(stored), customer or latest
    told = ProtectedDetails(
        registration=f"units/{latest['unit_id']}/registrations/{latest['registration_id']}",
        unit_display_name=place["display_name"],
        address=withheld.address if withheld.HasField("address") else None,
        phone=withheld.phone,
        related_person_phone=withheld.related_person.phone,
        additional_information=withheld.additional_information,
        other_guardian_phone=withheld.other_guardian.phone,
    )
    if customer is not None:
        told.customer = f"units/{customer['unit_id']}/customers/{customer['customer_id']}"
    use = use_row(action_of(request.reason), _subjects(person_id, customer, [latest]))
    await connection.execute(_INSERT_USE, use)
    return told


def action_of(reason: ProtectedReadReason.ValueType) -> str:
    """The action in the log of use: it holds the reason."""
    name = ProtectedReadReason.Name(reason).removeprefix("PROTECTED_READ_REASON_")
    return f"protected:{name.lower().replace('_', '-')}"


async def keep(connection: AsyncConnection, person_id: str, withheld: CustomerForm) -> None:
    """Stores what is withheld, over what was withheld before."""
    before = await connection.scalar(_LOCK, {"person": person_id})
    row = {
        "person_id": person_id,
        "withheld": to_json(replaced(from_json(before or {}), withheld)),
        "marked_at": now(),
    }
    await connection.execute(_PUT, row)


async def locked(connection: AsyncConnection, person_id: str) -> bool:
    """Whether a person is protected. Locks the customer: nobody marks it before the transaction ends."""
    await connection.execute(_LOCK_CUSTOMER, {"person": person_id})
    return await connection.scalar(_GET, {"person": person_id}) is not None


async def holds(connection: AsyncConnection, person_id: str, withheld: CustomerForm) -> bool:
    """Whether all of this is withheld already."""
    before = from_json(await connection.scalar(_GET, {"person": person_id}) or {})
    return replaced(before, withheld) == before


async def _person(connection: AsyncConnection, named: PersonOfUnit) -> str:
    field = named.WhichOneof("key") or ""
    statement, reason = _PERSONS[field]
    person_id: str | None = await connection.scalar(
        statement, {"key": getattr(named, field), "unit": named.unit_id}
    )
    if person_id is None:
        raise not_found(reason)
    return person_id


async def _set_profile(connection: AsyncConnection, customer: RowMapping, form: CustomerForm) -> None:
    """Stores a profile. Whoever edits the customer at this moment is told that it changed."""
    moment = now()
    change = {"customer": customer["customer_id"], "new_profile": to_json(form), "moment": moment}
    version = await connection.scalar(_SET_PROFILE, change)
    await connection.execute(
        _INSERT_CHANGE,
        {
            "customer_id": customer["customer_id"],
            "version": version,
            "request_id": uuid.uuid4(),
            "paths": list(_WITHHELD_FIELDS),
            "changed_at": moment,
            "previous_email": None,
            "previous_related_email": None,
        },
    )


async def _withhold_merged(connection: AsyncConnection, customer_id: str) -> None:
    """Withholds the data of customers who were merged into a customer: they are the same person."""
    for row in (await connection.execute(_LOCK_MERGES, {"customer": customer_id})).mappings().all():
        shown, withheld = withhold(from_json(row["merged_profile"]))
        await keep(connection, row["merged_person_id"], withheld)
        await _set_merged(connection, row, shown)


async def _restore_merged(connection: AsyncConnection, customer_id: str) -> None:
    for row in (await connection.execute(_LOCK_MERGES, {"customer": customer_id})).mappings().all():
        person = {"person": row["merged_person_id"]}
        stored = await connection.scalar(_LOCK, person)
        if stored is not None:
            await _set_merged(connection, row, restored(from_json(row["merged_profile"]), from_json(stored)))
            await connection.execute(_DELETE, person)


async def _set_merged(connection: AsyncConnection, row: RowMapping, form: CustomerForm) -> None:
    """Stores a merged profile, also where it would come back from if the merge is undone."""
    undo = row["undo"]
    if undo is not None:
        undo = {**undo, "customer": {**undo["customer"], "profile": to_json(form)}}
    change = {"merge": row["request_id"], "new_profile": to_json(form), "new_undo": undo}
    await connection.execute(_SET_MERGED, change)


def _subjects(person_id: str, customer: RowMapping | None, rows: Any) -> set[str]:  # noqa: ANN401
    named = {person_id, *(row["registration_id"] for row in rows)}
    return named if customer is None else named | {customer["customer_id"]}
