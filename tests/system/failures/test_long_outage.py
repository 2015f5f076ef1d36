"""A service that is away for long while runs wake: their histories stay short, and all go on afterwards."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes, HistoryEvent
from temporalio.client import Client, WorkflowHandle

from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from liity.v1.registration_pb2 import STAGE_WELCOMED
from tests.conftest import Amount
from tests.system.conftest import Api
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    adult,
    reaches,
    save,
    settings,
    workflow_id,
)

MOST_EVENTS = 10
"""By which a history may grow while the service is away: what woke the run, and the step that is tried."""

LONGEST_PAUSE = timedelta(minutes=1)
"""Between two tries of a step: once the service is there again, a run goes on within it."""

_FROM_OUTSIDE = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
}
"""Events by which somebody else wakes a run."""


@pytest.mark.timeout(3600)
async def test_runs_that_wake_in_a_long_outage_write_little_and_go_on(
    stack: Stack, api: Api, mails: MailCounter, amount: Amount
) -> None:
    persons = [adult() for _ in range(amount(8, long=200))]
    # Longer than it takes to save them all.
    welcome = {"LIITY_WORKFLOWS_WELCOME_DELAY": f"PT{amount(15, long=180)}S"}
    async with settings(stack, welcome, "worker"):
        registrations = [await save(api.registrar, person) for person in persons]
        workflow_ids = [await workflow_id(stack, registration) for registration in registrations]
        client = await connect_temporal(stack)

        await stack.stop_component("registration")
        before = await _events(client, workflow_ids)
        # They wake, and their local tries end: from then on a step is tried as an ordinary activity.
        await asyncio.sleep(amount(30, long=1800))
        tried = [await _tried(client, each) for each in workflow_ids]
        grown = [after - was for was, after in zip(before, await _events(client, workflow_ids), strict=True)]
        await stack.start_component("registration")

        # Tried without end, by the run itself, so that it needs no operator to go on.
        assert all(
            timedelta(0) < step.retry_policy.maximum_interval.ToTimedelta() <= LONGEST_PAUSE for step in tried
        )
        assert not any(step.retry_policy.maximum_attempts for step in tried)
        assert not any(step.schedule_to_close_timeout.ToTimedelta() for step in tried)
        assert min(grown) > 0
        assert max(grown) <= MOST_EVENTS
        for registration in registrations:
            await reaches(api.registrar, registration.name, STAGE_WELCOMED)
        for run, woken in zip(workflow_ids, before, strict=True):
            # In the run that the outage met, and nobody has woken it.
            events = await _history(client.get_workflow_handle(run))
            assert len(events) > woken
            assert not {event.event_type for event in events[woken:]} & _FROM_OUTSIDE
    assert [mails.templates(person) for person in persons] == [{"credentials": 1, "welcome": 1}] * len(
        persons
    )


async def _tried(client: Client, workflow_id: str) -> ActivityTaskScheduledEventAttributes:
    """The step that a run tries, once it tries it as an ordinary activity."""
    run = client.get_workflow_handle(workflow_id)

    async def pending() -> int:
        return len((await run.describe()).raw_description.pending_activities)

    assert await eventually(pending, lambda number: number == 1, PATIENCE) == 1
    *_, scheduled = (
        event for event in await _history(run) if event.HasField("activity_task_scheduled_event_attributes")
    )
    return scheduled.activity_task_scheduled_event_attributes


async def _history(run: WorkflowHandle[object, object]) -> Sequence[HistoryEvent]:
    return [event async for event in run.fetch_history_events()]


async def _events(client: Client, workflow_ids: Sequence[str]) -> list[int]:
    """How many events the history of each run has."""
    described = await asyncio.gather(*(client.get_workflow_handle(each).describe() for each in workflow_ids))
    return [description.history_length for description in described]
