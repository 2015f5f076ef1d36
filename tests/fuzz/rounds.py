"""The rounds of an attack, and what must hold after each."""

import asyncio
import random
from collections.abc import Iterable, Sequence

from tests.fuzz.attack import Attack, Metadata, Report, nasty_metadata, send
from tests.fuzz.messages import requests
from tests.fuzz.target import SERVERS, Rpc, Target
from tests.fuzz.transport import ATTACKERS, Numbers, Scene, answers
from tests.system.support.public_api import Stored, changes

MEMORY_BOUND = 96 * 1024 * 1024
"""Bytes by which a server may have grown since its first round: one password being hashed takes 64 MiB."""

_PERSONS = "identity.persons"
_AT_ONCE = 16
_FAULT_MARKS = (b"rpc failed", b"Traceback", b'"level": "critical"')


class Siege:
    """Attacks a target round by round; `report` tells what came of it."""

    def __init__(self, target: Target, seed: int, numbers: Numbers) -> None:
        self.target = target
        self.numbers = numbers
        self.report = Report()
        self._seed = seed
        self._round = 0
        self._logs = target.log_sizes()
        self._pids = target.pids()
        self._memory: dict[str, int] = {}

    async def warm_up(self) -> None:
        """Has every server do everything before memory is measured: from now on it must not grow."""
        if self.numbers.warm_up:
            await self.calls(self.numbers.warm_up)
        self._memory = self.target.memory()

    async def calls(self, each: int, rpcs: Sequence[Rpc] | None = None) -> None:
        """One round of calls: so many requests of each kind to every RPC, or to those given."""
        self._round += 1
        seed = self._seed * 10_007 + self._round
        choice = random.Random(seed)  # noqa: S311 - attacks are to be repeatable, not secret
        chosen = list(self.target.rpcs if rpcs is None else rpcs)
        choice.shuffle(chosen)
        await self.target.stay_logged_in()
        made = {rpc: self._attacks(rpc, each, seed, choice) for rpc in chosen}
        async with self.target.stores.connected():
            stored = await self.target.stores.contents()
            for rpc, (hopeless, _) in made.items():
                await self._volley(rpc, hopeless)
            stored = await self._nothing_stored("strangers", stored)
            for rpc, (_, hopeful) in made.items():
                if "OK" in await self._volley(rpc, hopeful):
                    # What goes on because of it is not the next one's doing.
                    stored = await self.target.stores.contents(changed_since=True)
                else:
                    stored = await self._nothing_stored(rpc.path, stored)

    async def transport(self, names: Iterable[str] = tuple(ATTACKERS)) -> None:
        """Each attack beneath the RPCs, on each server."""
        for name in names:
            for component in SERVERS:
                seed = f"{self._seed} {name} {component}"
                scene = self._scene(component, random.Random(seed))  # noqa: S311
                await ATTACKERS[name](scene)
                await answers(scene)
            self._look_at_processes(f"after {name}")

    async def judge(self) -> None:
        """Sees that all servers live, answer, have kept their memory, and have logged no fault."""
        await self.look_at_servers()
        await self.target.stay_logged_in()
        for name, size in self.target.memory().items():
            grown = size - self._memory.get(name, size)
            if grown > MEMORY_BOUND:
                self.report.blame(f"{name} has grown by {grown // 2**20} MiB to {size // 2**20} MiB")
        self._look_at_logs()

    async def look_at_servers(self) -> None:
        """Sees that all servers are the processes they were, and answer."""
        self._look_at_processes("any more")
        for component in SERVERS:
            await answers(self._scene(component, random.Random(0)))  # noqa: S311

    async def replay(self, attack: Attack) -> str:
        """Sends one attack again; the code of its answer."""
        rpc = next(rpc for rpc in self.target.rpcs if rpc.path == attack.path)
        return await send(self.target, rpc, attack, self.report)

    def memory_growth(self) -> dict[str, int]:
        """Bytes by which each server has grown."""
        return {name: size - self._memory.get(name, size) for name, size in self.target.memory().items()}

    def _scene(self, component: str, choice: random.Random) -> Scene:
        return Scene(self.target, component, choice, self.report, self.numbers)

    def _attacks(
        self, rpc: Rpc, each: int, seed: int, choice: random.Random
    ) -> tuple[list[Attack], list[Attack]]:
        """Those that cannot but be refused, and those that need not be."""
        hopeless: list[Attack] = []
        hopeful: list[Attack] = []
        batches = requests(rpc.method.input_type, self.target.known, rpc.valid(self.target.facts), each, seed)
        for batch in batches:
            for body in batch.bodies:
                caller = choice.choice(self.target.allowed(rpc))
                metadata: Metadata = ()
                # Mostly those who may: whoever may not gets no further than the door.
                if (strangers := self.target.strangers(rpc)) and choice.randrange(6) == 0:
                    caller = choice.choice(strangers)
                if choice.randrange(6) == 0:
                    metadata = tuple(
                        nasty_metadata(choice, self.target.token(rpc, caller) if caller else "x")
                    )
                    if any(key == "authorization" for key, _ in metadata):
                        caller = ""
                attack = Attack(rpc.path, caller, body, metadata, batch.kind)
                (hopeful if caller in self.target.allowed(rpc) else hopeless).append(attack)
        return hopeless, hopeful

    async def _volley(self, rpc: Rpc, attacks: Sequence[Attack]) -> set[str]:
        """Sends some at once; the codes of their answers."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(attack: Attack) -> str:
            async with turns:
                return await send(self.target, rpc, attack, self.report)

        return set(await asyncio.gather(*(one(attack) for attack in attacks)))

    async def _nothing_stored(self, whose: str, before: Stored) -> Stored:
        """What is stored, which must be what was stored before calls that were all refused."""
        after = await self.target.stores.contents()
        changed = changes(before, after)
        # A Save of which nothing comes forgets a person that nobody else has kept.
        if after.rows[_PERSONS] <= before.rows[_PERSONS]:
            changed.pop(_PERSONS, None)
        if changed:
            self.report.blame(f"refused calls ({whose}) have stored something: {changed}")
        return after

    def _look_at_processes(self, when: str) -> None:
        pids = self.target.pids()
        for name, pid in pids.items():
            if pid != self._pids[name]:
                self.report.blame(f"{name} is not the process it was {when}")
        self._pids = pids

    def _look_at_logs(self) -> None:
        """Finds faults in what the servers have logged since."""
        for name in SERVERS:
            log = self.target.stack.logs / f"{name}.log"
            with log.open("rb") as content:
                content.seek(self._logs.get(log.name, 0))
                faults = [line for line in content if any(mark in line for mark in _FAULT_MARKS)]
            for line in faults[:3]:
                self.report.blame(
                    f"{log} tells of a fault ({len(faults)} in all): {line[:1500].decode(errors='replace')}"
                )
        self._logs = self.target.log_sizes()
