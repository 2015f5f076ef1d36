"""The book tips of the welcome mail: customer service's own, or those that come with Liity (R28)."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from sqlalchemy import RowMapping, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.book_tips_service_pb2 import BookTip, BookTips
from services.notification.models import EditedBookTips
from services.runtime.clock import now
from services.runtime.errors import changed_meanwhile

_UNEDITED = "0"
"""The etag of tips that nobody has edited."""


_LONGEST_ETAG = 9
"""Digits: nobody edits more often."""


class BookTipsStore:
    """Reads and replaces book tips."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, name: str) -> BookTips:
        """The tips of a name as in `bookTips/fi`, as they now stand."""
        return (await self._read(name))[0]

    async def replace(self, request_id: UUID, given: BookTips) -> BookTips:
        """Replaces the tips; ABORTED (CHANGED_MEANWHILE, with those that stand) if others were read."""
        row = {
            "name": given.name,
            "version": 1,
            "tips": [MessageToDict(tip) for tip in given.tips],
            "request_id": request_id,
            "update_time": now(),
        }
        first = insert(EditedBookTips).values(row).on_conflict_do_nothing()
        next_one = (
            update(EditedBookTips)
            .where(EditedBookTips.name == given.name, EditedBookTips.version == _version(given.etag))
            .values({**row, "version": EditedBookTips.version + 1})
        )
        async with self._engine.connect() as connection:
            await connection.execute(first if given.etag == _UNEDITED else next_one)
        stands, made_by = await self._read(given.name)
        if made_by != request_id:
            raise changed_meanwhile(stands)
        return stands

    async def _read(self, name: str) -> tuple[BookTips, UUID | None]:
        rows = select(EditedBookTips.__table__).where(EditedBookTips.name == name)
        async with self._engine.connect() as connection:
            row = (await connection.execute(rows)).mappings().first()
        if row is None:
            return BookTips(name=name, etag=_UNEDITED, tips=default_tips(name)), None
        return _stored(row), row["request_id"]


@cache
def _defaults() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(resources.files(__package__).joinpath("book_tips.toml").read_text("utf-8"))


def default_tips(name: str) -> list[BookTip]:
    """The tips that come with Liity, of a name as in `bookTips/fi`."""
    return [BookTip(**tip) for tip in _defaults()[name.rpartition("/")[2]]]


def _stored(row: RowMapping) -> BookTips:
    stored = BookTips(
        name=row["name"], etag=str(row["version"]), tips=[BookTip(**tip) for tip in row["tips"]]
    )
    stored.update_time.FromDatetime(row["update_time"])
    return stored


def _version(etag: str) -> int:
    """The version that somebody has read; none for a text that is no etag of ours."""
    ours = etag.isascii() and etag.isdecimal() and len(etag) <= _LONGEST_ETAG
    return int(etag) if ours else -1
