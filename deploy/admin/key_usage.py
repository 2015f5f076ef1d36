"""What still needs a key: what could not be read, found or verified without it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from temporalio.service import RPCError

from deploy.admin.key_files import Key
from services.identity.models import Link, Session
from services.identity.persons.key_check import forget_key, is_known, stored_codes
from services.identity.settings import IdentitySettings
from services.runtime.clock import now
from services.runtime.data.database import create_engine, is_away
from services.runtime.security.keys import TOKEN_SIGNING, KeysetPurpose, key_checks
from services.runtime.settings import SettingsError, load
from services.runtime.temporal import client as temporal_client
from services.runtime.temporal.client import TemporalSettings

LOSSES = {
    KeysetPurpose.HETU: "{count} personal identity codes, which can never be read again, though still found",
    KeysetPurpose.HETU_INDEX: "the way to {count} persons, whom nobody finds by their code any more",
    KeysetPurpose.LINKS: "links in mail and log-ins under it, which are refused from now on",
    TOKEN_SIGNING: "access tokens under it, which are refused from now on",
}
"""What a lost key of identity's takes along, by its purpose."""


class Need(NamedTuple):
    """Things of one kind that need a key."""

    what: str
    """What, and how many: `12 personal identity codes`."""
    advice: str
    """How they come to need it no more."""


class KeyNeeded(Exception):
    """A key cannot go. Its text is the one line to show."""


class KeysSettings(IdentitySettings):
    """What identity reads, for who only looks at its database and its keys."""

    listen: str = ""


async def needs(purpose: str, key: Key, margin: timedelta) -> list[Need]:
    """What needs a key; rather too much than too little. SettingsError if it cannot be asked.

    `margin` is how long after a promotion the key before may still have been written with.
    """
    until = _written_until(key, margin)
    if purpose == KeysetPurpose.PAYLOADS:
        return await _runs(until)
    async with identity_transaction() as connection:
        return await _identity_needs(connection, purpose, key, until)


async def release(purpose: str, key: Key, margin: timedelta) -> None:
    """Sees that nothing needs a key, and that no start asks for it any more.

    `KeyNeeded` if something does. SettingsError if it cannot be asked.
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
            f"Who was not restarted since the promotion may still write with key {key.key_id} of {purpose}:"
            f" wait until {shown(until)}, or tell by --margin when all had been"
        )
    if purpose == KeysetPurpose.PAYLOADS:
        _refuse(purpose, key, await _runs(until))
        return
    async with identity_transaction() as connection:
        _refuse(purpose, key, await _identity_needs(connection, purpose, key, until))
        await forget_key(connection, purpose, key.key_id)


async def loss(keys_dir: Path, purpose: str, key_id: str) -> str:
    """What is lost with a key that is. SettingsError if it is not lost, or the database never knew it."""
    if purpose == KeysetPurpose.PAYLOADS:
        raise SettingsError(
            "Runs in Temporal under a lost key must be terminated: their people register anew"
        )
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
    """The database of `LIITY_DATABASE_URL`. SettingsError if it is missing or does not answer."""
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
    """Until when something may have been written with a key; None if nobody ever did."""
    if key.waiting:
        return None
    return now() if key.succeeded is None else key.succeeded + margin


async def _runs(until: datetime | None) -> list[Need]:
    """Runs that Temporal holds, open or closed, and that were begun while the key was in use.

    What else lies under the keys of payloads, the exports of disclosures, is erased before their runs end.
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
    """Links that may still be used, and log-ins not renewed since."""
    moment = now()
    links = select(func.count(), func.max(Link.expires_at)).where(
        Link.created_at < until, Link.expires_at > moment, Link.used_at.is_(None), Link.voided_at.is_(None)
    )
    sessions = select(func.count(), func.max(Session.expires_at)).where(
        Session.expires_at > moment, Session.expires_at < until + session_lifetime
    )
    found = [
        (what, (await connection.execute(query)).one())
        for what, query in (("link", links), ("log-in", sessions))
    ]
    return [
        Need(_counted(count, what), f"the last ends by {shown(last)}")
        for what, (count, last) in found
        if count
    ]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def shown(moment: datetime) -> str:
    """A moment for a person, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
