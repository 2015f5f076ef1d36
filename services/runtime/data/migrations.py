"""Migrations of a service's database, beside traffic. Apart from `database.py`: servers need no Alembic."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog
from alembic import command, context, op
from alembic.config import Config
from sqlalchemy import Connection, MetaData, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.runtime.data.database import sqlstate_of

log = structlog.get_logger()

_LOCK_TIMEOUT = "5s"
"""How long a migration waits for a table lock. Others queue behind it meanwhile, so it gives up soon."""

_STATEMENT_TIMEOUT = "60s"
"""How long one statement of a migration may hold its locks."""

_LOCK_NOT_AVAILABLE = "55P03"
_ATTEMPTS = 20
_PAUSE = 2.0
"""Seconds between two attempts to get a lock, in which statements queued behind the first can run."""

_MIGRATING = text("SELECT pg_try_advisory_lock(hashtext('liity migrations'))")
_LIMITS = (
    "SELECT set_config('lock_timeout', '{lock}', false), set_config('statement_timeout', '{all}', false)"
)


async def migrate(engine: AsyncEngine, migrations: Path) -> None:
    """Upgrades the database to the newest revision; each revision is a transaction of its own.

    Concurrent calls wait for one another. A revision that does not get a lock in time is rolled back and
    retried. Any other error is raised; the revisions before it stay, and the next call goes on from there.
    """
    async with engine.connect() as connection:
        # Poll instead of waiting in a statement: an index build waits for all older transactions, so it would
        # deadlock with a statement that waits for its lock.
        while not await connection.scalar(_MIGRATING):
            await connection.rollback()
            await asyncio.sleep(0.2)
        await connection.execute(text(_LIMITS.format(lock=_LOCK_TIMEOUT, all=_STATEMENT_TIMEOUT)))
        await connection.commit()
        try:
            await _upgrade_patiently(connection, migrations)
        finally:
            # This also drops the settings and the advisory lock.
            await connection.invalidate()


async def _upgrade_patiently(connection: AsyncConnection, migrations: Path) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await connection.run_sync(_upgrade, migrations)
        except DBAPIError as error:
            if sqlstate_of(error) != _LOCK_NOT_AVAILABLE or attempt == _ATTEMPTS:
                raise
            log.warning("migration waits for a lock", attempt=attempt)
            await connection.rollback()
            await asyncio.sleep(_PAUSE)
        else:
            return


def _upgrade(connection: Connection, migrations: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run_migration_environment(config: Config, metadata: MetaData) -> None:
    """Does all the work of a service's `migrations/env.py`."""
    context.configure(
        connection=config.attributes["connection"],
        target_metadata=metadata,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def create_index_concurrently(
    name: str,
    table: str,
    columns: Sequence[str | TextClause],
    where: str | None = None,
    *,
    unique: bool = False,
) -> None:
    """Builds an index in a migration while the table is read and written.

    Commits the revision's earlier work. Replaces an index that an interrupted build has left.
    """
    with op.get_context().autocommit_block():
        # Takes as long as the table is large and waits for all older transactions, but blocks nobody.
        op.execute(_LIMITS.format(lock="0", all="0"))
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(
            name,
            table,
            list(columns),
            unique=unique,
            postgresql_concurrently=True,
            postgresql_where=None if where is None else text(where),
        )
        op.execute(_LIMITS.format(lock=_LOCK_TIMEOUT, all=_STATEMENT_TIMEOUT))
