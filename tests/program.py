"""Runs the `liity` program as its users do: with arguments, an environment and standard input, to its end.

A start of Python and of all that the program imports takes a second of CPU, and tests start it hundreds of
times. So each run is forked from one process per test process that has imported the program and done nothing
else: no thread, no connection and no event loop exists there.
"""

import asyncio
import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any

_COMMANDS = ("deploy.api_client", "deploy.cli_account", "deploy.output", "deploy.seed", "deploy.wiring")
"""What most commands import when they run."""


class Program:
    """Starts `liity` again and again. Use one for a whole session, and close it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="liity-program-")
        self._socket = Path(self._folder.name) / "socket"
        self._server: subprocess.Popen[bytes] | None = None

    def __call__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        typed: str = "",
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Runs `liity` with the arguments to its end, in seconds at most.

        `environment` is added to what `plain_environment` keeps of ours; `typed` is its standard input.
        """
        request = {"arguments": arguments, "environment": plain_environment() | (environment or {})}
        with contextlib.ExitStack() as stack:
            stdin, stdout, stderr = (
                stack.enter_context(tempfile.TemporaryFile(dir=self._folder.name)) for _ in range(3)
            )
            stdin.write(typed.encode())
            stdin.seek(0)
            connection = stack.enter_context(self._connect())
            connection.settimeout(timeout)
            descriptors = [file.fileno() for file in (stdin, stdout, stderr)]
            socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], descriptors)
            code = int(connection.makefile("r").readline())
            said = {"stdout": _text(stdout), "stderr": _text(stderr)}
        return subprocess.CompletedProcess(list(arguments), code, **said)

    async def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The same, while the event loop goes on."""
        return await asyncio.to_thread(self, *arguments, **options)

    def close(self) -> None:
        """Ends the process that runs are forked from."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
        self._folder.cleanup()

    def _connect(self) -> socket.socket:
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-c", f"from tests.program import serve; serve({str(self._socket)!r})"],
                env=os.environ | {"PYTHONPATH": ":".join(filter(None, sys.path))},
                stdout=subprocess.PIPE,
            )
            assert self._server.stdout
            with self._server.stdout as ready:
                assert ready.readline() == b"ready\n"
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._socket))
        return connection


def _text(file: IO[bytes]) -> str:
    """All that a file holds, with line ends as a text of Python has them."""
    file.seek(0)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    return newlines.decode(file.read().decode(), final=True)


def plain_environment() -> dict[str, str]:
    """Our environment without the settings of somebody who works with the program."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LIITY_", "TEMPORAL_"))}


def serve(path: str) -> None:
    """Forks a run for each connection, until it is ended."""
    for name in ("deploy.cli", *_COMMANDS):
        import_module(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        os.write(1, b"ready\n")
        while True:
            _accept(listener)


def _accept(listener: socket.socket) -> None:
    # The waiting processes of runs that have ended.
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
            # Before the fork, so that the next run of the component need not.
            _import_component(arguments[1])
        if os.fork() == 0:
            listener.close()
            _wait_for_run(connection, descriptors, arguments, request["environment"])
        for descriptor in descriptors:
            os.close(descriptor)


def _import_component(name: str) -> None:
    from deploy.components import COMPONENTS, runner  # noqa: PLC0415 - tests import this module, too

    if name in COMPONENTS:
        runner(name)


def _wait_for_run(
    connection: socket.socket, descriptors: list[int], arguments: list[str], environment: dict[str, str]
) -> None:
    """Runs the program in a child of its own, and tells its exit code."""
    run = os.fork()
    if run == 0:
        connection.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["liity", *arguments]
        from deploy.cli import main  # noqa: PLC0415

        main()
        os._exit(70)
    _, status = os.waitpid(run, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)
