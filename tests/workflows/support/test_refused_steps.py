"""An address that cannot be mailed delays nothing else."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, timedelta

import pytest

from deploy.demo.polling import eventually
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.registration_pb2 import (
    STAGE_LAPSED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WITHDRAWN,
    Stage,
)
from liity.workflows.v1.registration_workflow_pb2 import RecordConsentRequest, RejectRequest, WithdrawRequest
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers.test_need import temporary_form, watched
from tests.workflows.messages import messages
from tests.workflows.registration.test_decisions import Run, returning, saved_again
from tests.workflows.removal.test_removal import end

TELLING = (
    "ask_customer_service",
    "tell_how_it_was_decided",
    "tell_what_was_missed",
    "tell_withdrawn",
)


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


async def test_who_cannot_be_told_keeps_no_child_from_credentials(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    with world.faults.refusing(run.id, "tell_consent_given"):
        request = RecordConsentRequest(request_id=str(uuid.uuid4()))
        request.evidence.method = request.evidence.METHOD_OPERATOR
        await world.workflows.record_consent(registration.person_id, request)
        await world.skip_to_end(run)
        await run.result()
    # The consent request, the credentials and the welcome.
    assert len(world.mails_to(guardian)) >= 2


async def _reject(world: World, registration: Registration, _run: Run) -> None:
    reject = RejectRequest(request_id=str(uuid.uuid4()), note="Asiakas on muuttanut.")
    await world.workflows.reject(registration.person_id, reject)


async def _withdrawn(world: World, registration: Registration, _run: Run) -> None:
    await _withdraw(world, registration)


async def _lapse(world: World, registration: Registration, run: Run) -> None:
    async def stage() -> int:
        return (await world.stored(registration)).stage

    deadline = registration.deadline.ToDatetime(UTC)
    await world.skip(run, deadline - await world.environment.get_current_time(run))
    await eventually(stage, lambda found: found == STAGE_LAPSED, 120)


@pytest.mark.parametrize(
    ("turn_away", "stage"),
    [(_reject, STAGE_REJECTED), (_withdrawn, STAGE_WITHDRAWN), (_lapse, STAGE_LAPSED)],
    ids=lambda part: part.__name__ if callable(part) else "",
)
async def test_who_was_turned_away_can_be_saved_again_at_once(
    world: World,
    turn_away: Callable[[World, Registration, Run], Awaitable[None]],
    stage: Stage.ValueType,
) -> None:
    registration, run = await returning(world, adult_form(address()))
    with world.faults.away(run.id, *TELLING):
        await turn_away(world, registration, run)
        assert (await world.stored(registration)).stage == stage
        again, same = await saved_again(world, registration, adult_form(address()), born(40))
        assert again.stage == STAGE_WAITING_FOR_REACTIVATION
        assert again.registration_id != registration.registration_id
        assert (await same.describe()).run_id == (await run.describe()).run_id
    if stage != STAGE_LAPSED:
        # In a run that is weeks ahead of the services the new wait lapses by itself.
        withdrawn = await _withdraw(world, again)
        assert withdrawn.registration_id == again.registration_id
    await same.result()


async def test_an_answer_is_heard_while_the_question_cannot_be_mailed(world: World) -> None:
    registration, _ = await world.save(temporary_form(address(), 5), born(40))
    customer, run = await watched(world, registration)

    async def asks() -> bool:
        return any(of == run.id for _, of, _ in world.faults.tried)

    with world.faults.away(run.id, "ask_whether_needed"):
        async with world.skipping(run, timedelta(days=7)):
            await eventually(asks, bool, 120)
            await end(world, customer)
            await run.result()


async def test_a_message_is_answered_while_nobody_can_be_mailed(world: World) -> None:
    message_id = uuid.uuid4().hex
    workflow_id = f"message/{message_id}"
    with world.faults.away(workflow_id, "tell_customer_service", "confirm_receipt"):
        stored = await messages.written(world, message_id)
        await messages.look(world, stored)
        run = world.temporal.get_workflow_handle(workflow_id)
        await messages.close(world, stored)
        await messages.look(world, stored)

        async def answered() -> list[str]:
            return [
                event.activity_task_scheduled_event_attributes.activity_type.name
                async for event in run.fetch_history_events()
            ]

        await eventually(answered, lambda names: "tell_answered" in names, 120)


async def _withdraw(world: World, registration: Registration) -> Registration:
    request = WithdrawRequest(request_id=str(uuid.uuid4()))
    return await world.workflows.withdraw(registration.person_id, request)
