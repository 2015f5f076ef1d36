"""Takes back a merge of two customers (R43): what moved is remembered for 30 days, and goes back."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    Date,
    DateTime,
    RowMapping,
    String,
    Table,
    Uuid,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_unless_there
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liity.registration.v1.customer_service_pb2 import UndoMergeRequest, UndoMergeResponse
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.reason_pb2 import (
    REASON_CHANGED_SINCE_MERGE,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_MERGE_FINAL,
    REASON_REQUEST_ID_REUSED,
)
from services.registration.audit.entries import use_row
from services.registration.db.models import (
    consents,
    customer_changes,
    customers,
    disclosures,
    dismissed_duplicates,
    merges,
    registrations,
    removals,
    undone_merges,
)
from services.registration.forms import name_keys
from services.registration.registrations import queries
from services.registration.units.succession import final_unit
from services.runtime.clock import now
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import already_exists, failed_precondition, not_found
from services.runtime.stages import STARTING

UNDO_WITHIN = timedelta(days=30)
"""How long a merge can be undone."""

_OF_MERGED: BindParameter[str] = bindparam("merged")

_REGISTRATIONS = select(
    registrations.c.registration_id,
    registrations.c.unit_id,
    registrations.c.stage,
    registrations.c.deadline,
).where(registrations.c.person_id == bindparam("person"))
_CONSENTS = select(consents.c.registration_id).where(consents.c.customer_id == _OF_MERGED)
_DISCLOSURES = select(disclosures.c.disclosure_id).where(disclosures.c.person_id == bindparam("person"))
_MERGES = select(merges.c.request_id).where(merges.c.customer_id == _OF_MERGED)
_CHANGES = select(customer_changes).where(customer_changes.c.customer_id == _OF_MERGED)
_REMOVALS = select(removals).where(removals.c.customer_id == _OF_MERGED)
_DISMISSED = select(dismissed_duplicates).where(
    or_(
        dismissed_duplicates.c.customer_id == _OF_MERGED,
        dismissed_duplicates.c.other_customer_id == _OF_MERGED,
    )
)

_PERSON = select(customers.c.person_id).where(customers.c.customer_id == bindparam("id"))
# Registrations before the customer, as everywhere.
_LOCK_REGISTRATIONS = (
    select(registrations.c.registration_id)
    .where(registrations.c.person_id == bindparam("person"))
    .order_by(registrations.c.created_at.desc(), registrations.c.registration_id)
    .with_for_update()
)
_LOCK_CUSTOMER = select(customers).where(customers.c.customer_id == bindparam("id")).with_for_update()
_MERGE = (
    select(merges)
    .where(merges.c.customer_id == bindparam("id"), merges.c.merged_customer_id == bindparam("merged"))
    .with_for_update()
)
_UNDONE_BEFORE = select(undone_merges).where(undone_merges.c.request_id == bindparam("request"))
_RESTORED = select(customers).where(customers.c.customer_id == bindparam("merged"))
_IDS = bindparam("ids", type_=ARRAY(String))
_GIVE_REGISTRATION = (
    update(registrations)
    .where(
        registrations.c.registration_id == bindparam("registration"),
        registrations.c.customer_id == bindparam("kept"),
    )
    .values(
        person_id=bindparam("person"),
        customer_id=bindparam("merged"),
        unit_id=bindparam("unit"),
        stage=bindparam("old_stage"),
        deadline=bindparam("old_deadline", type_=DateTime(timezone=True)),
    )
)
_GIVE_CONSENTS = (
    update(consents).where(consents.c.registration_id == func.any(_IDS)).values(customer_id=_OF_MERGED)
)
_GIVE_DISCLOSURES = (
    update(disclosures)
    .where(disclosures.c.disclosure_id == func.any(_IDS))
    .values(person_id=bindparam("person"))
)
_GIVE_MERGES = (
    update(merges)
    .where(merges.c.request_id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
    .values(customer_id=_OF_MERGED)
)
_KEEP = (
    update(customers)
    .where(customers.c.customer_id == bindparam("kept"))
    .values(
        version=customers.c.version + 1,
        updated_at=bindparam("moment"),
        birth_date=bindparam("old_birth_date"),
    )
)
_DELETE_MERGE = delete(merges).where(merges.c.request_id == bindparam("request"))
_RESUMED = select(registrations.c.registration_id).where(
    registrations.c.customer_id == _OF_MERGED,
    registrations.c.kind == CUSTOMER_KIND_ONLINE,
    registrations.c.stage.in_(STARTING),
    ~registrations.c.over,
)
_EXIST = select(customers.c.customer_id).where(customers.c.customer_id == func.any(_IDS))

SWEEP = (
    update(merges)
    .where(merges.c.undo.is_not(None), merges.c.undo_until <= bindparam("moment"))
    .values(undo=None)
)


async def remember(connection: AsyncConnection, kept: RowMapping, merged: RowMapping) -> dict[str, Any]:
    """What undoes a merge, read before it is made."""
    which = {"merged": merged["customer_id"], "person": merged["person_id"]}

    async def rows(statement: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        return [_encoded(row) for row in (await connection.execute(statement, which)).mappings()]

    async def ids(statement: Any) -> list[str]:  # noqa: ANN401
        return [str(one) for one in (await connection.execute(statement, which)).scalars()]

    return {
        "kept": _encoded({name: kept[name] for name in ("customer_id", "birth_date")}),
        "customer": _encoded(merged),
        "registrations": await rows(_REGISTRATIONS),
        "consents": await ids(_CONSENTS),
        "disclosures": await ids(_DISCLOSURES),
        "merges": await ids(_MERGES),
        "changes": await rows(_CHANGES),
        "removals": await rows(_REMOVALS),
        "dismissed": await rows(_DISMISSED),
    }


def registration_ids(remembered: Mapping[str, Any] | None) -> list[str]:
    """The merged customer's registrations."""
    return [row["registration_id"] for row in (remembered or {}).get("registrations", ())]


async def undo(connection: AsyncConnection, request: UndoMergeRequest) -> UndoMergeResponse:
    """Takes a merge back, in the connection's transaction; errors as the contract's."""
    which = {"id": request.customer_id, "merged": request.merged_customer_id}
    person_id = await connection.scalar(_PERSON, which)
    await connection.execute(_LOCK_REGISTRATIONS, {"person": person_id})
    kept = (await connection.execute(_LOCK_CUSTOMER, which)).mappings().first()
    if kept is None or kept["unit_id"] != request.unit_id:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    request_id = uuid.UUID(request.request_id)
    made = (await connection.execute(_UNDONE_BEFORE, {"request": request_id})).mappings().first()
    if made is not None:
        if made["merged_customer_id"] != request.merged_customer_id:
            raise already_exists(REASON_REQUEST_ID_REUSED)
        return await _undone(connection, kept, which)
    merge = (await connection.execute(_MERGE, which)).mappings().first()
    if merge is None:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    remembered = merge["undo"]
    if remembered is None or merge["undo_until"] <= now():
        raise failed_precondition(REASON_MERGE_FINAL)
    if remembered["kept"]["customer_id"] != kept["customer_id"]:
        # The customer who stayed was merged into a third.
        raise failed_precondition(REASON_CHANGED_SINCE_MERGE)
    if request.validate_only:
        return UndoMergeResponse(person_id=kept["person_id"], merged_person_id=merge["merged_person_id"])
    await _give_back(connection, kept, remembered)
    await connection.execute(_DELETE_MERGE, {"request": merge["request_id"]})
    await connection.execute(
        insert(undone_merges),
        {
            "request_id": request_id,
            "merge_request_id": merge["request_id"],
            "customer_id": kept["customer_id"],
            "merged_customer_id": merge["merged_customer_id"],
            "undone_at": now(),
        },
    )
    restored = await _undone(connection, kept, which)
    await _record_use(connection, kept, restored, merge)
    return restored


async def sweep(engine: AsyncEngine) -> None:
    """Erases what undoes merges whose time is over."""
    async with engine.begin() as connection:
        await connection.execute(SWEEP, {"moment": now()})


async def _undone(
    connection: AsyncConnection, kept: RowMapping, which: Mapping[str, str]
) -> UndoMergeResponse:
    restored = (await connection.execute(_RESTORED, which)).mappings().first()
    if restored is None:
        # Erased or merged again since.
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    return UndoMergeResponse(
        person_id=kept["person_id"],
        merged_person_id=restored["person_id"],
        merged_unit_id=restored["unit_id"],
        resumed_registration_id=await connection.scalar(_RESUMED, which) or "",
        is_temporary=bool(restored["profile"].get("temporary")),
    )


async def _give_back(connection: AsyncConnection, kept: RowMapping, remembered: Mapping[str, Any]) -> None:
    moment = now()
    customer = _decoded(customers, remembered["customer"])
    customer |= {
        "unit_id": await final_unit(connection, customer["unit_id"]),
        "version": customer["version"] + 1,
        "updated_at": moment,
    }
    await connection.execute(insert(customers), customer)
    names = name_keys.search_keys(customer["first_names"], customer["last_name"])
    found_by = {key: customer[key] for key in ("customer_id", "unit_id")}
    await connection.execute(queries.INSERT_NAMES, found_by | {"search_keys": sorted(names)})
    moved = {
        "kept": kept["customer_id"],
        "merged": customer["customer_id"],
        "person": customer["person_id"],
    }
    for row in remembered["registrations"]:
        old = _decoded(registrations, row)
        given = {
            "registration": old["registration_id"],
            "unit": await final_unit(connection, old["unit_id"]),
            "old_stage": old["stage"],
            "old_deadline": old["deadline"],
        }
        await connection.execute(_GIVE_REGISTRATION, moved | given)
    for statement, ids in (
        (_GIVE_CONSENTS, remembered["consents"]),
        (_GIVE_DISCLOSURES, remembered["disclosures"]),
        (_GIVE_MERGES, [uuid.UUID(one) for one in remembered["merges"]]),
    ):
        await connection.execute(statement, {**moved, "ids": ids})
    for table, rows in ((customer_changes, remembered["changes"]), (removals, remembered["removals"])):
        if rows:
            await connection.execute(insert(table), [_decoded(table, row) for row in rows])
    await _dismiss(connection, kept, customer, remembered["dismissed"])
    before = _decoded(customers, remembered["kept"])
    # A date of birth that came with the merged customer's code goes with it; one corrected since stays.
    came_over = kept["birth_date"] == customer["birth_date"]
    keep = {"old_birth_date": before["birth_date"] if came_over else kept["birth_date"]}
    await connection.execute(_KEEP, {**moved, **keep, "moment": moment})


async def _dismiss(
    connection: AsyncConnection,
    kept: RowMapping,
    customer: Mapping[str, Any],
    dismissed: Sequence[dict[str, Any]],
) -> None:
    """Pairs that were dismissed stay dismissed, and so do the two: customer service has told them apart."""
    rows = [_decoded(dismissed_duplicates, row) for row in dismissed]
    pair = sorted((kept["customer_id"], customer["customer_id"]))
    rows.append(
        {
            "customer_id": pair[0],
            "other_customer_id": pair[1],
            "account_id": current_actor().account_id,
            "dismissed_at": now(),
        }
    )
    ids = sorted({row[name] for row in rows for name in ("customer_id", "other_customer_id")})
    there = set((await connection.execute(_EXIST, {"ids": ids})).scalars())
    still = [row for row in rows if {row["customer_id"], row["other_customer_id"]} <= there]
    await connection.execute(insert_unless_there(dismissed_duplicates).on_conflict_do_nothing(), still)


async def _record_use(
    connection: AsyncConnection, kept: RowMapping, restored: UndoMergeResponse, merge: RowMapping
) -> None:
    """One entry for each unit; each names both customers and persons, so that either finds it."""
    subjects = {
        kept["customer_id"],
        kept["person_id"],
        merge["merged_customer_id"],
        restored.merged_person_id,
        merge["registration_id"],
    }
    units: Iterable[str] = dict.fromkeys((kept["unit_id"], restored.merged_unit_id))
    uses = [use_row("customer:undo-merge", subjects) | {"for_unit_id": unit} for unit in units]
    await connection.execute(queries.INSERT_USE, uses)


def undone_before(merge_request_id: uuid.UUID) -> Any:  # noqa: ANN401
    """Whether a merge was made and taken back."""
    return select(exists().where(undone_merges.c.merge_request_id == merge_request_id))


def _encoded(row: Mapping[str, Any] | RowMapping) -> dict[str, Any]:
    """A row as JSON."""
    return {
        name: value.isoformat()
        if isinstance(value, date)
        else str(value)
        if isinstance(value, uuid.UUID)
        else value
        for name, value in row.items()
    }


def _decoded(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row of JSON that the table has."""
    return {name: _value(table, name, value) for name, value in row.items() if name in table.c}


def _value(table: Table, name: str, value: Any) -> Any:  # noqa: ANN401
    column = table.c[name].type
    if value is None:
        return None
    if isinstance(column, DateTime):
        return datetime.fromisoformat(value)
    if isinstance(column, Date):
        return date.fromisoformat(value)
    return uuid.UUID(value) if isinstance(column, Uuid) else value
