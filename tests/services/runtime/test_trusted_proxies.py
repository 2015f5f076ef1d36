"""Which network address a server takes a call to come from, whatever callers write into its metadata."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, ip_network
from typing import Any

import grpc
import pytest
from typing_extensions import override

from liity.v1.actor_pb2 import Actor
from liity.v1.auth_service_pb2 import LogOutRequest, LogOutResponse
from liity.v1.auth_service_pb2_grpc import (
    AuthServiceServicer,
    AuthServiceStub,
    add_AuthServiceServicer_to_server,
)
from services.gateway.authentication import AccountAuthenticator
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.interceptor import RequestInterceptor
from services.runtime.rpc.peer import Peer
from services.runtime.security.service_identity import ServiceIdentity
from tests.services.conftest import CONTACT

LOOPBACK = IPv4Network("127.0.0.0/8")


class Asked(AuthServiceServicer):
    """Remembers on whose behalf it was called."""

    def __init__(self) -> None:
        self.actors: list[Actor] = []

    @override
    async def LogOut(self, _request: LogOutRequest, _context: Any) -> LogOutResponse:
        self.actors.append(current_actor())
        return LogOutResponse()


@asynccontextmanager
async def asking(keys_dir: Any, *trusted: Any) -> AsyncIterator[Any]:
    """Calls a server with lines of metadata; gives the address it has taken the call to come from."""
    asked = Asked()
    identity = Peer("identity", "127.0.0.1:1", ServiceIdentity("gateway", keys_dir))
    interceptor = RequestInterceptor(AccountAuthenticator(identity), CONTACT, None, trusted)
    server = grpc.aio.server(interceptors=[interceptor])
    add_AuthServiceServicer_to_server(asked, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = AuthServiceStub(channel)

        async def address_of(*lines: str) -> str:
            metadata = tuple(("x-forwarded-for", line) for line in lines)
            await stub.LogOut(LogOutRequest(refresh_token="none"), metadata=metadata)
            return asked.actors[-1].caller_address

        yield address_of
    await server.stop(None)
    await identity.close()


@pytest.mark.parametrize("trusted", [(), (ip_network("10.0.0.0/8"),)])
async def test_a_caller_cannot_say_who_it_is(keys_dir: Any, trusted: Any) -> None:
    async with asking(keys_dir, *trusted) as address_of:
        assert await address_of() == "127.0.0.1"
        for lines in (
            ("192.0.2.1",),
            ("192.0.2.1, 127.0.0.1",),
            ("10.0.0.1",),
            ("192.0.2.1", "10.0.0.1"),
        ):
            assert await address_of(*lines) == "127.0.0.1"


async def test_a_proxy_of_ours_says_whom_it_was_called_by(keys_dir: Any) -> None:
    async with asking(keys_dir, LOOPBACK) as address_of:
        assert await address_of() == "127.0.0.1"
        assert await address_of("192.0.2.1") == "192.0.2.1"
        assert await address_of("2001:db8::1") == "2001:db8::1"


async def test_what_a_caller_has_written_before_it_counts_for_nothing(keys_dir: Any) -> None:
    async with asking(keys_dir, LOOPBACK) as address_of:
        assert await address_of("198.51.100.7, 192.0.2.1") == "192.0.2.1"
        assert await address_of("127.0.0.9, 192.0.2.1") == "192.0.2.1"
        # A proxy that adds a line leaves the caller's line before its own.
        assert await address_of("198.51.100.7", "192.0.2.1") == "192.0.2.1"
        assert await address_of("198.51.100.7", "192.0.2.1, 127.0.0.8") == "192.0.2.1"
