"""Claims: of two officers of customer service, one works on an item, and the other is told who."""

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
    """Claims, or renews; no row if somebody else has the item."""
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
    """Whether a claim is of an item about some rows: an item's ID holds those of one or two."""
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

    False if nothing was changed: somebody else has it, or this very call has claimed it before.
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
    """Ends the claim of the current actor, and tells whether there was one.

    FAILED_PRECONDITION (CLAIMED_BY_ANOTHER) if it is another's.
    """
    await require_unclaimed_by_others(connection, item_id)
    own = {"item": item_id, "account": current_actor().account_id}
    return bool((await connection.execute(_RELEASE, own)).rowcount)


async def require_unclaimed_by_others(connection: AsyncConnection, item_id: str) -> None:
    """Refuses an officer who would decide what another one has claimed: CLAIMED_BY_ANOTHER.

    What others than customer service may do, such as a registrar's edit, no claim stands in the way of.
    """
    actor = current_actor()
    if actor.role != ROLE_CUSTOMER_SERVICE:
        return
    holder = (await connection.execute(_HOLDER, {"item": item_id, "moment": now()})).first()
    if holder and holder.account_id != actor.account_id:
        raise failed_precondition(REASON_CLAIMED_BY_ANOTHER)


async def require_customer_unclaimed_by_others(connection: AsyncConnection, customer_id: str) -> None:
    """The same for all that waits of a customer's person, whatever kind it is of."""
    actor = current_actor()
    if actor.role != ROLE_CUSTOMER_SERVICE:
        return
    asked = {"customer": customer_id, "moment": now(), "account": actor.account_id}
    if (await connection.execute(_HELD_BY_OTHERS, asked)).first():
        raise failed_precondition(REASON_CLAIMED_BY_ANOTHER)


async def sweep(engine: AsyncEngine) -> None:
    """Forgets the claims that have ended."""
    async with engine.begin() as connection:
        await connection.execute(_SWEEP, {"moment": now()})
