"""Entries in the log of use that say that a restored backup has cut off its end.

Such an entry names the last link that was kept, and the link, known from elsewhere, that was lost. It is an
entry like any other: chained, and shown to everybody who verifies the log.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import desc, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registration.audit.anchors import Anchor
from services.registration.audit.entries import use_row
from services.registration.db.models import use_chain, use_entries

RESTORED = "log:restore"
"""The action of such an entry."""

_KEPT, _LOST = "kept=", "lost="

_END = select(use_chain.c.sequence, use_chain.c.hash).order_by(desc(use_chain.c.sequence)).limit(1)


@dataclass(frozen=True)
class Restore:
    """A gap in the log after a restored backup."""

    kept: Anchor
    lost: Anchor
    time: datetime
    """When it was entered."""

    @property
    def is_gap(self) -> bool:
        """Whether the lost link comes after the one that was kept."""
        return self.kept.sequence < self.lost.sequence

    def __str__(self) -> str:
        return (
            f"Entered on {self.time:%Y-%m-%d %H:%M} UTC: a restored backup has kept links up to"
            f" {self.kept.sequence}, and lost those up to {self.lost.sequence} of before"
        )


class NothingLost(Exception):
    """The link is in the log: no restore has cut it off."""


class GrownOver(Exception):
    """The log has grown to the place of the link or beyond: it may have been written anew."""


async def restores(connection: AsyncConnection) -> list[Restore]:
    """The restores that the log names, oldest first: the kept link is in the chain, and before the lost one.

    Others excuse nothing: who writes the chain anew, and says so after it, has lost no end.
    """
    entered = (
        select(use_entries.c.used_at, use_entries.c.subject_ids)
        .join_from(use_chain, use_entries, use_entries.c.use_id == use_chain.c.use_id)
        .where(use_entries.c.action == RESTORED)
        .order_by(use_chain.c.sequence)
    )
    found = []
    for entry in (await connection.execute(entered)).all():
        restore = _parsed(entry.used_at, entry.subject_ids)
        if restore is not None and restore.is_gap and await _is_link(connection, restore.kept):
            found.append(restore)
    return found


async def enter_restore(connection: AsyncConnection, lost: Anchor) -> None:
    """Enters that a restored backup has cut off the log before `lost`. Repeating it is fine.

    `NothingLost` if the link is there; `GrownOver` if it is another one's place by now.
    """
    if await _is_link(connection, lost):
        raise NothingLost
    if any(restore.lost == lost for restore in await restores(connection)):
        return
    end = (await connection.execute(_END)).first()
    if end is not None and end.sequence >= lost.sequence:
        raise GrownOver
    kept = [f"{_KEPT}{Anchor(end.sequence, end.hash.hex())}"] if end else []
    row = use_row(RESTORED, [*kept, f"{_LOST}{lost}"])
    await connection.execute(insert(use_entries).values(row))


async def _is_link(connection: AsyncConnection, anchor: Anchor) -> bool:
    if not anchor.sequence:
        # The log was empty.
        return True
    link = select(use_chain.c.hash).where(use_chain.c.sequence == anchor.sequence)
    found: bytes | None = await connection.scalar(link)
    return found is not None and found.hex() == anchor.hash


def _parsed(moment: datetime, subjects: list[str]) -> Restore | None:
    """The restore that an entry tells of; None if the service has not written it."""
    try:
        kept = [Anchor.parse(text.removeprefix(_KEPT)) for text in subjects if text.startswith(_KEPT)]
        [lost] = [Anchor.parse(text.removeprefix(_LOST)) for text in subjects if text.startswith(_LOST)]
    except ValueError:
        return None
    return Restore(kept[0] if kept else Anchor(0, ""), lost, moment.astimezone(UTC))
