"""Rate limits: most events of one kind until a moment.

Events are counted in the service's own database, so that all its processes agree. Keys are stored as hashes.
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
"""Network bits that one IPv6 subscriber has: all addresses below them count as one caller."""


class Limit(NamedTuple):
    """The most events that `key` may have."""

    key: str
    """Kind of the events and whose they are."""
    most: int
    until: datetime
    """When the count starts again; set by the first event."""
    events: int = 1
    """Number of events that happen at once."""


class Reached(NamedTuple):
    """A limit that an event exceeded."""

    limit: Limit
    events: int
    """Events counted so far."""
    ends_at: datetime


def limits_table(metadata: MetaData) -> Table:
    """The table of a service's rate limits."""
    return Table(
        "limits",
        metadata,
        Column("key", LargeBinary, primary_key=True),
        Column("events", Integer, nullable=False),
        Column("ends_at", DateTime(timezone=True), nullable=False, index=True),
    )


class Limiter:
    """Counts events. An event that one limit refuses is not counted by the limits after it."""

    def __init__(self, engine: AsyncEngine, table: Table, reason: Reason.ValueType) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table
        self._reason = reason

    async def admit(self, *limits: Limit) -> None:
        """Counts an event, in one statement. Raises RESOURCE_EXHAUSTED if it exceeds a limit.

        Callers must name several limits in a fixed order: their rows are locked in it.
        """
        reached = await self.count(*limits)
        if reached:
            raise self.refusal(reached)

    async def count(self, *limits: Limit) -> Sequence[Reached]:
        """Counts an event as `admit` does, but returns the limits it exceeds instead of raising."""
        counted = await self._run(_count(self._table, len(limits)), limits)
        return [
            Reached(limits[row.place], row.events, row.ends_at)
            for row in counted
            if row.events > limits[row.place].most
        ]

    async def require(self, *limits: Limit) -> None:
        """Raises RESOURCE_EXHAUSTED if one more event would exceed a limit; counts nothing."""
        ends = [row.ends_at for row in await self._run(_reached(self._table, len(limits)), limits)]
        if ends:
            raise resource_exhausted(self._reason, retry_after=max(ends) - now())

    def refusal(self, reached: Iterable[Reached]) -> Refusal:
        """The refusal for exceeded limits; its retry delay lasts until the last of them ends."""
        end = max(one.ends_at for one in reached)
        return resource_exhausted(self._reason, retry_after=end - now())

    async def forgive(self, key: str, events: int = 1) -> None:
        """Takes the last events of a key off its count."""
        counting = self._table.c.events
        await self._execute(
            update(self._table)
            .where(self._table.c.key == key_hash(key), counting > 0)
            .values(events=func.greatest(counting - events, 0))
        )

    async def forget(self, key: str) -> None:
        """Deletes the count of a key."""
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
    """Deletes expired counts."""
    # SKIP LOCKED avoids a deadlock with a caller that holds one row and waits for another.
    ended = select(table.c.key).where(table.c.ends_at <= now()).with_for_update(skip_locked=True)
    async with engine.begin() as connection:
        await connection.execute(delete(table).where(table.c.key.in_(ended)))


def network_of(address: str) -> str:
    """The caller an address stands for: the address itself, or the /64 network of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, _SITE_BITS), strict=False))
    return str(parsed)


def key_hash(key: str) -> bytes:
    """The hash under which a key is stored."""
    return hashlib.sha256(key.encode()).digest()


# Every log-in and look-up counts: build the statements once.


@cache
def _count(table: Table, number: int) -> Executable:
    """Counts an event for each limit whose predecessor admits it; returns a row for each that was counted."""
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
    """Selects a row for each reached limit."""
    reached = (
        and_(
            table.c.key == bindparam(f"key{place}", type_=table.c.key.type),
            table.c.events >= bindparam(f"most{place}", type_=table.c.events.type),
        )
        for place in range(number)
    )
    counts = table.c.ends_at > bindparam("moment", type_=table.c.ends_at.type)
    return select(table.c.ends_at).where(or_(*reached), counts)
