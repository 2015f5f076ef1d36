"""One process of the local stack: start, health check, restart after a crash, stop."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deploy.local import tether

_GRACE = 75.0
"""Seconds from the stop signal until the process is killed: longer than servers (65) and workers (20) give
to running work."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_SETTLED = 60.0
"""Seconds after which a process counts as stable: its next crash starts again with the first pause."""

_ATTEMPTS = 5
"""How often a process may die before its first answer."""

_WRONG_SETTINGS = 2
"""Exit code of `liity serve` when a retry cannot help."""


class StackError(Exception):
    """The stack cannot go on. The text is the one line to show."""


@dataclass(frozen=True)
class Command:
    """A command line, its environment and user, and the signals that end it."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    """The system user to run as; empty for our own."""
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    """The signal it gets if we are killed and cannot stop it."""


class Observer:
    """Receives events of processes; this one ignores them."""

    def ready(self, name: str, seconds: float) -> None:
        """A process answers, that many seconds after its start."""

    def died(self, name: str, how: str, pause: float) -> None:
        """A process ended by itself and is restarted after that many seconds."""


class Running(Protocol):
    """A started process, as asyncio's."""

    @property
    def pid(self) -> int:
        """The process ID."""
        ...

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        ...

    async def wait(self) -> int:
        """Waits until it ends; returns the exit code."""
        ...

    def send_signal(self, signal: int, /) -> None:
        """Sends a signal. ProcessLookupError if it has ended."""
        ...


Spawn = Callable[[Command, Path], Awaitable[Running]]
"""Starts a command and appends its output to a log file."""


def tethered(command: Command) -> list[str]:
    """The command line by which a command ends when this process does, and runs as its user.

    The user is not left to `subprocess`: it would then fork, and a fork of a process in which gRPC
    has threads may crash before the command starts.
    """
    program = [sys.executable, "-I", "-S", tether.__file__]
    return [*program, str(command.orphan_signal.value), str(os.getpid()), command.user, *command.arguments]


async def spawn(command: Command, log: Path) -> Running:
    """Starts a command that ends when this process does."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *tethered(command),
            env=command.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C in the terminal reaches only us: we stop the others in order.
            start_new_session=True,
        )


class Process:
    """A process that runs until `stop` or `kill`. Its output goes to a log file."""

    def __init__(
        self,
        name: str,
        log: Path,
        observer: Observer,
        *,
        restart: bool,
        grace: float = _GRACE,
        spawn: Spawn = spawn,
    ) -> None:
        self.name = name
        self.log = log
        self._observer = observer
        self._restart = restart
        self._grace = grace
        self._spawn = spawn
        self._answers = False
        self._process: Running | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._command: Command | None = None

    @property
    def pid(self) -> int | None:
        """The process ID while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self, command: Command, probe: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Starts the command and calls `probe` until it is true. StackError if it is not in time."""
        if self._keeper is not None:
            raise StackError(f"{self.name} is running already")
        started = time.monotonic()
        self._answers = False
        self._command = command
        self._keeper = asyncio.create_task(self._keep_running(command))
        while not (self.pid and await probe()):
            if self._keeper.done():
                self._keeper.result()
            if time.monotonic() - started > seconds:
                raise StackError(f"{self.name} does not answer after {seconds:.0f} s{self._last_words()}")
            await asyncio.sleep(0.05)
        self._answers = True
        self._observer.ready(self.name, time.monotonic() - started)

    async def stop(self) -> None:
        """Sends the stop signal, and kills the process if it has not ended in time."""
        if self._command is not None:
            await self._end(self._command.stop_signal)

    async def kill(self) -> None:
        """Kills it at once."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            async with asyncio.timeout(self._grace):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()

    async def _keep_running(self, command: Command) -> None:
        pause, attempts = _FIRST_PAUSE, 0
        while True:
            began = time.monotonic()
            self._process = await self._spawn(command, self.log)
            code = await self._process.wait()
            attempts += 1
            if self._answers and not self._restart:
                return
            if not self._answers and (code == _WRONG_SETTINGS or attempts == _ATTEMPTS):
                raise StackError(f"{self.name} {_ending(code)} at its start{self._last_words()}")
            if time.monotonic() - began > _SETTLED:
                pause = _FIRST_PAUSE
            self._observer.died(self.name, _ending(code), pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _last_words(self) -> str:
        lines = self.log.read_text("utf-8", errors="replace").splitlines() if self.log.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f": {last} (all of it: {self.log})" if last else f" (log: {self.log})"


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
