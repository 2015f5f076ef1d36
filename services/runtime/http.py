"""Serves an ASGI application over HTTP/1.1, in the clear or over TLS, until its component stops."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import h11
import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.runtime.settings import SettingsError

if TYPE_CHECKING:
    # Not at run time: the management port does without Starlette, whose import every start would pay for.
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PATIENCE = 75
"""Seconds for the head of a connection's next request: more than proxies keep an idle connection for."""

_BODY_PATIENCE = 60
"""Seconds for a request's body, and one more for each `_SLOWEST` bytes that have come."""

_SLOWEST = 8 * 1024

_LARGEST_HEAD = 16 * 1024


@asynccontextmanager
async def serving_http(
    app: "ASGIApp", listen: str, *, tls: ssl.SSLContext | None = None, grace: int = 15
) -> AsyncIterator[None]:
    """Serves while the body runs; then running requests get `grace` seconds.

    `listen` is host:port; without a host, that is every address. SettingsError if the port is taken.
    """
    sockets = await _listening_sockets(listen)
    # Any caller can cause its warnings.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    config = uvicorn.Config(
        _with_body_deadline(app),
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Which proxies' word counts is decided where addresses are counted.
        proxy_headers=False,
        timeout_keep_alive=_PATIENCE,
        timeout_graceful_shutdown=grace,
        h11_max_incomplete_event_size=_LARGEST_HEAD,
        ssl_context_factory=(lambda _config, _default: tls) if tls else None,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets))
    try:
        yield
    finally:
        server.should_exit = True
        await task


async def _listening_sockets(listen: str) -> list[socket.socket]:
    host, _, digits = listen.rpartition(":")
    try:
        port = int(digits)
        if port not in range(2**16):
            raise ValueError(port)
        found = await asyncio.get_running_loop().getaddrinfo(
            host.strip("[]") or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with ExitStack() as opened:
            sockets = []
            for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
                with _unless_only_of_many(len(found)):
                    made = socket.create_server((address[0], port, *address[2:]), family=family)
                    sockets.append(opened.enter_context(made))
            if not sockets:
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
            opened.pop_all()
    except OSError as error:
        raise SettingsError(f"Cannot listen on {listen}: {error.strerror or error}") from None
    except ValueError:
        raise SettingsError(f"Cannot listen on {listen}: it must be host:port") from None
    return sockets


@contextmanager
def _unless_only_of_many(number: int) -> Iterator[None]:
    """Passes over an address that this machine does not have, if it is one of several: IPv6 may be off."""
    try:
        yield
    except OSError as error:
        if number == 1 or error.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
            raise


def _with_body_deadline(app: "ASGIApp") -> "ASGIApp":
    """Ends a request whose body comes too slowly as if its sender were gone."""

    async def served(scope: "Scope", receive: "Receive", send: "Send") -> None:
        loop = asyncio.get_running_loop()
        begun, size, is_complete = loop.time(), 0, False

        async def received() -> "Message":
            nonlocal size, is_complete
            if is_complete:
                return await receive()
            try:
                async with asyncio.timeout_at(begun + _BODY_PATIENCE + size / _SLOWEST):
                    message = await receive()
            except TimeoutError:
                message = {"type": "http.disconnect"}
            size += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            return message

        await app(scope, received, send)

    return served


class _Server(uvicorn.Server):
    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the component."""
        yield


class _Connection(H11Protocol):
    """A connection that ends if the head of its next request does not arrive in time."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(_PATIENCE, self.timeout_keep_alive_handler)

    @override
    def data_received(self, data: bytes) -> None:
        # uvicorn's own stops the clock at the first byte: a head that arrives byte by byte had for ever.
        self.conn.receive_data(data)
        self.handle_events()

    @override
    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:  # the answer is under way or complete
            self.transport.close()
