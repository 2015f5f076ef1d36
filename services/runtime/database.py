"""The service's own database: engine, transactions, migrations."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from asyncpg import exceptions as asyncpg_errors
from pydantic import Field, field_validator
from sqlalchemy import Connection, MetaData, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.runtime.settings import RuntimeSettings
from services.runtime.tls import client_context

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints, so that migrations can tell them."""


_AWAY = (
    OSError
    | asyncpg_errors.CannotConnectNowError
    | asyncpg_errors.PostgresConnectionError
    | asyncpg_errors.AdminShutdownError
    | asyncpg_errors.CrashShutdownError
    | asyncpg_errors.TooManyConnectionsError
    | asyncpg_errors.InterfaceError
    # `lock_timeout`: whoever holds the lock lets it go.
    | asyncpg_errors.LockNotAvailableError
)


class DatabaseSettings(RuntimeSettings):
    """What a component with a database reads besides."""

    database_url: str = Field(description="postgresql+asyncpg://user:password@host:port/database")
    database_pool_size: int = Field(8, ge=1, le=100, description="Connections kept open.")
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


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """An engine. The first call after a restart of PostgreSQL finds its connection dead: see `is_away`."""
    return open_engine(
        settings.database_url,
        settings.database_tls_ca,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_size,
        # Statements may hold personal data: never in an error's text.
        hide_parameters=True,
        connect_args={"server_settings": {"lock_timeout": "10s", "statement_timeout": "30s"}},
    )


def open_engine(url: str, tls_ca: Path | None, **options: Any) -> AsyncEngine:  # noqa: ANN401 - SQLAlchemy's
    """An engine; with a CA over TLS alone, the CA read anew when its file changes.

    SettingsError if the CA cannot be used.
    """
    engine = create_async_engine(url, **options)
    if tls_ca:
        context = client_context(tls_ca)

        @event.listens_for(engine.sync_engine, "do_connect")
        def over_tls(_dialect: object, _record: object, _positional: object, named: dict[str, Any]) -> None:
            named["ssl"] = context.current()

    return engine


def is_away(error: BaseException) -> bool:
    """Whether an error says that PostgreSQL cannot be reached just now: the same call may be repeated."""
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        return error.connection_invalidated or isinstance(error.orig, _AWAY) or isinstance(cause, _AWAY)
    return isinstance(error, _AWAY | SQLAlchemyTimeoutError)


async def migrate(engine: AsyncEngine, migrations: Path) -> None:
    """Brings the database to the newest revision. Two that start at once wait for one another."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('liity migrations'))"))
        await connection.run_sync(_upgrade, migrations)


def _upgrade(connection: Connection, migrations: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run_migration_environment(config: Config, metadata: MetaData) -> None:
    """The whole of a service's `migrations/env.py`."""
    from alembic import context  # noqa: PLC0415 - exists only while Alembic runs

    context.configure(connection=config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
