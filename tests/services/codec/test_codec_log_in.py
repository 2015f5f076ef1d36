"""The codec server's own page: a browser logs in, Temporal UI reads with its cookie, and logs out."""

import re
from collections.abc import Awaitable, Callable
from http.cookies import Morsel, SimpleCookie
from typing import Any

import grpc
import httpx2
import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from temporalio.api.common.v1 import Payload
from typing_extensions import override

from liity.v1.auth_service_pb2 import ROLE_MAIN_USER, ROLE_OPERATOR, ROLE_REGISTRAR, LogInRequest
from liity.v1.auth_service_pb2_grpc import AuthServiceServicer, add_AuthServiceServicer_to_server
from liity.workflows.v1.registration_workflow_pb2 import RegistrationWorkflowInput
from services.codec.server import serving_codec
from services.codec.settings import CodecSettings
from services.identity.models import Session
from tests.services.codec.conftest import PASSWORD, UI, Answer, Codec, Person, value_in
from tests.support.ports import free_port

MakePerson = Callable[..., Awaitable[Person]]


async def log_in(codec: Codec, email: str, password: str = PASSWORD, **headers: str) -> Answer:
    form = {"email": email, "password": password}
    return await codec("POST", "/log-in", form=form, **{"origin": codec.url, **headers})


def cookie_in(answer: Answer) -> "Morsel[str]":
    (morsel,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    return morsel


async def test_who_logs_in_reads_with_the_cookie_until_they_log_out(
    codec: Codec, staff: Person, encrypted: Callable[..., Awaitable[list[Payload]]]
) -> None:
    payloads = await encrypted(RegistrationWorkflowInput(person_id="p1"))
    logged_in = await log_in(codec, staff.email)
    assert (logged_in.status, logged_in.headers["Location"]) == (303, "/")
    cookie = cookie_in(logged_in)
    sent = f"{cookie.key}={cookie.value}"

    page = await codec("GET", "/", cookie=sent)
    assert "Aino &lt;b&gt;Virtanen&lt;/b&gt;" in page.text
    assert UI in page.text
    assert 'name="password"' not in page.text
    answer = await codec.decode(payloads, cookie=sent)
    assert [value_in(payload) for payload in answer.payloads] == [{"person_id": "p1"}]

    logged_out = await codec("POST", "/log-out", origin=codec.url, cookie=sent)
    assert logged_out.status == 303
    forgotten = cookie_in(logged_out)
    assert (forgotten.key, forgotten.value, forgotten["max-age"]) == (cookie.key, "", "0")
    assert 'name="password"' in (await codec("GET", "/")).text


async def test_no_script_and_no_other_page_gets_at_the_cookie(codec: Codec, staff: Person) -> None:
    cookie = cookie_in(await log_in(codec, staff.email))

    assert cookie["httponly"]
    assert cookie["samesite"] == "strict"
    assert cookie["path"] == "/"
    assert cookie["domain"] == ""
    assert 0 < int(cookie["max-age"]) <= 600


async def test_over_tls_the_cookie_goes_nowhere_else(
    settings: CodecSettings, browser: httpx2.AsyncClient, staff: Person
) -> None:
    listen, url = f"127.0.0.1:{free_port()}", "https://codec.library.example"
    there = settings.model_copy(update={"listen": listen, "codec_url": url})
    async with serving_codec(there):
        # As behind a proxy that ends TLS.
        answer = await log_in(Codec(f"http://{listen}", browser), staff.email, origin=url)

    cookie = cookie_in(answer)
    assert cookie.key == "__Host-liity-codec"
    assert cookie["secure"]


async def test_the_gateway_is_told_which_browser_logs_in(
    settings: CodecSettings, browser: httpx2.AsyncClient
) -> None:
    """Else everybody who logs in here would be one caller, whose wrong passwords lock out all."""
    called: list[str] = []

    class Gateway(AuthServiceServicer):
        @override
        async def LogIn(self, _request: LogInRequest, context: Any) -> None:
            called.extend(value for key, value in context.invocation_metadata() if key == "x-forwarded-for")
            await context.abort(grpc.StatusCode.UNAUTHENTICATED)

    server = grpc.aio.server()
    add_AuthServiceServicer_to_server(Gateway(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    listen = f"127.0.0.1:{free_port()}"
    update = {"listen": listen, "codec_url": f"http://{listen}", "gateway_target": f"127.0.0.1:{port}"}
    async with serving_codec(settings.model_copy(update=update)):
        there = Codec(f"http://{listen}", browser)
        await log_in(there, "aino@library.example")
        await log_in(there, "aino@library.example", x_forwarded_for="192.0.2.1")
        await log_in(there, "aino@library.example", x_forwarded_for="ö\t1")
    await server.stop(None)
    assert called == ["127.0.0.1", "192.0.2.1, 127.0.0.1", "?? 1, 127.0.0.1"]


async def test_whose_session_was_ended_reads_no_more(
    codec: Codec,
    staff: Person,
    identity_engine: AsyncEngine,
    encrypted: Callable[..., Awaitable[list[Payload]]],
) -> None:
    payloads = await encrypted(RegistrationWorkflowInput(person_id="p1"))
    cookie = cookie_in(await log_in(codec, staff.email))
    sent = f"{cookie.key}={cookie.value}"
    assert (await codec.decode(payloads, cookie=sent)).status == 200

    async with identity_engine.begin() as connection:
        await connection.execute(delete(Session).where(Session.account_id == staff.account.account_id))
    assert (await codec.decode(payloads, cookie=sent)).payloads == payloads


@pytest.mark.parametrize("wrong", ["the password", "the address"])
async def test_wrong_credentials_are_told_without_saying_which(
    codec: Codec, staff: Person, wrong: str
) -> None:
    email, password = staff.email, PASSWORD
    if wrong == "the password":
        password = "something else altogether"
    else:
        email = f"not-{email}"
    answer = await log_in(codec, email, password, accept_language="en")

    assert answer.status == 401
    assert 'role="alert"' in answer.text
    assert "do not match" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert password not in answer.text


@pytest.mark.parametrize("role", [ROLE_REGISTRAR, ROLE_MAIN_USER, ROLE_OPERATOR])
async def test_who_may_not_read_gets_no_cookie(codec: Codec, person: MakePerson, role: int) -> None:
    answer = await log_in(codec, (await person(role)).email)

    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", UI, "null", ""])
@pytest.mark.parametrize("path", ["/log-in", "/log-out"])
async def test_no_other_page_logs_anybody_in_or_out(
    codec: Codec, staff: Person, path: str, origin: str
) -> None:
    form = {"email": staff.email, "password": PASSWORD}
    headers = {"origin": origin} if origin else {}
    answer = await codec("POST", path, form=form, **headers)

    assert (answer.status, answer.json["reason"]) == (403, "PERMISSION_DENIED")
    assert "Set-Cookie" not in answer.headers


async def test_who_tries_too_often_waits(codec: Codec, staff: Person) -> None:
    for _ in range(5):
        assert (await log_in(codec, staff.email, "guessed")).status == 401
    assert (await log_in(codec, staff.email)).status == 429


async def test_what_is_typed_is_shown_as_text_and_written_nowhere(codec: Codec) -> None:
    with capture_logs() as lines:
        answer = await log_in(codec, '"><script>alert(1)</script>', "hush-hush")

    assert "<script" not in answer.text
    assert "&#34;&gt;&lt;script&gt;" in answer.text
    assert lines
    assert "script" not in str(lines)
    assert "hush" not in str(lines)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"email=%ff&password=%00", b"&".join([b"a=b"] * 1000), b"=&=&=", b"email"],
    ids=repr,
)
async def test_a_form_that_is_none_logs_nobody_in(codec: Codec, body: bytes) -> None:
    content_type = "application/x-www-form-urlencoded"
    answer = await codec("POST", "/log-in", body=body, origin=codec.url, content_type=content_type)
    assert answer.status in {400, 401}


async def test_a_huge_form_is_refused(codec: Codec) -> None:
    assert (await log_in(codec, "x" * 100_000)).status == 413


@pytest.mark.parametrize(
    ("accept_language", "locale", "button"),
    [("", "fi", "Kirjaudu sisään"), ("sv-FI,sv;q=0.9", "sv", "Logga in"), ("en", "en", "Log in")],
)
async def test_the_page_speaks_three_languages(
    codec: Codec, accept_language: str, locale: str, button: str
) -> None:
    page = await codec("GET", "/", accept_language=accept_language)

    assert f'<html lang="{locale}">' in page.text
    assert f"<button>{button}</button>" in page.text


async def test_the_page_is_for_everybody_to_use_and_runs_nothing(codec: Codec) -> None:
    page = await codec("GET", "/", accept_language="en")

    fields = re.findall(r'<input id="(\w+)"', page.text)
    assert fields == ["email", "password"]
    assert re.findall(r'<label for="(\w+)"', page.text) == fields
    assert re.findall(r'autocomplete="([\w-]+)"', page.text) == ["username", "current-password"]
    assert page.text.count("<h1>") == page.text.count("<main>") == 1
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Cache-Control"] == "no-store"


async def test_while_the_gateway_is_away_the_page_says_so(
    settings: CodecSettings, browser: httpx2.AsyncClient, staff: Person
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    url = f"http://{listen}"
    away = {"listen": listen, "codec_url": url, "gateway_target": f"127.0.0.1:{free_port()}"}
    async with serving_codec(settings.model_copy(update=away)):
        answer = await log_in(Codec(url, browser), staff.email, accept_language="en")

    assert answer.status == 503
    assert "not responding right now" in answer.text
