"""Polls until a condition holds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

ValueT = TypeVar("ValueT")


async def eventually(
    read: Callable[[], Awaitable[ValueT]], wanted: Callable[[ValueT], bool], seconds: float
) -> ValueT:
    """Reads until the value is wanted; returns it. TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            value = await read()
            if wanted(value):
                return value
            await asyncio.sleep(0.1)
