"""What several kinds of tests share: a real PostgreSQL and keys, made anew for each run."""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.components import migrate_database
from deploy.keys import create_keys
from deploy.postgres import DATABASES, EmbeddedPostgres
from liity.v1.actor_pb2 import ACTOR_KIND_SYSTEM, Actor
from services.runtime.requests import set_current_actor
from tests.program import Program


def pytest_addoption(parser: pytest.Parser) -> None:
    """The system tests speak TLS unless told not to."""
    parser.addoption("--plain", action="store_true", help="Run the system tests on a stack without TLS.")


@pytest.fixture(autouse=True)
def _nobody_acts() -> Iterator[None]:
    """Whoever acts in one test, and in its fixtures, does not act in the next."""
    yield
    set_current_actor(Actor(kind=ACTOR_KIND_SYSTEM))


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
    create_keys(folder)
    return folder


@pytest.fixture(scope="session")
def program() -> Iterator[Program]:
    """`liity`, for runs that end by themselves."""
    program = Program()
    yield program
    program.close()


@pytest.fixture(scope="session")
async def postgres_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stopped PostgreSQL whose databases are migrated: made once a run, for all to copy."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    template = folder / "postgres-template"
    with (folder / "postgres-template.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not template.exists():
            unfinished = folder / "postgres-template.unfinished"
            async with running_postgres(unfinished) as server:
                for name in DATABASES:
                    await migrate_database(name, server.owner_url(name))
            unfinished.rename(template)
    return template


def copy_postgres(template: Path, folder: Path) -> None:
    """Copies a stopped PostgreSQL with its passwords and owners."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", f"{template}/.", str(folder)], check=True)


@pytest.fixture(scope="session")
async def postgres(
    postgres_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EmbeddedPostgres]:
    """A running PostgreSQL with one migrated database per service."""
    folder = tmp_path_factory.mktemp("postgres")
    copy_postgres(postgres_template, folder)
    async with running_postgres(folder) as server:
        yield server


@asynccontextmanager
async def running_postgres(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL in a folder, with one database per service."""
    server = EmbeddedPostgres(folder, free_port())
    server.prepare()
    with (server.folder / "log").open("wb") as log:
        process = subprocess.Popen(server.command(), user=server.system_user, stdout=log, stderr=log)
        try:
            await server.create_databases()
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # its fast shutdown
            process.wait(30)
