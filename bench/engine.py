"""The bare engine: a workflow without our work, as a baseline.

It starts by update-with-start with one empty local activity and sets a 14-day timer. Run as a program, this
module is its worker, configured as ours is.
"""

import asyncio
import uuid
from datetime import timedelta

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from liity.workflows.v1.registration_workflow_pb2 import RegistrationWorkflowInput
from services.runtime.components import stop_signalled
from services.runtime.settings import load
from services.runtime.temporal import client as temporal_client
from services.runtime.temporal.client import TemporalSettings

TASK_QUEUE = "engine"


@activity.defn
async def nothing(request: RegistrationWorkflowInput) -> RegistrationWorkflowInput:
    """Does nothing."""
    return request


@workflow.defn
class EngineWorkflow:
    """Answers an update after one empty local activity, then waits for two weeks."""

    def __init__(self) -> None:
        self._answered = False

    @workflow.run
    async def run(self, input: RegistrationWorkflowInput) -> None:  # noqa: A002, ARG002
        """Waits for two weeks."""
        await workflow.wait_condition(lambda: self._answered)
        await workflow.sleep(timedelta(days=14))

    @workflow.update
    async def save(self, request: RegistrationWorkflowInput) -> RegistrationWorkflowInput:
        """Answers after the local activity."""
        answer = await workflow.execute_local_activity(
            nothing, request, start_to_close_timeout=timedelta(seconds=10)
        )
        self._answered = True
        return answer


async def start(client: Client) -> str:
    """Starts a run, as a Save does; returns its workflow ID."""
    workflow_id = f"engine/{uuid.uuid4().hex}"
    argument = RegistrationWorkflowInput(person_id=workflow_id)
    operation = WithStartWorkflowOperation(
        EngineWorkflow.run,
        argument,
        id=workflow_id,
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    await client.execute_update_with_start_workflow(
        EngineWorkflow.save, argument, start_workflow_operation=operation, id=str(uuid.uuid4())
    )
    return workflow_id


async def _run_worker() -> None:
    client = await temporal_client.connect(load(TemporalSettings), lazy=False)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[EngineWorkflow],
        activities=[nothing],
        workflow_runner=UnsandboxedWorkflowRunner(),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
    )
    async with worker:
        await stop_signalled()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_run_worker())
