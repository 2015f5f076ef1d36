"""A DNS server whose one answer can be changed."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import cast

_ADDRESS, _INTERNET = 1, 1
_ANSWER, _QUESTIONS = 0x8580, 1
"""Flags of an authoritative answer without error; the number of questions that it repeats."""


class NameServer(asyncio.DatagramProtocol):
    """Answers any question for IPv4 addresses with `addresses`, to be kept for no time; others with none."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        (kind,) = struct.unpack_from("!H", data, end - 4)
        found = self.addresses if kind == _ADDRESS else ()
        header = data[:2] + struct.pack("!5H", _ANSWER, _QUESTIONS, len(found), 0, 0)
        # The name is a pointer to that of the question.
        records = b"".join(
            struct.pack("!3HIH", 0xC00C, _ADDRESS, _INTERNET, 0, 4) + IPv4Address(address).packed
            for address in found
        )
        assert self._transport is not None
        self._transport.sendto(header + data[12:end] + records, sender)


@asynccontextmanager
async def name_server(addresses: Sequence[str]) -> AsyncIterator[tuple[NameServer, str]]:
    """A name server, and its address as host:port."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(addresses), local_addr=("127.0.0.1", 0)
    )
    host, port = transport.get_extra_info("sockname")
    try:
        yield server, f"{host}:{port}"
    finally:
        transport.close()
