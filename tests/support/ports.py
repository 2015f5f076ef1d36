"""Ports for tests. Processes search in parallel: each port is given out once."""

import fcntl
import random
import socket
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

from deploy.local.ports import HOST, Ports

# Below the range of outgoing connections: a free port stays free until it is used.
_SINGLE = range(10_000, 15_000)
_ROWS = range(15_000, 32_000, 20)
_HELD = ExitStack()
"""Locks on the ports given to this process, until it ends."""


def free_port() -> int:
    """A free port."""
    return _reserve(_SINGLE, 1)


def free_ports() -> Ports:
    """Consecutive free ports for a stack."""
    return Ports.from_base(_reserve(_ROWS, len(fields(Ports))))


def _reserve(bases: range, length: int) -> int:
    folder = Path(tempfile.gettempdir()) / "liity-test-ports"
    folder.mkdir(exist_ok=True)
    while True:
        base = random.choice(bases)  # noqa: S311 - not a secret
        with ExitStack() as attempt:
            lock = attempt.enter_context((folder / str(base)).open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _nobody_listens(range(base, base + length)):
                _HELD.push(attempt.pop_all())
                return base


def _nobody_listens(ports: Iterable[int]) -> bool:
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True
