"""Migrations beside traffic: a transaction for each, limits on their locks, indexes while tables are used."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from deploy.local.postgres import EmbeddedPostgres
from services.runtime.data import migrations as module
from services.runtime.data.database import sqlstate_of
from services.runtime.data.migrations import migrate
from tests.conftest import running_postgres

ENV = """
from alembic import context
from sqlalchemy import MetaData
from services.runtime.data.migrations import run_migration_environment
run_migration_environment(context.config, MetaData())
"""
FIRST = """
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.execute("CREATE TABLE busy (a int)")
    op.execute("CREATE TABLE other (a int)")
"""
SECOND = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("ALTER TABLE other ADD COLUMN b int")
"""
THIRD = """
from alembic import op
revision, down_revision = "0003", "0002"
def upgrade():
    op.execute("ALTER TABLE busy ADD COLUMN b int")
"""
FOURTH = """
from services.runtime.data.migrations import create_index_concurrently
revision, down_revision = "0004", "0003"
def upgrade():
    create_index_concurrently("ix_busy_a", "busy", ["a"], where="a > 0")
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with running_postgres(tmp_path / "postgres") as server:
        yield server


@pytest.fixture
async def engine(server: EmbeddedPostgres) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(server.owner_url("notification"))
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await server.connect("notification_owner", "notification")
    yield connection
    await connection.close()


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    return folder


def add(migrations: Path, *revisions: str) -> None:
    for revision in revisions:
        number = revision.split('"')[1]
        (migrations / "versions" / f"{number}.py").write_text(revision)


async def version(connection: asyncpg.Connection) -> str:
    found: str = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found


async def test_a_revision_that_gets_no_lock_gives_up_and_those_before_it_stay(
    engine: AsyncEngine, connection: asyncpg.Connection, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(module, "_ATTEMPTS", 2)
    monkeypatch.setattr(module, "_PAUSE", 0.1)
    add(migrations, FIRST)
    await migrate(engine, migrations)
    add(migrations, SECOND, THIRD)
    async with connection.transaction():
        await connection.execute("LOCK TABLE busy IN ACCESS SHARE MODE")
        with pytest.raises(DBAPIError) as failed:
            await migrate(engine, migrations)
        assert sqlstate_of(failed.value) == "55P03"
        assert await version(connection) == "0002"
        # What the second revision has locked is free again.
        await connection.execute("INSERT INTO other VALUES (1, 2)")
    await migrate(engine, migrations)
    assert await version(connection) == "0003"


async def test_a_lock_that_becomes_free_is_tried_again(
    engine: AsyncEngine, connection: asyncpg.Connection, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(module, "_PAUSE", 0.1)
    add(migrations, FIRST)
    await migrate(engine, migrations)
    add(migrations, SECOND, THIRD)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("LOCK TABLE busy IN ACCESS SHARE MODE")
    migrating = asyncio.create_task(migrate(engine, migrations))
    while await version(connection) != "0002":
        await asyncio.sleep(0.02)
    await transaction.commit()
    await migrating
    assert await version(connection) == "0003"


async def test_a_statement_that_takes_too_long_gives_up(
    engine: AsyncEngine, connection: asyncpg.Connection, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STATEMENT_TIMEOUT", "100ms")
    add(migrations, FIRST, SECOND.replace("ALTER TABLE other ADD COLUMN b int", "SELECT pg_sleep(60)"))
    with pytest.raises(DBAPIError) as failed:
        await migrate(engine, migrations)
    assert sqlstate_of(failed.value) == "57014"
    assert await version(connection) == "0001"


async def test_an_index_is_built_while_the_table_is_written(
    engine: AsyncEngine, connection: asyncpg.Connection, server: EmbeddedPostgres, migrations: Path
) -> None:
    add(migrations, FIRST, SECOND, THIRD)
    await migrate(engine, migrations)
    # What an interrupted build leaves: an index that is not valid.
    superuser = await server.connect("postgres", "notification")
    await connection.execute("CREATE INDEX ix_busy_a ON busy (a)")
    await superuser.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_busy_a'::regclass")
    add(migrations, FOURTH)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO busy VALUES (1)")
    # Two who start at once, while somebody writes.
    migrating = [asyncio.create_task(migrate(engine, migrations)) for _ in range(2)]
    writer = await server.connect("notification", "notification")
    building = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%P INDEX CONCURRENTLY%'"
    async with asyncio.timeout(60):
        while await superuser.fetchval(building) < 2:  # itself, and the first step of the build
            await asyncio.sleep(0.02)
    await writer.execute("SET lock_timeout = '1s'")
    await writer.execute("INSERT INTO busy VALUES (2)")
    await writer.close()
    await superuser.close()
    await transaction.commit()
    await asyncio.gather(*migrating)
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_busy_a'::regclass"
    assert await connection.fetchval(valid) is True
    assert await version(connection) == "0004"
