"""Verifies the log of use: every entry is in the chain, and every hash is right."""

import hashlib
from collections.abc import AsyncIterator

from sqlalchemy import RowMapping, String, cast, extract, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registration.audit.anchors import Anchor
from services.registration.audit.restores import restores
from services.registration.db.models import use_chain, use_entries, use_waiting

_CHAIN = (
    select(
        use_chain.c.sequence,
        use_chain.c.hash,
        *(column for column in use_entries.c if column.name != "used_at"),
        # As text: PostgreSQL has moments that Python has not, and a tampered row may hold one.
        cast(extract("epoch", use_entries.c.used_at), String).label("used_at"),
    )
    .select_from(use_chain.outerjoin(use_entries, use_entries.c.use_id == use_chain.c.use_id))
    .order_by(use_chain.c.sequence)
)

_UNCHAINED = (
    select(func.count())
    .select_from(use_entries.outerjoin(use_chain, use_chain.c.use_id == use_entries.c.use_id))
    .where(use_chain.c.use_id.is_(None), use_entries.c.use_id.not_in(select(use_waiting.c.use_id)))
)

_WAITING = select(func.count()).select_from(use_waiting)

_LOST = (
    select(func.count())
    .select_from(use_waiting.outerjoin(use_entries, use_entries.c.use_id == use_waiting.c.use_id))
    .where(use_entries.c.use_id.is_(None))
)


class BrokenChain(Exception):
    """The log is not intact. The text names the first broken link."""


async def verify(connection: AsyncConnection, anchor: Anchor | None = None) -> Anchor:
    """Verifies the whole chain and returns its end. `BrokenChain` for the first link that is wrong.

    A link that a restored backup has cut off need not be there, if the log names exactly this one in an entry
    about the restore. Needs a transaction of one snapshot, so that entries written meanwhile do not disturb.
    """
    last = Anchor(0, "")
    digest = b""
    missed = ""
    async for row in _rows(connection):
        place = last.sequence + 1
        if row["sequence"] != place:
            raise BrokenChain(f"Link {place} is missing: the next one there is {row['sequence']}")
        if row["use_id"] is None:
            raise BrokenChain(f"Link {place} has lost its entry")
        digest = hashlib.sha256(digest + _text(row).encode()).digest()
        if digest != row["hash"]:
            raise BrokenChain(f"Link {place} is broken: its entry, or one before it, was changed")
        last = Anchor(place, digest.hex())
        if anchor is not None and anchor.sequence == place and anchor != last:
            missed = f"Link {place} is not the one of the anchor: the chain was written anew"
    if anchor is not None and anchor.sequence > last.sequence:
        missed = f"The chain ends with link {last.sequence}, before the anchor: its end was cut off"
    if missed and not any(restore.lost == anchor for restore in await restores(connection)):
        raise BrokenChain(missed)
    unchained = await connection.scalar(_UNCHAINED)
    if unchained:
        raise BrokenChain(f"{unchained} entries are in no link")
    lost = await connection.scalar(_LOST)
    if lost:
        raise BrokenChain(f"{lost} entries that waited for their link are gone")
    return last


async def waiting(connection: AsyncConnection) -> int:
    """The number of entries without a link: the newest, for a few seconds. Nothing is proved of them yet."""
    return int(await connection.scalar(_WAITING) or 0)


async def _rows(connection: AsyncConnection) -> AsyncIterator[RowMapping]:
    async with connection.stream(_CHAIN.execution_options(yield_per=1000)) as result:
        async for row in result.mappings():
            yield row


def _text(row: RowMapping) -> str:
    """The hashed text, as the function `use_text` of the migration builds it."""
    fields = (
        str(row["sequence"]),
        str(row["use_id"]),
        row["used_at"],
        str(row["actor_kind"]),
        row["account_id"],
        str(row["actor_role"]),
        row["for_unit_id"],
        row["action"],
        row["outcome"],
        row["call_id"],
        row["trace_id"],
        *(row["subject_ids"] or ()),
    )
    # A value that is no text was not written by the service: it gets a mark that no text gets.
    return ",".join(f"{len(field.encode())}:{field}" if isinstance(field, str) else "-" for field in fields)
