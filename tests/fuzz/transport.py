"""Attacks beneath the RPCs: on connections, on HTTP/2, on gRPC's framing. Bounded, each of them."""

import asyncio
import random
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2

from services.runtime.rpc.interceptor import MAX_REQUEST_BYTES as LARGEST_OF_OURS
from tests.fuzz.attack import FAULTS, LARGEST_TAKEN, TIMEOUT, Attack, Report, send
from tests.fuzz.target import Rpc, Target, open_channel, open_socket
from tests.fuzz.wire import length_delimited

HEALTH = "/grpc.health.v1.Health/Check"

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 8, 9
_END_STREAM, _END_HEADERS = 1, 4
_PATIENCE = 10.0
"""Seconds a server gets to close a connection that it does not want."""


@dataclass(frozen=True)
class Numbers:
    """How much of everything an attack consists of."""

    warm_up: int
    """Requests of each kind to every RPC before memory is measured."""
    each: int
    """Requests of each kind to every RPC in one round."""
    connections: int
    """Opened at once."""
    streams: int
    """Calls, resets and frames on one connection: more than it may have calls at once."""


@dataclass(frozen=True)
class Scene:
    """One attack on one server."""

    target: Target
    component: str
    choice: random.Random
    report: Report
    numbers: Numbers

    @property
    def rpcs(self) -> list[Rpc]:
        """What the server serves."""
        return [rpc for rpc in self.target.rpcs if rpc.component == self.component]

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A bare connection, closed afterwards."""
        reader, writer = await open_socket(self.target.stack, self.component)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def say(self, *chunks: bytes, pause: float = 0.0) -> None:
        """Sends bytes, and waits until the server has hung up or lost its interest."""
        async with self.connection() as (reader, writer):
            with suppress(OSError):
                for chunk in chunks:
                    writer.write(chunk)
                    await writer.drain()
                    if pause:
                        await asyncio.sleep(pause)
                async with asyncio.timeout(0.3):
                    while await reader.read(65536):
                        pass


Attacker = Callable[[Scene], Awaitable[None]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame (RFC 9113 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(*fields: tuple[str, str]) -> bytes:
    """A header block, each field written out in full (RFC 7541 6.2.2)."""
    return b"".join(b"\0" + _hpack(name) + _hpack(value) for name, value in fields)


def _hpack(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) < 127:
        return bytes([len(encoded)]) + encoded
    rest, out = len(encoded) - 127, b"\x7f"
    while rest > 127:
        out += bytes([rest & 127 | 128])
        rest >>= 7
    return out + bytes([rest]) + encoded


def _request_headers(path: str, *more: tuple[str, str]) -> bytes:
    return headers(
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    )


def _opening() -> bytes:
    return _PREFACE + frame(_SETTINGS, 0, 0)


# Connections


async def garbage(scene: Scene) -> None:
    """What is no HTTP/2, and what is only nearly."""
    words = (
        scene.choice.randbytes(4000),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + scene.choice.randbytes(500),
        b"EHLO localhost\r\n",
        b"\0" * 100_000,
        _PREFACE[:10],
        _PREFACE + scene.choice.randbytes(2000),
        _PREFACE + frame(_SETTINGS, 0, 0, b"\0" * 5),
        _PREFACE + frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, 2**32 - 1)),
        _opening() + frame(_HEADERS, _END_HEADERS, 2, _request_headers(HEALTH)),
        _opening() + frame(_HEADERS, _END_HEADERS, 1, b"\xff" * 300),
        _opening() + frame(_WINDOW, 0, 0, struct.pack(">I", 0)),
        _opening() + frame(_WINDOW, 0, 0, struct.pack(">I", 2**31 - 1)) * 3,
        _opening() + b"\xff\xff\xff" + bytes([_DATA, 0, 0, 0, 0, 1]) + b"x" * 1000,
        *(_opening() + frame(kind, 0xFF, 1, scene.choice.randbytes(20)) for kind in range(14)),
    )
    await asyncio.gather(*(scene.say(those) for those in words))


async def silence(scene: Scene) -> None:
    """Many that open, say hello or nothing, and then nothing more, while others are served."""
    async with AsyncExitStack() as open_ones:
        for words in (b"", _PREFACE[:5], _PREFACE, _opening(), _opening() + frame(_HEADERS, 0, 1, b"")) * 20:
            _, writer = await open_ones.enter_async_context(scene.connection())
            writer.write(words)
        await answers(scene)


async def dripping(scene: Scene) -> None:
    """A call whose bytes come one at a time, and one that ends half-way."""
    path = scene.rpcs[0].path
    body = _opening() + frame(_HEADERS, _END_HEADERS, 1, _request_headers(path))
    message = b"\0" + struct.pack(">I", 1000) + b"x" * 100
    slow = [bytes([byte]) for byte in body + frame(_DATA, 0, 1, message)[:60]]
    await asyncio.gather(
        *(scene.say(*slow, pause=0.005) for _ in range(20)),
        *(scene.say(body, frame(_DATA, _END_STREAM, 1, message)) for _ in range(20)),
        answers(scene),
    )


async def crowd(scene: Scene) -> None:
    """Many connections at once, each with a hello, while others are served."""
    opened = await asyncio.gather(
        *(open_socket(scene.target.stack, scene.component) for _ in range(scene.numbers.connections)),
        return_exceptions=True,
    )
    connections = [found for found in opened if not isinstance(found, BaseException)]
    try:
        if len(connections) < scene.numbers.connections:
            scene.report.blame(f"{scene.component} took {len(connections)} of {len(opened)} connections")
        for _, writer in connections:
            writer.write(_opening())
        await answers(scene)
    finally:
        for _, writer in connections:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in connections), return_exceptions=True)


# HTTP/2


async def resets(scene: Scene) -> None:
    """Streams opened and reset at once (CVE-2023-44487)."""
    path = scene.rpcs[0].path
    block = _request_headers(path)
    flood = b"".join(
        frame(_HEADERS, _END_HEADERS, 2 * n + 1, block) + frame(_RST, 0, 2 * n + 1, struct.pack(">I", 8))
        for n in range(scene.numbers.streams)
    )
    await scene.say(_opening(), flood)


async def floods(scene: Scene) -> None:
    """Pings, settings, empty frames and header blocks without end (CVE-2019-9512, -9515, -9518)."""
    block, many = _request_headers(scene.rpcs[0].path), scene.numbers.streams
    several = (
        frame(_PING, 0, 0, b"12345678") * many,
        frame(_SETTINGS, 0, 0) * many,
        frame(_HEADERS, _END_HEADERS, 1, block) + frame(_DATA, 0, 1) * many,
        frame(_HEADERS, 0, 1, block) + frame(_CONTINUATION, 0, 1, headers(("x-a", "b" * 1000))) * many,
        frame(_HEADERS, _END_HEADERS, 1, _request_headers(HEALTH, *(("x-a", "b"),) * 10_000)),
    )
    await asyncio.gather(*(scene.say(_opening(), flood) for flood in several))


async def streams(scene: Scene) -> None:
    """More calls on one connection than it may have at once, and as many cancelled under way."""
    rpc = scene.choice.choice(scene.rpcs)
    channel = open_channel(scene.target.stack, scene.component)
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(rpc.path)

    async def code() -> str:
        try:
            await method(b"", timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    try:
        codes = Counter(await asyncio.gather(*(code() for _ in range(scene.numbers.streams))))
        # Streams beyond the limit are refused by HTTP/2's own means.
        served = codes.total() - codes["UNAVAILABLE"]
        if not served or (FAULTS - {"UNAVAILABLE"}) & codes.keys():
            scene.report.blame(
                f"{rpc.path}: {scene.numbers.streams} calls at once were answered {dict(codes)}"
            )
        calls = [method(b"", timeout=TIMEOUT) for _ in range(200)]
        await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
    finally:
        await channel.close()


# Messages


async def oversize(scene: Scene) -> None:
    """Messages above each limit, by those who may call and by those who may not."""
    sizes = (LARGEST_OF_OURS, LARGEST_OF_OURS + 1, LARGEST_TAKEN, LARGEST_TAKEN + 1, 4 * LARGEST_TAKEN)
    for size in sizes:
        rpc = scene.choice.choice(scene.rpcs)
        for caller in (scene.target.allowed(rpc)[0], *scene.target.strangers(rpc)[:1]):
            attack = Attack(rpc.path, caller, length_delimited(500, bytes(size))[:size], kind="oversize")
            code = await send(scene.target, rpc, attack, scene.report)
            if size > LARGEST_TAKEN and code != "RESOURCE_EXHAUSTED":
                scene.report.blame(f"{rpc.path} took {size} bytes: {code}", attack)


async def lies(scene: Scene) -> None:
    """Length prefixes that promise more or less than comes, and flags nobody knows."""
    opening = _opening() + frame(_HEADERS, _END_HEADERS, 1, _request_headers(scene.rpcs[0].path))
    prefixes = (
        b"\0\xff\xff\xff\xff",
        b"\0\x7f\xff\xff\xff",
        b"\0\0\0\0\0",
        b"\xff\0\0\0\x01",
        b"\x01\0\0\0\x05",
        b"\0",
    )
    await asyncio.gather(
        *(
            scene.say(opening + frame(_DATA, end, 1, prefix + b"12345"))
            for prefix in prefixes
            for end in (0, _END_STREAM)
        )
    )


async def bombs(scene: Scene) -> None:
    """A little that unpacks to a lot, by gRPC's own compression, several at once."""
    rpc = scene.choice.choice(scene.rpcs)
    channel = open_channel(scene.target.stack, scene.component)
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(rpc.path)

    async def throw(compression: grpc.Compression) -> None:
        try:
            await method(bytes(BOMB_BYTES), timeout=TIMEOUT, compression=compression)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return
            scene.report.blame(f"{rpc.path}: a bomb was answered {error.code().name}: {error.details()}")
        else:
            scene.report.blame(f"{rpc.path} has unpacked a bomb")

    try:
        await asyncio.gather(*(throw(how) for how in (grpc.Compression.Gzip, grpc.Compression.Deflate)))
    finally:
        await channel.close()


BOMB_BYTES = 128 * 1024 * 1024
"""What a bomb unpacks to: more than a server may grow by."""


ATTACKERS: dict[str, Attacker] = {
    attacker.__name__: attacker
    for attacker in (garbage, silence, dripping, resets, floods, lies, streams, bombs, oversize, crowd)
}


async def answers(scene: Scene) -> None:
    """Whoever comes now is served."""
    channel = open_channel(scene.target.stack, scene.component)
    try:
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH)
        answer = await check(b"", timeout=_PATIENCE, wait_for_ready=True)
        status = health_pb2.HealthCheckResponse.FromString(answer).status
        if status != health_pb2.HealthCheckResponse.SERVING:
            scene.report.blame(f"{scene.component} says that it is not serving")
    except grpc.aio.AioRpcError as error:
        scene.report.blame(f"{scene.component} answers nobody: {error.code().name} {error.details()}")
    finally:
        await channel.close()
