"""The HTTP server that all components share: hostile connections, and its end."""

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from services.runtime import http
from services.runtime.http import serving_http
from services.runtime.settings import SettingsError
from tests.support.http_client import http_client
from tests.support.ports import free_port

LIMIT = 30.0
"""Seconds for what should happen at once."""


class Slow:
    """Answers with the length of the body; `/slow` first waits for `may_answer`, `/early` reads nothing."""

    def __init__(self) -> None:
        self.called, self.may_answer = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        self.called.set()
        if request.url.path == "/slow":
            await self.may_answer.wait()
        size = 0 if request.url.path == "/early" else len(await request.body())
        await PlainTextResponse(str(size))(scope, receive, send)


@pytest.fixture
def app() -> Slow:
    return Slow()


@pytest.fixture
async def port(app: Slow) -> AsyncIterator[int]:
    free = free_port()
    async with serving_http(app, f"127.0.0.1:{free}"):
        yield free


async def talk(port: int, sent: bytes) -> bytes:
    """What comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(LIMIT):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n",
    ],
    ids=["TLS", "no host", "two lengths", "a long head", "no chunks"],
)
async def test_what_is_no_request_is_refused(port: int, sent: bytes) -> None:
    assert (await talk(port, sent)).startswith(b"HTTP/1.1 400 ")


async def test_a_broken_body_after_the_answer_ends_the_connection_and_is_no_fault(
    app: Slow, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    async with asyncio.timeout(LIMIT):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        with caplog.at_level(logging.WARNING):
            writer.write(b"not hex\r\n")
            await reader.read()
    writer.close()
    assert caplog.records == []


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half a head"])
async def test_who_sends_no_request_is_cut_off(
    app: Slow, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http, "_PATIENCE", 0.2)
    port = free_port()
    async with serving_http(app, f"127.0.0.1:{port}"):
        assert await talk(port, sent) == b""
        answered = await talk(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + sent)
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert answered.count(b"HTTP/1.1") == 1


async def test_many_idle_connections_keep_nobody_out(port: int) -> None:
    async with AsyncExitStack() as opened:
        for _ in range(300):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            opened.callback(writer.close)
            writer.write(b"GET / HTTP/1.1\r\n")
        async with http_client(f"http://127.0.0.1:{port}") as browser:
            assert (await browser.post("/", content=b"x" * 100_000)).text == "100000"


async def test_a_running_request_is_answered_before_the_end(app: Slow) -> None:
    port = free_port()
    async with http_client(f"http://127.0.0.1:{port}") as browser:
        async with serving_http(app, f"127.0.0.1:{port}"):
            running = asyncio.create_task(browser.get("/slow"))
            await app.called.wait()
            asyncio.get_running_loop().call_later(0.5, app.may_answer.set)
        assert (await running).status_code == 200
        with pytest.raises(httpx2.ConnectError):
            await browser.get("/")


async def test_who_never_ends_does_not_hold_up_the_end(app: Slow) -> None:
    port = free_port()
    async with asyncio.timeout(LIMIT):
        async with serving_http(app, f"127.0.0.1:{port}", grace=1):
            stuck = asyncio.create_task(
                talk(port, b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            )
            await app.called.wait()
        assert b"500" in (await stuck)[:15]


@pytest.mark.parametrize("listen", ["localhost:{}", "[::1]:{}", "0.0.0.0:{}", ":{}"])
async def test_it_listens_where_it_shall(app: Slow, listen: str) -> None:
    port = free_port()
    host = "[::1]" if "::1" in listen else "127.0.0.1"
    async with serving_http(app, listen.format(port)), http_client(f"http://{host}:{port}") as browser:
        assert (await browser.get("/")).text == "0"


@pytest.mark.parametrize(
    "listen", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "no.such.host.example:1", ""]
)
async def test_no_address_is_one_clear_line(app: Slow, listen: str) -> None:
    with pytest.raises(SettingsError, match="Cannot listen on"):
        async with serving_http(app, listen):
            pass


async def test_a_body_that_comes_too_slowly_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_BODY_PATIENCE", 0.2)
    began = b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(began)
        async with asyncio.timeout(LIMIT):
            await reader.read()
    finally:
        writer.close()


async def test_an_address_that_this_machine_lacks_is_passed_over_if_there_are_others(
    app: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = socket.create_server

    def without_ipv6(address: Any, *, family: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no IPv6 here")
        return create(address, family=family)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    free = free_port()
    async with serving_http(app, f":{free}"), http_client(f"http://127.0.0.1:{free}") as client:
        assert (await client.get("/early")).text == "0"
    with pytest.raises(SettingsError, match="no IPv6 here"):
        async with serving_http(app, f"[::1]:{free}"):
            pass
