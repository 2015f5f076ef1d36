"""What still needs a key: data that could not be read, found or verified without it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from temporalio.service import RPCError

from deploy.admin.key_files import Key
from services.identity.persons.key_check import forget_key, is_known, open_links, open_sessions, stored_codes
from services.identity.settings import IdentitySettings
from services.runtime.clock import now
from services.runtime.data.database import create_engine, is_away
from services.runtime.security.keys import TOKEN_SIGNING, KeysetPurpose, key_checks
from services.runtime.settings import SettingsError, load
from services.runtime.temporal import client as temporal_client
from services.runtime.temporal.client import TemporalSettings

LOSSES = {
    KeysetPurpose.HETU: "{count} personal identity codes, which can never be read again, though still found",
    KeysetPurpose.HETU_INDEX: "the index of {count} persons, who cannot be found by their code any more",
    KeysetPurpose.LINKS: "links in mail and log-ins under it, which are refused from now on",
    TOKEN_SIGNING: "access tokens under it, which are refused from now on",
}
"""What is lost with a key of identity, by purpose."""


class Need(NamedTuple):
    """Things of one kind that need a key."""

    what: str
    """Number and kind: `12 personal identity codes`."""
    advice: str
    """What to do until they need it no more."""


class KeyNeeded(Exception):
    """A key must not be removed. The text is the one line to show."""


class KeysSettings(IdentitySettings):
    """Identity's settings, for commands that only use its database and keys."""

    listen: str = ""


async def needs(purpose: str, key: Key, margin: timedelta) -> list[Need]:
    """What needs a key; an upper bound. SettingsError if the database or Temporal does not answer.

    `margin` is how long after a promotion components may still have written with the previous key.
    """
    until = _written_until(key, margin)
    if purpose == KeysetPurpose.PAYLOADS:
        return await _runs(until)
    if purpose == KeysetPurpose.WEB:
        return []
    async with identity_transaction() as connection:
        return await _identity_needs(connection, purpose, key, until)


async def release(purpose: str, key: Key, margin: timedelta) -> None:
    """Checks that nothing needs a key, and stops identity from requiring it at its start.

    `KeyNeeded` if something needs it. SettingsError if the database or Temporal does not answer.
    """
    if key.primary:
        raise KeyNeeded(
            f"Key {key.key_id} is the one that writes: make another primary with liity keys rotate {purpose}"
        )
    if key.succeeded is None and not key.waiting:
        raise KeyNeeded(
            f"It is not known until when key {key.key_id} has written: rotate and promote {purpose} first"
        )
    until = _written_until(key, margin)
    if until is not None and until > now():
        raise KeyNeeded(
            f"Components not restarted since the promotion may still write with key {key.key_id} of"
            f" {purpose}: wait until {shown(until)}, or give by --margin how long restarting them took"
        )
    if purpose == KeysetPurpose.PAYLOADS:
        _refuse(purpose, key, await _runs(until))
        return
    if purpose == KeysetPurpose.WEB:
        # Browsers whose cookies it has sealed log in again.
        return
    async with identity_transaction() as connection:
        _refuse(purpose, key, await _identity_needs(connection, purpose, key, until))
        await forget_key(connection, purpose, key.key_id)


async def loss(keys_dir: Path, purpose: str, key_id: str) -> str:
    """What is lost with a lost key. SettingsError if it is not lost, or the database never used it."""
    if purpose == KeysetPurpose.PAYLOADS:
        raise SettingsError(
            "Runs in Temporal under a lost key must be terminated: their persons must be registered anew"
        )
    if purpose == KeysetPurpose.WEB:
        return f"Lost with key {key_id} of web: sessions of browsers, whose people log in again."
    if key_id in key_checks(keys_dir, purpose).values:
        raise SettingsError(f"Key {key_id} of {purpose} is not lost: liity keys retire {purpose} {key_id}")
    async with identity_transaction() as connection:
        if not await is_known(connection, purpose, key_id):
            raise SettingsError(f"Nothing was ever written with key {key_id} of {purpose}")
        count = await stored_codes(connection, purpose, key_id)
    return f"Lost with key {key_id} of {purpose}: {LOSSES[purpose].format(count=count)}."


async def give_up(purpose: str, key_id: str) -> None:
    """Lets identity start without a key. SettingsError if the database does not answer."""
    async with identity_transaction() as connection:
        await forget_key(connection, purpose, key_id)


@asynccontextmanager
async def identity_engine() -> AsyncIterator[AsyncEngine]:
    """An engine for `LIITY_DATABASE_URL`. SettingsError if it is missing or the database does not answer."""
    engine = create_engine(load(KeysSettings))
    try:
        yield engine
    except (SQLAlchemyError, OSError) as error:
        if not is_away(error):
            raise
        raise SettingsError("The database of LIITY_DATABASE_URL does not answer") from None
    finally:
        await engine.dispose()


@asynccontextmanager
async def identity_transaction() -> AsyncIterator[AsyncConnection]:
    """A transaction in the database of `LIITY_DATABASE_URL`. SettingsError as `identity_engine`."""
    async with identity_engine() as engine, engine.begin() as connection:
        yield connection


def _refuse(purpose: str, key: Key, found: list[Need]) -> None:
    if found:
        reasons = "; ".join(f"{need.what} ({need.advice})" for need in found)
        raise KeyNeeded(f"Key {key.key_id} of {purpose} is still needed by {reasons}")


def _written_until(key: Key, margin: timedelta) -> datetime | None:
    """The last moment at which something may have been written with a key; None if never."""
    if key.waiting:
        return None
    return now() if key.succeeded is None else key.succeeded + margin


async def _runs(until: datetime | None) -> list[Need]:
    """Runs in Temporal, open or closed, that started while the key was in use.

    The payloads keyset also encrypts exports of disclosures, but these are erased before their runs end.
    """
    if until is None:
        return []
    try:
        client = await temporal_client.connect(load(TemporalSettings), lazy=False)
        counted = await client.count_workflows(f'StartTime < "{until.isoformat()}"')
    except (RPCError, RuntimeError):
        raise SettingsError("Temporal does not answer") from None
    advice = "Temporal keeps their histories as they are: wait until they have ended and are deleted"
    return [Need(_counted(counted.count, "run"), advice)] if counted.count else []


async def _identity_needs(
    connection: AsyncConnection, purpose: str, key: Key, until: datetime | None
) -> list[Need]:
    if purpose in {KeysetPurpose.HETU, KeysetPurpose.HETU_INDEX}:
        codes = await stored_codes(connection, purpose, key.key_id)
        return [Need(_counted(codes, "personal identity code"), "liity keys reencrypt")] if codes else []
    if until is None:
        return []
    settings = load(KeysSettings)
    if purpose == TOKEN_SIGNING:
        end = until + settings.access_token_lifetime
        return [Need("access tokens", f"they end by {shown(end)}")] if end > now() else []
    return await _signed(connection, until, settings.refresh_token_lifetime)


async def _signed(connection: AsyncConnection, until: datetime, session_lifetime: timedelta) -> list[Need]:
    """Links that can still be used, and sessions not renewed since."""
    found = {
        "link": await open_links(connection, until),
        "log-in": await open_sessions(connection, until, session_lifetime),
    }
    return [
        Need(_counted(signed.number, what), f"the last ends by {shown(signed.last_end)}")
        for what, signed in found.items()
        if signed.last_end
    ]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def shown(moment: datetime) -> str:
    """A moment as text, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
