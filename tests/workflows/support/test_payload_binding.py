"""Every payload in Temporal is bound to the workflow that it is for."""

import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import (
    ScheduleHandle,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, RetryPolicy, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from deploy.demo.polling import eventually
from liity.workflows.v1.registration_workflow_pb2 import WithdrawRequest
from services.runtime.temporal.codec import ENCRYPTED, OperatorText
from services.runtime.temporal.names import PasswordReminderWorkflowNames, WorkDigestWorkflowNames
from tests.replay.histories import payloads_in
from tests.workflows.conftest import World
from tests.workflows.support.test_strangers_at_temporal import stranger
from workflows.support.schedules import prepare_schedules

AnyHandle = WorkflowHandle[Any, Any]

QUEUE = "payload-binding"


def text(value: str) -> WithdrawRequest:
    """A message that contains a text."""
    return WithdrawRequest(request_id=value)


@activity.defn
async def echo(given: WithdrawRequest) -> WithdrawRequest:
    return given


@activity.defn
async def beats(given: WithdrawRequest) -> WithdrawRequest:
    """Fails once; then returns the details of its heartbeat."""
    if activity.info().attempt == 1:
        activity.heartbeat(given)
        raise ApplicationError("once", given)
    (told,) = activity.info().heartbeat_details
    return WithdrawRequest.FromString(told.SerializeToString())


@workflow.defn(name="EveryWay")
class EveryWay:
    """Passes payloads in every way."""

    def __init__(self) -> None:
        self.told = ""

    @workflow.run
    async def run(self, given: WithdrawRequest) -> WithdrawRequest:
        soon = timedelta(minutes=1)
        once_more = RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=2)
        if given.request_id == "fails":
            raise ApplicationError("failed", text("details"))
        if given.request_id == "listens":
            await workflow.wait_condition(lambda: bool(self.told))
        elif given.request_id != "anew":
            workflow.upsert_memo({"of": text("memo")})
            first = await workflow.execute_activity(
                echo, given, start_to_close_timeout=soon, summary=OperatorText("Echo")
            )
            second = await workflow.execute_local_activity(echo, first, start_to_close_timeout=soon)
            third = await workflow.execute_activity(
                beats, second, start_to_close_timeout=soon, retry_policy=once_more
            )
            child = await workflow.execute_child_workflow(
                EveryWay.run, text("anew"), id=f"{workflow.info().workflow_id}/child"
            )
            assert (third, child) == (given, text("anew"))
            await workflow.wait_condition(lambda: bool(self.told))
            other = workflow.get_external_workflow_handle(self.told)
            await other.signal("tell", text("from another"))
            workflow.continue_as_new(text("anew"))
        return given

    @workflow.signal
    def tell(self, told: WithdrawRequest) -> None:
        self.told = told.request_id

    @workflow.update
    async def take(self, given: WithdrawRequest) -> WithdrawRequest:
        if given.request_id == "refused":
            raise ApplicationError("refused", text("why"))
        return given

    @workflow.query
    def ask(self, given: WithdrawRequest) -> WithdrawRequest:
        return text(f"{given.request_id} {self.told}")


@pytest.fixture(scope="module")
async def worker(world: World) -> AsyncIterator[Worker]:
    async with Worker(
        world.temporal,
        task_queue=QUEUE,
        workflows=[EveryWay],
        activities=[echo, beats],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ) as worker:
        yield worker


async def started(world: World, given: str) -> WorkflowHandle[EveryWay, WithdrawRequest]:
    return await world.temporal.start_workflow(
        EveryWay.run,
        text(given),
        id=f"every-way/{uuid.uuid4()}",
        task_queue=QUEUE,
        memo={"from": text("start")},
        static_summary=OperatorText("Every way"),
    )


async def bound_to(handle: AnyHandle) -> set[bytes]:
    """The workflows to which the payloads of a history are bound."""
    found = [
        payload
        for event in (await handle.fetch_history()).events
        for payload in payloads_in(event)
        if payload.metadata.get("encoding") == ENCRYPTED
    ]
    assert found
    return {payload.metadata["liity-workflow-id"] for payload in found}


async def test_every_way_through_temporal(world: World, worker: Worker) -> None:
    handle, other = await started(world, "given"), await started(world, "listens")
    assert await handle.execute_update(EveryWay.take, text("taken")) == text("taken")
    assert await handle.query(EveryWay.ask, text("asked")) == text("asked ")
    with pytest.raises(Exception, match="Workflow update failed") as refused:
        await handle.execute_update(EveryWay.take, text("refused"))
    cause = refused.value.__cause__
    assert isinstance(cause, ApplicationError)
    assert cause.message == "refused"

    await handle.signal(EveryWay.tell, text(other.id))
    assert await handle.result() == text("anew")
    assert await other.result() == text("listens")
    first = world.temporal.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    described = await first.describe()
    assert await described.static_summary() == "Every way"
    assert await described.memo_value("of", type_hint=WithdrawRequest) == text("memo")
    assert await described.memo_value("from", type_hint=WithdrawRequest) == text("start")

    own = handle.id.encode()
    bound = await bound_to(first) | await bound_to(handle)
    assert bound == {own, other.id.encode(), own + b"/child"}
    told = [
        event.workflow_execution_signaled_event_attributes.input.payloads[0]
        for event in (await other.fetch_history()).events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert [payload.metadata["liity-workflow-id"] for payload in told] == [other.id.encode()]


async def test_an_update_that_starts_its_workflow(world: World, worker: Worker) -> None:
    workflow_id = f"every-way/{uuid.uuid4()}"
    start = WithStartWorkflowOperation(
        EveryWay.run,
        text("given"),
        id=workflow_id,
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )
    taken = await world.temporal.execute_update_with_start_workflow(
        EveryWay.take, text("taken"), start_workflow_operation=start
    )
    assert taken == text("taken")
    handle = world.temporal.get_workflow_handle_for(EveryWay.run, workflow_id)
    await handle.terminate()
    assert await bound_to(handle) >= {workflow_id.encode()}


async def test_a_failure_is_read_by_who_waits_for_it(world: World, worker: Worker) -> None:
    handle = await started(world, "fails")
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, FailureError)
    assert failed.value.cause.message == "failed"
    assert await bound_to(handle) == {handle.id.encode()}


async def test_schedules_start_workflows_without_a_payload(world: World) -> None:
    """A payload would be bound to the schedule's workflow ID, but its runs have other IDs."""
    await prepare_schedules(world.temporal)
    for names in (WorkDigestWorkflowNames, PasswordReminderWorkflowNames):
        schedule = world.temporal.get_schedule_handle(names.SCHEDULE)
        try:
            await schedule.trigger()

            async def runs(schedule: ScheduleHandle = schedule) -> list[str]:
                actions = (await schedule.describe()).info.recent_actions
                return [cast(Any, each.action).workflow_id for each in actions]

            (run_id, *_) = await eventually(runs, bool, 60)
            run = world.temporal.get_workflow_handle(run_id)
            await run.result()
            assert run_id != names.SCHEDULE
            described = await run.describe()
            assert await described.static_summary()
            # No caller waits for it: registrars' Saves come first.
            assert described.raw_description.workflow_execution_info.priority.priority_key == 4
        finally:
            await schedule.delete()


def signal_of(handle: AnyHandle, world: World, payload: Payload) -> SignalWorkflowExecutionRequest:
    """A signal as sent by a stranger who reaches Temporal's frontend."""
    return SignalWorkflowExecutionRequest(
        namespace=world.temporal.namespace,
        workflow_execution=WorkflowExecution(workflow_id=handle.id),
        signal_name="tell",
        input=Payloads(payloads=[payload]),
    )


async def test_a_payload_of_another_workflow_is_refused_and_stops_nothing(
    world: World, worker: Worker
) -> None:
    handle, other = await started(world, "given"), await started(world, "given")
    await other.signal(EveryWay.tell, text("other"))

    async def signalled() -> list[Payload]:
        return [
            event.workflow_execution_signaled_event_attributes.input.payloads[0]
            for event in (await other.fetch_history()).events
            if event.HasField("workflow_execution_signaled_event_attributes")
        ]

    # While a workflow task is running, a signal is not yet in the history.
    (stolen,) = await eventually(signalled, bool, 60)
    relabelled = Payload(metadata=stolen.metadata, data=stolen.data)
    relabelled.metadata["liity-workflow-id"] = handle.id.encode()
    service = world.temporal.workflow_service
    for payload in (stolen, relabelled):
        await service.signal_workflow_execution(signal_of(handle, world, payload))
        with pytest.raises(WorkflowUpdateFailedError):
            await stranger(world).get_workflow_handle(handle.id).execute_update("take", RawValue(payload))
    assert await handle.query(EveryWay.ask, text("asked")) == text("asked ")
    await service.signal_workflow_execution(signal_of(other, world, stolen))
    assert await other.query(EveryWay.ask, text("asked")) == text("asked other")
    for run in (handle, other):
        with suppress(RPCError):
            # The one that was told goes on, and may have ended.
            await run.terminate()
