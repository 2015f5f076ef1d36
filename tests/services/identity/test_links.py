"""Links in mail: single-purpose, single-use, expiring, and impossible to make up."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CONSENT,
    LINK_PURPOSE_PASSWORD,
    LINK_PURPOSE_UNSPECIFIED,
    AdmitConsentLinkOrderRequest,
    CheckLinkRequest,
    GetConsentLinkRequest,
    IssueLinkRequest,
    LinkPurpose,
    RedeemLinkRequest,
    VoidLinksRequest,
)
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_ACCEPTED,
    CONSENT_REQUEST_STATE_ASKED,
    CONSENT_REQUEST_STATE_CLOSED,
    CONSENT_REQUEST_STATE_EXPIRED,
    CONSENT_REQUEST_STATE_REPLACED,
    ConsentRequestState,
)
from liity.v1.reason_pb2 import (
    REASON_INVALID_DATE,
    REASON_LINK_EXPIRED,
    REASON_LINK_INVALID,
    REASON_LINK_USED,
    REASON_LINK_VOID,
    REASON_REQUEST_ID_REUSED,
    REASON_TOO_MANY_ATTEMPTS,
    REASON_TOO_MANY_LINK_ORDERS,
)
from services.identity.links.tokens import new_id
from services.identity.models import Link
from services.runtime.clock import now
from services.runtime.rpc.errors import FieldViolation, Refusal
from tests.services.conftest import Component, IdentityFactory, refused


def issue(subject: str, request_id: str | None = None) -> IssueLinkRequest:
    request = IssueLinkRequest(
        request_id=request_id or str(uuid4()), purpose=LINK_PURPOSE_CONSENT, subject=subject
    )
    request.expire_time.FromDatetime(now() + timedelta(days=30))
    return request


def check(
    token: str, purpose: LinkPurpose.ValueType = LINK_PURPOSE_CONSENT, request_id: str = ""
) -> CheckLinkRequest:
    return CheckLinkRequest(token=token, purpose=purpose, request_id=request_id)


async def issued(identity: Component, subject: str | None = None) -> tuple[str, str]:
    """A new link: its token and its ID."""
    token: str = (await identity(issue(subject or new_id()))).token
    return token, (await identity(check(token))).link_id


async def expire(engine: AsyncEngine, link_id: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(update(Link).where(Link.link_id == link_id).values(expires_at=now()))


async def test_a_link_opens_its_subject(identity: Component) -> None:
    subject = new_id()
    token, link_id = await issued(identity, subject)
    answer = await identity(check(token))
    assert (answer.subject, answer.link_id) == (subject, link_id)
    assert subject not in token
    assert base64.urlsafe_b64decode(token + "==")[:16].hex() == link_id


async def test_the_same_request_gives_the_same_token(identity: Component) -> None:
    subject, request_id = new_id(), str(uuid4())
    tokens = {(await identity(issue(subject, request_id))).token for _ in range(3)}
    assert len(tokens) == 1
    raced = await asyncio.gather(*(identity(issue(subject, request_id)) for _ in range(10)))
    assert {answer.token for answer in raced} == tokens
    reused = await refused(identity(issue(new_id(), request_id)))
    assert reused.reason == REASON_REQUEST_ID_REUSED


async def test_no_forged_token_opens_anything(identity: Component) -> None:
    token, _ = await issued(identity)
    raw = base64.urlsafe_b64decode(token + "==")
    others = [bytes(16) + raw[16:], raw[:16] + bytes(21), raw[:16], raw[:-1], raw + b"\0", b"", bytes(37)]
    forged = [base64.urlsafe_b64encode(other).rstrip(b"=").decode() for other in others]
    changed = [
        token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        for place in range(len(token))
    ]
    odd = ["x", "ä", "\0", token + "A", token[::-1], token[:-1] + "\n", "A" * 200, "%25" * 800]
    for other in (*forged, *changed, *odd):
        refusal = await refused(identity(check(other)))
        assert (refusal.code.name, refusal.reason) == ("NOT_FOUND", REASON_LINK_INVALID), repr(other)


async def test_a_token_is_found_in_what_gateways_and_people_make_of_its_link(identity: Component) -> None:
    token, link_id = await issued(identity)
    link = f"https://liity.example/consent/{token}"
    for text in (
        f" {token} ",
        f"%23{token}.",
        f"<{link}>",
        f"{token[:20]}=\r\n{token[20:]}",
        "x" * 2000 + link,
    ):
        assert (await identity(check(text))).link_id == link_id, text


async def test_broken_links_are_no_guesses(identity_with: IdentityFactory) -> None:
    caller = uuid4().hex
    async with identity_with(link_failures_per_caller=1) as identity:
        token, link_id = await issued(identity)
        broken = ("", "x", token[:-1], token[1:], f"https://liity.example/consent/{token[:30]}", "…" * 2500)
        for text in broken * 2:
            assert (await refused(identity(check(text), caller=caller))).reason == REASON_LINK_INVALID
        for expected in (REASON_LINK_INVALID, REASON_TOO_MANY_ATTEMPTS):
            assert (await refused(identity(check(token[::-1]), caller=caller))).reason == expected
        assert (await identity(check(token), caller=caller)).link_id == link_id


async def test_orders_by_one_link_are_counted_together_however_it_is_written(
    identity_with: IdentityFactory,
) -> None:
    async with identity_with(consent_link_orders_per_link=2) as identity:
        token, _ = await issued(identity)
        for text in (token, f"{token}."):
            await identity(AdmitConsentLinkOrderRequest(token=text))
        refusal = await refused(identity(AdmitConsentLinkOrderRequest(token=f"#{token}")))
        assert refusal.reason == REASON_TOO_MANY_LINK_ORDERS


@pytest.mark.parametrize("purpose", [LINK_PURPOSE_PASSWORD, LINK_PURPOSE_UNSPECIFIED])
async def test_a_link_has_one_purpose(identity: Component, purpose: LinkPurpose.ValueType) -> None:
    token, _ = await issued(identity)
    assert (await refused(identity(check(token, purpose)))).reason == REASON_LINK_INVALID


async def test_a_link_works_once(identity: Component) -> None:
    token, link_id = await issued(identity)
    request_id = str(uuid4())
    for _ in range(2):
        await identity(RedeemLinkRequest(link_id=link_id, request_id=request_id))
    other = await refused(identity(RedeemLinkRequest(link_id=link_id, request_id=str(uuid4()))))
    assert (other.code.name, other.reason) == ("FAILED_PRECONDITION", REASON_LINK_USED)
    assert (await refused(identity(check(token)))).reason == REASON_LINK_USED
    assert (await identity(check(token, request_id=request_id))).link_id == link_id


async def test_of_racing_requests_one_wins(identity: Component) -> None:
    _, link_id = await issued(identity)
    answers = await asyncio.gather(
        *(identity(RedeemLinkRequest(link_id=link_id, request_id=str(uuid4()))) for _ in range(20)),
        return_exceptions=True,
    )
    losers = [answer for answer in answers if isinstance(answer, Refusal)]
    assert len(losers) == 19
    assert {loser.reason for loser in losers} == {REASON_LINK_USED}


async def test_a_link_expires(identity: Component, identity_engine: AsyncEngine) -> None:
    token, link_id = await issued(identity)
    await expire(identity_engine, link_id)
    redeem = RedeemLinkRequest(link_id=link_id, request_id=str(uuid4()))
    for call in (check(token), redeem):
        refusal = await refused(identity(call))
        assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", REASON_LINK_EXPIRED)


async def test_voiding_spares_used_links_and_other_subjects(identity: Component) -> None:
    subject = new_id()
    unused, unused_id = await issued(identity, subject)
    used, used_id = await issued(identity, subject)
    other, _ = await issued(identity)
    request_id = str(uuid4())
    await identity(RedeemLinkRequest(link_id=used_id, request_id=request_id))
    await identity(VoidLinksRequest(purpose=LINK_PURPOSE_PASSWORD, subject=subject))
    await identity(check(unused))
    for _ in range(2):
        await identity(VoidLinksRequest(purpose=LINK_PURPOSE_CONSENT, subject=subject))
    assert (await refused(identity(check(unused)))).reason == REASON_LINK_VOID
    redeem = await refused(identity(RedeemLinkRequest(link_id=unused_id, request_id=str(uuid4()))))
    assert (redeem.code.name, redeem.reason) == ("FAILED_PRECONDITION", REASON_LINK_VOID)
    assert (await refused(identity(check(used)))).reason == REASON_LINK_USED
    assert (await identity(check(used, request_id=request_id))).subject == subject
    await identity(check(other))


async def test_what_is_told_first(identity: Component, identity_engine: AsyncEngine) -> None:
    """Used before void, void before expired."""
    subject = new_id()
    used, used_id = await issued(identity, subject)
    void, void_id = await issued(identity, subject)
    await identity(RedeemLinkRequest(link_id=used_id, request_id=str(uuid4())))
    await identity(VoidLinksRequest(purpose=LINK_PURPOSE_CONSENT, subject=subject))
    for link_id in (used_id, void_id):
        await expire(identity_engine, link_id)
    assert (await refused(identity(check(used)))).reason == REASON_LINK_USED
    assert (await refused(identity(check(void)))).reason == REASON_LINK_VOID


async def test_an_unknown_link_cannot_be_redeemed(identity: Component) -> None:
    refusal = await refused(identity(RedeemLinkRequest(link_id=new_id(), request_id=str(uuid4()))))
    assert (refusal.code.name, refusal.reason) == ("NOT_FOUND", REASON_LINK_INVALID)


@pytest.mark.parametrize("seconds", [253402300800, -62135596801, 2**62])
async def test_an_end_outside_the_calendar(identity: Component, seconds: int) -> None:
    request = issue(new_id())
    request.expire_time.CopyFrom(Timestamp(seconds=seconds))
    refusal = await refused(identity(request))
    assert refusal.violations == (FieldViolation("expire_time", REASON_INVALID_DATE),)


async def test_a_consent_link_tells_what_became_of_the_request(
    identity: Component, identity_engine: AsyncEngine
) -> None:
    subject = new_id()

    async def told(token: str) -> tuple[ConsentRequestState.ValueType, datetime]:
        answer = await identity(GetConsentLinkRequest(token=token))
        return answer.state, answer.state_time.ToDatetime(UTC)

    before = now()
    asked, _ = await issued(identity, subject)
    state, time = await told(asked)
    assert state == CONSENT_REQUEST_STATE_ASKED
    assert before <= time <= now()

    lapsed, lapsed_id = await issued(identity)
    await expire(identity_engine, lapsed_id)
    assert (await told(lapsed))[0] == CONSENT_REQUEST_STATE_EXPIRED

    accepted, link_id = await issued(identity, subject)
    answer = RedeemLinkRequest(
        link_id=link_id, request_id=str(uuid4()), consent_state=CONSENT_REQUEST_STATE_ACCEPTED
    )
    before = now()
    await identity(answer)
    after = now()
    void = VoidLinksRequest(
        purpose=LINK_PURPOSE_CONSENT, subject=subject, consent_state=CONSENT_REQUEST_STATE_REPLACED
    )
    await identity(void)
    # Later messages change neither what was told nor when.
    void.consent_state = CONSENT_REQUEST_STATE_CLOSED
    await identity(answer)
    await identity(void)
    state, time = await told(accepted)
    assert state == CONSENT_REQUEST_STATE_ACCEPTED
    assert before <= time <= after
    assert (await told(asked))[0] == CONSENT_REQUEST_STATE_REPLACED
    forged = await refused(identity(GetConsentLinkRequest(token=f"{asked}A")))
    assert (forged.code.name, forged.reason) == ("NOT_FOUND", REASON_LINK_INVALID)


async def test_a_link_of_an_earlier_release_tells_that_its_request_is_over(identity: Component) -> None:
    """Workers of earlier releases give no state."""
    token, link_id = await issued(identity)
    await identity(RedeemLinkRequest(link_id=link_id, request_id=str(uuid4())))
    assert (await identity(GetConsentLinkRequest(token=token))).state == CONSENT_REQUEST_STATE_CLOSED


async def test_a_consent_link_is_ordered_anew_so_many_times(identity: Component) -> None:
    """Per old link, from wherever."""
    subject = new_id()
    token, _ = await issued(identity, subject)
    order = AdmitConsentLinkOrderRequest(token=token)
    for _ in range(3):
        assert (await identity(order)).link.subject == subject
    refusal = await refused(identity(order))
    assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", REASON_TOO_MANY_LINK_ORDERS)
    assert refusal.retry_after is not None
    another, _ = await issued(identity)
    await identity(AdmitConsentLinkOrderRequest(token=another))


async def test_a_caller_orders_so_many_consent_links(identity_with: IdentityFactory) -> None:
    caller = uuid4().hex
    async with identity_with(consent_link_orders_per_caller=2) as identity:
        tokens = [(await issued(identity))[0] for _ in range(3)]
        orders = [AdmitConsentLinkOrderRequest(token=token) for token in tokens]
        for order in orders[:2]:
            await identity(order, caller=caller)
        refusal = await refused(identity(orders[2], caller=caller))
        assert refusal.reason == REASON_TOO_MANY_LINK_ORDERS
        await identity(orders[2])
