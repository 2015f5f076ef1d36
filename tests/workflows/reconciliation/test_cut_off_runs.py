"""A run that is ended from outside between its row and its mail leaves nobody untold."""

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from deploy.demo.polling import eventually
from services.runtime.temporal.names import FeedbackWorkflowNames, MessageWorkflowNames
from tests.workflows.conftest import World
from tests.workflows.feedback import feedback
from tests.workflows.feedback.test_feedback import ANSWERED
from tests.workflows.messages import messages
from tests.workflows.reconciliation.test_reconciliation import (
    Run,
    address,
    mailed,
    reconcile,
    text_of,
)
from tests.workflows.support import stories

CUT_OFF: list[tuple[stories.Story, str]] = [
    (stories.transferred, "tell_previous_unit"),
    (stories.credentials_sent_anew, "send_credentials_anew"),
    (stories.address_changed, "confirm_address"),
    (stories.merged, "tell_previous_unit"),
    (stories.withdrawn, "tell_withdrawn"),
    (stories.undone, "tell_customership_goes_on"),
    (stories.unit_closed, "tell_unit_closed"),
    (stories.class_list, "tell_class_list_done"),
    (stories.password_ordered, "mail_password_link"),
]
"""What a run does, and the mail about it."""


async def done(run: Run, step: str) -> int:
    """How often a step of the newest run has succeeded."""
    scheduled: set[int] = set()
    number = 0
    async for event in run.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            if event.activity_task_scheduled_event_attributes.activity_type.name == step:
                scheduled.add(event.event_id)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            number += event.activity_task_completed_event_attributes.scheduled_event_id in scheduled
    return number


async def ended_before(world: World, story: stories.Story, step: str) -> Run:
    """A run that was terminated while it could not mail."""
    scene = await story(world)
    with world.faults.away(scene.workflow_id, step):
        await scene.go()
        run = scene.run(world)

        async def tried() -> bool:
            pending = (await run.describe()).raw_description.pending_activities
            return step in {activity.activity_type.name for activity in pending}

        await eventually(tried, bool, 60)
        await run.terminate()
    return scene.run(world)


@pytest.mark.parametrize(("story", "step"), CUT_OFF, ids=lambda part: getattr(part, "__name__", ""))
async def test_a_run_that_was_terminated_before_its_mail_still_mails(
    world: World, story: stories.Story, step: str
) -> None:
    run = await ended_before(world, story, step)
    await reconcile(world)
    assert await eventually(lambda: done(run, step), bool, 60) == 1
    assert (await run.describe()).status in {
        WorkflowExecutionStatus.RUNNING,
        WorkflowExecutionStatus.COMPLETED,
    }
    # Once: it has a successor.
    before = (await run.describe()).run_id
    await reconcile(world)
    assert (await run.describe()).run_id == before


async def test_the_answer_to_feedback_is_mailed_though_nobody_told_a_run(world: World) -> None:
    email = address()
    given = await feedback.written(world, email)
    await feedback.answer(world, given)
    await reconcile(world)
    await mailed(world, email, ANSWERED)
    run: Run = world.temporal.get_workflow_handle(FeedbackWorkflowNames.workflow_id(given.feedback_id))
    await run.result()
    first = (await run.describe()).run_id
    await reconcile(world)
    assert (await run.describe()).run_id == first


async def test_the_answer_to_a_message_is_told_though_nobody_told_a_run(world: World) -> None:
    sender = await world.account(world.unit_id)
    message = await messages.written(world, account_id=sender.account_id)
    await messages.close(world, message)
    await reconcile(world)
    run: Run = world.temporal.get_workflow_handle(MessageWorkflowNames.workflow_id(message.message_id))
    await run.result()
    (told,) = world.mails_to(sender.email)
    assert message.reference in text_of(told)
    first = (await run.describe()).run_id
    await reconcile(world)
    assert (await run.describe()).run_id == first
