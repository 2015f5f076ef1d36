"""Signals that runs send, sent by a stranger: a run believes its row, and never what a signal says."""

import uuid
from collections.abc import Awaitable, Callable

import pytest
from google.protobuf.message import Message
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import TypedSearchAttributes

from deploy.demo.polling import eventually
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
)
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WAITING_FOR_REACTIVATION, STAGE_WITHDRAWN
from liity.workflows.v1.registration_workflow_pb2 import (
    Adopt,
    Moved,
    RegistrationWorkflowInput,
    Resumed,
    WithdrawRequest,
)
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import TASK_QUEUE, InvitationWorkflowNames
from services.runtime.temporal.names import RegistrationWorkflowNames as Names
from services.runtime.temporal.search_attributes import UNIT
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.reconciliation.test_reconciliation import mailed, reaches, store
from tests.workflows.registration.test_decisions import _time_stands
from tests.workflows.removal.test_removal import CREDENTIALS, ENDED, end
from tests.workflows.support.test_any_message import (
    Run,
    Waiting,
    _ends,
    address,
    definition_of,
    for_a_mail_server,
    for_an_answer_of_a_temporary_customer,
    for_an_answer_to_an_invitation,
    for_consent,
    for_erasure,
    for_identity_check,
    for_reactivation,
    for_the_customers_own_address,
    for_the_end_of_a_need,
    for_the_welcome,
    right_body,
)
from tests.workflows.units.test_invitation import NOT_ACCEPTED, Inviting, subjects

WAITING = (
    for_consent,
    for_reactivation,
    for_identity_check,
    for_the_welcome,
    for_the_customers_own_address,
    for_a_mail_server,
    for_erasure,
    for_the_end_of_a_need,
    for_an_answer_of_a_temporary_customer,
    for_an_answer_to_an_invitation,
)
"""Runs that other runs, reconciliation or the gateway send signals to."""

_SENT = {EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED}
_TASKS = {
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
}


def signals_of_runs(workflow: str) -> dict[str, type[Message]]:
    """The signals of a workflow that people do not send, and their bodies."""
    signals = definition_of(workflow).signals.items()
    return {name: of.arg_types[0] for name, of in signals if "not by people" in (of.description or "")}


async def shown(run: Run) -> TypedSearchAttributes:
    """What operators see of a run that waits, and has handled what was sent to it."""
    assert await eventually(lambda: _has_handled_all(run), bool, 60)
    described = await run.describe()
    assert described.status == WorkflowExecutionStatus.RUNNING
    ours = [pair for pair in described.typed_search_attributes if pair.key.name.startswith("Liity")]
    return TypedSearchAttributes(sorted(ours, key=lambda pair: pair.key.name))


async def _has_handled_all(run: Run) -> bool:
    """Whether a workflow task has ended since the last message: a step at once ends within the task."""
    events = [event.event_type async for event in run.fetch_history_events()]
    since = events[len(events) - min(map(events[::-1].index, _SENT & {*events})) :]
    tasks = [event for event in since if event in _TASKS]
    return tasks[-1:] == [EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]


async def saved(world: World, email: str = "") -> tuple[Registration, Run]:
    """An adult who waits for the welcome mail."""
    return await _time_stands(world, *await world.save(adult_form(email or address()), born(40)))


async def unit_by(world: World, registration: Registration) -> str:
    """The unit of a run, by the refusals of further Saves of the person."""
    again = world.save_request(registration.person_id, adult_form(address()), born(40))
    with pytest.raises(Refusal) as refusal:
        await world.workflows.save(again)
    here = refusal.value.reason == REASON_ALREADY_REGISTERED_IN_THIS_UNIT
    assert here or refusal.value.reason == REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT
    return world.unit_id if here else ""


async def begin(world: World, person_id: str, signal: str, body: Adopt | Resumed) -> Run:
    """Starts a run that knows nothing, by a signal."""
    return await world.temporal.start_workflow(
        Names.WORKFLOW,
        RegistrationWorkflowInput(person_id=person_id),
        id=Names.workflow_id(person_id),
        task_queue=TASK_QUEUE,
        start_signal=signal,
        start_signal_args=[body],
    )


@pytest.mark.parametrize("stage", WAITING, ids=lambda stage: stage.__name__)
async def test_no_signal_of_a_run_is_believed(
    world: World, stage: Callable[[World], Awaitable[Waiting]]
) -> None:
    waiting = await stage(world)
    before = await shown(waiting.run)
    signals = signals_of_runs(waiting.workflow)
    assert signals
    for name, body in signals.items():
        await waiting.run.signal(name, {})
        await waiting.run.signal(name, right_body(body))
    assert await shown(waiting.run) == before
    await _ends(waiting)


@pytest.mark.parametrize("body", [{}, {"unitId": "madeup"}, {"unitId": uuid.uuid4().hex}])
async def test_a_unit_that_the_row_does_not_have_is_not_taken(world: World, body: dict[str, str]) -> None:
    registration, run = await saved(world)
    await run.signal(Names.MOVED, body)
    attributes = await shown(run)
    assert attributes[UNIT] == registration.unit_id
    assert await unit_by(world, registration) == registration.unit_id


async def test_the_unit_is_taken_from_the_row_whatever_the_signal_says(world: World) -> None:
    registration, run = await saved(world)
    other = await world.unit()
    statement = "UPDATE registrations SET unit_id = :unit WHERE registration_id = :id"
    await world.change("registration", statement, unit=other, id=registration.registration_id)
    await run.signal(Names.MOVED, Moved(unit_id=registration.unit_id))
    attributes = await shown(run)
    assert attributes[UNIT] == other
    assert await unit_by(world, registration) == ""


async def test_of_a_unit_that_is_being_moved_the_successor_is_taken(world: World) -> None:
    """The closing signals each run before it moves the row: after a crash it would not find it again."""
    closed, successor = await world.unit("Vanha koulu"), await world.unit("Uusi koulu")
    registration, run = await saved(world)
    await world.change(
        "registration",
        "UPDATE registrations SET unit_id = :unit WHERE registration_id = :id",
        unit=closed,
        id=registration.registration_id,
    )
    await world.change(
        "registration",
        "UPDATE units SET closed_at = now(), successor_unit_id = :successor WHERE unit_id = :unit",
        unit=closed,
        successor=successor,
    )
    await run.signal(Names.MOVED, Moved(unit_id=successor))
    attributes = await shown(run)
    assert attributes[UNIT] == successor


async def test_a_move_before_the_registration_is_stored_says_nothing(world: World) -> None:
    request = world.save_request(await world.person(born(9)), child_form(address()), born(9))
    run = await world.temporal.start_workflow(
        Names.WORKFLOW,
        RegistrationWorkflowInput(person_id=request.person_id),
        id=Names.workflow_id(request.person_id),
        task_queue=TASK_QUEUE,
        start_signal=Names.MOVED,
        start_signal_args=[Moved(unit_id=await world.unit())],
    )
    registration = await world.workflows.save(request)
    attributes = await shown(run)
    assert attributes.get(UNIT) in {None, registration.unit_id}
    await world.workflows.withdraw(request.person_id, WithdrawRequest(request_id=str(uuid.uuid4())))


async def test_a_customership_that_has_ended_is_not_resumed(world: World) -> None:
    email = address()
    registration, run = await saved(world, email)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)
    await end(world, await world.customer(registration))
    await run.result()
    resumed = Resumed(registration_id=registration.registration_id)
    again = await begin(world, registration.person_id, Names.RESUMED, resumed)
    await again.result()
    # Nothing more is mailed, and the person can come back.
    await mailed(world, email, CREDENTIALS, ENDED)
    request = world.save_request(registration.person_id, adult_form(address()), born(40))
    returned = await world.workflows.save(request)
    assert returned.stage == STAGE_WAITING_FOR_REACTIVATION


@pytest.mark.parametrize("whose", ["another person's", "nobody's"])
async def test_a_registration_of_others_locks_nobody_out(world: World, whose: str) -> None:
    other, _ = await saved(world)
    registration_id = other.registration_id if whose == "another person's" else uuid.uuid4().hex
    request = world.save_request(await world.person(born(9)), child_form(address()), born(9))
    run = await begin(world, request.person_id, Names.RESUMED, Resumed(registration_id=registration_id))
    await shown(run)
    assert (await world.workflows.save(request)).person_id == request.person_id
    await world.workflows.withdraw(request.person_id, WithdrawRequest(request_id=str(uuid.uuid4())))


async def test_a_save_that_did_not_make_the_row_is_not_adopted(world: World) -> None:
    request = world.save_request(await world.person(born(9)), child_form(address()), born(9))
    registration = await store(world, request)
    made_up = Adopt(registration_id=registration.registration_id, request_id=str(uuid.uuid4()))
    run = await begin(world, request.person_id, Names.ADOPT, made_up)
    await shown(run)
    assert (await world.workflows.save(request)).registration_id == registration.registration_id
    withdraw = WithdrawRequest(request_id=str(uuid.uuid4()))
    assert (await world.workflows.withdraw(request.person_id, withdraw)).stage == STAGE_WITHDRAWN


async def test_an_invitation_that_nobody_has_accepted_goes_on(world: World) -> None:
    unit_id = await world.unit()
    inviter = await world.account(unit_id, ROLE_MAIN_USER)
    invitation, run = await Inviting(world, unit_id, inviter.account_id, inviter.email).invite(address())
    await run.signal(InvitationWorkflowNames.ACCEPTED, {})
    await shown(run)
    await world.skip_to_end(run)
    await run.result()

    async def told() -> list[str]:
        return subjects(world, inviter.email)

    assert await eventually(told, bool, 60) == [NOT_ACCEPTED]
    assert invitation.invitation_id
