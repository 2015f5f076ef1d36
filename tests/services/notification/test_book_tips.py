"""Book tips: those that come with Liity until customer service edits them, each language by itself (R28)."""

import asyncio
import uuid

import pytest
from google.protobuf.message import Message
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.notification.v1.notification_service_pb2 import (
    GetBookTipsRequest,
    UpdateBookTipsRequest,
    Welcome,
)
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.v1.book_tips_service_pb2 import BookTip, BookTips
from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI, Language
from liity.v1.reason_pb2 import REASON_CHANGED_MEANWHILE
from services.notification.book_tips.store import sweep_edits
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.interceptor import violations_of
from tests.services.conftest import refused
from tests.services.notification.notifications import Notification, consent_request
from tests.support.smtp_server import SmtpServer

TIP = BookTip(
    title="Kesä & <b>kirja</b>",
    author="{{ Tekijä }}",
    narrator="Leena Lukija",
    url="https://kirjasto.example/kirja?id=1&x=2",
    text="Sanoja " * 60 + "loppuu.",
)


@pytest.fixture(autouse=True)
async def _none_edited(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM book_tips"))


async def read(notification: Notification, language: str) -> BookTips:
    stub = NotificationServiceStub(notification.gateway.channel)
    request = GetBookTipsRequest(name=f"bookTips/{language}")
    return (await notification.gateway.call(stub.GetBookTips, request)).book_tips


async def replace(
    notification: Notification, stands: BookTips, *tips: BookTip, request_id: str = ""
) -> BookTips:
    stub = NotificationServiceStub(notification.gateway.channel)
    given = BookTips(name=stands.name, etag=stands.etag, tips=tips)
    request = UpdateBookTipsRequest(request_id=request_id or str(uuid.uuid4()), book_tips=given)
    return (await notification.gateway.call(stub.UpdateBookTips, request)).book_tips


async def welcome(
    notification: Notification, smtp: SmtpServer, language: Language.ValueType
) -> tuple[str, str]:
    """The text and the HTML of a welcome."""
    request = consent_request(language=language, welcome=Welcome(first_names="Aino"))
    await notification.send(request)
    mail = smtp.taken[-1]
    parts = [mail.get_body((kind,)) for kind in ("plain", "html")]
    text_part, html = (part.get_content().replace("\r\n", "\n") for part in parts if part is not None)
    return text_part, html


@pytest.mark.parametrize(
    ("language", "title"),
    [("fi", "Taikatalvi"), ("sv", "Bröderna Lejonhjärta"), ("en", "Pride and Prejudice")],
)
async def test_tips_come_with_liity(notification: Notification, language: str, title: str) -> None:
    tips = await read(notification, language)
    assert title in [tip.title for tip in tips.tips]
    assert not tips.HasField("update_time")
    assert not violations_of(tips)


async def test_an_edit_replaces_one_language_and_is_safe_to_repeat(notification: Notification) -> None:
    before, other, request_id = (
        await read(notification, "fi"),
        await read(notification, "sv"),
        str(uuid.uuid4()),
    )
    edited = await replace(notification, before, TIP, request_id=request_id)
    assert await replace(notification, before, TIP, request_id=request_id) == edited
    assert list(edited.tips) == [TIP]
    assert edited.etag != before.etag
    assert edited.HasField("update_time")
    assert await read(notification, "fi") == edited
    assert await read(notification, "sv") == other
    again = await replace(notification, edited, TIP, TIP)
    assert len(again.tips) == 2
    # Also once a colleague has edited them: what was asked for had been done.
    assert await replace(notification, before, TIP, request_id=request_id) == again
    # The same ID for other tips is another call.
    assert (await replace(notification, other, TIP, request_id=request_id)).name == other.name


async def test_a_call_that_comes_twice_at_once_edits_once(notification: Notification) -> None:
    for _ in range(3):
        stands, request_id = await read(notification, "fi"), str(uuid.uuid4())
        calls = (replace(notification, stands, TIP, request_id=request_id) for _ in range(4))
        first, *others = await asyncio.gather(*calls)
        assert all(other == first for other in others)


async def test_calls_are_remembered_for_a_month(notification: Notification, engine: AsyncEngine) -> None:
    before, request_id = await read(notification, "fi"), str(uuid.uuid4())
    await replace(notification, before, TIP, request_id=request_id)
    await sweep_edits(engine)
    await replace(notification, before, TIP, request_id=request_id)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE book_tips_edits SET edit_time = now() - interval '30 days'"))
    await sweep_edits(engine)
    again = replace(notification, before, TIP, request_id=request_id)
    assert (await refused(again)).reason == REASON_CHANGED_MEANWHILE


async def test_whoever_has_read_others_is_told_what_stands(notification: Notification) -> None:
    before = await read(notification, "fi")
    stands = await replace(notification, before, TIP)
    for etag in (before.etag, "7", "nonsense"):
        old = BookTips(name=before.name, etag=etag)
        refusal = await refused(replace(notification, old, BookTip(title="Toinen")))
        assert refusal.reason == REASON_CHANGED_MEANWHILE
        assert refusal.detail == stands
    unedited = BookTips(name="bookTips/en", etag="3")
    assert (await refused(replace(notification, unedited, TIP))).reason == REASON_CHANGED_MEANWHILE


async def test_of_those_who_edit_at_once_one_wins(notification: Notification) -> None:
    for _ in range(2):
        stands = await read(notification, "fi")
        tips = [BookTip(title=f"Kirja {number}") for number in range(6)]
        outcomes = await asyncio.gather(
            *(replace(notification, stands, tip) for tip in tips), return_exceptions=True
        )
        (won,) = (outcome for outcome in outcomes if isinstance(outcome, Message))
        assert all(isinstance(outcome, Refusal) for outcome in outcomes if outcome is not won)
        assert await read(notification, "fi") == won


async def test_the_welcome_carries_the_tips_of_its_language_as_plain_text(
    notification: Notification, smtp: SmtpServer
) -> None:
    await replace(notification, await read(notification, "fi"), TIP)
    plain, html = await welcome(notification, smtp, LANGUAGE_FI)
    assert f"- {TIP.author}: {TIP.title}\n" in plain
    assert f"  Lukija: {TIP.narrator}\n  {TIP.url}\n" in plain
    assert max(map(len, plain.splitlines())) <= 78
    assert "Kesä &amp; &lt;b&gt;kirja&lt;/b&gt;" in html
    assert "{{ Tekijä }}" in html
    assert 'href="https://kirjasto.example/kirja?id=1&amp;x=2"' in html
    plain, _ = await welcome(notification, smtp, LANGUAGE_EN)
    assert "- Jane Austen: Pride and Prejudice\n  Elizabeth Bennet" in plain


@pytest.mark.parametrize(
    "url",
    [
        "http://kirjasto.example",
        "javascript:alert(1)",
        'https://kirjasto.example/"><script>',
        "https://kirja sto.example",
        "https://kirjasto.example/\u2028",
    ],
)
def test_only_plain_https_addresses_are_taken(url: str) -> None:
    assert violations_of(BookTip(title="Kirja", url=url))


def test_there_is_at_least_one_tip_of_one_line_each() -> None:
    assert violations_of(BookTips(name="bookTips/fi", etag="0"))
    assert violations_of(BookTip(title="Kirja\nja toinen"))
    assert not violations_of(BookTips(name="bookTips/fi", etag="0", tips=[TIP]))
