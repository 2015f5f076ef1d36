"""Several processes of one service behind one name: all get calls, and they can be replaced one by one."""

import asyncio
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from services.runtime.rpc.peer import Peer
from services.runtime.security.service_identity import ServiceIdentity
from tests.conftest import free_port
from tests.services.runtime.test_draining import Running
from tests.services.runtime.test_outage_of_one_service import ask, outcome
from tests.support.name_server import name_server

ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
NEWCOMER = "127.0.0.4"


async def keep_calling(registration: Peer, lost: list[str]) -> None:
    """Calls as often as a busy gateway might, until cancelled."""
    while True:
        got = await asyncio.gather(*(outcome(registration) for _ in range(4)))
        lost.extend(code for code in got if code != "OK")
        await asyncio.sleep(0.05)


async def test_every_replica_gets_calls_and_none_is_lost_while_they_are_replaced(
    keys_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()

    async def start(address: str) -> Running:
        running = Running(keys_dir, monkeypatch, "PT1S", f"{address}:{port}")
        assert await running.says() == health_pb2.HealthCheckResponse.SERVING
        return running

    replicas = {address: await start(address) for address in ADDRESSES}
    async with name_server(ADDRESSES) as (names, names_at):
        caller = Peer(
            "registration",
            f"dns://{names_at}/registration.test:{port}",
            ServiceIdentity("gateway", keys_dir),
        )

        async def all_are_called() -> None:
            before = {running: running.units.answered for running in replicas.values()}
            async with asyncio.timeout(60):
                while any(running.units.answered == count for running, count in before.items()):
                    await ask(caller)

        await all_are_called()

        # One that joins is found, as connections are made anew from time to time.
        replicas[NEWCOMER] = await start(NEWCOMER)
        names.addresses = [*ADDRESSES, NEWCOMER]
        await all_are_called()

        lost: list[str] = []
        calling = asyncio.create_task(keep_calling(caller, lost))
        for address in list(replicas):
            old = replicas[address]
            old.stop.set()
            await old.ended
            await old.channel.close()
            replicas[address] = await start(address)
        await all_are_called()
        calling.cancel()
        assert lost == []

        await caller.close()
    for running in replicas.values():
        running.stop.set()
        await running.ended
        await running.channel.close()
