"""A Temporal to be judged: `make conformance` prints a page that an installer can keep.

`LIITY_TEST_TEMPORAL_ADDRESS` and `LIITY_TEST_TEMPORAL_NAMESPACE` name it, and Temporal's own environment
configuration (`TEMPORAL_TLS_…`, `TEMPORAL_API_KEY`) says how it is entered. Without an address it is a
development server, started for the tests.
"""

import os
import uuid
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from deploy.local.temporal_server import temporal_binary
from services.runtime.temporal.client import TemporalSettings, connect
from services.runtime.temporal.namespace import NamespaceSettings, await_search_attributes, prepare_namespace
from tests.conformance.workflows import AddingWorkflow, SleepingWorkflow, double

ADDRESS = os.environ.get("LIITY_TEST_TEMPORAL_ADDRESS", "")
NAMESPACE = os.environ.get("LIITY_TEST_TEMPORAL_NAMESPACE", "liity" if not ADDRESS else "default")


@dataclass
class Page:
    """What the page tells."""

    server: str = ""
    rows: list[tuple[str, str]] = field(default_factory=list)
    """What was tried, and how it went."""


_PAGE = pytest.StashKey[Page]()


def pytest_configure(config: pytest.Config) -> None:
    """Begins the page."""
    config.stash[_PAGE] = Page()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes how a test went, by the first line of its docstring."""
    report = yield
    if report.when == "call" or report.outcome != "passed":
        tried = str(item.function.__doc__).partition("\n")[0].rstrip(".")
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        how = {"passed": "yes", "skipped": why.removeprefix("Skipped: ")}.get(report.outcome, "NO")
        item.config.stash[_PAGE].rows.append((tried, how))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the page."""
    page = config.stash[_PAGE]
    if not page.server:
        # Other processes have run the tests.
        return
    terminalreporter.section("Conformance of a Temporal")
    terminalreporter.line(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {page.server}")
    for tried, how in page.rows:
        terminalreporter.line(f"{how:<30} {tried}")


@pytest.fixture(scope="module")
async def client(keys_dir: Path, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """A client as Liity's components have, of a namespace prepared as by `liity temporal prepare`."""
    if ADDRESS:
        yield await _prepared(keys_dir, ADDRESS, request)
        return
    async with await WorkflowEnvironment.start_local(
        namespace=NAMESPACE, dev_server_existing_path=temporal_binary(), dev_server_log_level="error"
    ) as server:
        yield await _prepared(keys_dir, server.client.service_client.config.target_host, request)


async def _prepared(keys_dir: Path, address: str, request: pytest.FixtureRequest) -> Client:
    settings = TemporalSettings.model_validate(
        {"keys_dir": keys_dir, "temporal_address": address, "temporal_namespace": NAMESPACE}
    )
    client = await connect(settings, lazy=False)
    info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    request.config.stash[_PAGE].server = f"{address}, namespace {NAMESPACE}, server {info.server_version}"
    await prepare_namespace(client, NamespaceSettings.model_fields["temporal_retention"].default)
    await await_search_attributes(client)
    return client


@pytest.fixture(scope="module")
async def task_queue(client: Client) -> AsyncIterator[str]:
    """The task queue of an unversioned worker."""
    name = f"conformance-{uuid.uuid4()}"
    async with Worker(
        client,
        task_queue=name,
        workflows=[AddingWorkflow, SleepingWorkflow],
        activities=[double],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield name
