"""Limits: how many events of a kind there may be until a moment.

They are counted in the service's own database, so that all its processes agree. Whom an event is of is
stored as a hash only.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    Column,
    DateTime,
    Executable,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.reason_pb2 import Reason
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal, resource_exhausted

_SITE_BITS = 64
"""What one subscriber has of IPv6: whoever has one address of it has them all."""


class Limit(NamedTuple):
    """How many events of one kind `key` may have."""

    key: str
    """The kind, and whom the events are of."""
    most: int
    until: datetime
    """How long they count, from the first one on: then the counting begins anew."""
    events: int = 1
    """How many happen at once."""


class Reached(NamedTuple):
    """A limit that an event went beyond."""

    limit: Limit
    events: int
    """How many it has had by now."""
    ends_at: datetime


def limits_table(metadata: MetaData) -> Table:
    """The table of a service's limits."""
    return Table(
        "limits",
        metadata,
        Column("key", LargeBinary, primary_key=True),
        Column("events", Integer, nullable=False),
        Column("ends_at", DateTime(timezone=True), nullable=False, index=True),
    )


class Limiter:
    """Counts events. One that a limit refuses does not count for the limits after it."""

    def __init__(self, engine: AsyncEngine, table: Table, reason: Reason.ValueType) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table
        self._reason = reason

    async def admit(self, *limits: Limit) -> None:
        """Counts an event, in one statement. RESOURCE_EXHAUSTED once there were too many.

        Whoever names several limits names them in the same order always: their rows are locked in it.
        """
        reached = await self.count(*limits)
        if reached:
            raise self.refusal(reached)

    async def count(self, *limits: Limit) -> Sequence[Reached]:
        """Counts an event as `admit` does. Answers the limits it goes beyond instead of refusing it."""
        counted = await self._run(_count(self._table, len(limits)), limits)
        return [
            Reached(limits[row.place], row.events, row.ends_at)
            for row in counted
            if row.events > limits[row.place].most
        ]

    async def require(self, *limits: Limit) -> None:
        """Counts nothing. RESOURCE_EXHAUSTED if an event now would be one too many."""
        ends = [row.ends_at for row in await self._run(_reached(self._table, len(limits)), limits)]
        if ends:
            raise resource_exhausted(self._reason, retry_after=max(ends) - now())

    def refusal(self, reached: Iterable[Reached]) -> Refusal:
        """RESOURCE_EXHAUSTED, until the last of some limits that were reached counts no more."""
        end = max(one.ends_at for one in reached)
        return resource_exhausted(self._reason, retry_after=end - now())

    async def forgive(self, key: str, events: int = 1) -> None:
        """The last events of a key do not count after all."""
        counting = self._table.c.events
        await self._execute(
            update(self._table)
            .where(self._table.c.key == key_hash(key), counting > 0)
            .values(events=func.greatest(counting - events, 0))
        )

    async def forget(self, key: str) -> None:
        """No event of a key counts any more."""
        await self._execute(delete(self._table).where(self._table.c.key == key_hash(key)))

    async def _run(self, statement: Executable, limits: Sequence[Limit]) -> Sequence[Row[Any]]:
        parameters: dict[str, Any] = {"moment": now()}
        for place, limit in enumerate(limits):
            parameters |= {
                f"key{place}": key_hash(limit.key),
                f"most{place}": limit.most,
                f"until{place}": limit.until,
                f"events{place}": limit.events,
            }
        async with self._single.connect() as connection:
            return (await connection.execute(statement, parameters)).all()

    async def _execute(self, statement: Executable) -> None:
        async with self._single.connect() as connection:
            await connection.execute(statement)


async def sweep_limits(engine: AsyncEngine, table: Table) -> None:
    """Deletes what counts no more."""
    # It waits for nobody who is counting: else it might meet one that holds a row and waits for another.
    ended = select(table.c.key).where(table.c.ends_at <= now()).with_for_update(skip_locked=True)
    async with engine.begin() as connection:
        await connection.execute(delete(table).where(table.c.key.in_(ended)))


def network_of(address: str) -> str:
    """Whom a network address stands for: itself, or of IPv6 the whole site, which one caller has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, _SITE_BITS), strict=False))
    return str(parsed)


def key_hash(key: str) -> bytes:
    """How whom an event is of is stored."""
    return hashlib.sha256(key.encode()).digest()


# Counting is part of every log-in and look-up: its statements are prepared once.


@cache
def _count(table: Table, number: int) -> Executable:
    """Counts an event for each limit whose predecessor admits it; a row for each that was counted."""
    events, ends_at = table.c.events, table.c.ends_at
    ended = ends_at <= bindparam("moment", type_=ends_at.type)
    counted: list[CTE] = []
    for place in range(number):
        event = select(
            bindparam(f"key{place}", type_=table.c.key.type),
            bindparam(f"events{place}", type_=events.type),
            bindparam(f"until{place}", type_=ends_at.type),
        )
        if counted:
            most = bindparam(f"most{place - 1}", type_=events.type)
            event = event.where(exists().where(counted[-1].c.events <= most))
        new = insert(table).from_select([table.c.key, events, ends_at], event)
        upsert = new.on_conflict_do_update(
            index_elements=[table.c.key],
            set_={
                "events": case((ended, new.excluded.events), else_=events + new.excluded.events),
                "ends_at": case((ended, new.excluded.ends_at), else_=ends_at),
            },
        )
        counted.append(upsert.returning(events, ends_at).cte(f"counted{place}"))
    return union_all(
        *(
            select(literal(place).label("place"), row.c.events, row.c.ends_at)
            for place, row in enumerate(counted)
        )
    )


@cache
def _reached(table: Table, number: int) -> Executable:
    """A row for each limit that is reached."""
    reached = (
        and_(
            table.c.key == bindparam(f"key{place}", type_=table.c.key.type),
            table.c.events >= bindparam(f"most{place}", type_=table.c.events.type),
        )
        for place in range(number)
    )
    counts = table.c.ends_at > bindparam("moment", type_=table.c.ends_at.type)
    return select(table.c.ends_at).where(or_(*reached), counts)
