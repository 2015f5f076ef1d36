"""An outage of one service: calls that need it fail fast, others go on, and a server is never overrun."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from typing_extensions import override

from liity.registration.v1.unit_service_pb2 import GetUnitRequest, GetUnitResponse
from liity.registration.v1.unit_service_pb2_grpc import (
    UnitServiceServicer,
    UnitServiceStub,
    add_UnitServiceServicer_to_server,
)
from liity.v1.reason_pb2 import REASON_UNAVAILABLE
from services.runtime.rpc import interceptor
from services.runtime.rpc import peer as peers
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.rpc.peer import Peer
from services.runtime.security.service_identity import ServiceIdentity, ServiceVerifier
from services.runtime.temporal import updates
from tests.conftest import free_port
from tests.services.conftest import CONTACT


class Units(UnitServiceServicer):
    """A service that answers when it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.running = 0
        self.most = 0
        self.answered = 0

    @override
    async def GetUnit(self, _request: GetUnitRequest, _context: object) -> GetUnitResponse:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.may_answer.wait()
        self.running -= 1
        self.answered += 1
        return GetUnitResponse()


@asynccontextmanager
async def serving(units: Units, keys_dir: Path, port: int, most_calls: int = 400) -> AsyncIterator[None]:
    interceptor = RequestInterceptor(
        ServiceAuthenticator(ServiceVerifier("registration", keys_dir).verify), CONTACT, most_calls=most_calls
    )
    server = grpc.aio.server(interceptors=[interceptor])
    add_UnitServiceServicer_to_server(units, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


@pytest.fixture
async def registration(keys_dir: Path) -> AsyncIterator[tuple[Peer, int]]:
    port = free_port()
    caller = Peer("registration", f"127.0.0.1:{port}", ServiceIdentity("gateway", keys_dir))
    try:
        yield caller, port
    finally:
        await caller.close()


async def ask(registration: Peer) -> GetUnitResponse:
    stub: Any = UnitServiceStub(registration.channel)
    answer: GetUnitResponse = await registration.call(stub.GetUnit, GetUnitRequest(unit_id="un1"))
    return answer


async def outcome(registration: Peer) -> str:
    try:
        await ask(registration)
    except Refusal as refusal:
        return refusal.code.name
    return "OK"


async def test_calls_fail_fast_once_a_service_is_known_to_be_away(
    registration: tuple[Peer, int], keys_dir: Path
) -> None:
    away, port = registration
    began = time.monotonic()
    assert await outcome(away) == "UNAVAILABLE"
    assert time.monotonic() - began < 10  # the deadline of the call
    waiting = [asyncio.create_task(outcome(away)) for _ in range(peers._MOST_WAITING)]
    await asyncio.sleep(0)
    # Few wait for it to come back; all others are told at once, by nobody but ourselves.
    began = time.monotonic()
    refused = [asyncio.create_task(outcome(away)) for _ in range(1000)]
    assert set(await asyncio.gather(*refused)) == {"UNAVAILABLE"}
    assert not any(call.done() for call in waiting)
    async with serving(Units(), keys_dir, port):
        await asyncio.wait(waiting)
        while await outcome(away) != "OK":
            await asyncio.sleep(0.05)
        assert {await outcome(away) for _ in range(10)} == {"OK"}


async def test_a_service_that_restarts_is_waited_for(registration: tuple[Peer, int], keys_dir: Path) -> None:
    units, port = Units(), registration[1]
    async with serving(units, keys_dir, port):
        assert await outcome(registration[0]) == "OK"
    call = asyncio.create_task(outcome(registration[0]))
    await asyncio.sleep(0.1)
    async with serving(units, keys_dir, port):
        assert await call == "OK"


async def test_a_service_that_hangs_holds_a_part_of_the_calls(
    registration: tuple[Peer, int], keys_dir: Path
) -> None:
    units = Units()
    units.may_answer.clear()
    async with serving(units, keys_dir, registration[1]):
        held = [asyncio.create_task(outcome(registration[0])) for _ in range(peers._MOST_CALLS)]
        await asyncio.sleep(0)
        assert {await outcome(registration[0]) for _ in range(100)} == {"UNAVAILABLE"}
        assert not any(call.done() for call in held)
        units.may_answer.set()
        assert set(await asyncio.gather(*held)) == {"OK"}
        assert await outcome(registration[0]) == "OK"


async def test_a_server_answers_so_many_calls_at_a_time_and_refuses_more(
    keys_dir: Path,
) -> None:
    units, port = Units(), free_port()
    units.may_answer.clear()
    metadata = (("authorization", f"Bearer {ServiceIdentity('gateway', keys_dir).token('registration')}"),)

    async with (
        serving(units, keys_dir, port, most_calls=10),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        method: Any = UnitServiceStub(channel).GetUnit

        async def call() -> str:
            try:
                await method(GetUnitRequest(unit_id="un1"), metadata=metadata, timeout=60)
            except grpc.aio.AioRpcError as error:
                return Refusal.from_rpc_error(error).summary
            return "OK"

        calls = [asyncio.create_task(call()) for _ in range(50)]
        refused: list[asyncio.Task[str]] = []
        async with asyncio.timeout(60):
            while len(refused) < 40:
                done, _ = await asyncio.wait(set(calls) - set(refused), return_when=asyncio.FIRST_COMPLETED)
                refused += done
        assert {task.result() for task in refused} == {"UNAVAILABLE UNAVAILABLE"}
        units.may_answer.set()
        assert [task.result() for task in (await asyncio.wait(set(calls) - set(refused)))[0]] == ["OK"] * 10
        assert units.most == 10
        assert await call() == "OK"


async def test_calls_that_wait_for_temporal_are_few_and_leave_room_for_others() -> None:
    back = asyncio.Event()

    async def send() -> str:
        await back.wait()
        return "OK"

    async def update() -> str:
        try:
            return await updates.patiently(send, REASON_UNAVAILABLE)
        except Refusal as refusal:
            return refusal.code.name

    waiting = [asyncio.create_task(update()) for _ in range(updates.MOST_WAITING)]
    await asyncio.sleep(0)
    assert {await update() for _ in range(100)} == {"UNAVAILABLE"}
    assert not any(call.done() for call in waiting)
    assert updates.MOST_WAITING < interceptor.MOST_CALLS
    back.set()
    assert set(await asyncio.gather(*waiting)) == {"OK"}
    assert await update() == "OK"
