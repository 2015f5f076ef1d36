"""A service's own database: engine and errors."""

import re
from pathlib import Path
from typing import Any

from asyncpg import exceptions as asyncpg_errors
from prometheus_client import Gauge
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import ExceptionContext, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.runtime.security.tls import client_context
from services.runtime.settings import RuntimeSettings

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


_IN_USE = Gauge("liity_database_connections_in_use", "Connections that calls hold.", ["database"])
_MOST = Gauge("liity_database_connections_max", "Connections that may be open.", ["database"])


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
    engine = open_engine(
        settings.database_url,
        settings.database_tls_ca,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_size,
        # Parameters may be personal data: keep them out of error texts.
        hide_parameters=True,
        connect_args={"server_settings": {"lock_timeout": "10s", "statement_timeout": "30s"}},
    )
    in_use = _IN_USE.labels(engine.url.database)
    event.listen(engine.sync_engine, "checkout", lambda *_: in_use.inc())
    event.listen(engine.sync_engine, "checkin", lambda *_: in_use.dec())
    _MOST.labels(engine.url.database).set(2 * settings.database_pool_size)
    return engine


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
