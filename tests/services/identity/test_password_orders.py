"""A lost password of an account: an order, a link, a new password (R22)."""

import asyncio
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.account_service_pb2 import (
    Account,
    AdmitPasswordOrderRequest,
    BatchGetAccountsRequest,
    ChooseAccountPasswordRequest,
    CreateAccountRequest,
    IssuePasswordLinkRequest,
    IssuePasswordLinkResponse,
    LogInRequest,
    RefreshSessionRequest,
)
from liity.identity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_CONSENT, CheckLinkRequest
from liity.v1.auth_service_pb2 import ROLE_OPERATOR
from liity.v1.customer_form_pb2 import LANGUAGE_SV
from liity.v1.reason_pb2 import (
    REASON_LINK_EXPIRED,
    REASON_LINK_INVALID,
    REASON_LINK_USED,
    REASON_LINK_VOID,
    REASON_PASSWORD_TOO_WEAK,
    REASON_SESSION_ENDED,
    REASON_TOO_MANY_ATTEMPTS,
    REASON_TOO_MANY_ORDERS,
    REASON_WRONG_CREDENTIALS,
    Reason,
)
from services.identity.accounts.queries import find_account
from services.identity.accounts.sessions import Sessions
from services.identity.links.tokens import SealedIds
from services.identity.models import Account as AccountRow
from services.identity.models import Link, Session
from services.runtime.clock import now
from services.runtime.rpc.errors import FieldViolation, Refusal
from tests.services.conftest import Component, IdentityFactory, refused

OLD, NEW = "korrekt häst batteri", "fyra ord som räcker"


@pytest.fixture
async def account(identity: Component) -> Account:
    """An account of the test's own."""
    request = CreateAccountRequest(
        request_id=str(uuid4()),
        email=f"{uuid4().hex}@school.example",
        display_name="Åsa Öhman",
        password=OLD,
        language=LANGUAGE_SV,
    )
    made: Account = (await identity(request)).account
    return made


def issue(email: str, request_id: str | None = None) -> IssuePasswordLinkRequest:
    return IssuePasswordLinkRequest(request_id=request_id or str(uuid4()), email=email)


def choose(token: str, password: str = NEW, request_id: str | None = None) -> ChooseAccountPasswordRequest:
    return ChooseAccountPasswordRequest(
        request_id=request_id or str(uuid4()), link_token=token, password=password
    )


def log_in(email: str, password: str) -> LogInRequest:
    return LogInRequest(email=email, password=password, caller_address=uuid4().hex)


async def issued(identity: Component, account: Account) -> str:
    token: str = (await identity(issue(account.email))).link_token
    return token


async def reason_of(identity: Component, request: Any) -> Reason.ValueType:
    return (await refused(identity(request))).reason


async def test_a_new_password_replaces_the_old_one(identity: Component, account: Account) -> None:
    link = await identity(issue(f" {account.email.upper()}"))
    assert (link.email, link.language, link.account_id) == (account.email, LANGUAGE_SV, account.account_id)
    left = link.expire_time.ToDatetime() - now().replace(tzinfo=None)
    assert timedelta(minutes=58) < left <= timedelta(hours=1)
    assert account.account_id not in link.link_token
    await identity(choose(link.link_token))
    assert await reason_of(identity, log_in(account.email, OLD)) == REASON_WRONG_CREDENTIALS
    await identity(log_in(account.email, NEW))


async def test_nobody_has_the_address(identity: Component, identity_engine: AsyncEngine) -> None:
    async with identity_engine.connect() as connection:
        before = await connection.scalar(select(func.count()).select_from(Link))
    for email in (f"{uuid4().hex}@school.example", "", "\0", "x" * 254):
        assert await identity(issue(email)) == IssuePasswordLinkResponse()
    async with identity_engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(Link)) == before


async def test_the_link_works_once(identity: Component, account: Account) -> None:
    token, request_id = await issued(identity, account), str(uuid4())
    for _ in range(2):
        await identity(choose(token, request_id=request_id))
    refusal = await refused(identity(choose(token, "ett annat lösenord")))
    assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", REASON_LINK_USED)
    await identity(log_in(account.email, NEW))


async def test_of_two_who_use_the_link_at_once_one_chooses(identity: Component, account: Account) -> None:
    token = await issued(identity, account)
    passwords = [f"lösenord nummer {number}" for number in range(4)]
    answers = await asyncio.gather(
        *(identity(choose(token, password)) for password in passwords), return_exceptions=True
    )
    losers = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [loser.reason for loser in losers] == [REASON_LINK_USED] * 3
    (chosen,) = (
        password for password, answer in zip(passwords, answers, strict=True) if answer not in losers
    )
    await identity(log_in(account.email, chosen))


async def half_an_hour_later(engine: AsyncEngine, account: Account) -> None:
    older = {name: getattr(Link, name) - timedelta(minutes=31) for name in ("created_at", "expires_at")}
    async with engine.begin() as connection:
        await connection.execute(update(Link).where(Link.subject == account.account_id).values(older))


async def test_orders_of_others_void_no_link(
    identity: Component, identity_engine: AsyncEngine, account: Account
) -> None:
    first = await issued(identity, account)
    links = await asyncio.gather(*(identity(issue(account.email)) for _ in range(8)))
    assert {link.link_token for link in links} == {first}
    await half_an_hour_later(identity_engine, account)
    second = await identity(issue(account.email))
    assert second.link_token != first
    assert second.expire_time.ToDatetime(UTC) - now() > timedelta(minutes=58)
    await identity(choose(first))
    assert await reason_of(identity, choose(second.link_token)) == REASON_LINK_VOID


async def test_orders_beyond_the_limit_are_mailed_only_if_no_link_works(
    identity: Component, identity_engine: AsyncEngine, account: Account
) -> None:
    quiet = IssuePasswordLinkRequest(request_id=str(uuid4()), email=account.email, only_without_link=True)
    made = await identity(quiet)
    assert made.link_token
    again = IssuePasswordLinkRequest(request_id=str(uuid4()), email=account.email, only_without_link=True)
    assert await identity(again) == IssuePasswordLinkResponse()
    assert (await identity(quiet)).link_token == made.link_token
    await half_an_hour_later(identity_engine, account)
    assert (await identity(again)).link_token not in {"", made.link_token}


async def test_the_same_order_gives_the_same_link(identity: Component, account: Account) -> None:
    request = issue(account.email)
    links = await asyncio.gather(*(identity(request) for _ in range(5)))
    assert len({(link.email, link.link_token, link.link_void) for link in links}) == 1
    # Its life counts from the latest attempt to mail it.
    assert (await identity(request)).expire_time.ToDatetime() > max(
        link.expire_time.ToDatetime() for link in links
    )
    await identity(choose(links[0].link_token))


async def test_the_link_is_over_after_an_hour(
    identity: Component, identity_engine: AsyncEngine, account: Account
) -> None:
    token = await issued(identity, account)
    async with identity_engine.begin() as connection:
        await connection.execute(
            update(Link).where(Link.subject == account.account_id).values(expires_at=now())
        )
    assert await reason_of(identity, choose(token)) == REASON_LINK_EXPIRED


async def test_a_weak_password_leaves_the_link_usable(identity: Component, account: Account) -> None:
    token = await issued(identity, account)
    own = account.email.partition("@")[0]
    for weak in ("", "x" * 11, "a\u0308" * 11, "salasana1234", "\u200b" * 12, own, "Åsa Öhman 1234"):
        refusal = await refused(identity(choose(token, weak)))
        assert refusal.violations == (FieldViolation("password", REASON_PASSWORD_TOO_WEAK),)
    await identity(log_in(account.email, OLD))
    await identity(choose(token))


async def test_the_link_serves_nothing_else(identity: Component, account: Account) -> None:
    token = await issued(identity, account)
    customer = ChoosePasswordRequest(request_id=str(uuid4()), link_token=token, password=NEW)
    consent = CheckLinkRequest(token=token, purpose=LINK_PURPOSE_CONSENT)
    for request in (customer, consent, choose(token[::-1]), choose("")):
        assert await reason_of(identity, request) == REASON_LINK_INVALID
    await identity(choose(token))


async def test_every_session_ends(identity: Component, account: Account) -> None:
    sessions = [(await identity(log_in(account.email, OLD))).tokens for _ in range(3)]
    await identity(choose(await issued(identity, account)))
    for tokens in sessions:
        refresh = RefreshSessionRequest(refresh_token=tokens.refresh_token, request_id=str(uuid4()))
        assert await reason_of(identity, refresh) == REASON_SESSION_ENDED


async def test_who_logs_in_with_the_old_password_meanwhile_stays_outside(
    identity: Component, identity_engine: AsyncEngine, account: Account
) -> None:
    """Their password was verified before, and their session is opened after the new one is chosen."""
    async with identity_engine.connect() as connection:
        verified = await find_account(connection, AccountRow.account_id == account.account_id)
    assert verified is not None
    sessions = Sessions(identity_engine, SealedIds(identity.keys_dir), timedelta(days=1), timedelta(0))
    assert await sessions.start(verified) is not None
    await identity(choose(await issued(identity, account)))
    assert await sessions.start(verified) is None
    async with identity_engine.connect() as connection:
        open_ones = select(func.count()).where(Session.account_id == account.account_id)
        assert await connection.scalar(open_ones) == 0


async def test_whoever_was_locked_out_is_let_in(identity: Component, account: Account) -> None:
    here = "192.0.2.77"
    for _ in range(6):
        await refused(identity(log_in(account.email, "wrong")))
    assert await reason_of(identity, log_in(account.email, OLD)) == REASON_TOO_MANY_ATTEMPTS
    await identity(choose(await issued(identity, account)), caller=here)
    await identity(log_in(account.email, NEW))
    # Though others go on guessing.
    for _ in range(6):
        await refused(identity(log_in(account.email, "wrong")))
    assert await reason_of(identity, log_in(account.email, NEW)) == REASON_TOO_MANY_ATTEMPTS
    await identity(LogInRequest(email=account.email, password=NEW, caller_address=here))


# Limits


@pytest.mark.parametrize("known", [True, False])
async def test_many_orders_for_an_address_are_not_refused(
    identity: Component, account: Account, known: bool
) -> None:
    """Others may have made them: they must not use up the way out."""
    email = account.email if known else f"{uuid4().hex}@school.example"
    answers = [await identity(AdmitPasswordOrderRequest(email=email)) for _ in range(5)]
    answers.append(await identity(AdmitPasswordOrderRequest(email=f" {email.upper()} ")))
    assert [answer.only_without_link for answer in answers] == [False] * 5 + [True]


async def test_colleagues_behind_one_address_all_order(identity: Component) -> None:
    """The yearly reminder sends a town's teachers here on one morning."""
    caller = uuid4().hex
    for _ in range(51):
        email = f"{uuid4().hex}@school.example"
        answer = await identity(AdmitPasswordOrderRequest(email=email), caller=caller)
        assert not answer.only_without_link


async def test_orders_by_a_caller_are_limited_and_then_lock_nobody_out(
    identity_with: IdentityFactory, account: Account
) -> None:
    caller = uuid4().hex
    async with (
        identity_with(password_orders_per_caller=3) as one,
        identity_with(password_orders_per_caller=3) as other,
    ):
        for identity in (one, other, one):
            await identity(AdmitPasswordOrderRequest(email=f"{uuid4().hex}@school.example"), caller=caller)
        for identity in (one, other) * 5:
            refusal = await refused(identity(AdmitPasswordOrderRequest(email=account.email), caller=caller))
            assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", REASON_TOO_MANY_ORDERS)
            assert refusal.retry_after is not None
            assert timedelta(minutes=58) < refusal.retry_after <= timedelta(hours=1)
        await one(AdmitPasswordOrderRequest(email=account.email))


async def test_wrong_links_from_one_address_are_limited(
    identity_with: IdentityFactory, account: Account
) -> None:
    """Whatever they are for. Those that once were right are no guesses, and a right one is never refused."""
    caller = uuid4().hex
    async with (
        identity_with(link_failures_per_caller=4) as one,
        identity_with(link_failures_per_caller=4) as other,
    ):
        used = await issued(one, account)
        for _ in range(3):
            await one(choose(used, request_id="5b0b2c1e-6a52-4b3e-9a38-6a1c1b5a2f10"), caller=caller)
        for _ in range(5):
            assert (await refused(one(choose(used), caller=caller))).reason == REASON_LINK_USED
        wrong = [
            choose("x" * len(used)),
            ChoosePasswordRequest(request_id=str(uuid4()), link_token=used, password=NEW),
            CheckLinkRequest(token=used, purpose=LINK_PURPOSE_CONSENT),
            choose(used[::-1]),
        ]
        for identity, request in zip((one, other) * 2, wrong, strict=True):
            assert (await refused(identity(request, caller=caller))).reason == REASON_LINK_INVALID
        for identity, request in zip((one, other) * 2, wrong, strict=True):
            refusal = await refused(identity(request, caller=caller))
            assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", REASON_TOO_MANY_ATTEMPTS)
            assert refusal.retry_after is not None
        # The address may be a whole school's: what it has a right link for goes on.
        assert (await refused(one(choose(used), caller=caller))).reason == REASON_LINK_USED
        good = await issued(one, account)
        await other(choose(good), caller=caller)
        assert (await refused(one(wrong[0], caller=caller))).reason == REASON_TOO_MANY_ATTEMPTS


async def test_guesses_at_once_exceed_no_limit(identity_with: IdentityFactory) -> None:
    caller = uuid4().hex
    async with identity_with(link_failures_per_caller=5) as identity:
        answers = await asyncio.gather(
            *(refused(identity(choose((uuid4().hex * 2)[:50]), caller=caller)) for _ in range(20))
        )
    reasons = sorted(answer.reason for answer in answers)
    assert reasons == sorted([REASON_TOO_MANY_ATTEMPTS] * 15 + [REASON_LINK_INVALID] * 5)


# Accounts


async def test_accounts_are_read_by_their_ids(identity: Component, account: Account) -> None:
    other = (
        await identity(
            CreateAccountRequest(
                request_id=str(uuid4()),
                email=f"{uuid4().hex}@liity.example",
                display_name="Otso Operaattori",
                password=OLD,
                language=LANGUAGE_SV,
                roles=[ROLE_OPERATOR],
            )
        )
    ).account
    assert list(other.roles) == [ROLE_OPERATOR]
    ids = [account.account_id, other.account_id, account.account_id, "nobody"]
    found = (await identity(BatchGetAccountsRequest(account_ids=ids))).accounts
    assert sorted(found, key=lambda one: one.account_id) == sorted(
        [account, other], key=lambda one: one.account_id
    )
    assert not (await identity(BatchGetAccountsRequest())).accounts
