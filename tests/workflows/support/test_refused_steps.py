"""An address that cannot be mailed delays nothing else."""

import uuid
from datetime import timedelta

from deploy.demo.polling import eventually
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.registration_pb2 import STAGE_REJECTED, STAGE_WAITING_FOR_REACTIVATION
from liity.workflows.v1.registration_workflow_pb2 import RecordConsentRequest, RejectRequest, WithdrawRequest
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers.test_need import temporary_form, watched
from tests.workflows.messages import messages
from tests.workflows.registration.test_decisions import returning, saved_again
from tests.workflows.removal.test_removal import end


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


async def test_who_was_rejected_can_be_saved_again_at_once(world: World) -> None:
    registration, run = await returning(world, adult_form(address()))
    with world.faults.away(run.id, "tell_how_it_was_decided", "ask_customer_service"):
        reject = RejectRequest(request_id=str(uuid.uuid4()), note="Asiakas on muuttanut.")
        rejected = await world.workflows.reject(registration.person_id, reject)
        assert rejected.stage == STAGE_REJECTED
        again, same = await saved_again(world, registration, adult_form(address()), born(40))
        assert again.stage == STAGE_WAITING_FOR_REACTIVATION
        assert again.registration_id != registration.registration_id
        assert (await same.describe()).run_id == (await run.describe()).run_id
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
