"""Claims: one officer of customer service works on an item, and others are told who."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Executable,
    String,
    bindparam,
    delete,
    func,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.reason_pb2 import REASON_CLAIMED_BY_ANOTHER
from services.registration.db.models import customers, registrations, work_claims
from services.runtime.clock import now
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import failed_precondition

_OF_ITEM = work_claims.c.item_id == bindparam("item")

_HOLDER = select(work_claims).where(_OF_ITEM, work_claims.c.expires_at > bindparam("moment"))


def _claim() -> Executable:
    """Claims or renews; no row if another officer has the item."""
    new = insert(work_claims).values(
        item_id=bindparam("item"),
        request_id=bindparam("request"),
        account_id=bindparam("account"),
        display_name=bindparam("name"),
        expires_at=bindparam("until"),
    )
    fields = ("request_id", "account_id", "display_name", "expires_at")
    return new.on_conflict_do_update(
        index_elements=["item_id"],
        set_={name: new.excluded[name] for name in fields},
        where=(work_claims.c.account_id == new.excluded.account_id)
        | (work_claims.c.expires_at <= bindparam("moment")),
    ).returning(work_claims.c.item_id)


_CLAIM = _claim()
_RELEASE = delete(work_claims).where(_OF_ITEM, work_claims.c.account_id == bindparam("account"))


def is_about(row_ids: CompoundSelect[Any]) -> ColumnElement[bool]:
    """Whether a claim's item is about some rows: an item's ID contains one or two row IDs."""
    first, second = (func.split_part(work_claims.c.item_id, "-", part) for part in (2, 3))
    return first.in_(row_ids) | second.in_(row_ids)


_ROWS_OF_CUSTOMER = union_all(
    select(bindparam("customer", type_=String)),
    select(registrations.c.registration_id)
    .join(customers, customers.c.person_id == registrations.c.person_id)
    .where(customers.c.customer_id == bindparam("customer", type_=String)),
)
_HELD_BY_OTHERS = select(work_claims.c.item_id).where(
    is_about(_ROWS_OF_CUSTOMER),
    work_claims.c.account_id != bindparam("account"),
    work_claims.c.expires_at > bindparam("moment"),
)
_SWEEP = delete(work_claims).where(work_claims.c.expires_at <= bindparam("moment"))


async def claim(
    connection: AsyncConnection, item_id: str, request_id: str, display_name: str, until: datetime
) -> bool:
    """Claims an item for the current actor, or renews the claim, in the connection's transaction.

    False if nothing changed: another officer has the item, or this call claimed it before.
    """
    moment = now()
    holder = (await connection.execute(_HOLDER, {"item": item_id, "moment": moment})).first()
    account_id = current_actor().account_id
    if holder and (holder.account_id, holder.request_id) == (account_id, uuid.UUID(request_id)):
        return False
    row = {
        "item": item_id,
        "request": uuid.UUID(request_id),
        "account": account_id,
        "name": display_name,
        "until": until,
        "moment": moment,
    }
    return (await connection.execute(_CLAIM, row)).first() is not None


async def release(connection: AsyncConnection, item_id: str) -> bool:
    """Ends the current actor's claim; returns whether there was one.

    FAILED_PRECONDITION (CLAIMED_BY_ANOTHER) if another officer has the item.
    """
    await require_unclaimed_by_others(connection, item_id)
    own = {"item": item_id, "account": current_actor().account_id}
    return bool((await connection.execute(_RELEASE, own)).rowcount)


async def require_unclaimed_by_others(connection: AsyncConnection, item_id: str) -> None:
    """FAILED_PRECONDITION (CLAIMED_BY_ANOTHER) for an officer if another one has claimed the item.

    Claims bind customer service only: not, for example, a registrar's edit.
    """
    actor = current_actor()
    if actor.role != ROLE_CUSTOMER_SERVICE:
        return
    holder = (await connection.execute(_HOLDER, {"item": item_id, "moment": now()})).first()
    if holder and holder.account_id != actor.account_id:
        raise failed_precondition(REASON_CLAIMED_BY_ANOTHER)


async def require_customer_unclaimed_by_others(connection: AsyncConnection, customer_id: str) -> None:
    """The same for all items of a customer's person, of every kind."""
    actor = current_actor()
    if actor.role != ROLE_CUSTOMER_SERVICE:
        return
    asked = {"customer": customer_id, "moment": now(), "account": actor.account_id}
    if (await connection.execute(_HELD_BY_OTHERS, asked)).first():
        raise failed_precondition(REASON_CLAIMED_BY_ANOTHER)


async def sweep(engine: AsyncEngine) -> None:
    """Deletes expired claims."""
    async with engine.begin() as connection:
        await connection.execute(_SWEEP, {"moment": now()})
