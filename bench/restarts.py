"""Single Saves while gateways and workers are replaced one after another, as by a deploy."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from bench.load import Run
from bench.save import SaveCaller
from bench.sizes import Sizes
from deploy.local import health
from deploy.local.ports import HOST, Ports
from deploy.local.process import Command, Observer, Process, Spawn
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from deploy.local.wiring import Wiring
from frontends.client import ApiClient
from frontends.refusals import Refusal

_PATIENCE = 60.0
"""Seconds within which a process must answer."""


@dataclass
class Restarts:
    """Results. A call that failed counts with the time until its failure."""

    idle: Run
    idle_failed: int
    replaced: Run
    """Saves while every gateway and worker was sent SIGTERM and started again."""
    replaced_failed: int
    number: int
    """How many processes were replaced."""


class _Second:
    """A second process of a component, beside the stack's own."""

    def __init__(self, stack: Stack, wiring: Wiring, name: str, spawn: Spawn) -> None:
        log = stack.logs / f"{name}-2.log"
        self._process = Process(f"{name}-2", log, Observer(), restart=False, spawn=spawn)
        self._temporal = stack.ports.temporal
        command = wiring.command(name, stack.environment)
        self.port = Ports.free().gateway
        listen = {"LIITY_LISTEN": f"{HOST}:{self.port}"} if name == "gateway" else {}
        self._command: Command = replace(command, environment={**command.environment, **listen})
        self._is_gateway = name == "gateway"

    async def start(self) -> None:
        await self._process.start(self._command, self._answers, _PATIENCE)

    async def stop(self) -> None:
        await self._process.stop()

    async def _answers(self) -> bool:
        if self._is_gateway:
            return await health.listens(self.port)
        return await health.worker_polls(self._temporal, self._process.pid)


async def measure_restarts(
    stack: Stack, wiring: Wiring, account: DemoAccount, caller: SaveCaller, sizes: Sizes, spawn: Spawn
) -> Restarts:
    """Measures Saves of one caller of two gateways, on an idle system and while all are replaced."""
    seconds = [_Second(stack, wiring, name, spawn) for name in ("gateway", "worker")]
    async with _running(seconds):
        gateways = f"ipv4:{HOST}:{stack.ports.gateway},{HOST}:{seconds[0].port}"
        async with ApiClient(gateways) as api:
            await api.log_in(account.email, account.password)
            saving = caller.through(api)
            enough = sizes.restart_saves
            idle, idle_failed = await _saves(saving, lambda saved: saved >= enough)
            replacing = asyncio.create_task(_replace(stack, seconds, sizes.restart_rounds))
            replaced, replaced_failed = await _saves(
                saving, lambda saved: replacing.done() and saved >= enough
            )
            number = await replacing
    return Restarts(idle, idle_failed, replaced, replaced_failed, number)


@asynccontextmanager
async def _running(seconds: list[_Second]) -> AsyncIterator[None]:
    try:
        for second in seconds:
            await second.start()
        yield
    finally:
        for second in seconds:
            await second.stop()


async def _replace(stack: Stack, seconds: list[_Second], rounds: int) -> int:
    """Replaces each gateway and worker, one at a time; returns how many."""
    number = 0
    for _ in range(rounds):
        for name, second in zip(("gateway", "worker"), seconds, strict=True):
            await stack.restart_component(name)
            await second.stop()
            await second.start()
            number += 2
    return number


async def _saves(caller: SaveCaller, is_enough: Callable[[int], bool]) -> tuple[Run, int]:
    """Saves one after another until it is enough; returns the results and the number of failures."""
    run, failed = Run(callers=1), 0
    while not is_enough(len(run.latencies)):
        started = time.perf_counter()
        try:
            await caller.save()
        except Refusal:
            failed += 1
        run.latencies.append(time.perf_counter() - started)
    return run, failed
