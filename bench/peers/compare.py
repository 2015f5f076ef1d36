"""Liity's Save and the bare engine, beside the same two on DBOS."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import psutil
from grpc import StatusCode
from temporalio.client import Client
from temporalio.service import RPCError

from bench import engine
from bench.load import Run, measure, stack_cpu_times
from bench.peers.dbos_process import DATABASE, DbosPeer
from bench.people import SAVED, codes
from bench.save import SaveCaller
from deploy.components import WITH_DATABASE
from deploy.demo.forms import pupil
from deploy.local.stack import Stack
from deploy.local.wiring import Wiring
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1.registration_service_pb2 import RegisterCustomerRequest

_PASSING = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)
"""What an overloaded machine answers."""

Call = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Contender:
    """One of those that are compared."""

    name: str
    call: Call
    mailed: Call
    """Returns when all mails of the calls have arrived."""
    databases: tuple[str, ...]
    """Its databases in PostgreSQL."""
    worker: str
    """The process that holds its running workflows."""
    processes: frozenset[str] | None = None
    """The processes that do its work; None for the whole stack."""


@dataclass(frozen=True)
class Waiting:
    """What each waiting workflow takes, in bytes."""

    stored: float
    memory: float
    """Resident memory of the worker."""


class Caller(SaveCaller):
    """Saves one adult after another, or one child after another, whose guardian is asked for consent."""

    def __init__(self, api: ApiClient, mail_dir: Path, *, children: bool = False) -> None:
        super().__init__(api, mail_dir)
        today = datetime.now(UTC).date()
        if children:
            self._form = pupil(today, Random(0)).form  # noqa: S311
        born = (date(today.year - 10, 1, 1), date(today.year - 9, 1, 1)) if children else SAVED
        self._codes, self._codes_on_dbos = codes(*born), codes(*born)

    async def save(self) -> None:
        """Saves one person. A call that finds no service, or none in time, is repeated as it was."""
        self.expect(1)
        request = RegisterCustomerRequest(
            parent=self._api.unit,
            request_id=new_request_id(),
            personal_identity_code=next(self._codes),
            form=self._form,
        )
        while True:
            try:
                await self._api.call(self._api.registrations.RegisterCustomer, request, timeout=60)
            except Refusal as refusal:
                if refusal.code not in _PASSING:
                    raise
            else:
                return

    async def save_on(self, peer: DbosPeer) -> str:
        """Saves one person on DBOS; returns the customer's ID."""
        self.expect(1)
        return await peer.register(next(self._codes_on_dbos), self._form)


class Contest:
    """Liity and DBOS on one stack, each bare and with registrations."""

    def __init__(self, stack: Stack, wiring: Wiring, client: Client, peer: DbosPeer, engine_pid: int) -> None:
        self._stack = stack
        self._temporal_database = wiring.temporal_database
        self._client = client
        self._peer = peer
        self._pids = {"engine worker": engine_pid, "dbos": peer.pid}
        self._registered: list[str] = []

    async def run_in_turn(
        self, contenders: list[Contender], callers: int, calls: int, rounds: int
    ) -> list[Run]:
        """Measures each in every round: what else the machine does meets all of them alike."""
        totals = [Run(callers) for _ in contenders]
        for _ in range(rounds):
            for contender, total in zip(contenders, totals, strict=True):
                part = await self.run(contender, callers, calls // rounds)
                total.seconds += part.seconds
                total.latencies += part.latencies
                total.cpu = {name: total.cpu.get(name, 0.0) + spent for name, spent in part.cpu.items()}
        return totals

    async def run(self, contender: Contender, callers: int, calls: int) -> Run:
        """Measures calls, with all their mails."""

        def cpu() -> dict[str, float]:
            times = stack_cpu_times(self._stack, self._pids)
            names = contender.processes or times.keys() - self._pids.keys()
            return {name: seconds for name, seconds in times.items() if name in names}

        return await measure(callers, calls, contender.call, contender.mailed, cpu)

    async def wait(self, contender: Contender, callers: int, calls: int) -> Waiting:
        """Measures what is left when the calls are done and their workflows wait."""
        stored, memory = await self._stored(contender), self._memory(contender)
        await self.run(contender, callers, calls)
        return Waiting(
            (await self._stored(contender) - stored) / calls, (self._memory(contender) - memory) / calls
        )

    async def consent(self, caller: Caller) -> None:
        """Gives consent to all who wait on DBOS, and waits for their credentials' mails."""
        caller.expect(len(self._registered))
        for customer_id in self._registered:
            await self._peer.consent(customer_id)
        await caller.mailed()

    def contenders(self, caller: Caller) -> list[Contender]:
        """All four; `caller` saves for both."""

        async def start_engine() -> None:
            while True:
                # An overloaded server aborts updates. A bare workflow is nobody's: another one does as well.
                with suppress(RPCError):
                    await engine.start(self._client)
                    return

        async def register_on_dbos() -> None:
            self._registered.append(await caller.save_on(self._peer))

        async def no_mail() -> None:
            pass

        temporal = frozenset({"temporal", "engine worker", "callers"})
        dbos = frozenset({"postgres", "dbos", "callers"})
        return [
            Contender("Temporal, bare", start_engine, no_mail, (), "engine worker", temporal),
            Contender("DBOS, bare", self._peer.start_bare, no_mail, (DATABASE,), "dbos", dbos),
            Contender("Liity", caller.save, caller.mailed, WITH_DATABASE, "worker"),
            Contender("DBOS", register_on_dbos, caller.mailed, (DATABASE,), "dbos", dbos | {"mailbox"}),
        ]

    async def _stored(self, contender: Contender) -> int:
        """Bytes in its databases, Temporal's included unless it runs on DBOS alone."""
        connection = await self._stack.postgres.connect("postgres", "postgres")
        try:
            sizes = [
                await connection.fetchval("SELECT pg_database_size($1)", name) for name in contender.databases
            ]
        finally:
            await connection.close()
        return int(sum(sizes)) + (0 if DATABASE in contender.databases else _pages(self._temporal_database))

    def _memory(self, contender: Contender) -> int:
        pid = self._pids.get(contender.worker) or self._stack.pid(contender.worker)
        return int(psutil.Process(pid).memory_info().rss)


def _pages(database: Path) -> int:
    """Bytes of the used pages of an SQLite file, with those that are in its log only."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        size, count, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
    finally:
        connection.close()
    return int(size * (count - free))
