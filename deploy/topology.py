"""The components of an installation: ports, key files, and who connects to whom.

Files of deployments (Compose, Helm) are made from this table or tested against it. Who calls a service
follows from the access table.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from services.runtime.security.access import ACCESS, Services
from services.runtime.temporal.names import TASK_QUEUE

MANAGEMENT_PORT = 9400
"""Port for probes and metrics, of every component."""

_PUBLIC_KEYS = "services.jwks.json"
_PACKAGE_OF_SERVICE = 1
"""Place of the service's name in `liity.identity.v1.PersonService`."""


@dataclass(frozen=True)
class Part:
    """A component as an installation runs it."""

    port: int | None
    """The port it serves on; None if it serves none."""
    keys: tuple[str, ...]
    """The key files that it needs."""
    database: bool = False
    temporal: bool = False
    smtp: bool = False
    """Whether it sends mail."""
    public: bool = False
    """Whether people outside reach it."""
    ledger: bool = False
    """Whether it writes the erasure ledger."""
    frontend: bool = False
    """Whether it calls the gateway's public API."""


PARTS: Mapping[str, Part] = {
    "identity": Part(
        7401,
        (
            "hetu.keyset.json",
            "hetu-index.keyset.json",
            "links.keyset.json",
            "token-signing.jwks.json",
            _PUBLIC_KEYS,
        ),
        database=True,
    ),
    "registration": Part(7402, (_PUBLIC_KEYS,), database=True),
    "notification": Part(7403, (_PUBLIC_KEYS,), database=True, smtp=True),
    "gateway": Part(7400, ("payloads.keyset.json", "service-gateway.jwk.json"), temporal=True, public=True),
    "worker": Part(None, ("payloads.keyset.json", "service-worker.jwk.json"), temporal=True, ledger=True),
    "codec": Part(7404, ("payloads.keyset.json", "service-codec.jwk.json"), public=True, frontend=True),
    "web": Part(7405, ("web.keyset.json",), public=True, frontend=True),
}
"""All components but those of the local stack alone."""


def callers(service: str) -> frozenset[str]:
    """The components that call a component; `seed` is set-up, which no component is."""
    if service == "gateway":
        return frozenset(name for name, part in PARTS.items() if part.frontend)
    return frozenset(
        name
        for method, rule in ACCESS.items()
        if isinstance(rule, Services) and method[1:].split(".")[_PACKAGE_OF_SERVICE] == service
        for name in rule.names
    )


def as_json() -> str:
    """The table for the Helm chart."""
    parts = {
        name: {
            "port": part.port,
            "keys": list(part.keys),
            "database": part.database,
            "temporal": part.temporal,
            "smtp": part.smtp,
            "public": part.public,
            "ledger": part.ledger,
            "callers": sorted(callers(name)),
            "calls": sorted(callee for callee in PARTS if name in callers(callee)),
        }
        for name, part in PARTS.items()
    }
    table = {"managementPort": MANAGEMENT_PORT, "taskQueue": TASK_QUEUE, "components": parts}
    return json.dumps(table, indent=2) + "\n"
