"""The local stack: every component as its own process, all state in one folder."""

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO, NamedTuple

import grpc

from deploy.admin.key_files import create_keys
from deploy.admin.migrate import migrate_database
from deploy.components import WITH_DATABASE
from deploy.local import health
from deploy.local.certificates import certificates_in
from deploy.local.ports import HOST, Ports
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.process import Observer, Process, Spawn, StackError, spawn
from deploy.local.temporal_server import prepare_server
from deploy.local.wiring import Wiring, note_stack
from services.runtime.security.tls import Certificate, channel_credentials

_NEEDS: dict[str, tuple[str, ...]] = {
    "postgres": (),
    "temporal": (),
    "mailbox": (),
    "identity": ("postgres",),
    "registration": ("postgres",),
    "notification": ("postgres", "mailbox"),
    "gateway": ("identity", "registration", "notification", "temporal"),
    "worker": ("identity", "registration", "notification", "temporal"),
    "codec": ("gateway",),
    "web": ("gateway",),
}

_NEEDS_WITH_TLS = _NEEDS | {"tls-end": (), "postgres": ("tls-end",), "temporal": ("tls-end",)}

_STOP_ORDER = (
    ("web",),
    ("codec", "gateway", "worker"),
    WITH_DATABASE,
    ("mailbox", "temporal", "postgres"),
    ("tls-end",),
)

JOINT = "joint"
"""The process that serves several components, if one is started."""

_PATIENCE = 60.0
"""Seconds after which a component that does not answer is given up."""


class Way(NamedTuple):
    """How to reach a gRPC server: host:port, credentials, and channel options."""

    target: str
    credentials: grpc.ChannelCredentials | None = None
    options: tuple[tuple[str, str], ...] = ()


class Stack:
    """Starts, watches and stops the components. All state is in `folder`. `tls` applies to every connection.

    `environment` is added to that of our own programs whenever one is started.
    """

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        *,
        observer: Observer | None = None,
        restart: bool = True,
        tls: bool = False,
        spawn: Spawn = spawn,
    ) -> None:
        self.folder = folder.absolute()
        self.ports = ports
        self.environment: dict[str, str] = {}
        self.certificates = certificates_in(self.folder) if tls else None
        self.postgres = EmbeddedPostgres(self.folder / "postgres", ports.postgres, self.certificates)
        self.logs = self.folder / "logs"
        self._needs = _NEEDS_WITH_TLS if tls else _NEEDS
        self._wiring = Wiring(self.folder, ports, self.postgres, self.certificates)
        self.keys_dir = self._wiring.keys_dir
        self._lock: IO[str] | None = None
        self._processes = {
            name: Process(
                name, self.logs / f"{name}.log", observer or Observer(), restart=restart, spawn=spawn
            )
            for name in (*self._needs, JOINT)
        }

    @property
    def components(self) -> tuple[str, ...]:
        """The names of the components, in the order of their dependencies."""
        return tuple(TopologicalSorter(self._needs).static_order())

    @property
    def ca(self) -> Path | None:
        """The CA of the gateway's certificate; None without TLS."""
        return self.certificates.ca if self.certificates else None

    def certificate(self, name: str) -> Certificate | None:
        """The certificate of a component; None without TLS."""
        return self.certificates.files(name).follow() if self.certificates else None

    def way_to(self, name: str, as_component: str = "seed") -> Way:
        """How to reach a component's gRPC server. With TLS, calls show `as_component`'s certificate."""
        target = f"{HOST}:{getattr(self.ports, name)}"
        if self.certificates is None:
            return Way(target)
        if name == "gateway":
            return Way(target, grpc.ssl_channel_credentials(self.certificates.ca.read_bytes()))
        pem = self.certificates.files(as_component).read()
        return Way(target, channel_credentials(pem), (("grpc.default_authority", name),))

    def channel(self, name: str, as_component: str = "seed") -> grpc.aio.Channel:
        """A channel to a component's gRPC server; parameters as `way_to`."""
        way = self.way_to(name, as_component)
        if way.credentials is None:
            return grpc.aio.insecure_channel(way.target)
        return grpc.aio.secure_channel(way.target, way.credentials, options=way.options)

    async def start(self) -> None:
        """Starts all components, each once those it needs answer; returns when all answer.

        Raises `StackError` or `PortTaken` with one line to show; nothing is left running then.
        """
        self._take_lock()
        try:
            self.ports.check(tls=self.certificates is not None)
            self._make_folders()
            await self._start_all()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops all components, those that need others first."""
        await self.stop_component(JOINT)
        for wave in _STOP_ORDER:
            await asyncio.gather(*(self.stop_component(name) for name in wave if name in self._needs))
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def start_component(self, name: str) -> None:
        """Starts one component; returns when it answers."""
        if name == "postgres":
            await asyncio.to_thread(self.postgres.prepare)
        command = self._wiring.command(name, self.environment)
        await self._processes[name].start(command, self._probe(name), _PATIENCE)
        if name == "temporal":
            await prepare_server(self.ports.temporal)
        if name == "postgres":
            await self.postgres.create_databases()
            for database in WITH_DATABASE:
                await migrate_database(database, self.postgres.owner_url(database), self.ca)

    async def start_joint(self, *names: str) -> None:
        """Starts one process that serves several components, which must be stopped; `JOINT` is its name.

        Returns when all answer.
        """
        joint = self._processes[JOINT]
        probes = [self._probe(name, JOINT) for name in names]

        async def answer() -> bool:
            return all([await probe() for probe in probes])

        await joint.start(self._wiring.joint_command(names, self.environment), answer, _PATIENCE)

    async def stop_component(self, name: str) -> None:
        """Stops one component gracefully; kills it if that takes too long."""
        await self._processes[name].stop()

    async def kill_component(self, name: str) -> None:
        """Kills one component with SIGKILL; it stays down until it is started."""
        await self._processes[name].kill()

    async def restart_component(self, name: str) -> None:
        """Stops one component and starts it again."""
        await self.stop_component(name)
        await self.start_component(name)

    def pid(self, name: str) -> int | None:
        """The process ID of a running component."""
        return self._processes[name].pid

    async def _start_all(self) -> None:
        tasks: dict[str, asyncio.Task[None]] = {}

        async def start(name: str) -> None:
            for needed in self._needs[name]:
                await tasks[needed]
            await self.start_component(name)

        try:
            async with asyncio.TaskGroup() as group:
                tasks |= {name: group.create_task(start(name)) for name in self._needs}
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None

    def _probe(self, name: str, process: str = "") -> Callable[[], Awaitable[bool]]:
        ports = self.ports
        match name:
            case "postgres":
                return self.postgres.answers
            case "temporal":
                return lambda: health.temporal_serves(ports.temporal)
            case "tls-end":
                return lambda: health.listens(ports.temporal_tls, ports.postgres)
            case "mailbox" | "codec" | "web":
                return lambda: health.serves_http(getattr(ports, name), "/healthz")
            case "worker":
                return lambda: health.worker_polls(ports.temporal, self.pid(process or name))
            case _:
                return lambda: health.serves_grpc(self.channel(name))

    def _make_folders(self) -> None:
        for folder in (self._wiring.temporal_database.parent, self._wiring.mail_dir, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)
        create_keys(self.keys_dir)
        if self.certificates:
            self.certificates.create()
        note_stack(self.folder, self.ports, self.certificates)

    def _take_lock(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise StackError(
                f"A stack is running already in {self.folder} (process {owner}). Stop it, or choose another"
                " folder: liity up --state-dir FOLDER"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
