"""Long work in small slices, so that a service answers other calls meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TypeVar

_ItemT = TypeVar("_ItemT")

_TOGETHER = 50
"""Rows per statement: a thousand at once would keep other calls waiting."""


async def one_by_one(items: Iterable[_ItemT]) -> AsyncIterator[_ItemT]:
    """Iterates; serves other calls between two items."""
    for item in items:
        yield item
        await asyncio.sleep(0)


async def some_by_some(items: Sequence[_ItemT]) -> AsyncIterator[Sequence[_ItemT]]:
    """Iterates over slices for one statement each; serves other calls in between."""
    async for first in one_by_one(range(0, len(items), _TOGETHER)):
        yield items[first : first + _TOGETHER]
