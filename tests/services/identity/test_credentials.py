"""Customers' credentials: a user name, and a password chosen once by the newest link."""

import asyncio
from datetime import UTC, timedelta
from itertools import count
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.credential_service_pb2 import (
    ChoosePasswordRequest,
    FindUserNameRequest,
    IssueCredentialsRequest,
    VoidCredentialsRequest,
)
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_CONSENT, CheckLinkRequest, IssueLinkRequest
from liity.identity.v1.person_service_pb2 import (
    BatchReleasePersonsRequest,
    EnsurePersonRequest,
    ReleasePersonRequest,
)
from liity.v1.reason_pb2 import (
    REASON_LINK_EXPIRED,
    REASON_LINK_INVALID,
    REASON_LINK_USED,
    REASON_LINK_VOID,
    REASON_PASSWORD_TOO_WEAK,
    REASON_PERSON_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
    REASON_TOO_LONG,
    Reason,
)
from services.identity.links.tokens import new_id
from services.identity.models import Credential, Link
from services.runtime.clock import now
from services.runtime.rpc.errors import FieldViolation, Refusal
from tests.services.conftest import Component, IdentityFactory, refused
from tests.support.hetu_codes import nth_code

PASSWORD = "korrekt häst batteri"
_numbers = count(1000)


@pytest.fixture
async def person_id(identity: Component) -> str:
    """A person of the test's own."""
    request = EnsurePersonRequest(personal_identity_code=nth_code(next(_numbers)))
    made: str = (await identity(request)).person_id
    return made


def issue(person_id: str, request_id: str | None = None) -> IssueCredentialsRequest:
    return IssueCredentialsRequest(request_id=request_id or str(uuid4()), person_id=person_id)


def choose(token: str, password: str = PASSWORD, request_id: str | None = None) -> ChoosePasswordRequest:
    return ChoosePasswordRequest(request_id=request_id or str(uuid4()), link_token=token, password=password)


async def stored_hash(engine: AsyncEngine, person_id: str) -> str | None:
    async with engine.connect() as connection:
        found: str | None = await connection.scalar(
            select(Credential.password_hash).where(Credential.person_id == person_id)
        )
    return found


async def test_a_release_takes_no_credentials_away(
    identity: Component, identity_engine: AsyncEngine, person_id: str
) -> None:
    issued = await identity(issue(person_id))
    await identity(choose(issued.link_token))
    await identity(ReleasePersonRequest(person_id=person_id))
    await identity(BatchReleasePersonsRequest(person_ids=[person_id]))
    assert await stored_hash(identity_engine, person_id)


async def test_the_way_to_a_password(
    identity: Component, identity_engine: AsyncEngine, person_id: str
) -> None:
    issued = await identity(issue(person_id))
    assert issued.user_name.startswith("liity-")
    assert person_id not in issued.user_name + issued.link_token
    left = issued.expire_time.ToDatetime(UTC) - now()
    assert timedelta(days=29, hours=23) < left <= timedelta(days=31)
    assert (await identity(choose(issued.link_token))).user_name == issued.user_name
    password_hash = await stored_hash(identity_engine, person_id)
    assert password_hash is not None
    assert password_hash.startswith("$argon2id$")
    assert PasswordHasher().verify(password_hash, PASSWORD)


async def test_with_the_customership_the_password_and_the_links_end(
    identity: Component, identity_engine: AsyncEngine, person_id: str
) -> None:
    issued = await identity(issue(person_id))
    await identity(choose(issued.link_token))
    unused = await identity(issue(person_id))
    for _ in range(2):
        await identity(VoidCredentialsRequest(person_id=person_id))
    assert await stored_hash(identity_engine, person_id) is None
    assert (await refused(identity(choose(unused.link_token)))).reason == REASON_LINK_VOID
    # Whoever comes back has the same user name, and chooses anew.
    again = await identity(issue(person_id))
    assert (await identity(choose(again.link_token))).user_name == issued.user_name


async def test_to_void_nobodys_credentials_is_fine(identity: Component) -> None:
    await identity(VoidCredentialsRequest(person_id=new_id()))


async def test_the_lifetime_of_a_link_is_a_setting(identity_with: IdentityFactory, person_id: str) -> None:
    async with identity_with(password_link_lifetime="PT1H") as identity:
        issued = await identity(issue(person_id))
    assert issued.expire_time.ToDatetime(UTC) - now() <= timedelta(hours=1)


async def test_the_same_request_gives_the_same_answer(identity: Component, person_id: str) -> None:
    request = issue(person_id)
    first = await identity(request)
    assert [await identity(request) for _ in range(3)] == [first] * 3
    raced = await asyncio.gather(*(identity(request) for _ in range(10)))
    assert raced == [first] * 10
    await identity(choose(first.link_token))


async def test_issuing_anew_voids_earlier_links(identity: Component, person_id: str) -> None:
    first_request = issue(person_id)
    first = await identity(first_request)
    second = await identity(issue(person_id))
    assert second.user_name == first.user_name
    assert second.link_token != first.link_token
    assert (await refused(identity(choose(first.link_token)))).reason == REASON_LINK_VOID
    repeated = await identity(first_request)
    assert (repeated.link_void, second.link_void) == (True, False)
    repeated.ClearField("link_void")
    assert repeated == first, "a late repetition answers the same link and voids nothing"
    assert (await identity(choose(second.link_token))).user_name == first.user_name


async def test_a_customer_s_own_orders_void_no_link_of_the_last_hour(
    identity: Component, identity_engine: AsyncEngine, person_id: str
) -> None:
    def own(*, only_without_link: bool = False) -> IssueCredentialsRequest:
        return IssueCredentialsRequest(
            request_id=str(uuid4()),
            person_id=person_id,
            ordered_by_customer=True,
            only_without_link=only_without_link,
        )

    first = await identity(issue(person_id))
    assert (await identity(own())).link_token == first.link_token
    assert (await identity(own(only_without_link=True))).link_void
    async with identity_engine.begin() as connection:
        await connection.execute(
            update(Link)
            .where(Link.subject == person_id)
            .values(created_at=Link.created_at - timedelta(minutes=61))
        )
    anew = await identity(own(only_without_link=True))
    assert not anew.link_void
    assert anew.link_token != first.link_token
    assert (await identity(choose(anew.link_token))).user_name == anew.user_name


async def test_a_user_name_is_found_however_it_is_typed(identity: Component, person_id: str) -> None:
    name = (await identity(issue(person_id))).user_name
    for typed in (name, name.upper(), f" {name[:7]} {name[7:]}\n"):
        assert (await identity(FindUserNameRequest(user_name=typed))).person_id == person_id
    for typed in ("", name[:-1], "\0", "%"):
        assert not (await identity(FindUserNameRequest(user_name=typed))).person_id


async def test_of_racing_issues_one_link_remains(identity: Component, person_id: str) -> None:
    answers = await asyncio.gather(*(identity(issue(person_id)) for _ in range(10)))
    assert len({answer.user_name for answer in answers}) == 1
    outcomes = await asyncio.gather(
        *(identity(choose(answer.link_token)) for answer in answers), return_exceptions=True
    )
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert len(refusals) == 9
    assert {refusal.reason for refusal in refusals} == {REASON_LINK_VOID}


async def test_a_request_belongs_to_one_person(identity: Component, person_id: str) -> None:
    request_id = str(uuid4())
    await identity(issue(person_id, request_id))
    other = await identity(EnsurePersonRequest(personal_identity_code=nth_code(next(_numbers))))
    refusal = await refused(identity(issue(other.person_id, request_id)))
    assert refusal.reason == REASON_REQUEST_ID_REUSED


async def test_nobody_gets_no_credentials(identity: Component) -> None:
    refusal = await refused(identity(issue(new_id())))
    assert (refusal.code.name, refusal.reason) == ("NOT_FOUND", REASON_PERSON_NOT_FOUND)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", REASON_PASSWORD_TOO_WEAK),
        ("x" * 11, REASON_PASSWORD_TOO_WEAK),
        ("ä" * 11, REASON_PASSWORD_TOO_WEAK),
        ("a\u0308" * 11, REASON_PASSWORD_TOO_WEAK),
        ("qwertyuiopas", REASON_PASSWORD_TOO_WEAK),
        ("x" * 201, REASON_TOO_LONG),
    ],
)
async def test_passwords_refused(
    identity: Component,
    identity_engine: AsyncEngine,
    person_id: str,
    password: str,
    reason: Reason.ValueType,
) -> None:
    token = (await identity(issue(person_id))).link_token
    refusal = await refused(identity(choose(token, password)))
    assert refusal.code.name == "INVALID_ARGUMENT"
    assert refusal.violations == (FieldViolation("password", reason),)
    assert await stored_hash(identity_engine, person_id) is None
    await identity(choose(token, "ä ö å näkyvät yöllä"))


async def test_a_password_is_chosen_once(
    identity: Component, identity_engine: AsyncEngine, person_id: str
) -> None:
    token = (await identity(issue(person_id))).link_token
    requests = [choose(token, f"{PASSWORD} {number}") for number in range(5)]
    answers = await asyncio.gather(*(identity(request) for request in requests), return_exceptions=True)
    winners = [number for number, answer in enumerate(answers) if not isinstance(answer, BaseException)]
    losers = [answer for answer in answers if isinstance(answer, Refusal)]
    assert len(winners) == 1
    assert [loser.reason for loser in losers] == [REASON_LINK_USED] * 4
    password_hash = await stored_hash(identity_engine, person_id)
    assert password_hash is not None
    assert PasswordHasher().verify(password_hash, requests[winners[0]].password)
    assert await identity(requests[winners[0]]) == answers[winners[0]]
    assert await stored_hash(identity_engine, person_id) == password_hash


async def test_choosing_while_anew_is_issued(
    identity: Component, identity_engine: AsyncEngine, person_id: str
) -> None:
    """Both lock the credentials before the links: neither waits for the other in a circle."""
    token = (await identity(issue(person_id))).link_token
    async with identity_engine.begin() as connection:
        await connection.execute(
            select(Credential.user_name).where(Credential.person_id == person_id).with_for_update()
        )
        choosing = asyncio.create_task(identity(choose(token)))
        async with identity_engine.connect() as observer:
            while not await observer.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                await asyncio.sleep(0.01)
        await connection.execute(update(Link).where(Link.subject == person_id).values(voided_at=now()))
    assert (await refused(choosing)).reason == REASON_LINK_VOID


async def test_an_expired_link(identity: Component, identity_engine: AsyncEngine, person_id: str) -> None:
    token = (await identity(issue(person_id))).link_token
    async with identity_engine.begin() as connection:
        await connection.execute(update(Link).where(Link.subject == person_id).values(expires_at=now()))
    assert (await refused(identity(choose(token)))).reason == REASON_LINK_EXPIRED


async def test_a_link_for_consent_chooses_no_password(identity: Component, person_id: str) -> None:
    request = IssueLinkRequest(request_id=str(uuid4()), purpose=LINK_PURPOSE_CONSENT, subject=person_id)
    request.expire_time.FromDatetime(now() + timedelta(days=1))
    token = (await identity(request)).token
    refusal = await refused(identity(choose(token)))
    assert (refusal.code.name, refusal.reason) == ("NOT_FOUND", REASON_LINK_INVALID)
    assert (await identity(CheckLinkRequest(token=token, purpose=LINK_PURPOSE_CONSENT))).subject == person_id
