"""The ports of the local stack."""

import random
import socket
from dataclasses import dataclass, fields

import psutil

HOST = "127.0.0.1"

# Below the range of ports for outgoing connections, so that a free port stays free until it is used.
_FREE_RANGE = range(15_000, 32_000, 20)


class PortTaken(Exception):
    """Another program listens on a port of the stack. The text is the one line to show."""


@dataclass(frozen=True)
class Ports:
    """The port of each component on loopback."""

    gateway: int = 7400
    identity: int = 7401
    registration: int = 7402
    notification: int = 7403
    postgres: int = 5433
    temporal: int = 7233
    temporal_ui: int = 8233
    mailbox: int = 8025
    smtp: int = 1025
    codec: int = 7404
    temporal_tls: int = 7243
    web: int = 7405

    @classmethod
    def from_base(cls, base: int) -> "Ports":
        """Consecutive ports, the gateway's first."""
        return cls(*range(base, base + len(fields(cls))))

    @classmethod
    def free(cls) -> "Ports":
        """Consecutive ports, all of them free."""
        while True:
            ports = cls.from_base(random.choice(_FREE_RANGE))  # noqa: S311 - not a secret
            if not any(_is_taken(port) for _, port in ports.named()):
                return ports

    def named(self) -> list[tuple[str, int]]:
        """Each component with its port."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

    def check(self, *, tls: bool) -> None:
        """Raises `PortTaken` for the first needed port on which a program listens."""
        for name, port in self.named():
            if (tls or name != "temporal_tls") and _is_taken(port):
                raise PortTaken(
                    f"Port {port}, for {name.replace('_', ' ')}, is taken{_by_whom(port)}."
                    " Stop what runs there, or choose other ports in a row: liity up --port-base 17400"
                )


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens_there = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,)
            if listens_there and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        # The owner may be hidden from us: the message is clear enough without it.
        pass
    return ""
