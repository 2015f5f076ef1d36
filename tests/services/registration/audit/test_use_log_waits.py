"""No call waits for the log of use: not for another's commit, nor for a lock that anybody can take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from deploy.local.postgres import EmbeddedPostgres
from liity.registration.v1.use_log_service_pb2 import ListUsesRequest
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from services.registration.audit.entries import link_waiting
from services.registration.audit.hash_chain import BrokenChain, verify, waiting
from tests.services.registration.audit.uses import (
    INSERT_ENTRY,
    an_account,
    entries,
    owner,
    record,
    service_role,
)
from tests.support.registration_service import Service


@pytest.fixture(autouse=True)
async def _whole(service: Service) -> AsyncIterator[None]:
    """Sees that the chain is whole after each test, and nothing waits."""
    yield
    await link_waiting(service.engine)
    async with service.engine.connect() as connection:
        await verify(connection)
        assert await waiting(connection) == 0


async def unchained(service: Service) -> int:
    async with service.engine.connect() as connection:
        await verify(connection)
        return await waiting(connection)


@asynccontextmanager
async def committing_slowly(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that has chained an entry and is not committed before the end."""
    async with service_role(postgres) as connection, connection.transaction():
        await connection.execute(INSERT_ENTRY, 1)
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        yield connection


async def test_no_call_waits_for_the_slowest_commit(service: Service, postgres: EmbeddedPostgres) -> None:
    async with committing_slowly(postgres):
        for number in range(5):
            await record(service, an_account(), f"beside{number}")
        assert await unchained(service) == 5
        # What waits is not found before it has its place; nor does who asks for it wait.
        assert await found(service, "beside0") == []
    assert [len(await found(service, f"beside{number}")) for number in range(5)] == [1] * 5
    assert await unchained(service) == 0


async def found(service: Service, subject_id: str) -> list[Any]:
    stub = UseLogServiceStub(service.gateway.channel)
    request = ListUsesRequest(subject_id=subject_id, page_size=10)
    return list((await service.gateway.call(stub.ListUses, request)).uses)


async def test_no_lock_that_anybody_can_take_stops_the_log(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    async with service_role(postgres) as anybody, anybody.transaction():
        await anybody.execute("SELECT pg_advisory_lock(hashtextextended('liity use_chain', 0))")
        for table in ("use_entries", "use_chain", "use_waiting", "use_turn"):
            await anybody.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
        await record(service, an_account(), "inspite")
        assert len(await entries(service, "inspite")) == 1


async def test_what_waits_is_chained_with_the_next_entry(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    """So also by a release that does not sweep."""
    async with committing_slowly(postgres):
        await record(service, an_account(), "early")
    await record(service, an_account(), "late")
    early, late = await entries(service, "early"), await entries(service, "late")
    assert early[0]["sequence"] + 1 == late[0]["sequence"]
    assert await unchained(service) == 0


async def test_an_entry_never_has_to_chain_all_that_waits(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    async with committing_slowly(postgres), service_role(postgres) as other, other.transaction():
        for number in range(250):
            await other.execute(INSERT_ENTRY, number)
    assert await unchained(service) == 250
    await record(service, an_account())
    assert await unchained(service) == 150
    await link_waiting(service.engine)
    assert await unchained(service) == 0


async def test_many_who_chain_at_once_make_one_chain(service: Service, postgres: EmbeddedPostgres) -> None:
    async def write(number: int) -> None:
        async with service_role(postgres) as connection:
            for _ in range(20):
                async with connection.transaction():
                    await connection.execute(INSERT_ENTRY, number)
                    await connection.execute(INSERT_ENTRY, number)
                await connection.execute("SELECT link_waiting_uses()")

    await asyncio.gather(*(write(number) for number in range(16)))


async def test_an_entry_that_waits_and_is_taken_away_shows(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    async with owner(postgres) as thief, committing_slowly(postgres):
        await record(service, an_account(), "gone")
        await thief.execute("DELETE FROM use_entries WHERE subject_ids = ARRAY['gone']::varchar[]")
        with pytest.raises(BrokenChain, match="1 entries that waited for their link are gone"):
            await unchained(service)
        await thief.execute("DELETE FROM use_waiting")


async def test_an_entry_that_is_made_to_wait_no_more_shows(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    async with owner(postgres) as thief, committing_slowly(postgres):
        await record(service, an_account(), "hidden")
        await thief.execute("DELETE FROM use_waiting")
        with pytest.raises(BrokenChain, match="1 entries are in no link"):
            await unchained(service)
        await thief.execute("DELETE FROM use_entries WHERE subject_ids = ARRAY['hidden']::varchar[]")
