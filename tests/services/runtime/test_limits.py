"""What is limited is counted where all processes see it, and by a hash."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.postgres import EmbeddedPostgres
from liity.v1.reason_pb2 import REASON_TOO_MANY_LOOK_UPS
from services.notification.models import limits
from services.runtime.clock import now
from services.runtime.data.rate_limits import Limit, Limiter, sweep_limits
from services.runtime.rpc.errors import Refusal
from tests.services.conftest import migrated_engine, refused

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
async def engine(postgres: EmbeddedPostgres, keys_dir: Path) -> AsyncIterator[AsyncEngine]:
    async with migrated_engine(postgres, "notification", keys_dir) as migrated:
        yield migrated


@pytest.fixture
def limiter(engine: AsyncEngine) -> Limiter:
    return Limiter(engine, limits, REASON_TOO_MANY_LOOK_UPS)


@pytest.fixture
async def elsewhere(postgres: EmbeddedPostgres, keys_dir: Path) -> AsyncIterator[Limiter]:
    """Another process that counts in the same database."""
    async with migrated_engine(postgres, "notification", keys_dir) as migrated:
        yield Limiter(migrated, limits, REASON_TOO_MANY_LOOK_UPS)


def limit(most: int, key: str | None = None, until: datetime | None = None) -> Limit:
    return Limit(key or uuid4().hex, most, until or now() + HOUR)


async def admitted(calls: list[Awaitable[Any]]) -> int:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(answer is None or isinstance(answer, Refusal) for answer in answers)
    return answers.count(None)


async def test_one_too_many_is_told_when_to_come_back(limiter: Limiter) -> None:
    held = limit(3)
    for _ in range(3):
        await limiter.admit(held)
    for call in (limiter.admit, limiter.require):
        refusal = await refused(call(held))
        assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", REASON_TOO_MANY_LOOK_UPS)
        assert refusal.retry_after is not None
        assert HOUR - timedelta(minutes=2) < refusal.retry_after <= HOUR


async def test_to_require_counts_nothing(limiter: Limiter) -> None:
    held = limit(1)
    for _ in range(3):
        await limiter.require(held)
    await limiter.admit(held)


async def test_two_processes_agree(limiter: Limiter, elsewhere: Limiter) -> None:
    held = limit(4)
    for counting in (limiter, elsewhere, limiter, elsewhere):
        await counting.admit(held)
    for counting in (limiter, elsewhere):
        await refused(counting.admit(held))
        await refused(counting.require(held))


async def test_events_at_once_exceed_no_limit(limiter: Limiter, elsewhere: Limiter) -> None:
    held, common = limit(7), limit(100)
    calls = [counting.admit(common, held) for counting in (limiter, elsewhere) for _ in range(15)]
    assert await admitted(list(calls)) == 7


async def test_what_one_limit_refuses_does_not_count_for_the_next(limiter: Limiter) -> None:
    first, second = limit(2), limit(5)
    for _ in range(2):
        await limiter.admit(first, second)
    for _ in range(9):
        await refused(limiter.admit(first, second))
    for _ in range(3):
        await limiter.admit(second)
    await refused(limiter.admit(second))


async def test_each_limit_counts(limiter: Limiter) -> None:
    wide, narrow = limit(5), limit(2)
    assert await admitted([limiter.admit(wide, narrow) for _ in range(4)]) == 2
    # What the second refuses, the first has counted.
    await limiter.admit(wide)
    await refused(limiter.require(wide, narrow))
    await refused(limiter.admit(wide))


async def test_the_counting_begins_anew(limiter: Limiter, engine: AsyncEngine) -> None:
    held = limit(1)
    await limiter.admit(held)
    await refused(limiter.admit(held))
    async with engine.begin() as connection:
        await connection.execute(update(limits).values(ends_at=limits.c.ends_at - HOUR))
    await limiter.require(held)
    await limiter.admit(held)
    refusal = await refused(limiter.admit(held))
    assert refusal.retry_after is not None
    assert refusal.retry_after > timedelta(minutes=55)


async def test_forgiving_and_forgetting(limiter: Limiter) -> None:
    held = limit(2)
    for _ in range(2):
        await limiter.admit(held)
    await limiter.forgive(held.key)
    await limiter.admit(held)
    await refused(limiter.admit(held))
    await limiter.forget(held.key)
    assert await admitted([limiter.admit(held) for _ in range(3)]) == 2
    never = limit(1)
    await limiter.forgive(never.key)
    await limiter.forget(never.key)
    await limiter.admit(never)
    await refused(limiter.admit(never))


async def test_only_hashes_are_stored_and_swept_once_they_are_over(
    limiter: Limiter, engine: AsyncEngine
) -> None:
    over, running = limit(1, "aino.virtanen@example.org", now()), limit(1)
    await limiter.admit(over)
    await limiter.admit(running)
    async with engine.connect() as connection:
        stored = (await connection.execute(select(limits.c.key))).scalars().all()
    assert {len(key) for key in stored} == {32}
    assert not any(b"aino" in key for key in stored)
    await sweep_limits(engine, limits)
    async with engine.connect() as connection:
        left = select(func.count()).select_from(limits).where(limits.c.ends_at <= now())
        assert await connection.scalar(left) == 0
    await refused(limiter.admit(running))


async def test_sweeping_stands_in_nobodys_way(limiter: Limiter, engine: AsyncEngine) -> None:
    """Neither waits for the other's rows: what is over is counted anew while it is swept."""
    pairs = [(limit(10**6, f"a{number}", now()), limit(10**6, f"b{number}", now())) for number in range(10)]
    calls: list[Awaitable[None]] = [limiter.admit(*pair) for pair in pairs for _ in range(20)]
    calls += [sweep_limits(engine, limits) for _ in range(20)]
    assert await admitted(calls) == len(calls)
