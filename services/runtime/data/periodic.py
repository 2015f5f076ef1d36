"""Periodic deletion of expired rows, and counting of rows for metrics."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.runtime.background import in_background
from services.runtime.management import is_managed

log = structlog.get_logger()

_INTERVAL = timedelta(minutes=10)
_MEASURING_INTERVAL = timedelta(minutes=1)

Sweep = Callable[[], Awaitable[None]]


def keeping_house(*sweeps: Sweep, interval: timedelta = _INTERVAL) -> AbstractAsyncContextManager[None]:
    """Runs the sweeps in the background, now and every `interval`, while the body runs."""
    return in_background(_keep_house(sweeps, interval))


def measuring(measure: Sweep) -> AbstractAsyncContextManager[None]:
    """Measures every minute while the body runs, if the process has a management port to show it."""
    if not is_managed():
        return nullcontext()
    return keeping_house(measure, interval=_MEASURING_INTERVAL)


async def _keep_house(sweeps: tuple[Sweep, ...], interval: timedelta) -> None:
    while True:
        for sweep in sweeps:
            try:
                await sweep()
            except (SQLAlchemyError, OSError) as error:
                # The next round catches up.
                log.warning("sweep failed", error=type(error).__name__)
        await asyncio.sleep(interval.total_seconds())
