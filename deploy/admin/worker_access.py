"""What commands need that work beside the worker: its settings, the services, and Temporal."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.wiring import wiring_in
from services.runtime.rpc.peer import Peer
from services.runtime.security.service_identity import ServiceIdentity
from services.runtime.security.tls import component_certificate
from workflows.settings import WorkerSettings

StateDir = Annotated[
    Path | None,
    typer.Option(help="Folder of a local stack to work on. Without it, the worker's environment is read."),
]
Fix = Annotated[bool, typer.Option("--fix", help="Changes what was found; otherwise it is only shown.")]


@contextmanager
def environment_of(state_dir: Path | None) -> Iterator[None]:
    """Within it, the environment is that of the worker of the local stack in a folder, if one is given."""
    if state_dir is None:
        yield
        return
    wiring = wiring_in(state_dir)
    given = wiring.settings("worker") | {
        "LIITY_DATABASE_URL": wiring.settings("registration")["LIITY_DATABASE_URL"]
    }
    if wiring.ca is not None:
        given["LIITY_DATABASE_TLS_CA"] = str(wiring.ca)
    before: Mapping[str, str] = dict(os.environ)
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


@asynccontextmanager
async def services(settings: WorkerSettings) -> AsyncIterator[tuple[Peer, Peer, Peer]]:
    """identity, registration and notification, called as the worker calls them."""
    own = ServiceIdentity("worker", settings.keys_dir, component_certificate("worker", settings))
    peers = (
        Peer("identity", settings.identity_target, own),
        Peer("registration", settings.registration_target, own),
        Peer("notification", settings.notification_target, own),
    )
    try:
        yield peers
    finally:
        for peer in peers:
            await peer.close()
