"""What several kinds of tests share: a real PostgreSQL and keys, made anew for each run."""

import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.postgres import EmbeddedPostgres
from services.runtime.keys import TEMPLATES, create_keyset, create_token_signing_keys
from services.runtime.service_identity import create_service_keys


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every keyset and service key."""
    folder = tmp_path_factory.mktemp("keys")
    for purpose in TEMPLATES:
        create_keyset(folder, purpose)
    create_service_keys(folder)
    create_token_signing_keys(folder)
    return folder


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A running PostgreSQL with one empty database per service."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), free_port())
    server.prepare()
    with (server.folder / "log").open("wb") as log:
        process = subprocess.Popen(server.command(), user=server.system_user, stdout=log, stderr=log)
        try:
            await server.create_databases()
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # its fast shutdown
            process.wait(30)
