"""What every answer has, whatever it is of, and what the cookies hold: over HTTPS, without a gateway."""

import base64
import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.cookies import Morsel, SimpleCookie
from pathlib import Path

import httpx2
import pytest
from starlette.responses import Response
from tink import aead, new_keyset_handle

from deploy.admin.key_files import KeyRing
from frontends.web import app as pages_app
from frontends.web.app import PAGES, create_app
from frontends.web.config import WebConfig
from frontends.web.pages import LARGEST_BODY, Page, Visit, Who
from frontends.web.sealing import Seal
from frontends.web.sessions import WebSession
from liity.v1.auth_service_pb2 import ROLE_REGISTRAR, Membership, Session
from services.runtime.security.keys import KeysetPurpose, load_keyset
from tests.support.ports import free_port

aead.register()

ORIGIN = "https://liity.example"
UNIT = "units/k7m2q9"
MAILED = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9v"
ACCESS, REFRESH, EMAIL = "access-token-of-nobody", "refresh-token-of-nobody", "riitta@kirjasto.example"

Browser = httpx2.AsyncClient
Opened = Callable[..., AbstractAsyncContextManager[Browser]]


@asynccontextmanager
async def opened(seal: Seal) -> AsyncIterator[Browser]:
    """A browser at pages whose gateway is away."""
    config = WebConfig(
        origin=ORIGIN,
        gateway=f"127.0.0.1:{free_port()}",
        gateway_ca=None,
        customer_service_email="apu@liity.example",
        customer_service_url="https://liity.example/apu",
    )
    app, api = create_app(config, seal)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    try:
        async with Browser(transport=transport, base_url=ORIGIN) as browser:
            yield browser
    finally:
        await api.close()


@pytest.fixture
def seal() -> Seal:
    return Seal(new_keyset_handle(aead.aead_key_templates.AES256_GCM))


def session(seal: Seal) -> str:
    """The cookie of a registrar of one unit."""
    held = Session(access_token=ACCESS, refresh_token=REFRESH, display_name="Riitta Rekisteri")
    held.memberships.append(Membership(unit=UNIT, unit_display_name="Kirjasto", role=ROLE_REGISTRAR))
    for expiry in (held.access_token_expire_time, held.refresh_token_expire_time):
        expiry.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    return WebSession(held, EMAIL, UNIT).sealed(seal)


def form_token(page: httpx2.Response) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


async def faulty(_visit: Visit) -> Response:
    raise RuntimeError("A fault of ours")


async def test_every_answer_has_the_headers(monkeypatch: pytest.MonkeyPatch, seal: Seal) -> None:
    """Pages, files, redirects, refusals and faults."""
    monkeypatch.setattr(pages_app, "PAGES", (*PAGES, Page("/fault", Who.ANYBODY, show=faulty)))
    own = {"Sec-Fetch-Site": "same-origin"}
    async with opened(seal) as browser:
        log_in = await browser.get("/log-in")
        typed = {"form_token": form_token(log_in), "email": "x@y.example", "password": "x"}
        (style,) = re.findall(r"/static/\S+\.css", log_in.text)
        answers = [
            (200, log_in),
            (200, await browser.head("/")),
            (200, await browser.get("/healthz")),
            (200, await browser.get(style)),
            (404, await browser.get("/static/none.css")),
            (404, await browser.get("/nowhere")),
            (405, await browser.post("/help")),
            (405, await browser.put("/log-in")),
            (405, await browser.post(style)),
            (405, await browser.request("TRACE", "/")),
            (413, await browser.post("/log-in", data=typed | {"x": "x" * LARGEST_BODY}, headers=own)),
            (413, await browser.post("/log-in", data={str(n): "x" for n in range(600)}, headers=own)),
            (403, await browser.post("/log-in", data=typed, headers={"Sec-Fetch-Site": "cross-site"})),
            (403, await browser.post("/log-in", data={"email": "x@y.example"}, headers=own)),
            (422, await browser.post("/log-in", data=typed | {"password": ""}, headers=own)),
            (503, await browser.post("/log-in", data=typed, headers=own)),
            (401, await browser.get("/home")),
            (303, await browser.get(f"/consent/{MAILED}")),
            (303, await browser.get("/language/sv?to=/help")),
            (500, await browser.get("/fault")),
        ]
        browser.cookies.set("__Host-liity-session", session(seal))
        answers += [(303, await browser.get("/")), (403, await browser.get("/work"))]
        out = await browser.post("/log-out", data={"form_token": form_token(log_in)}, headers=own)
        answers.append((200, out))
    assert out.headers["Clear-Site-Data"] == '"cache", "storage"'
    file = ("GET", style, 200)
    for status, answer in answers:
        told = (answer.request.method, answer.url.path, answer.status_code)
        assert answer.status_code == status, told
        assert policy(answer) == {
            "default-src": ["'none'"],
            "script-src": ["'self'"],
            "connect-src": ["'self'"],
            "style-src": ["'self'"],
            "img-src": ["'self'"],
            "form-action": ["'self'"],
            "frame-ancestors": ["'none'"],
            "base-uri": ["'none'"],
        }, told
        expected = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "X-Robots-Tag": "noindex",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Strict-Transport-Security": "max-age=31536000",
            "Cache-Control": "public, max-age=31536000, immutable" if told == file else "no-store",
        }
        assert {name: answer.headers.get(name) for name in expected} == expected, told
        if status == 405:
            assert {"GET", "HEAD"} <= set(re.split(", ?", answer.headers["Allow"])), told
        if status >= 400:
            assert "<h1" in answer.text, told


def policy(answer: httpx2.Response) -> Mapping[str, list[str]]:
    """The directives of an answer's one content security policy."""
    (given,) = answer.headers.get_list("Content-Security-Policy")
    parts = [part.split() for part in given.split(";")]
    assert len({name for name, *_ in parts}) == len(parts)
    return {name: values for name, *values in parts}


async def test_cookies_are_the_servers_own_and_tell_nothing(seal: Seal) -> None:
    """Also what is sealed in a field, which some browsers keep."""
    own = {"Sec-Fetch-Site": "same-origin"}
    async with opened(seal) as browser:
        browser.cookies.set("__Host-liity-session", session(seal))
        units = await browser.get("/unit")
        chosen = {"form_token": form_token(units), "unit": UNIT}
        answers = [
            units,
            await browser.post("/unit", data=chosen, headers=own),
            await browser.get(f"/consent/{MAILED}"),
            await browser.get(f"/customership?{MAILED}"),
            await browser.get("/language/sv"),
            await browser.post("/reading", data=chosen | {"size": "large"}, headers=own),
            await browser.post("/log-out", data=chosen, headers=own),
        ]
    cookies = [cookie for answer in answers for cookie in cookies_of(answer)]
    kinds = {re.sub(r"^__Host-liity-(\w+).*", r"\1", cookie.key) for cookie in cookies}
    assert kinds == {"browser", "session", "link", "language", "reading"}
    for cookie in cookies:
        # A browser takes a cookie of this name only if it is secure, of the whole host and of no other.
        assert cookie.key.startswith("__Host-")
        assert (cookie["path"], cookie["domain"]) == ("/", "")
        assert cookie["secure"] is True
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "lax"
        assert len(cookie.key) + len(cookie.value) < 4000
        assert tells_nothing(cookie.value), cookie.key
    assert all(
        tells_nothing(field) for field in re.findall(r'type="hidden" [^>]*value="([^"]*)"', units.text)
    )


def cookies_of(answer: httpx2.Response) -> list["Morsel[str]"]:
    return [
        cookie for line in answer.headers.get_list("Set-Cookie") for cookie in SimpleCookie(line).values()
    ]


def tells_nothing(value: str) -> bool:
    """Whether nothing of a session or a link can be read in a value, however it is unpacked."""
    readings = [value.encode()]
    try:
        readings.append(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        readings += [zlib.decompress(readings[-1][start:]) for start in (0, 5, 17)]
    except (ValueError, zlib.error):
        pass
    return not any(
        secret.encode() in reading
        for secret in (ACCESS, REFRESH, EMAIL, "Riitta", MAILED)
        for reading in readings
    )


async def test_a_session_outlives_the_rotation_of_the_key(tmp_path: Path) -> None:
    """Until the old key is removed: then its cookies are nobody's."""
    ring = KeyRing(tmp_path, KeysetPurpose.WEB)
    ring.create()
    (old,) = ring.read()

    def seal() -> Seal:
        return Seal(load_keyset(tmp_path, KeysetPurpose.WEB))

    first = session(seal())
    ring.rotate()
    assert await status_of("/unit", first, seal()) == 200
    waiting = session(seal())
    ring.promote()
    assert await status_of("/unit", first, seal()) == 200
    new = session(seal())
    ring.remove(old.key_id)
    assert [await status_of("/unit", cookie, seal()) for cookie in (first, waiting, new)] == [401, 401, 200]


async def status_of(path: str, cookie: str, seal: Seal) -> int:
    async with opened(seal) as browser:
        browser.cookies.set("__Host-liity-session", cookie)
        return (await browser.get(path)).status_code


@pytest.mark.parametrize("language", ["fi", "sv", "en"])
async def test_the_statement_tells_all_that_the_law_asks_in_each_language(seal: Seal, language: str) -> None:
    """Act 306/2019, section 9, and Decision (EU) 2018/1523."""
    async with opened(seal) as browser:
        page = (await browser.get("/accessibility", headers={"Accept-Language": language})).text
    assert f'<html lang="{language}"' in page
    main = page[page.index("<main") : page.index("</main>")]
    for told in (
        # The law, criteria of what is not accessible, how to get it otherwise, and whom to tell, by when.
        "306/2019",
        "3.1.2",
        "1.3.1",
        'href="mailto:apu@liity.example"',
        'href="/feedback"',
        "14 ",
        # Who supervises since 2025.
        "Traficom",
        'href="mailto:saavutettavuus@traficom.fi"',
        "029 534 5000",
    ):
        assert told in main, told
    assert re.search(
        r'href="https://www\.(webaccessibility|saavutettavuusvaatimukset|tillganglighetskrav)', main
    )
    made, reviewed = re.findall(r'<time datetime="([\d-]+)"', main)
    assert made <= reviewed
    assert main.count("<h2") >= 5
