"""Accounts: log-in, its throttle, access tokens."""

import asyncio
import json
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet, OKPKey
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.account_service_pb2 import Account as AccountMessage
from liity.identity.v1.account_service_pb2 import (
    AccountMembership,
    CheckSessionRequest,
    CreateAccountRequest,
    GetAccountRequest,
    GetJwksRequest,
    LogInRequest,
)
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_MAIN_USER, ROLE_REGISTRAR
from liity.v1.customer_form_pb2 import LANGUAGE_SV
from liity.v1.reason_pb2 import (
    REASON_ACCOUNT_EXISTS,
    REASON_ACCOUNT_NOT_FOUND,
    REASON_FORBIDDEN_CHARACTERS,
    REASON_INVALID_EMAIL,
    REASON_INVALID_FORMAT,
    REASON_REQUEST_ID_REUSED,
    REASON_REQUIRED,
    REASON_TOO_MANY_ATTEMPTS,
    REASON_UNKNOWN_VALUE,
    REASON_WRONG_CREDENTIALS,
    Reason,
)
from services.identity.accounts.passwords import Passwords
from services.identity.models import Account, limits
from services.runtime.clock import now
from services.runtime.data.rate_limits import sweep_limits
from services.runtime.rpc.errors import FieldViolation, Refusal
from services.runtime.security.service_identity import ALGORITHM, ServiceIdentity
from tests.services.conftest import Component, IdentityFactory, refused

PASSWORD = "korrekt häst batteri"
WINDOW = timedelta(minutes=15)


def new_account(email: str | None = None, **fields: Any) -> CreateAccountRequest:
    own: dict[str, Any] = {
        "request_id": str(uuid4()),
        "email": email or f"{uuid4().hex}@school.example",
        "display_name": "Åsa Öhman",
        "password": PASSWORD,
        "language": LANGUAGE_SV,
        "memberships": [
            AccountMembership(unit_id="school", role=ROLE_MAIN_USER),
            AccountMembership(unit_id="library", role=ROLE_REGISTRAR),
        ],
    }
    return CreateAccountRequest(**(own | fields))


@pytest.fixture
async def account(identity: Component) -> AccountMessage:
    """An account of the test's own."""
    made: AccountMessage = (await identity(new_account())).account
    return made


def log_in(email: str, password: str = PASSWORD, caller: str | None = None) -> LogInRequest:
    return LogInRequest(email=email, password=password, caller_address=caller or uuid4().hex)


async def reasons(calls: list[Awaitable[Any]]) -> list[str]:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return sorted(Reason.Name(answer.reason) if isinstance(answer, Refusal) else "OK" for answer in answers)


async def test_an_account_is_made_and_read(identity: Component) -> None:
    made = (await identity(new_account("Asa.Ohman@School.Example"))).account
    assert made.email == "asa.ohman@school.example"
    assert made.display_name == "Åsa Öhman"
    assert made.language == LANGUAGE_SV
    assert [(unit.unit_id, unit.role) for unit in made.memberships] == [
        ("library", ROLE_REGISTRAR),
        ("school", ROLE_MAIN_USER),
    ]
    assert (await identity(GetAccountRequest(account_id=made.account_id))).account == made
    refusal = await refused(identity(GetAccountRequest(account_id="nobody")))
    assert (refusal.code.name, refusal.reason) == ("NOT_FOUND", REASON_ACCOUNT_NOT_FOUND)


async def test_making_an_account_is_repeatable(identity: Component, identity_engine: AsyncEngine) -> None:
    request = new_account()
    answers = await asyncio.gather(*(identity(request) for _ in range(5)))
    assert answers == [answers[0]] * 5
    taken = await refused(identity(new_account(request.email.upper())))
    assert (taken.code.name, taken.reason) == ("ALREADY_EXISTS", REASON_ACCOUNT_EXISTS)
    reused = await refused(identity(new_account(request_id=request.request_id)))
    assert reused.reason == REASON_REQUEST_ID_REUSED
    async with identity_engine.connect() as connection:
        same = select(func.count()).select_from(Account).where(Account.email == request.email)
        assert await connection.scalar(same) == 1


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"request_id": "1"}, "request_id", REASON_INVALID_FORMAT),
        ({"email": "nobody"}, "email", REASON_INVALID_EMAIL),
        ({"email": "\0@school.example"}, "email", REASON_INVALID_EMAIL),
        ({"display_name": ""}, "display_name", REASON_REQUIRED),
        ({"display_name": "\u202eÅ\x07sa"}, "display_name", REASON_FORBIDDEN_CHARACTERS),
        ({"password": "x" * 11}, "password", REASON_REQUIRED),
        ({"language": 99}, "language", REASON_UNKNOWN_VALUE),
        ({"roles": [ROLE_REGISTRAR]}, "roles", REASON_UNKNOWN_VALUE),
        (
            {"memberships": [AccountMembership(unit_id="school", role=ROLE_REGISTRAR)] * 2},
            "memberships",
            REASON_INVALID_FORMAT,
        ),
    ],
)
async def test_wrong_accounts(
    identity: Component, fields: dict[str, Any], field: str, reason: Reason.ValueType
) -> None:
    refusal = await refused(identity(new_account(**fields)))
    assert refusal.violations == (FieldViolation(field, reason),)


async def test_log_in(identity: Component, account: AccountMessage) -> None:
    tokens = (await identity(log_in(f"  {account.email.upper()} "))).tokens
    assert tokens.account == account
    keys = KeySet.import_key_set(json.loads((await identity(GetJwksRequest())).jwks_json))
    decoded = jwt.decode(tokens.access_token, keys, algorithms=[ALGORITHM])
    assert decoded.header == {"typ": "JWT", "alg": "Ed25519", "kid": keys.keys[0].kid}
    issued, expiry = decoded.claims.pop("iat"), decoded.claims.pop("exp")
    await identity(CheckSessionRequest(session_id=decoded.claims.pop("sid")))
    assert decoded.claims == {
        "iss": "liity",
        "aud": "liity",
        "sub": account.account_id,
        "name": "Åsa Öhman",
        "roles": [],
        "units": {"library": "REGISTRAR", "school": "MAIN_USER"},
    }
    assert expiry - issued == 600
    assert expiry == tokens.access_token_expire_time.seconds
    left = tokens.refresh_token_expire_time.seconds - now().timestamp()
    assert 13.9 * 86400 < left <= 14 * 86400


async def test_staff_roles_stand_in_the_token(identity: Component) -> None:
    staff = (await identity(new_account(roles=[ROLE_CUSTOMER_SERVICE], memberships=[]))).account
    tokens = (await identity(log_in(staff.email))).tokens
    keys = KeySet.import_key_set(json.loads((await identity(GetJwksRequest())).jwks_json))
    claims = jwt.decode(tokens.access_token, keys, algorithms=[ALGORITHM]).claims
    assert (claims["roles"], claims["units"]) == (["CUSTOMER_SERVICE"], {})


async def test_published_keys_are_public_only(identity: Component, account: AccountMessage) -> None:
    published = json.loads((await identity(GetJwksRequest())).jwks_json)
    assert {name for key in published["keys"] for name in key} == {"kty", "crv", "x", "use", "kid"}
    token = (await identity(log_in(account.email))).tokens.access_token
    stranger = OKPKey.generate_key("Ed25519", parameters={"kid": published["keys"][0]["kid"]})
    with pytest.raises(BadSignatureError):
        jwt.decode(token, KeySet([stranger]), algorithms=[ALGORITHM])


async def test_wrong_password_and_unknown_address_answer_the_same(
    identity: Component, account: AccountMessage
) -> None:
    token = ServiceIdentity("gateway", identity.keys_dir).token("identity")
    answers = set()
    for request in (
        log_in(account.email, "wrong password"),
        log_in("unknown@school.example"),
        log_in("", ""),
        log_in("\0"),
        log_in(account.email, PASSWORD + "\0"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await identity.raw("/liity.identity.v1.AccountService/LogIn", request.SerializeToString(), token)
        answers.add((error.value.code(), error.value.details(), tuple(error.value.trailing_metadata())))
    ((code, _, details),) = answers
    assert code == grpc.StatusCode.UNAUTHENTICATED
    assert any(key == "grpc-status-details-bin" for key, _ in details)
    refusal = await refused(identity(log_in("unknown@school.example")))
    assert refusal.reason == REASON_WRONG_CREDENTIALS


async def test_nobody_has_a_password() -> None:
    passwords = Passwords()
    password_hash = await passwords.hash("a\u0308" * 12)
    assert await passwords.verify(password_hash, "ä" * 12)
    assert not await passwords.verify(password_hash, "ä" * 13)
    assert not await passwords.verify(None, "ä" * 12)


@pytest.mark.parametrize("known", [True, False])
async def test_an_account_is_throttled(identity: Component, account: AccountMessage, known: bool) -> None:
    email = account.email if known else f"{uuid4().hex}@school.example"
    for _ in range(5):
        assert (await refused(identity(log_in(email, "wrong")))).reason == REASON_WRONG_CREDENTIALS
    refusal = await refused(identity(log_in(email.upper())))
    assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", REASON_TOO_MANY_ATTEMPTS)
    assert refusal.retry_after is not None
    assert WINDOW - timedelta(minutes=2) < refusal.retry_after <= WINDOW


async def test_the_throttle_ends_with_its_window(
    identity: Component, identity_engine: AsyncEngine, account: AccountMessage
) -> None:
    for _ in range(6):
        await refused(identity(log_in(account.email, "wrong")))
    async with identity_engine.begin() as connection:
        await connection.execute(update(limits).values(ends_at=limits.c.ends_at - WINDOW))
    await identity(log_in(account.email))


async def test_a_log_in_clears_the_accounts_failures(identity: Component, account: AccountMessage) -> None:
    for _ in range(2):
        for _ in range(4):
            await refused(identity(log_in(account.email, "wrong")))
        await identity(log_in(account.email))


async def test_guesses_at_once_exceed_no_limit(identity: Component, account: AccountMessage) -> None:
    guesses: list[Awaitable[Any]] = [identity(log_in(account.email, "wrong")) for _ in range(20)]
    expected = ["REASON_TOO_MANY_ATTEMPTS"] * 15 + ["REASON_WRONG_CREDENTIALS"] * 5
    assert await reasons(guesses) == expected


async def test_a_caller_is_throttled(identity_with: IdentityFactory, account: AccountMessage) -> None:
    caller = uuid4().hex
    async with identity_with(login_failures_per_caller=3) as identity:
        colleague = (await identity(new_account())).account
        for _ in range(3):
            await identity(log_in(colleague.email, caller=caller))
        for _ in range(3):
            email = f"{uuid4().hex}@school.example"
            assert (await refused(identity(log_in(email, caller=caller)))).reason == REASON_WRONG_CREDENTIALS
        for _ in range(7):
            refusal = await refused(identity(log_in(account.email, caller=caller)))
            assert refusal.reason == REASON_TOO_MANY_ATTEMPTS
        # Who is known there is not locked out by what others at the same address do.
        await identity(log_in(colleague.email, caller=caller))
        await identity(log_in(account.email))


async def test_attempts_name_nobody_and_are_forgotten(
    identity: Component, identity_engine: AsyncEngine, account: AccountMessage
) -> None:
    request = log_in(account.email, "wrong", caller="192.0.2.77")
    await refused(identity(request))
    async with identity_engine.begin() as connection:
        stored = str((await connection.execute(text("SELECT a::text FROM limits a"))).all())
        await connection.execute(update(limits).values(ends_at=now()))
    for shown in (account.email, "192.0.2.77", b"192.0.2.77".hex()):
        assert shown not in stored
    await sweep_limits(identity_engine, limits)
    async with identity_engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(limits)) == 0
