"""Wrong passwords of others lock nobody out of where they are known, and customer service sees them."""

import asyncio
import secrets
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.account_service_pb2 import (
    Account,
    CreateAccountRequest,
    ListLockOutsRequest,
    ListLockOutsResponse,
    LogInRequest,
)
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.reason_pb2 import REASON_TOO_MANY_ATTEMPTS, REASON_WRONG_CREDENTIALS, Reason
from services.identity.cleanup import KNOWN_PLACE_LIFETIME, LOCK_OUT_LIFETIME, sweep
from services.identity.models import KnownPlace, LockOuts, limits
from services.runtime.clock import now
from services.runtime.data.rate_limits import network_of
from tests.services.conftest import Component, IdentityFactory, refused

PASSWORD = "korrekt häst batteri"  # pragma: allowlist secret


@pytest.fixture
def school() -> str:
    """An address that no other test uses."""
    return f"2001:db8:{secrets.randbelow(2**16):x}:{secrets.randbelow(2**16):x}::17"


@pytest.fixture
async def account(identity: Component, school: str) -> Account:
    """An account of the test's own, which has logged in at school."""
    request = CreateAccountRequest(
        request_id=str(uuid4()),
        email=f"{uuid4().hex}@school.example",
        display_name="Åsa Öhman",
        password=PASSWORD,
        language=LANGUAGE_FI,
    )
    made: Account = (await identity(request)).account
    await identity(log_in(made.email, school))
    return made


def log_in(email: str, caller: str = "", password: str = PASSWORD) -> LogInRequest:
    return LogInRequest(email=email, password=password, caller_address=caller or uuid4().hex)


async def reason_of(call: Awaitable[Any]) -> Reason.ValueType:
    return (await refused(call)).reason


async def locked(identity: Component, email: str) -> None:
    """Five wrong passwords from somewhere, and a sixth that finds the account locked."""
    for expected in [REASON_WRONG_CREDENTIALS] * 5 + [REASON_TOO_MANY_ATTEMPTS]:
        request = log_in(email, password="wrong")  # pragma: allowlist secret
        assert await reason_of(identity(request)) == expected


async def window_over(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(update(limits).values(ends_at=now()))


async def lock_outs(identity: Component, since: datetime | None = None) -> ListLockOutsResponse:
    start = Timestamp()
    start.FromDatetime(since or now() - timedelta(days=1))
    found: ListLockOutsResponse = await identity(ListLockOutsRequest(start_time=start))
    return found


async def test_who_proves_the_password_where_the_account_is_known_is_let_in(
    identity: Component, account: Account, school: str
) -> None:
    await locked(identity, account.email)
    assert await reason_of(identity(log_in(account.email))) == REASON_TOO_MANY_ATTEMPTS
    for _ in range(2):
        await identity(log_in(account.email, school))
        # Nor does that unlock the account for those elsewhere.
        assert await reason_of(identity(log_in(account.email))) == REASON_TOO_MANY_ATTEMPTS


async def test_a_wrong_password_where_the_account_is_known_is_answered_as_anywhere(
    identity: Component, account: Account, school: str
) -> None:
    """Else the answer would tell that there is an account, and where it logs in."""
    unknown = f"{uuid4().hex}@school.example"
    answers = {}
    for email in (account.email, unknown):
        await locked(identity, email)
        for caller in (school, "198.51.100.4"):
            tries = [log_in(email, caller, "wrong") for _ in range(16)]
            answers[email, caller] = [await reason_of(identity(request)) for request in tries]
    assert set(map(tuple, answers.values())) == {(REASON_TOO_MANY_ATTEMPTS,) * 16}


async def test_guesses_where_the_account_is_known_are_limited_too(
    identity_with: IdentityFactory, account: Account, school: str
) -> None:
    async with identity_with(login_failures_per_place=7) as identity:
        guesses = (identity(log_in(account.email, school, "wrong")) for _ in range(9))
        answers = [await reason_of(guess) for guess in guesses]
        assert answers == [REASON_WRONG_CREDENTIALS] * 5 + [REASON_TOO_MANY_ATTEMPTS] * 4
        assert await reason_of(identity(log_in(account.email, school))) == REASON_TOO_MANY_ATTEMPTS


async def test_a_throttled_caller_is_looked_at_so_often_and_no_more(
    identity_with: IdentityFactory, account: Account, school: str
) -> None:
    """Where accounts are known a wrong password costs the work of a right one: not without end."""
    async with identity_with(login_failures_per_caller=2) as identity:
        for _ in range(19):
            await refused(identity(log_in(f"{uuid4().hex}@school.example", school, "wrong")))
        await identity(log_in(account.email, school))
        for _ in range(2):
            await refused(identity(log_in(f"{uuid4().hex}@school.example", school, "wrong")))
        assert await reason_of(identity(log_in(account.email, school))) == REASON_TOO_MANY_ATTEMPTS


async def test_places_are_stored_unreadable_and_forgotten(
    identity: Component, identity_engine: AsyncEngine, account: Account, school: str
) -> None:
    async with identity_engine.connect() as connection:
        stored = str((await connection.execute(text("SELECT p::text FROM known_places p"))).all())
    assert account.account_id in stored
    for shown in (school, network_of(school), school.encode().hex()):
        assert shown not in stored
    async with identity_engine.begin() as connection:
        await connection.execute(update(KnownPlace).values(seen_at=now() - KNOWN_PLACE_LIFETIME))
    await sweep(identity_engine)
    async with identity_engine.connect() as connection:
        assert (await connection.execute(select(KnownPlace))).first() is None
    await locked(identity, account.email)
    assert await reason_of(identity(log_in(account.email, school))) == REASON_TOO_MANY_ATTEMPTS


async def test_repeated_lock_outs_are_told_and_forgotten(
    identity: Component, identity_engine: AsyncEngine, account: Account
) -> None:
    begun = now()
    for number in range(3):
        assert account.account_id not in {found.account_id for found in (await lock_outs(identity)).lock_outs}
        if number == 2:
            # Guesses at once lock once.
            guesses = (refused(identity(log_in(account.email, "", "wrong"))) for _ in range(12))
            await asyncio.gather(*guesses)
        else:
            await locked(identity, account.email)
        await window_over(identity_engine)
        # An address that nobody has is counted alike, and told to nobody.
        await locked(identity, f"nobody-{account.account_id}@school.example")
    answer = await lock_outs(identity)
    (found,) = [found for found in answer.lock_outs if found.account_id == account.account_id]
    assert (found.count, answer.threshold) == (3, 2)
    assert begun <= found.start_time.ToDatetime(UTC) < found.end_time.ToDatetime(UTC) <= now()
    assert not (await lock_outs(identity, now() + timedelta(days=2))).lock_outs
    async with identity_engine.begin() as connection:
        stored = str((await connection.execute(text("SELECT l::text FROM lock_outs l"))).all())
        await connection.execute(update(LockOuts).values(day=(now() - LOCK_OUT_LIFETIME).date()))
    assert account.email not in stored
    await sweep(identity_engine)
    async with identity_engine.connect() as connection:
        assert (await connection.execute(select(LockOuts))).first() is None
