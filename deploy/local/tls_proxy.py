"""The TLS end: TLS for Temporal's development server and PostgreSQL, which have none in the local stack.

Forwards TLS connections and refuses plain ones. Callers of Temporal must show the certificate of the gateway
or the worker.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import structlog
from pydantic import Field

from services.runtime import logs
from services.runtime.components import stop_requested
from services.runtime.security.tls import component_files, server_context
from services.runtime.settings import RuntimeSettings, SettingsError, load

log = structlog.get_logger()

_NAME = "tls-end"
_CALLERS_OF_TEMPORAL = frozenset({"gateway", "worker"})

# PostgreSQL's frontend/backend protocol: the first messages of a connection, and the answers.
_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
_GSS_REQUEST = (8).to_bytes(4, "big") + (80877104).to_bytes(4, "big")
_YES, _NO = b"S", b"N"
_REFUSAL = b"SFATAL\0VFATAL\0C28000\0MConnections are taken over TLS alone\0\0"
_REFUSED = b"E" + (4 + len(_REFUSAL)).to_bytes(4, "big") + _REFUSAL


class TlsEndSettings(RuntimeSettings):
    """Settings of the TLS end. `LIITY_TLS_CERTIFICATE` is its own, with the DNS name `tls-end`."""

    tls_end_temporal_listen: str = Field(description="host:port to take connections to Temporal on.")
    tls_end_temporal: str = Field(description="host:port of Temporal.")
    tls_end_postgres_listen: str = Field(description="host:port to take connections to PostgreSQL on.")
    tls_end_postgres: Path = Field(description="PostgreSQL's socket.")


async def run() -> None:
    """Forwards connections until SIGTERM or SIGINT."""
    settings = load(TlsEndSettings)
    logs.configure(_NAME, settings)
    files = component_files(_NAME, settings)
    if files is None:
        raise SettingsError("LIITY_TLS_CA, LIITY_TLS_CERTIFICATE and LIITY_TLS_KEY are needed here")
    for_temporal = server_context(files, alpn=("h2",))
    for_postgres = server_context(replace(files, ca=None))
    loop = asyncio.get_running_loop()

    async def temporal(side: "_Side") -> None:
        await loop.create_connection(lambda: side, *_address(settings.tls_end_temporal))

    async def postgres(side: "_Side") -> None:
        # A socket's path must be short, but folders may be deep.
        os.chdir(settings.tls_end_postgres.parent)
        await loop.create_unix_connection(lambda: side, settings.tls_end_postgres.name)

    async with AsyncExitStack() as servers:
        for listen, caller, context in (
            (settings.tls_end_temporal_listen, lambda: _TemporalCaller(temporal), for_temporal),
            (settings.tls_end_postgres_listen, lambda: _PostgresCaller(postgres, for_postgres), None),
        ):
            try:
                server = await loop.create_server(caller, *_address(listen), ssl=context)
            except OSError:
                raise SettingsError(f"Cannot listen on {listen}: is something else running there?") from None
            servers.callback(server.close)
        log.info("serving")
        await stop_requested()
        log.info("stopping")


class _Side(asyncio.Protocol):
    """One side of a forwarded connection: writes what the other side reads."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        self.transport = None
        if self.other and self.other.transport:
            self.other.transport.close()


class _Caller(_Side):
    """The side of the caller."""

    def __init__(self, call: Callable[[_Side], Awaitable[None]]) -> None:
        super().__init__()
        self._call = call
        self._work: asyncio.Task[None] | None = None

    def join(self) -> None:
        """Connects to the server and starts forwarding."""
        if self.transport:
            self.transport.pause_reading()
            self._work = asyncio.create_task(self._join(self.transport))

    async def ready(self, transport: asyncio.Transport) -> None:
        """Called once the server is connected; resumes reading."""
        transport.resume_reading()

    async def _join(self, transport: asyncio.Transport) -> None:
        side = _Side()
        side.other = self
        try:
            await self._call(side)
            self.other = side
            await self.ready(transport)
        except OSError as error:
            # The server is away, or the caller has left: the caller may connect again.
            log.debug("connection not forwarded", problem=type(error).__name__)
            transport.abort()
        if self.transport is None and side.transport:
            side.transport.close()


class _TemporalCaller(_Caller):
    """A caller of Temporal: speaks TLS from the start."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        shown = {name for _, name in transport.get_extra_info("peercert").get("subjectAltName", ())}
        if shown & _CALLERS_OF_TEMPORAL:
            self.join()
        else:
            log.warning("caller refused", names=sorted(shown))
            self.transport.abort()


class _PostgresCaller(_Caller):
    """A caller of PostgreSQL: asks for TLS first."""

    def __init__(self, call: Callable[[_Side], Awaitable[None]], context: ssl.SSLContext) -> None:
        super().__init__(call)
        self._context = context
        self._asked = b""

    def data_received(self, data: bytes) -> None:
        if self.other:
            super().data_received(data)
            return
        self._asked += data
        if self.transport is None or len(self._asked) < len(_SSL_REQUEST):
            return
        if self._asked == _GSS_REQUEST:
            self._asked = b""
            self.transport.write(_NO)
        elif self._asked == _SSL_REQUEST:
            self.join()
        else:
            self.transport.write(_REFUSED)
            self.transport.close()

    async def ready(self, transport: asyncio.Transport) -> None:
        transport.write(_YES)
        loop = asyncio.get_running_loop()
        self.transport = await loop.start_tls(transport, self, self._context, server_side=True)


def _address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
