"""Storage of the welcome mail's book tips: customer service's own, or Liity's defaults (R28)."""

import tomllib
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from sqlalchemy import RowMapping, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.book_tips_service_pb2 import BookTip, BookTips
from services.notification.models import BookTipsEdit, EditedBookTips
from services.runtime.clock import now
from services.runtime.rpc.errors import changed_meanwhile

_UNEDITED = "0"
"""The etag of tips that were never edited."""


_LONGEST_ETAG = 9
"""Digits: versions never get longer."""

_REPETITION_LIFETIME = timedelta(days=30)
"""How long a repeated call is recognised: far longer than any client repeats one."""


class BookTipsStore:
    """Reads and replaces book tips."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._transactions = engine

    async def read(self, name: str) -> BookTips:
        """The current tips of a name as in `bookTips/fi`."""
        rows = select(EditedBookTips.__table__).where(EditedBookTips.name == name)
        async with self._engine.connect() as connection:
            row = (await connection.execute(rows)).mappings().first()
        return BookTips(name=name, etag=_UNEDITED, tips=default_tips(name)) if row is None else _stored(row)

    async def replace(self, request_id: UUID, given: BookTips) -> BookTips:
        """Replaces the tips; returns the current ones, also to a repeated call.

        ABORTED (CHANGED_MEANWHILE, with the current tips) if the etag is not theirs.
        """
        moment = now()
        row = {
            "name": given.name,
            "version": 1,
            "tips": [MessageToDict(tip) for tip in given.tips],
            "update_time": moment,
        }
        first = insert(EditedBookTips).values(row).on_conflict_do_nothing()
        next_one = (
            update(EditedBookTips)
            .where(EditedBookTips.name == given.name, EditedBookTips.version == _version(given.etag))
            .values({**row, "version": EditedBookTips.version + 1})
        )
        edit = {"request_id": request_id, "name": given.name, "edit_time": moment}
        of_this_call = BookTipsEdit.request_id == request_id, BookTipsEdit.name == given.name
        async with self._transactions.begin() as connection:
            done = await connection.scalar(select(BookTipsEdit.name).where(*of_this_call))
            if done is None:
                edited = await connection.execute(first if given.etag == _UNEDITED else next_one)
                if edited.rowcount:
                    await connection.execute(insert(BookTipsEdit).values(edit))
                # Otherwise a concurrent repetition may have done it.
                done = await connection.scalar(select(BookTipsEdit.name).where(*of_this_call))
        stands = await self.read(given.name)
        if done is None:
            raise changed_meanwhile(stands)
        return stands


async def sweep_edits(engine: AsyncEngine) -> None:
    """Deletes records of calls that are no longer repeated."""
    old = BookTipsEdit.edit_time <= now() - _REPETITION_LIFETIME
    async with engine.begin() as connection:
        await connection.execute(delete(BookTipsEdit).where(old))


@cache
def _defaults() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(resources.files(__package__).joinpath("defaults.toml").read_text("utf-8"))


def default_tips(name: str) -> list[BookTip]:
    """Liity's default tips of a name as in `bookTips/fi`."""
    return [BookTip(**tip) for tip in _defaults()[name.rpartition("/")[2]]]


def _stored(row: RowMapping) -> BookTips:
    stored = BookTips(
        name=row["name"], etag=str(row["version"]), tips=[BookTip(**tip) for tip in row["tips"]]
    )
    stored.update_time.FromDatetime(row["update_time"])
    return stored


def _version(etag: str) -> int:
    """The version in an etag; -1 for a text that is not an etag of ours."""
    ours = etag.isascii() and etag.isdecimal() and len(etag) <= _LONGEST_ETAG
    return int(etag) if ours else -1
