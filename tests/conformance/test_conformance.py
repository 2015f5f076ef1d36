"""What Liity needs of a Temporal, each tried. The first line of each docstring stands on the page."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    VersioningBehavior,
    WorkerDeploymentVersion,
    WorkflowIDConflictPolicy,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from deploy.demo.polling import eventually
from services.runtime.temporal.namespace import NamespaceSettings, namespace_retention
from services.runtime.temporal.search_attributes import DEADLINE, KIND, REGISTRATION, STAGE, UNIT
from tests.conformance.workflows import MOST_UPDATES, SAID, AddingWorkflow, SleepingWorkflow, double

Run = WorkflowHandle[Any, Any]

PATIENCE = 60.0
LARGEST = 2 * 1024 * 1024
"""Bytes of a payload that Temporal takes by default, and that Liity stays far below."""


def new_id() -> str:
    return f"conformance/{uuid.uuid4()}"


def begun(queue: str, run_id: str) -> WithStartWorkflowOperation[Any, Any]:
    """A run that an update starts unless it is there."""
    return WithStartWorkflowOperation(
        AddingWorkflow.run,
        id=run_id,
        task_queue=queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )


async def add(client: Client, queue: str, run_id: str, number: int, update_id: str = "") -> int:
    """Adds to a run, which starts if it is not there."""
    total: int = await client.execute_update_with_start_workflow(
        AddingWorkflow.add,
        number,
        id=update_id or str(uuid.uuid4()),
        start_workflow_operation=begun(queue, run_id),
    )
    return total


async def test_the_namespace_keeps_closed_runs_as_told(client: Client) -> None:
    """The namespace keeps closed runs for as long as Liity promises."""
    assert await namespace_retention(client) == NamespaceSettings.model_fields["temporal_retention"].default


async def test_an_update_starts_its_run_once(client: Client, task_queue: str) -> None:
    """An update starts its run, and a repetition of it gets the first answer."""
    run_id, update_id = new_id(), str(uuid.uuid4())
    answers = [await add(client, task_queue, run_id, 5, update_id) for _ in range(3)]
    assert answers == [10, 10, 10]
    run = client.get_workflow_handle(run_id)
    await run.signal(AddingWorkflow.stop)
    assert await run.result() == 10


async def test_of_many_at_once_one_starts_the_run(client: Client, task_queue: str) -> None:
    """Ten updates that start one run at once are all answered, and there is one run."""
    run_id = new_id()
    answers = await asyncio.gather(*(add(client, task_queue, run_id, 1) for _ in range(10)))
    assert sorted(answers) == list(range(2, 22, 2))
    run = client.get_workflow_handle(run_id)
    await run.signal(AddingWorkflow.stop)
    assert await run.result() == 20


async def test_a_refused_update_leaves_no_trace(client: Client, task_queue: str) -> None:
    """An update that its validator refuses is in no history."""
    run_id = new_id()
    await add(client, task_queue, run_id, 1)
    with pytest.raises(WorkflowUpdateFailedError):
        await add(client, task_queue, run_id, 0)
    run = client.get_workflow_handle(run_id)
    accepted = [
        event
        async for event in run.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    ]
    assert len(accepted) == 1
    await run.terminate()


async def test_a_run_continues_as_new_and_loses_no_update(client: Client, task_queue: str) -> None:
    """A run that continues as new loses no update that comes meanwhile."""
    run_id = new_id()
    for _ in range(MOST_UPDATES // 10 + 1):
        await asyncio.gather(*(add(client, task_queue, run_id, 1) for _ in range(10)))
    run = client.get_workflow_handle(run_id)
    await run.signal(AddingWorkflow.stop)
    assert await run.result() == 2 * (MOST_UPDATES + 10)


async def test_a_timer_and_a_step(client: Client, task_queue: str) -> None:
    """A timer fires, and a step is done after it."""
    await client.execute_workflow(SleepingWorkflow.run, 1.0, id=new_id(), task_queue=task_queue)


async def test_search_attributes_are_found(client: Client, task_queue: str) -> None:
    """Runs are listed by each search attribute, while they run and when they have ended."""
    value = uuid.uuid4().hex
    deadline = datetime.now(UTC) + timedelta(days=14)
    pairs = [SearchAttributePair(key, value) for key in (STAGE, UNIT, KIND, REGISTRATION)]
    attributes = TypedSearchAttributes([*pairs, SearchAttributePair(DEADLINE, deadline)])
    run = await client.start_workflow(
        AddingWorkflow.run, id=new_id(), task_queue=task_queue, search_attributes=attributes
    )
    queries = [f'{key.name} = "{value}"' for key in (STAGE, UNIT, KIND, REGISTRATION)]
    later = f"{deadline + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    queries.append(f'{UNIT.name} = "{value}" AND {DEADLINE.name} < "{later}"')

    async def counts(status: str) -> list[int]:
        return [
            (await client.count_workflows(f'{query} AND ExecutionStatus = "{status}"')).count
            for query in queries
        ]

    await eventually(lambda: counts("Running"), lambda found: found == [1] * len(queries), PATIENCE)
    await run.signal(AddingWorkflow.stop)
    await run.result()
    await eventually(lambda: counts("Completed"), lambda found: found == [1] * len(queries), PATIENCE)


async def test_nothing_of_a_payload_is_readable(client: Client, task_queue: str) -> None:
    """Inputs, results and failures are encrypted wherever the server keeps them."""
    number = 4_398_046_511_104
    for given in (number, -number):
        run = await client.start_workflow(
            SleepingWorkflow.run, args=[0.1, given], id=new_id(), task_queue=task_queue
        )
        with suppress(WorkflowFailureError):
            await run.result()
        # As it is written: JSON shows payloads in Base64 only.
        written = b"".join(event.SerializeToString() for event in (await run.fetch_history()).events)
        assert b"double" in written
        for secret in (SAID, str(number), str(2 * number)):
            assert secret.encode() not in written


async def test_a_large_payload(client: Client, task_queue: str) -> None:
    """A payload too large is refused, and harms nothing."""
    with pytest.raises(RPCError) as refused:
        await client.start_workflow("Any", "x" * 2 * LARGEST, id=new_id(), task_queue=task_queue)
    assert refused.value.status in {RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.RESOURCE_EXHAUSTED}
    run_id = new_id()
    assert await add(client, task_queue, run_id, 1) == 2
    await client.get_workflow_handle(run_id).terminate()


async def test_a_long_id(client: Client, task_queue: str) -> None:
    """A workflow may have an ID of 255 characters."""
    run_id = new_id().ljust(255, "x")
    assert await add(client, task_queue, run_id, 1) == 2
    await client.get_workflow_handle(run_id).terminate()


async def test_cancelled_and_terminated_runs_are_told_apart(client: Client, task_queue: str) -> None:
    """What an operator cancels or terminates is seen as that."""
    cancelled, terminated = [
        await client.start_workflow(SleepingWorkflow.run, 3600.0, id=new_id(), task_queue=task_queue)
        for _ in range(2)
    ]
    await cancelled.cancel()
    await terminated.terminate()

    async def status(run: Run) -> WorkflowExecutionStatus | None:
        return (await run.describe()).status

    for run, wanted in (
        (cancelled, WorkflowExecutionStatus.CANCELED),
        (terminated, WorkflowExecutionStatus.TERMINATED),
    ):
        await eventually(lambda run=run: status(run), lambda found, wanted=wanted: found is wanted, PATIENCE)  # type: ignore[misc]


async def test_priority_and_fairness_are_taken(client: Client, task_queue: str) -> None:
    """Runs may have a priority and a fairness key."""
    run_id = new_id()
    priority = Priority(priority_key=4, fairness_key="unit", fairness_weight=1.0)
    await client.execute_workflow(
        SleepingWorkflow.run, 0.0, id=run_id, task_queue=task_queue, priority=priority
    )
    described = await client.get_workflow_handle(run_id).describe()
    started = described.raw_description.workflow_execution_info.priority
    assert (started.priority_key, started.fairness_key) == (4, "unit")


async def test_a_schedule_in_helsinki(client: Client, task_queue: str) -> None:
    """A schedule knows the time of Helsinki, and starts its run when told to."""
    schedule_id, run_id = new_id(), new_id()
    action = ScheduleActionStartWorkflow(SleepingWorkflow.run, 0.0, id=run_id, task_queue=task_queue)
    spec = ScheduleSpec(cron_expressions=["0 8 * * MON-FRI"], time_zone_name="Europe/Helsinki")
    schedule = await client.create_schedule(schedule_id, Schedule(action=action, spec=spec))
    try:
        upcoming = (await schedule.describe()).info.next_action_times
        assert {moment.astimezone(UTC).hour for moment in upcoming} <= {5, 6}
        await schedule.trigger()

        async def started() -> int:
            return (await schedule.describe()).info.num_actions

        await eventually(started, bool, PATIENCE)
    finally:
        await schedule.delete()


async def test_runs_follow_the_current_version(client: Client) -> None:
    """Runs that wait go on in the version that has become current."""
    deployment, queue = f"conformance-{uuid.uuid4().hex}", f"conformance-{uuid.uuid4()}"
    async with _worker(client, queue, deployment, "one"):
        await _make_current(client, deployment, "one")
        run = await client.start_workflow(SleepingWorkflow.run, 1.0, id=new_id(), task_queue=queue)

        async def waits() -> bool:
            return any(
                [
                    event.HasField("timer_started_event_attributes")
                    async for event in run.fetch_history_events()
                ]
            )

        await eventually(waits, bool, PATIENCE)
    async with _worker(client, queue, deployment, "two"):
        await _make_current(client, deployment, "two")
        assert await run.result() == "two"


@asynccontextmanager
async def _worker(client: Client, queue: str, deployment: str, build_id: str) -> AsyncIterator[None]:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[SleepingWorkflow],
        activities=[double],
        workflow_runner=UnsandboxedWorkflowRunner(),
        deployment_config=WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(deployment, build_id),
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
        ),
    ):
        yield


async def _make_current(client: Client, deployment: str, build_id: str) -> None:
    """Makes a version current, once the server knows its worker."""
    described = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=deployment)

    async def known() -> set[str]:
        try:
            answer = await client.workflow_service.describe_worker_deployment(described)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return set()
            raise
        return {each.deployment_version.build_id for each in answer.worker_deployment_info.version_summaries}

    await eventually(known, lambda builds: build_id in builds, PATIENCE)
    current = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace, deployment_name=deployment, build_id=build_id
    )

    async def made() -> bool:
        try:
            await client.workflow_service.set_worker_deployment_current_version(current)
        except RPCError as error:
            # Of its two task queues, the worker polls one first.
            if error.status is RPCStatusCode.FAILED_PRECONDITION:
                return False
            raise
        return True

    await eventually(made, bool, PATIENCE)


async def test_the_pace_of_a_nation(client: Client, task_queue: str) -> None:
    """A hundred Saves within some seconds, and twenty lists beside them, are refused for no limit."""

    async def listed() -> int:
        return (await client.count_workflows('ExecutionStatus = "Running"')).count

    ids = [new_id() for _ in range(100)]
    answers, _ = await asyncio.gather(
        asyncio.gather(*(add(client, task_queue, run_id, 1) for run_id in ids)),
        asyncio.gather(*(listed() for _ in range(20))),
    )
    assert answers == [2] * len(ids)
    await asyncio.gather(*(client.get_workflow_handle(run_id).terminate() for run_id in ids))


async def test_nobody_enters_without_credentials(client: Client) -> None:
    """Who has no certificate or key is let in nowhere."""
    config = client.service_client.config
    if not (config.tls or config.api_key):
        pytest.skip("open to anybody on its network")
    stranger = await Client.connect(config.target_host, namespace=client.namespace, lazy=True)
    with pytest.raises((RPCError, RuntimeError)):
        await stranger.count_workflows("")
