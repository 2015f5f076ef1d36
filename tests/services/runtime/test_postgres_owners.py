"""Who owns the tables: not the service that uses them, also in a folder of the release before."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.admin.migrate import migrate_database
from deploy.local.postgres import DATABASES, EmbeddedPostgres
from deploy.local.process import Command, spawn
from services.registration.audit.entries import require_append_only
from tests.support.ports import free_port

SERVICES = Path(__file__).parents[3] / "services"

UNIT = "INSERT INTO units VALUES ('un1', gen_random_uuid(), 'Esimerkkikirjasto', 1, now())"


@pytest.fixture
async def earlier(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server without any database of ours."""
    async with running(tmp_path / "postgres") as server:
        yield server


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder, free_port())
    server.prepare()
    process = await spawn(
        Command(server.command(), os.environ, server.system_user or ""), server.folder / "log"
    )
    try:
        while not await server.answers():
            assert process.returncode is None
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 30)


async def as_the_release_before(server: EmbeddedPostgres, *, migrated: bool) -> None:
    """Makes roles and databases as the release before did: each service owned its own."""
    superuser = await server.connect("postgres", "postgres")
    try:
        for name in DATABASES:
            password = server.url(name).split(":")[2].split("@")[0]
            await superuser.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
            await superuser.execute(f"CREATE DATABASE {name} OWNER {name}")
            await superuser.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    finally:
        await superuser.close()
    if migrated:
        for name in DATABASES:
            await migrate_to_the_first(server, name)


async def migrate_to_the_first(server: EmbeddedPostgres, name: str) -> None:
    def upgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(SERVICES / name / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    engine = create_async_engine(server.url(name))
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()


async def start_again(server: EmbeddedPostgres) -> None:
    """What every start of a stack does with its databases."""
    await server.create_databases()
    for name in DATABASES:
        await migrate_database(name, server.owner_url(name))


async def rows(server: EmbeddedPostgres, role: str, database: str, statement: str) -> list[Any]:
    connection = await server.connect(role, database)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def works_without_owning(server: EmbeddedPostgres) -> None:
    """Sees that each service uses its tables, owns none, and leaves the log of use alone."""
    for name in DATABASES:
        owners = "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'"
        assert await rows(server, name, name, owners) == [(f"{name}_owner",)]
        owner = f"SELECT datdba::regrole::text FROM pg_database WHERE datname = '{name}'"  # noqa: S608
        assert await rows(server, name, name, owner) == [(f"{name}_owner",)]
        missing = (
            "SELECT c.relname FROM pg_class c,"
            " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) privilege"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
            " AND NOT has_table_privilege(c.oid, privilege) GROUP BY 1 ORDER BY 1"
        )
        log = ["use_chain", "use_entries", "use_turn", "use_waiting"] if name == "registration" else []
        assert await rows(server, name, name, missing) == [(table,) for table in log]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await rows(server, name, name, "CREATE TABLE of_my_own ()")
        for other in set(DATABASES) - {name}:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await rows(server, name, other, "SELECT 1")
    engine = create_async_engine(server.url("registration"))
    await require_append_only(engine)
    await engine.dispose()


async def test_a_fresh_folder(earlier: EmbeddedPostgres) -> None:
    for _ in range(2):
        await start_again(earlier)
        await works_without_owning(earlier)


async def test_a_folder_of_the_release_before_is_changed_over_with_all_that_is_in_it(
    earlier: EmbeddedPostgres,
) -> None:
    await as_the_release_before(earlier, migrated=True)
    await rows(earlier, "registration", "registration", UNIT)
    for _ in range(2):
        await start_again(earlier)
        await works_without_owning(earlier)
    assert await rows(earlier, "registration", "registration", "SELECT unit_id FROM units") == [("un1",)]
    await rows(earlier, "registration", "registration", "UPDATE units SET display_name = 'Uusi'")


async def test_a_folder_that_the_release_before_did_not_finish(earlier: EmbeddedPostgres) -> None:
    await as_the_release_before(earlier, migrated=False)
    await start_again(earlier)
    await works_without_owning(earlier)


@pytest.mark.parametrize("after", range(1, 6))
async def test_a_change_over_that_breaks_off_is_made_good_by_the_next_start(
    earlier: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    await as_the_release_before(earlier, migrated=True)
    execute, done = asyncpg.Connection.execute, 0

    async def break_off(connection: asyncpg.Connection, query: str, *arguments: Any, **options: Any) -> str:
        nonlocal done
        if query.startswith(("CREATE", "REASSIGN", "GRANT", "REVOKE", "ALTER")):
            done += 1
            if done > after:
                raise ConnectionResetError
        result: str = await execute(connection, query, *arguments, **options)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "execute", break_off)
        with pytest.raises(ConnectionResetError):
            await earlier.create_databases()
    await start_again(earlier)
    await works_without_owning(earlier)
