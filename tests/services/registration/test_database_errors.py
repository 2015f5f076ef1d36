"""What PostgreSQL cannot do just now is UNAVAILABLE to callers, and one line in the log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from structlog.testing import capture_logs

from deploy.local.postgres import EmbeddedPostgres
from services.runtime.data.database import is_away, open_engine
from services.runtime.logs import RareWarnings
from services.runtime.rpc import interceptor
from services.runtime.rpc.errors import Refusal
from tests.services.registration.audit.uses import an_account, owner, record
from tests.support.registration_service import Service

PASSING = {
    "08006": "the connection failed",
    "25006": "the primary was demoted, and reads only",
    "40001": "two transactions could not be put in a row",
    "40P01": "a deadlock",
    "53100": "the disk is full",
    "53200": "out of memory",
    "53300": "too many connections",
    "55P03": "lock_timeout",
    "57014": "statement_timeout",
    "57P01": "it is shutting down",
    "58030": "the disk fails",
}


@pytest.fixture(autouse=True)
def _no_line_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interceptor, "_warnings", RareWarnings())


@asynccontextmanager
async def failing(postgres: EmbeddedPostgres, sqlstate: str) -> AsyncIterator[None]:
    """Every new entry of the log of use fails with an error of PostgreSQL."""
    async with owner(postgres) as connection:
        await connection.execute(
            f"""
            CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{sqlstate}'; END $$;
            CREATE TRIGGER fail BEFORE INSERT ON use_entries EXECUTE FUNCTION fail();
            """
        )
        try:
            yield
        finally:
            await connection.execute("DROP FUNCTION fail() CASCADE")


async def refusal_of(service: Service) -> str:
    with pytest.raises(Refusal) as refused:
        await record(service, an_account(), "sub1")
    return refused.value.summary


@pytest.mark.parametrize("sqlstate", PASSING)
async def test_it_is_unavailable_and_one_line(
    service: Service, postgres: EmbeddedPostgres, sqlstate: str
) -> None:
    async with failing(postgres, sqlstate):
        with capture_logs() as logged:
            for _ in range(5):
                assert await refusal_of(service) == "UNAVAILABLE UNAVAILABLE"
    # Other tests' servers may run in this process: theirs are other lines.
    lines = [line for line in logged if line["event"] in {"database away", "rpc failed"}]
    assert [(line["event"], line.get("sqlstate")) for line in lines] == [("database away", sqlstate)]
    assert not any("exc_info" in line for line in logged)
    await record(service, an_account(), "sub1")


async def test_a_mistake_of_ours_stays_one(service: Service, postgres: EmbeddedPostgres) -> None:
    async with failing(postgres, "22012"):  # division by zero
        assert await refusal_of(service) == "INTERNAL INTERNAL"


async def test_a_locked_table_is_unavailable(service: Service, postgres: EmbeddedPostgres) -> None:
    """As a migration, or whoever works by hand, may hold it for longer than calls wait: 10 seconds."""
    async with owner(postgres) as connection, connection.transaction():
        await connection.execute("LOCK TABLE use_entries IN ACCESS EXCLUSIVE MODE")
        assert await refusal_of(service) == "UNAVAILABLE UNAVAILABLE"
    await record(service, an_account(), "sub1")


@pytest.fixture
async def engine(postgres: EmbeddedPostgres, service: Service) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(postgres.url("registration"), None)
    yield engine
    await engine.dispose()


async def test_the_connections_to_a_demoted_primary_are_left(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        before = await connection.scalar(text("SELECT pg_backend_pid()"))
        await connection.commit()
        await connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
        await connection.commit()
        with pytest.raises(DBAPIError) as failed:
            await connection.execute(text("UPDATE units SET display_name = display_name"))
        assert is_away(failed.value)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT pg_backend_pid()")) != before
        await connection.execute(text("UPDATE units SET display_name = display_name"))


async def test_a_real_deadlock_passes(engine: AsyncEngine) -> None:
    async with engine.connect() as one, engine.connect() as other:
        await one.execute(text("SELECT pg_advisory_xact_lock(1)"))
        await other.execute(text("SELECT pg_advisory_xact_lock(2)"))
        waits = asyncio.create_task(one.execute(text("SELECT pg_advisory_xact_lock(2)")))
        results = await asyncio.gather(
            waits, other.execute(text("SELECT pg_advisory_xact_lock(1)")), return_exceptions=True
        )
    failed = [result for result in results if isinstance(result, BaseException)]
    assert len(failed) == 1
    assert is_away(failed[0])


async def test_too_many_connections_pass(postgres: EmbeddedPostgres, service: Service) -> None:
    superuser = await postgres.connect("postgres", "postgres")
    engine = create_async_engine(postgres.url("registration"))
    try:
        await superuser.execute("ALTER ROLE registration CONNECTION LIMIT 0")
        with pytest.raises((DBAPIError, asyncpg.PostgresError)) as failed:
            async with engine.connect():
                pass
        assert is_away(failed.value)
    finally:
        await superuser.execute("ALTER ROLE registration CONNECTION LIMIT -1")
        await superuser.close()
        await engine.dispose()
