"""A service's own database: engine, errors, migrations."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from alembic import command
from alembic.config import Config
from asyncpg import exceptions as asyncpg_errors
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Connection, ExceptionContext, MetaData, TextClause, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.runtime.security.tls import client_context
from services.runtime.settings import RuntimeSettings

log = structlog.get_logger()

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Naming convention of constraints, so that migrations can refer to them."""


_UNREACHED = OSError | asyncpg_errors.InterfaceError | SQLAlchemyTimeoutError
"""Errors without an SQLSTATE: no connection, or a broken one."""

_READ_ONLY = "25006"
"""Error of a primary that was demoted to a standby."""

_PASSING = re.compile(
    "08...|53..."  # no connection; no disk, memory or connection left
    "|40001|40P01"  # serialization failure, deadlock
    f"|{_READ_ONLY}"
    "|55P03|57014"  # lock_timeout, statement_timeout
    "|57P0[1-5]"  # shutting down, starting, cut off
    "|58030"  # the disk's own error
)
"""SQLSTATEs that do not blame the statement: the same call may succeed a moment later."""


class DatabaseAccess(BaseSettings):
    """How to reach a database, prefix `LIITY_`."""

    model_config = SettingsConfigDict(env_prefix="LIITY_", frozen=True)

    database_url: str = Field(description="postgresql+asyncpg://user:password@host:port/database")
    database_tls_ca: Path | None = Field(
        None,
        description="PEM of the CA of PostgreSQL's certificate: connections are over TLS, and the name of the"
        " server is verified (as `sslmode=verify-full` does).",
    )

    @field_validator("database_url")
    @classmethod
    def _is_ours(cls, url: str) -> str:
        try:
            driver = make_url(url).drivername
        except ArgumentError:
            driver = ""
        if driver != "postgresql+asyncpg":
            raise ValueError("must be of the form postgresql+asyncpg://user:password@host:port/database")
        return url


class DatabaseSettings(DatabaseAccess, RuntimeSettings):
    """Settings of components with a database."""

    database_pool_size: int = Field(8, ge=1, le=100, description="Connections kept open.")


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Creates an engine. After a restart of PostgreSQL, first calls meet dead connections: see `is_away`."""
    return open_engine(
        settings.database_url,
        settings.database_tls_ca,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_size,
        # Parameters may be personal data: keep them out of error texts.
        hide_parameters=True,
        connect_args={"server_settings": {"lock_timeout": "10s", "statement_timeout": "30s"}},
    )


def open_engine(url: str, tls_ca: Path | None, **options: Any) -> AsyncEngine:  # noqa: ANN401 - SQLAlchemy's
    """Creates an engine. With a CA, connections use TLS only; the CA is read again when its file changes.

    SettingsError if the CA cannot be used.
    """
    engine = create_async_engine(url, **options)

    @event.listens_for(engine.sync_engine, "handle_error")
    def leave_a_demoted_primary(context: ExceptionContext) -> None:
        # Its connections stay open; only new ones reach the new primary.
        if sqlstate_of(context.original_exception) == _READ_ONLY:
            context.is_disconnect = True

    if tls_ca:
        context = client_context(tls_ca)

        @event.listens_for(engine.sync_engine, "do_connect")
        def over_tls(_dialect: object, _record: object, _positional: object, named: dict[str, Any]) -> None:
            named["ssl"] = context.current()

    return engine


def is_away(error: BaseException) -> bool:
    """Whether PostgreSQL failed for a passing reason of its own, so that the same call may be repeated."""
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        unreached = isinstance(error.orig, _UNREACHED) or isinstance(cause, _UNREACHED)
        return error.connection_invalidated or unreached or _is_passing(error)
    return isinstance(error, _UNREACHED) or _is_passing(error)


def sqlstate_of(error: BaseException) -> str:
    """The SQLSTATE of an error; empty if it has none."""
    found = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    return found if isinstance(found, str) else ""


def _is_passing(error: BaseException) -> bool:
    return _PASSING.fullmatch(sqlstate_of(error)) is not None


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
    from alembic import context  # noqa: PLC0415 - exists only while Alembic runs

    context.configure(
        connection=config.attributes["connection"],
        target_metadata=metadata,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def create_index_concurrently(
    name: str, table: str, columns: Sequence[str | TextClause], where: str | None = None
) -> None:
    """Builds an index in a migration while the table is read and written.

    Commits the revision's earlier work. Replaces an index that an interrupted build has left.
    """
    from alembic import op  # noqa: PLC0415 - exists only while Alembic runs

    with op.get_context().autocommit_block():
        # Takes as long as the table is large and waits for all older transactions, but blocks nobody.
        op.execute(_LIMITS.format(lock="0", all="0"))
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(
            name,
            table,
            list(columns),
            postgresql_concurrently=True,
            postgresql_where=None if where is None else text(where),
        )
        op.execute(_LIMITS.format(lock=_LOCK_TIMEOUT, all=_STATEMENT_TIMEOUT))
