"""A change is stored and its run has lost the update: the repeated call answers as the first; all is done.

As when Temporal and the worker die before Temporal has recorded what the run's first step has stored.
"""

from collections.abc import Mapping
from functools import partial

import pytest

from deploy.demo.polling import eventually
from services.gateway.temporal import starter
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import CodeChangeWorkflowNames
from services.runtime.temporal.updates import update_with_start
from tests.workflows.conftest import World, adult_form, born
from tests.workflows.customers import code_changes
from tests.workflows.customers.test_lost_updates import GIVEN_UP, losing_client
from tests.workflows.reconciliation.test_reconciliation import _closed
from tests.workflows.support import stories
from tests.workflows.support.stories import Scene, Story


async def code_changed(world: World) -> Scene:
    """A customer's personal identity code is changed, by one request."""
    registration, _ = await world.save(adult_form(stories.address()), born(40))
    customer = await world.customer(registration)
    change = await code_changes.prepared(world, customer, world.new_code(born(41)))
    workflow_id = CodeChangeWorkflowNames.workflow_id(customer.person_id)
    return Scene(workflow_id, lambda: code_changes.make(world, customer, change), change)


WORK: Mapping[Story, set[str]] = {
    stories.transferred: {"tell_previous_unit"},
    stories.credentials_sent_anew: {"send_credentials_anew"},
    stories.address_changed: {"confirm_address", "tell_previous_address"},
    stories.guardians_address_changed: {"tell_previous_related_address"},
    stories.need_begun: {"watch_need"},
    stories.merged: {"send_credentials_anew", "tell_previous_unit"},
    stories.merged_within_a_unit: {"tell_unit_of_merge"},
    stories.merge_undone: {"watch_need", "resume_welcome"},
    code_changed: set(),
    stories.unit_moved: {"move_unit_batch", "tell_unit_took_over"},
    stories.ended: {"tell_customership_ended", "tell_registrar_of_the_end"},
    stories.undone: {
        "tell_removal_undone",
        "tell_customership_goes_on",
        "send_credentials_anew",
        "watch_need",
        "resume_welcome",
    },
    stories.need_extended: {"look_at_need"},
    stories.invited: {"mail_invitation"},
    stories.converted: {"send_credentials"},
}
"""What is left to be done once each change is stored."""

BY_ITSELF = [
    story
    for story in WORK
    if story not in {stories.ended, stories.undone, stories.need_extended, stories.invited, stories.converted}
]
"""Changes whose run has the update as its input. Of the others the reconciliation finds the row."""


async def stored_and_lost(
    world: World, scene: Scene, work: set[str], monkeypatch: pytest.MonkeyPatch
) -> object:
    """Stores a change, of which its run then knows nothing; gives the answer that the caller has missed."""
    with world.faults.away(scene.workflow_id, *work):
        answer = await scene.go()
        run = scene.run(world)
        if (await run.describe()).close_time is None:
            await run.terminate()
            await _closed(world, run)
    with monkeypatch.context() as patched:
        losing = partial(update_with_start, losing_client(world))
        patched.setattr(starter, "update_with_start", lambda _, *given, **named: losing(*given, **named))
        with pytest.raises(Refusal, match="UNAVAILABLE"):
            await scene.go()
    world.faults.done.clear()
    return answer


async def is_done(world: World, scene: Scene, work: set[str]) -> None:
    """Waits until a run has done what was left."""

    async def done() -> set[str]:
        return {step for step, whose in world.faults.done if whose == scene.workflow_id}

    await eventually(done, work.issubset, 60)


@pytest.mark.parametrize("story", WORK, ids=lambda story: story.__name__)
async def test_a_repeated_call_answers_as_the_first_and_all_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    scene = await story(world)
    answer = await stored_and_lost(world, scene, WORK[story], monkeypatch)
    assert await scene.go() == answer
    await is_done(world, scene, WORK[story])
    # Once more: nothing is done twice.
    assert await scene.go() == answer


@pytest.mark.parametrize("story", BY_ITSELF, ids=lambda story: story.__name__)
async def test_a_call_that_is_not_repeated_is_done_by_its_run(
    world: World, monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    scene = await story(world)
    answer = await stored_and_lost(world, scene, WORK[story], monkeypatch)
    await world.skip(scene.run(world), GIVEN_UP)
    await is_done(world, scene, WORK[story])
    assert await scene.go() == answer


async def test_a_unit_is_closed_only_once_it_is_recorded_who_is_told(world: World) -> None:
    """Whoever acted for it is found by nobody afterwards: this update may not be lost when it is stored."""
    scene = await stories.unit_closed(world)
    await scene.go()
    await is_done(world, scene, {"tell_unit_closed"})
    events = [event async for event in scene.run(world).fetch_history_events()]
    updates = [event.HasField("workflow_execution_update_accepted_event_attributes") for event in events]
    steps = [event.activity_task_scheduled_event_attributes.activity_type.name for event in events]
    assert updates.index(True) < steps.index("close_unit") < steps.index("tell_unit_closed")
