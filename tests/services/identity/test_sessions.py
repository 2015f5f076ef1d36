"""Sessions: refresh tokens rotate, work once, and end with the session."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.account_service_pb2 import (
    CreateAccountRequest,
    LogInRequest,
    LogOutRequest,
    RefreshSessionRequest,
    SessionTokens,
)
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.reason_pb2 import REASON_INVALID_FORMAT, REASON_SESSION_ENDED
from services.identity.cleanup import sweep
from services.identity.models import RefreshToken, Session
from services.runtime.clock import now
from tests.services.conftest import Component, IdentityFactory, refused

PASSWORD = "korrekt häst batteri"


@pytest.fixture
async def log_in(identity: Component) -> LogInRequest:
    """The log-in of an account of the test's own."""
    email = f"{uuid4().hex}@library.example"
    await identity(
        CreateAccountRequest(
            request_id=str(uuid4()),
            email=email,
            display_name="Aino Virtanen",
            password=PASSWORD,
            language=LANGUAGE_FI,
        )
    )
    return LogInRequest(email=email, password=PASSWORD, caller_address="192.0.2.1")


@pytest.fixture
async def session(identity: Component, log_in: LogInRequest) -> SessionTokens:
    """A session of the test's own."""
    tokens: SessionTokens = (await identity(log_in)).tokens
    return tokens


def refresh(token: str, request_id: str | None = None) -> RefreshSessionRequest:
    return RefreshSessionRequest(refresh_token=token, request_id=request_id or str(uuid4()))


async def assert_ended(identity: Component, token: str) -> None:
    refusal = await refused(identity(refresh(token)))
    assert (refusal.code.name, refusal.reason) == ("UNAUTHENTICATED", REASON_SESSION_ENDED)


async def test_tokens_rotate(identity: Component, session: SessionTokens) -> None:
    seen = {session.refresh_token}
    tokens = session
    for _ in range(3):
        tokens = (await identity(refresh(tokens.refresh_token))).tokens
        assert tokens.account == session.account
        seen.add(tokens.refresh_token)
    assert len(seen) == 4


async def test_the_same_request_gives_the_same_token(identity: Component, session: SessionTokens) -> None:
    request = refresh(session.refresh_token)
    answers = await asyncio.gather(*(identity(request) for _ in range(10)))
    (successor,) = {answer.tokens.refresh_token for answer in answers}
    await identity(refresh(successor))


async def an_hour_later(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            update(RefreshToken).values(rotated_at=RefreshToken.rotated_at - timedelta(hours=1))
        )


async def test_a_token_used_again_later_ends_the_session(
    identity: Component, identity_engine: AsyncEngine, log_in: LogInRequest, session: SessionTokens
) -> None:
    other = (await identity(log_in)).tokens
    second = (await identity(refresh(session.refresh_token))).tokens
    third = (await identity(refresh(second.refresh_token))).tokens
    await an_hour_later(identity_engine)
    await assert_ended(identity, session.refresh_token)
    for tokens in (third, second, session):
        await assert_ended(identity, tokens.refresh_token)
    await identity(refresh(other.refresh_token))


async def test_two_tabs_that_refresh_at_once_both_go_on(
    identity: Component, identity_engine: AsyncEngine, session: SessionTokens
) -> None:
    answers = await asyncio.gather(*(identity(refresh(session.refresh_token)) for _ in range(10)))
    answers.append(await identity(refresh(session.refresh_token)))
    (successor,) = {answer.tokens.refresh_token for answer in answers}
    newest = (await identity(refresh(successor))).tokens
    # One tab has gone on meanwhile.
    await identity(refresh(session.refresh_token))
    await an_hour_later(identity_engine)
    await identity(refresh(newest.refresh_token))
    await assert_ended(identity, successor)


async def test_without_a_grace_a_token_works_once(
    identity_with: IdentityFactory, session: SessionTokens
) -> None:
    async with identity_with(refresh_token_grace="PT0S") as identity:
        await identity(refresh(session.refresh_token))
        await assert_ended(identity, session.refresh_token)


async def test_log_out_ends_the_session(identity: Component, session: SessionTokens) -> None:
    newest = (await identity(refresh(session.refresh_token))).tokens
    for _ in range(2):
        await identity(LogOutRequest(refresh_token=session.refresh_token))
    await assert_ended(identity, newest.refresh_token)


@pytest.mark.parametrize("token", ["", "x", "\0", "A" * 50, "ä" * 20])
async def test_unknown_tokens(identity: Component, token: str) -> None:
    await assert_ended(identity, token)
    await identity(LogOutRequest(refresh_token=token))


async def test_a_request_id_is_needed(identity: Component, session: SessionTokens) -> None:
    refusal = await refused(identity(refresh(session.refresh_token, "again")))
    assert refusal.reason == REASON_INVALID_FORMAT
    await identity(refresh(session.refresh_token))


async def test_a_session_expires_unless_it_is_used(
    identity: Component, identity_engine: AsyncEngine, session: SessionTokens
) -> None:
    renewed = (await identity(refresh(session.refresh_token))).tokens
    assert renewed.refresh_token_expire_time.ToDatetime() > session.refresh_token_expire_time.ToDatetime()
    mine = Session.account_id == session.account.account_id
    async with identity_engine.begin() as connection:
        await connection.execute(update(Session).where(mine).values(expires_at=now()))
    await assert_ended(identity, renewed.refresh_token)
    await sweep(identity_engine)
    async with identity_engine.connect() as connection:
        left = select(func.count()).select_from(Session).where(mine)
        assert await connection.scalar(left) == 0
        orphans = select(func.count()).where(RefreshToken.session_id.not_in(select(Session.session_id)))
        assert await connection.scalar(orphans) == 0


async def test_lifetimes_are_settings(identity_with: IdentityFactory, log_in: LogInRequest) -> None:
    async with identity_with(refresh_token_lifetime="PT1H", access_token_lifetime="PT2M") as identity:
        tokens = (await identity(log_in)).tokens
    assert 3500 < tokens.refresh_token_expire_time.seconds - now().timestamp() <= 3600
    assert 100 < tokens.access_token_expire_time.seconds - now().timestamp() <= 120
