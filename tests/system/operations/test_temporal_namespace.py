"""Temporal keeps what is over no longer than it is told to."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment

from deploy.admin.key_files import create_keys
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from deploy.local.temporal_server import NAMESPACE, prepare_server, temporal_binary
from services.runtime.temporal.namespace import NamespaceSettings, namespace_retention, prepare_namespace
from services.runtime.temporal.search_attributes import SEARCH_ATTRIBUTES
from tests.support.program import Program
from tests.system.support.public_api import connect_temporal

DEFAULT: timedelta = NamespaceSettings.model_fields["temporal_retention"].default


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    """A client of the stack's Temporal, whose namespace is set right afterwards."""
    client = await connect_temporal(stack)
    yield client
    await prepare_namespace(client, DEFAULT)


Prepare = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def prepare(stack: Stack, program: Program) -> Prepare:
    """`liity temporal prepare`."""

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        where = {
            "LIITY_KEYS_DIR": str(stack.keys_dir),
            "LIITY_TEMPORAL_ADDRESS": f"{HOST}:{stack.ports.temporal}",
            "LIITY_TEMPORAL_NAMESPACE": NAMESPACE,
        }
        return program("temporal", "prepare", environment=where | environment)

    return run


async def test_the_local_stack_keeps_closed_runs_thirty_days(client: Client) -> None:
    assert await namespace_retention(client) == DEFAULT == timedelta(days=30)


async def test_prepare_sets_what_is_missing_and_says_what_it_did(
    stack: Stack, client: Client, prepare: Prepare
) -> None:
    assert prepare().stdout == "Everything was prepared already.\n"
    shorter = prepare(LIITY_TEMPORAL_RETENTION="P5D")
    assert shorter.stdout == (
        "runs that close from now on are kept 5 days; "
        "those closed before stay 30 days: see docs/operating.md\n"
    )
    assert await namespace_retention(client) == timedelta(days=5)
    # A start of the local stack sets it as its setting says.
    await prepare_server(stack.ports.temporal)
    assert await namespace_retention(client) == DEFAULT


async def test_prepare_ends_once_the_attributes_can_be_used(tmp_path: Path, program: Program) -> None:
    create_keys(tmp_path)
    # As production's servers: what one has stored the others learn with a delay.
    delayed = ("--dynamic-config-value", "system.forceSearchAttributesCacheRefreshOnRead=false")
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal_binary(), dev_server_extra_args=delayed
    ) as server:
        environment = {
            "LIITY_KEYS_DIR": str(tmp_path),
            "LIITY_TEMPORAL_ADDRESS": server.client.service_client.config.target_host,
            "LIITY_TEMPORAL_NAMESPACE": NAMESPACE,
        }
        prepared = await asyncio.to_thread(lambda: program("temporal", "prepare", environment=environment))
        assert prepared.stdout.startswith("search attributes LiityStage, "), prepared.stderr
        attribute = SearchAttributePair(SEARCH_ATTRIBUTES[0], "RECEIVED")
        await server.client.start_workflow(
            "Any", id="any", task_queue="any", search_attributes=TypedSearchAttributes([attribute])
        )


async def test_prepare_ends_with_a_line_that_says_what_is_wrong(stack: Stack, prepare: Prepare) -> None:
    nowhere = prepare(LIITY_TEMPORAL_NAMESPACE="nowhere")
    assert nowhere.returncode == 1
    assert nowhere.stderr == "Temporal could not be prepared: Namespace nowhere is not found.\n"
    too_short = prepare(LIITY_TEMPORAL_RETENTION="PT1H")
    assert too_short.returncode == 2
    assert too_short.stderr.startswith("Wrong settings: LIITY_TEMPORAL_RETENTION: ")


async def test_the_worker_warns_of_a_namespace_that_keeps_runs_longer(stack: Stack, client: Client) -> None:
    log = stack.logs / "worker.log"
    warning = "closed runs are kept too long"
    assert warning not in log.read_text("utf-8")
    await prepare_namespace(client, DEFAULT + timedelta(days=1))
    await stack.restart_component("worker")
    [line] = [line for line in log.read_text("utf-8").splitlines() if warning in line]
    assert '"kept_days": 31' in line
    assert '"wanted_days": 30' in line


async def test_every_search_attribute_is_known(client: Client) -> None:
    runs = "".join(f" AND {key.name} IS NULL" for key in SEARCH_ATTRIBUTES).removeprefix(" AND ")
    assert (await client.count_workflows(runs)).count >= 0
