"""Refuses to start if a key that identity has used is missing, or if another key has its ID."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import structlog
from asyncpg.exceptions import UndefinedTableError
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.identity.models import KnownKey, Link, Person, Session
from services.runtime.clock import now
from services.runtime.data.database import is_away
from services.runtime.security.keys import TOKEN_SIGNING, KeyChecks, KeysetPurpose, key_checks, key_file_path
from services.runtime.settings import SettingsError

log = structlog.get_logger()

USES = {
    KeysetPurpose.HETU: "under which personal identity codes are stored ({count})",
    KeysetPurpose.HETU_INDEX: "by which personal identity codes are found ({count})",
    KeysetPurpose.LINKS: "which has signed links in mail and log-ins",
    TOKEN_SIGNING: "which has signed access tokens",
}
"""What each of identity's keys is used for, by purpose."""

_KEY_COLUMNS = {KeysetPurpose.HETU: Person.hetu_key_id, KeysetPurpose.HETU_INDEX: Person.index_key_id}

_PATIENCE = 5.0
"""Seconds after which a database that does not answer counts as unavailable."""

_PAUSE = 1.0
"""Seconds between two attempts to reach the database."""


@asynccontextmanager
async def keys_checked(engine: AsyncEngine, keys_dir: Path) -> AsyncIterator[None]:
    """Checks the keys before the body runs. Raises SettingsError if one is missing or wrong.

    While the database is unavailable nothing can be checked, nor written: the check runs as soon as it is
    back, and cancels the body if it fails.
    """
    checks = {purpose: key_checks(keys_dir, purpose) for purpose in USES}
    try:
        async with asyncio.TaskGroup() as group:
            later = None
            if not await _check_unless_away(engine, keys_dir, checks):
                log.warning("database away: the keys are checked once it is back")
                later = group.create_task(_check_later(engine, keys_dir, checks))
            yield
            if later is not None:
                later.cancel()
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None


async def stored_codes(connection: AsyncConnection, purpose: str, key_id: str) -> int:
    """Number of persons' codes stored under a key of the vault or its index; 0 for other purposes."""
    if purpose not in _KEY_COLUMNS:
        return 0
    counted = select(func.count()).where(_KEY_COLUMNS[purpose] == int(key_id))
    return await connection.scalar(counted) or 0


async def is_known(connection: AsyncConnection, purpose: str, key_id: str) -> bool:
    """Whether this database has been used with the key."""
    found = select(KnownKey.key_id).where(KnownKey.purpose == purpose, KnownKey.key_id == key_id)
    return await connection.scalar(found) is not None


async def forget_key(connection: AsyncConnection, purpose: str, key_id: str) -> None:
    """Removes the key from those that the start requires."""
    await connection.execute(delete(KnownKey).where(KnownKey.purpose == purpose, KnownKey.key_id == key_id))


async def _check_later(engine: AsyncEngine, keys_dir: Path, checks: dict[str, KeyChecks]) -> None:
    while True:
        await asyncio.sleep(_PAUSE)
        if await _check_unless_away(engine, keys_dir, checks):
            return


async def _check_unless_away(engine: AsyncEngine, keys_dir: Path, checks: dict[str, KeyChecks]) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE), engine.begin() as connection:
            for purpose, found in checks.items():
                await _check(connection, keys_dir, purpose, found)
    except ProgrammingError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        if isinstance(cause, UndefinedTableError):
            raise SettingsError(
                "The database lacks the table known_keys: run `liity migrate identity`"
            ) from None
        raise
    except (SQLAlchemyError, OSError) as error:
        if not is_away(error):
            raise
        return False
    return True


async def _check(connection: AsyncConnection, keys_dir: Path, purpose: str, found: KeyChecks) -> None:
    """Compares the keys of a purpose with those recorded, and records the primary one."""
    await connection.execute(
        insert(KnownKey)
        .values(
            purpose=purpose,
            key_id=found.primary_id,
            check_value=found.values[found.primary_id],
            known_since=now(),
        )
        .on_conflict_do_nothing()
    )
    known = await connection.execute(
        select(KnownKey.key_id, KnownKey.check_value).where(KnownKey.purpose == purpose)
    )
    for key_id, check_value in known.all():
        value = found.values.get(key_id)
        if value is None:
            raise await _lost(connection, keys_dir, purpose, key_id, "lacks key")
        if check_value is None:
            await connection.execute(
                update(KnownKey)
                .where(KnownKey.purpose == purpose, KnownKey.key_id == key_id)
                .values(check_value=value)
            )
        elif not hmac.compare_digest(check_value, value):
            raise await _lost(connection, keys_dir, purpose, key_id, "holds something else as key")


async def _lost(
    connection: AsyncConnection, keys_dir: Path, purpose: str, key_id: str, how: str
) -> SettingsError:
    use = USES[purpose].format(count=await stored_codes(connection, purpose, key_id))
    path = key_file_path(keys_dir, purpose)
    return SettingsError(f"{path} {how} {key_id}, {use}: put the right file back")


class Signed(NamedTuple):
    """What was signed with a key and is still good."""

    number: int
    last_end: datetime | None


async def open_links(connection: AsyncConnection, until: datetime) -> Signed:
    """Links made before a moment that can still be used."""
    query = select(func.count(), func.max(Link.expires_at)).where(
        Link.created_at < until, Link.expires_at > now(), Link.used_at.is_(None), Link.voided_at.is_(None)
    )
    return Signed(*(await connection.execute(query)).one())


async def open_sessions(connection: AsyncConnection, until: datetime, lifetime: timedelta) -> Signed:
    """Sessions last renewed before a moment. Each renewal makes a session last for `lifetime`."""
    query = select(func.count(), func.max(Session.expires_at)).where(
        Session.expires_at > now(), Session.expires_at < until + lifetime
    )
    return Signed(*(await connection.execute(query)).one())
