"""Long-lived runs continue as new before their updates or their history reach a limit."""

from datetime import timedelta

import pytest
from temporalio import workflow

from deploy.demo.polling import eventually
from services.runtime.rpc.errors import Refusal
from tests.workflows.conftest import World
from tests.workflows.customers.test_need import QUESTION, REMINDER, deadline, extend, reaches
from tests.workflows.messages import messages
from tests.workflows.reconciliation.test_reconciliation import text_of
from tests.workflows.registration.test_responsible import CUSTOMER_SERVICE
from tests.workflows.removal.test_removal import mailed
from tests.workflows.support import stories
from tests.workflows.support.stories import Run
from workflows.messages.workflow import MessageWorkflow
from workflows.support import steps

_UPDATES = 3
"""The limit in these tests, instead of a thousand."""

_PATIENCE = 120.0
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _few_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "UPDATES_PER_RUN", _UPDATES)


async def run_id(run: Run) -> str | None:
    """The ID of the newest run."""
    return (await run.describe()).run_id


async def in_a_new_run(run: Run, before: str | None) -> None:
    """Waits until a run has continued as new."""
    await eventually(lambda: run_id(run), lambda newest: newest != before, _PATIENCE)


async def test_a_need_is_extended_any_number_of_times(world: World) -> None:
    customer, run = await stories.with_a_temporary_need(world)
    first = await run_id(run)
    for number in range(2 * _UPDATES):
        await extend(world, customer, 50 + number)
    await in_a_new_run(run, first)
    await reaches(run, "WAITING_FOR_EXPECTED_END")
    await extend(world, customer, 100)


async def test_an_answer_is_waited_for_as_long_in_a_new_run(world: World) -> None:
    customer, run = await stories.with_a_temporary_need(world)
    await world.skip(run, 6 * DAY)
    await reaches(run, "WAITING_FOR_ANSWER")
    await mailed(world, customer.form.email, QUESTION)
    first, due = await run_id(run), await deadline(run)
    for _ in range(_UPDATES):
        with pytest.raises(Refusal):
            await extend(world, customer, -1)
    await in_a_new_run(run, first)
    await reaches(run, "WAITING_FOR_ANSWER")
    assert await deadline(run) == due
    await world.skip(run, 14 * DAY)
    await mailed(world, customer.form.email, REMINDER)
    # The question itself was mailed once.
    await mailed(world, customer.form.email, QUESTION)


async def test_a_removal_is_undone_after_any_number_of_tries(world: World) -> None:
    scene = await stories.ended(world)
    await scene.go()
    run = scene.run(world)
    first = await run_id(run)
    for _ in range(_UPDATES):
        scene.request.request_id = stories.new_id()
        with pytest.raises(Refusal):
            await scene.go()
    await in_a_new_run(run, first)
    await world.removals.undo(scene.request.customer_id, scene.request.unit_id, stories.new_id())
    await run.result()


async def test_a_message_is_told_once_and_answered_in_a_new_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_first(self: MessageWorkflow) -> bool:
        return workflow.info().continued_run_id is None

    monkeypatch.setattr(MessageWorkflow, "_is_long", property(is_first))
    message = await messages.written(world)
    await messages.look(world, message)
    run = await messages.begun(world, message.message_id)
    first = await run_id(run)
    await in_a_new_run(run, first)

    async def told() -> list[str]:
        texts = map(text_of, world.mails_to(CUSTOMER_SERVICE))
        return [text for text in texts if message.reference in text]

    await eventually(told, bool, _PATIENCE)
    await messages.close(world, message)
    await messages.look(world, message)
    await run.result()
    assert len(await told()) == 1
