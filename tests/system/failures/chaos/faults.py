"""Components that are killed, stopped for a while and restarted at random, and a mail server that refuses."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

from deploy.local.stack import Stack
from tests.system.support.mail_servers import standing_in
from tests.system.support.registering import MailCounter

COMPONENTS = (
    "identity",
    "registration",
    "notification",
    "gateway",
    "worker",
    "temporal",
    "postgres",
    "mailbox",
    # All connections to PostgreSQL and Temporal.
    "tls-end",
)

_LONGEST, _PAUSE = 2.5, 3.0
"""Seconds of a fault, and between two."""

_BOTH = 0.3
"""How often two components fail at once."""

_MANY = 10_000


class Faults:
    """Injects faults, each kind of each component before any comes again."""

    def __init__(self, stack: Stack, mails: MailCounter, chance: random.Random) -> None:
        self.injected: Counter[str] = Counter()
        """Number by kind and component."""
        self._stack = stack
        self._mails = mails
        self._chance = chance
        self._kinds: dict[str, Callable[[str, float], Awaitable[None]]] = {
            "killed": self._kill,
            "stopped": self._stop,
            "restarted": self._restart,
            "refusing": self._refuse,
        }
        self._coming: list[tuple[str, str]] = []

    async def inject_until(self, moment: float) -> None:
        """Injects faults until a moment of the event loop's clock; all components run afterwards."""
        while asyncio.get_running_loop().time() < moment:
            first, second = self._next(), self._next()
            both = self._chance.random() < _BOTH and first[1] != second[1]
            await asyncio.gather(*(self._inject(*fault) for fault in (first, second)[: 1 + both]))
            await asyncio.sleep(self._chance.uniform(0, _PAUSE))

    def _next(self) -> tuple[str, str]:
        if not self._coming:
            kinds = ("killed", "stopped", "restarted")
            self._coming = [(kind, name) for kind in kinds for name in COMPONENTS]
            self._coming.append(("refusing", "mailbox"))
            self._chance.shuffle(self._coming)
        return self._coming.pop()

    async def _inject(self, kind: str, component: str) -> None:
        self.injected[f"{component} {kind}"] += 1
        await self._kinds[kind](component, self._chance.uniform(0, _LONGEST))

    async def _kill(self, component: str, seconds: float) -> None:
        await self._stack.kill_component(component)
        await asyncio.sleep(seconds)
        await self._stack.start_component(component)

    async def _restart(self, component: str, seconds: float) -> None:
        await self._stack.stop_component(component)
        await asyncio.sleep(seconds)
        await self._stack.start_component(component)

    async def _stop(self, component: str, seconds: float) -> None:
        pid = self._stack.pid(component)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    async def _refuse(self, _component: str, seconds: float) -> None:
        """A mail server takes nothing for now."""
        async with standing_in(self._stack, self._mails) as server:
            server.on_mail = ["451 4.3.0 Try again later"] * _MANY
            await asyncio.sleep(seconds)
