"""Runs the `liity` program: commands to their end, and components of a stack.

Starting Python and importing the program takes a second of CPU, and tests start it hundreds of times. So each
test process has one helper process that has imported the program and forks every run. The helper has no
threads, connections or event loop.
"""

import asyncio
import contextlib
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from deploy.liity import COMMANDS
from deploy.local import process
from deploy.local.process import Command, Running
from tests.support.password_hashes import quick_hashes

_LIITY = [sys.executable, "-m", "deploy"]
"""How a stack runs the program."""

_SERVE = (
    "import sys; from tests.support.program import serve; serve(sys.argv[1], full_hashes=len(sys.argv) > 2)"
)


class Program:
    """Starts `liity` repeatedly. Use one per session, and close it.

    Passwords are hashed with little work unless `full_hashes`.
    """

    def __init__(self, *, full_hashes: bool = False) -> None:
        self._full_hashes = full_hashes
        self._folder = tempfile.TemporaryDirectory(prefix="liity-program-")
        self._socket = Path(self._folder.name) / "socket"
        self._server: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    def __call__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        typed: str = "",
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Runs `liity` with the arguments to its end, within `seconds`.

        `environment` is added to `plain_environment`; `typed` is standard input.
        """
        environment = plain_environment() | (environment or {})
        with contextlib.ExitStack() as stack:
            stdin, stdout, stderr = (
                stack.enter_context(tempfile.TemporaryFile(dir=self._folder.name)) for _ in range(3)
            )
            stdin.write(typed.encode())
            stdin.seek(0)
            descriptors = [file.fileno() for file in (stdin, stdout, stderr)]
            connection = stack.enter_context(self._start(arguments, environment, descriptors))
            connection.settimeout(timeout)
            told = stack.enter_context(connection.makefile("r"))
            told.readline()  # its process ID
            code = int(told.readline())
            said = {"stdout": _text(stdout), "stderr": _text(stderr)}
        return subprocess.CompletedProcess(list(arguments), code, **said)

    async def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """As `__call__`, without blocking the event loop."""
        return await asyncio.to_thread(self, *arguments, **options)

    async def spawn(self, command: Command, log: Path) -> Running:
        """Starts a component of a stack; other programs are started as by any stack."""
        if command.arguments[: len(_LIITY)] != _LIITY:
            return await process.spawn(command, log)
        with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
            descriptors = [nothing.fileno(), output.fileno(), output.fileno()]
            connection = await asyncio.to_thread(
                self._start, command.arguments[len(_LIITY) :], command.environment, descriptors
            )
        told, writer = await asyncio.open_unix_connection(sock=connection)
        return _Component(int(await told.readline()), told, writer)

    def close(self) -> None:
        """Ends the helper process."""
        if self._server is not None:
            assert self._server.stdin
            self._server.stdin.close()
            self._server.wait()
        self._folder.cleanup()

    def _start(
        self, arguments: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]
    ) -> socket.socket:
        """Starts a run. The connection returns its process ID and exit code; closing it ends the run."""
        with self._starting:
            if self._server is None:
                self._server = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        _SERVE,
                        str(self._socket),
                        *(["--full-hashes"] if self._full_hashes else []),
                    ],
                    env=os.environ | {"PYTHONPATH": ":".join(filter(None, sys.path))},
                    # It ends with us, even if we are killed: then this pipe closes.
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
                assert self._server.stdout
                with self._server.stdout as ready:
                    assert ready.readline() == b"ready\n"
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._socket))
        request = {"arguments": arguments, "environment": dict(environment)}
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], descriptors)
        return connection


class _Component:
    """A forked component."""

    def __init__(self, pid: int, told: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._writer = writer
        self._end = asyncio.create_task(self._read_end(told))

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    def send_signal(self, number: int, /) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    async def _read_end(self, told: asyncio.StreamReader) -> int:
        self.returncode = int(await told.readline())
        self._writer.close()
        return self.returncode


def _text(file: IO[bytes]) -> str:
    """The file's content as text, with line ends normalised."""
    file.seek(0)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    return newlines.decode(file.read().decode(), final=True)


def plain_environment() -> dict[str, str]:
    """The environment without Liity's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LIITY_", "TEMPORAL_"))}


def serve(path: str, *, full_hashes: bool) -> None:
    """Forks a run for each connection, until standard input closes."""
    for command in COMMANDS:
        command.load()
    # Typer imports it at the first error, which would be that of every run.
    importlib.import_module("typer.rich_utils")
    hashing = contextlib.nullcontext() if full_hashes else quick_hashes()
    with hashing, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        os.write(1, b"ready\n")
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(sys.stdin, select.POLLIN)
        while sys.stdin.fileno() not in dict(poll.poll()):
            _accept(listener)


def _accept(listener: socket.socket) -> None:
    # Collect the watchers of ended runs.
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    connection, _ = listener.accept()
    with connection:
        line, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        while not line.endswith(b"\n"):
            line += connection.recv(1 << 20)
        request = json.loads(line)
        arguments: list[str] = request["arguments"]
        if arguments[:1] == ["serve"] and len(arguments) > 1:
            # Import before the fork, so that the components' next run need not.
            for name in arguments[1:]:
                _import_component(name)
        gc.freeze()
        if os.fork() == 0:
            listener.close()
            _watch(connection, _run(connection, descriptors, arguments, request["environment"]))
        for descriptor in descriptors:
            os.close(descriptor)


def _import_component(name: str) -> None:
    from deploy.components import COMPONENTS, runner  # noqa: PLC0415 - only the server needs them

    if name in COMPONENTS:
        runner(name)


def _run(
    connection: socket.socket, descriptors: list[int], arguments: list[str], environment: dict[str, str]
) -> int:
    """Runs the program in a session of its own; returns its process ID."""
    run = os.fork()
    if run:
        for descriptor in descriptors:
            os.close(descriptor)
        return run
    connection.close()
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["liity", *arguments]
    from deploy.liity import main  # noqa: PLC0415 - only the server needs it

    main()
    os._exit(70)


def _watch(connection: socket.socket, run: int) -> None:
    """Returns the run's process ID and exit code; kills the run when the connection closes."""
    connection.sendall(f"{run}\n".encode())
    ended = os.pidfd_open(run)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLIN)
    if ended not in dict(poll.poll()):
        os.kill(run, signal.SIGKILL)
    _, status = os.waitpid(run, 0)
    with contextlib.suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)
