"""Each step of the stories refused for good, one by one: the run goes on or ends as its rules say."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from deploy.demo.polling import eventually
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER
from liity.v1.registration_pb2 import STAGE_REJECTED, STAGE_WAITING_FOR_REACTIVATION
from liity.workflows.v1.password_order_workflow_pb2 import PasswordOrderWorkflowInput
from liity.workflows.v1.registration_workflow_pb2 import RecordConsentRequest, RejectRequest, WithdrawRequest
from services.gateway.temporal.password_resets import PasswordOrderWorkflows
from services.runtime.temporal.names import PasswordOrderWorkflowNames, TransferWorkflowNames
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers.test_need import temporary_form, watched
from tests.workflows.messages import messages
from tests.workflows.registration.test_decisions import returning, saved_again
from tests.workflows.removal.test_removal import end
from tests.workflows.removal.test_removal import removal as removal_of
from workflows.registration import state
from workflows.support import steps

Run = WorkflowHandle[Any, Any]

_FAILED = {
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.TIMED_OUT,
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.CANCELED,
}


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


async def adult(world: World) -> Run:
    """An adult online customer, before the welcome."""
    _, run = await world.save(adult_form(address()), born(40))
    return run


async def cd_borrower(world: World) -> Run:
    _, run = await world.save(adult_form(address(), kind=CUSTOMER_KIND_CD_BORROWER), born(40))
    return run


async def child(world: World) -> Run:
    """A child whose guardian never answers."""
    _, run = await world.save(child_form(address()), born(9))
    return run


async def almost_15(world: World) -> Run:
    """A child who turns 15 while consent is awaited."""
    _, run = await world.save(child_form(address()), born(15, -3))
    return run


async def without_code(world: World) -> Run:
    """Nobody checks who it is."""
    _, run = await world.save_without_code(adult_form(address()), born(40))
    return run


async def removed(world: World) -> Run:
    registration, _ = await world.save(adult_form(address()), born(40))
    customer = await world.customer(registration)
    await end(world, customer)
    return removal_of(world, customer)


async def temporary(world: World) -> Run:
    registration, _ = await world.save(temporary_form(address(), 5), born(40))
    return (await watched(world, registration))[1]


async def message(world: World) -> Run:
    return (await messages.sent(world))[1]


STEPS: Mapping[Callable[[World], Awaitable[Run]], Sequence[str]] = {
    adult: ("remind_to_change_address", "look_whose_address", "send_welcome"),
    cd_borrower: ("tell_customership_begun",),
    child: ("request_consent", "remind_of_consent", "end_registration", "tell_consent_not_given"),
    almost_15: (
        "activate_registration",
        "tell_consent_outgrown",
        "plan_welcome",
        "send_credentials",
    ),
    without_code: (
        "ask_customer_service",
        "remind_customer_service",
        "tell_how_it_was_decided",
        "tell_what_was_missed",
    ),
    removed: ("erase_customer", "tell_customership_ended"),
    temporary: ("look_at_need", "ask_whether_needed", "tell_need_unanswered"),
    message: (
        "tell_customer_service",
        "confirm_receipt",
        "remind_of_message",
        "lapse_message",
        "tell_lapsed",
    ),
}
"""The steps that a run has to itself: nobody waits for what they bring."""


@pytest.mark.parametrize("story", STEPS, ids=lambda story: story.__name__)
async def test_a_refused_step_fails_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch, story: Callable[[World], Awaitable[Run]]
) -> None:
    # An hour in the skipped time of weeks would be a thousand tries.
    for module in (steps, state):
        monkeypatch.setattr(module, "AGAIN", timedelta(days=10))
    for step in STEPS[story]:
        run = await story(world)
        with world.faults.refusing(run.id, step):
            await world.environment.fast_forward(run, timedelta(days=70))
            assert (await run.describe()).status not in _FAILED, step
        # Once it is taken again, whatever it was for is done.
        if (await run.describe()).status == WorkflowExecutionStatus.RUNNING and story is not removed:
            await world.environment.fast_forward(run)
            await run.result()
        assert (await run.describe()).status not in _FAILED, step


async def test_who_cannot_be_told_keeps_no_child_from_credentials(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    with world.faults.refusing(run.id, "tell_consent_given"):
        request = RecordConsentRequest(request_id=str(uuid.uuid4()))
        request.evidence.method = request.evidence.METHOD_OPERATOR
        await world.workflows.record_consent(registration.person_id, request)
        await world.environment.fast_forward(run)
        await run.result()
    # The consent request, the credentials and the welcome.
    assert len(world.mails_to(guardian)) >= 2


async def test_a_transfer_of_which_nobody_can_be_told_is_made(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    unit_id, request_id = await world.unit(), str(uuid.uuid4())
    run = world.temporal.get_workflow_handle(TransferWorkflowNames.workflow_id(request_id))
    with world.faults.refusing(run.id, "tell_previous_unit"):
        await world.move(registration, unit_id, await world.account(unit_id), request_id)
        await run.result()


async def test_a_refused_password_mail_fails_no_order(world: World) -> None:
    request_id = str(uuid.uuid4())
    run = world.temporal.get_workflow_handle(PasswordOrderWorkflowNames.workflow_id(request_id))
    with world.faults.refusing(run.id, "mail_password_link"):
        order = PasswordOrderWorkflowInput(request_id=request_id, email=address())
        await PasswordOrderWorkflows(world.temporal).start(order)
        await run.result()


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
    with world.faults.away(run.id, "ask_whether_needed"):
        skipping = world.environment.fast_forward(run, timedelta(days=7))
        await skipping

        async def asks() -> bool:
            return any(of == run.id for _, of, _ in world.faults.tried)

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
