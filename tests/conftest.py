"""What several kinds of tests share: a real PostgreSQL and keys, made anew for each run."""

import asyncio
import fcntl
import gc
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest
import structlog

from deploy.admin.key_files import create_keys
from deploy.admin.migrate import migrate_database
from deploy.local.postgres import DATABASES, EmbeddedPostgres
from deploy.local.process import Command, spawn
from liity.v1.actor_pb2 import ACTOR_KIND_SYSTEM, Actor
from services.runtime.rpc.context import set_current_actor
from tests.support.ports import free_port
from tests.support.program import Program


def pytest_configure() -> None:
    """Has logs written plainly, as tracebacks with all values take seconds; examples have no deadline.

    What is imported and collected is not searched for garbage: it is large, and all of it is used to the end.
    """
    gc.disable()
    *processors, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, renderer])
    # No test asserts a duration: beside others an example may take seconds.
    hypothesis.settings.register_profile(
        "liity", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("liity")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The system tests speak TLS unless told not to; tests repeat little unless told to take long."""
    parser.addoption("--plain", action="store_true", help="Run the system tests on a stack without TLS.")
    parser.addoption(
        "--long",
        action="store_true",
        help="Run only the tests that repeat something for confidence, as often as `make long` does.",
    )


_ORDER = ("fuzz", "system", "workflows", "conformance", "services", "replay", "unit")
"""Folders: those whose tests wait most come first, and the small tests fill what is left at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the files that take longest first: each runs whole in one process, whose fixtures it shares."""
    if config.getoption("--long"):
        items[:] = [item for item in items if "amount" in getattr(item, "fixturenames", ())]
    here = Path(__file__).parent
    folders = {item.path: item.path.relative_to(here).parts[0] for item in items}
    sizes = {path: path.stat().st_size for path in folders}
    items.sort(key=lambda item: (_ORDER.index(folders[item.path]), -sizes[item.path], str(item.path)))


def pytest_collection_finish() -> None:
    """Searches for garbage from now on, among what the tests themselves make."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which folders the time went to: the whole of `make test` has fifteen minutes."""
    seconds: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid.split("/")[1]] += report.duration
    # A test waits in several processes at once: the sum is more than the time on the clock.
    told = ", ".join(f"{folder} {spent:.0f}" for folder, spent in seconds.most_common())
    terminalreporter.write_line(f"seconds in tests by folder: {told}")


@pytest.fixture(autouse=True)
def _nobody_acts() -> Iterator[None]:
    """Whoever acts in one test, and in its fixtures, does not act in the next."""
    yield
    set_current_actor(Actor(kind=ACTOR_KIND_SYSTEM))


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every keyset and service key."""
    folder = tmp_path_factory.mktemp("keys")
    create_keys(folder)
    return folder


class Amount(Protocol):
    """How much of something a test does."""

    def __call__(self, usual: int, *, long: int) -> int:
        """The usual amount, or that of `make long`."""
        ...


@pytest.fixture
def amount(pytestconfig: pytest.Config) -> Amount:
    """Small in `make test`, large in `make long`: `amount(2, long=20)`."""
    takes_long = pytestconfig.getoption("--long")
    return lambda usual, *, long: long if takes_long else usual


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
    command = Command(server.command(), os.environ, server.system_user or "")
    process = await spawn(command, server.folder / "log")
    try:
        await server.create_databases()
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # its fast shutdown
        await asyncio.wait_for(process.wait(), 30)
