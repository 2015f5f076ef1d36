"""A worker that is told to stop finishes its running activities: none is cancelled and run again."""

import asyncio
import uuid
from pathlib import Path

from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from liity.workflows.v1.password_reminder_workflow_pb2 import (
    RemindOfPasswordsResult,
    UnusedLinksResult,
    UnusedLinksStep,
)
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.temporal.actor_header import ActorSeal
from services.runtime.temporal.names import TASK_QUEUE, PasswordReminderWorkflowNames
from services.runtime.temporal.search_attributes import SEARCH_ATTRIBUTES
from tests.workflows.conftest import TEMPORAL
from workflows.worker import create_worker


async def test_a_step_that_runs_is_not_cut(keys_dir: Path) -> None:
    begun, may_end, times = asyncio.Event(), asyncio.Event(), 0

    @activity.defn(name="remind_of_passwords")
    async def remind() -> RemindOfPasswordsResult:
        nonlocal times
        times += 1
        begun.set()
        await may_end.wait()
        return RemindOfPasswordsResult()

    @activity.defn(name="tell_of_unused_links")
    async def tell(_step: UnusedLinksStep) -> UnusedLinksResult:
        return UnusedLinksResult()

    seal = ActorSeal(load_keyset(keys_dir, KeysetPurpose.PAYLOADS))
    async with await WorkflowEnvironment.start_local(
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_existing_path=TEMPORAL,
        dev_server_log_level="error",
    ) as environment:
        worker = create_worker(environment.client, [remind, tell], seal)
        serving = asyncio.create_task(worker.run())
        run = await environment.client.start_workflow(
            PasswordReminderWorkflowNames.WORKFLOW, id=uuid.uuid4().hex, task_queue=TASK_QUEUE
        )
        async with asyncio.timeout(60):
            await begun.wait()
        stopping = asyncio.create_task(worker.shutdown())
        # Long enough for an activity to be cancelled by a worker that gives it no time.
        await asyncio.sleep(2)
        may_end.set()
        await stopping
        await serving
        async with asyncio.timeout(60), create_worker(environment.client, [remind, tell], seal):
            await run.result()
    assert times == 1
