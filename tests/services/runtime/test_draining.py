"""A server that is told to stop: it says so, goes on for a moment, and sees its calls through."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local import process
from liity.registration.v1.unit_service_pb2 import GetUnitRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub, add_UnitServiceServicer_to_server
from services.runtime.rpc import peer, server
from services.runtime.rpc.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.rpc.server import ServerSettings, serve
from services.runtime.security.service_identity import ServiceIdentity, ServiceVerifier
from tests.conftest import free_port
from tests.services.conftest import CONTACT
from tests.services.runtime.test_outage_of_one_service import Units
from workflows import worker

UNITS = "liity.registration.v1.UnitService"


class Running:
    """A server that runs, what it serves, and a channel to it."""

    def __init__(
        self, keys_dir: Path, monkeypatch: pytest.MonkeyPatch, drain_pause: str = "PT0S", target: str = ""
    ) -> None:
        target = target or f"127.0.0.1:{free_port()}"
        settings = ServerSettings.model_validate(
            {"listen": target, "keys_dir": keys_dir, "drain_pause": drain_pause, "connection_age": "PT3S"}
        )
        interceptor = RequestInterceptor(
            ServiceAuthenticator(ServiceVerifier("registration", keys_dir).verify), CONTACT
        )
        self.units = Units()
        self.stop = asyncio.Event()
        monkeypatch.setattr(server, "stop_requested", self.stop.wait)
        self.ended = asyncio.create_task(
            serve(
                settings,
                interceptor,
                [UNITS],
                lambda server: add_UnitServiceServicer_to_server(self.units, server),
            )
        )
        self._token = ServiceIdentity("gateway", keys_dir).token("registration")
        self.channel = grpc.aio.insecure_channel(target)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)
        self._stub: Any = UnitServiceStub(self.channel)

    async def call(self) -> None:
        metadata = (("authorization", f"Bearer {self._token}"),)
        await self._stub.GetUnit(
            GetUnitRequest(unit_id="un1"), metadata=metadata, timeout=60, wait_for_ready=True
        )

    async def held_call(self) -> "asyncio.Task[None]":
        """A call that runs until `units.may_answer`."""
        self.units.may_answer.clear()
        call = asyncio.create_task(self.call())
        async with asyncio.timeout(60):
            while not self.units.running:
                await asyncio.sleep(0.01)
        return call

    async def says(self) -> int:
        answer = await self.health.Check(health_pb2.HealthCheckRequest(service=UNITS), wait_for_ready=True)
        return int(answer.status)


async def test_calls_that_run_are_answered_and_so_are_those_of_the_pause(
    keys_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(keys_dir, monkeypatch, "PT3S")
    held = await running.held_call()
    assert await running.says() == health_pb2.HealthCheckResponse.SERVING
    running.stop.set()
    async with asyncio.timeout(60):
        while await running.says() != health_pb2.HealthCheckResponse.NOT_SERVING:
            await asyncio.sleep(0.01)
    late = asyncio.create_task(running.call())
    async with asyncio.timeout(60):
        while running.units.running < 2:
            await asyncio.sleep(0.01)
        # Past the pause, when no call is taken any more, both still run.
        await asyncio.sleep(4)
        assert not running.ended.done()
        running.units.may_answer.set()
        await asyncio.gather(held, late)
        await running.ended
    await running.channel.close()


async def test_nobody_who_only_watches_holds_up_the_end(
    keys_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(keys_dir, monkeypatch)
    watch = running.health.Watch(health_pb2.HealthCheckRequest(service=UNITS), wait_for_ready=True)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    running.stop.set()
    async with asyncio.timeout(server.GRACE / 2):
        await running.ended
    await running.channel.close()


def test_each_grace_is_longer_than_what_it_waits_for() -> None:
    assert peer._LONGEST_CALL < server.GRACE < process._GRACE
    assert worker.GRACE.total_seconds() < process._GRACE
