"""Every message and a cancellation, in every stage in which a run waits: none is stuck, and none fails."""

import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.service import RPCError

from deploy.demo.polling import eventually
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER
from liity.v1.registration_pb2 import STAGE_WELCOMED, STAGE_WITHDRAWN
from liity.workflows.v1.operators_pb2 import WaitsFor
from liity.workflows.v1.registration_workflow_pb2 import WithdrawRequest
from services.runtime.temporal.names import (
    ClassListWorkflowNames,
    InvitationWorkflowNames,
    NeedWorkflowNames,
    RegistrationWorkflowNames,
    RemovalWorkflowNames,
)
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers.test_need import temporary_form, watched
from tests.workflows.messages import messages
from tests.workflows.registration.test_decisions import _time_stands, returning
from tests.workflows.removal.test_removal import end
from tests.workflows.removal.test_removal import removal as removal_of
from tests.workflows.units.test_invitation import Inviting
from workflows.support.signals import CANCELLATION_IGNORED
from workflows.worker import WORKFLOWS

Run = WorkflowHandle[Any, Any]
_RUNS = WorkflowExecutionStatus.RUNNING
_ENDS = WorkflowExecutionStatus.COMPLETED


@dataclass
class Waiting:
    """A run that waits, and what ends it as it should."""

    workflow: str
    run: Run
    finish: Callable[[], Awaitable[object]]
    cancelled: bool = False
    """Whether a cancellation ends it, by what it means."""


_DECIDING = {
    RegistrationWorkflowNames.WORKFLOW: {
        RegistrationWorkflowNames.RECORD_CONSENT,
        RegistrationWorkflowNames.DECLINE_CONSENT,
        RegistrationWorkflowNames.WITHDRAW,
        RegistrationWorkflowNames.REACTIVATE,
        RegistrationWorkflowNames.VERIFY_IDENTITY,
        RegistrationWorkflowNames.REJECT,
    },
    RemovalWorkflowNames.WORKFLOW: {RemovalWorkflowNames.UNDO},
    ClassListWorkflowNames.WORKFLOW: {ClassListWorkflowNames.CANCEL},
    InvitationWorkflowNames.WORKFLOW: {
        InvitationWorkflowNames.WITHDRAW,
        InvitationWorkflowNames.ACCEPTED,
    },
}
"""Messages that `{}` is enough for: sent so, they do what they are for."""


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


async def for_consent(world: World) -> Waiting:
    registration, run = await _time_stands(world, *await world.save(child_form(address()), born(9)))
    return _registration(world, registration.person_id, run)


async def for_reactivation(world: World) -> Waiting:
    registration, run = await returning(world, adult_form(address()))
    return _registration(world, registration.person_id, run)


async def for_identity_check(world: World) -> Waiting:
    saved = await world.save_without_code(adult_form(address()), born(40))
    registration, run = await _time_stands(world, *saved)
    return _registration(world, registration.person_id, run)


def _registration(world: World, person_id: str, run: Run) -> Waiting:
    async def withdraw() -> None:
        request = WithdrawRequest(request_id=str(uuid.uuid4()))
        ended = await world.workflows.withdraw(person_id, request)
        assert ended.stage == STAGE_WITHDRAWN

    return Waiting(RegistrationWorkflowNames.WORKFLOW, run, withdraw, cancelled=True)


async def for_the_welcome(world: World) -> Waiting:
    registration, run = await _time_stands(world, *await world.save(adult_form(address()), born(40)))

    async def welcome() -> None:
        await world.environment.fast_forward(run)
        await run.result()
        assert (await world.stored(registration)).stage == STAGE_WELCOMED

    return Waiting(RegistrationWorkflowNames.WORKFLOW, run, welcome)


async def for_erasure(world: World) -> Waiting:
    registration, _ = await world.save(adult_form(address()), born(40))
    customer = await world.customer(registration)
    await end(world, customer)
    run = removal_of(world, customer)

    async def undo() -> None:
        await run.signal(RemovalWorkflowNames.UNDO, {})

    return Waiting(RemovalWorkflowNames.WORKFLOW, run, undo)


async def for_the_end_of_a_need(world: World) -> Waiting:
    registration, _ = await world.save(temporary_form(address(), 40), born(40))
    customer, run = await watched(world, registration)

    async def end_it() -> None:
        await end(world, customer)

    return Waiting(NeedWorkflowNames.WORKFLOW, run, end_it)


async def for_an_answer_to_an_invitation(world: World) -> Waiting:
    unit_id = await world.unit()
    inviter = await world.account(unit_id, ROLE_MAIN_USER)
    _, run = await Inviting(world, unit_id, inviter.account_id, inviter.email).invite(address())

    async def withdraw() -> None:
        await run.signal(InvitationWorkflowNames.WITHDRAW, {})

    return Waiting(InvitationWorkflowNames.WORKFLOW, run, withdraw, cancelled=True)


async def for_an_answer_to_a_message(world: World) -> Waiting:
    message, run = await messages.sent(world)

    async def answer() -> None:
        await messages.close(world, message)
        await messages.look(world, message)

    return Waiting("MessageWorkflow", run, answer)


STAGES: Mapping[str, Callable[[World], Awaitable[Waiting]]] = {
    stage.__name__: stage
    for stage in (
        for_consent,
        for_reactivation,
        for_identity_check,
        for_the_welcome,
        for_erasure,
        for_the_end_of_a_need,
        for_an_answer_to_an_invitation,
        for_an_answer_to_a_message,
    )
}


def definition_of(name: str) -> Any:
    """What the SDK knows of a workflow's messages."""
    return {of.name: of for of in map(workflow._Definition.must_from_class, WORKFLOWS)}[name]


def bodies(workflow_name: str, message: str) -> Iterator[list[object]]:
    """What is sent as a body: nothing, a text, a number, fields that there are none of, two, an empty one."""
    yield from ([], ["text"], [17], [{"no_such_field": 1}], [{}, {}])
    if message not in _DECIDING.get(workflow_name, ()):
        yield [{}]


async def status(run: Run) -> WorkflowExecutionStatus | None:
    return (await run.describe()).status


@pytest.mark.parametrize("stage", STAGES)
async def test_no_message_sticks_a_run_or_fails_it(world: World, stage: str) -> None:
    waiting = await STAGES[stage](world)
    definition = definition_of(waiting.workflow)
    for signal in definition.signals:
        for body in bodies(waiting.workflow, signal):
            await waiting.run.signal(signal, args=body)
    for update in definition.updates:
        for body in bodies(waiting.workflow, update):
            try:
                await waiting.run.execute_update(update, args=body)
            except WorkflowUpdateFailedError:
                continue
    waits_for = await waiting.run.query("waits_for", result_type=WaitsFor)
    assert "aits" in waits_for.details or "kept until" in waits_for.details
    assert await status(waiting.run) == _RUNS
    await waiting.finish()
    assert await eventually(lambda: status(waiting.run), lambda now: now != _RUNS, 120) == _ENDS


@pytest.mark.parametrize("stage", STAGES)
async def test_a_cancellation_locks_nobody_out(world: World, stage: str) -> None:
    waiting = await STAGES[stage](world)

    async def details() -> str:
        return (await waiting.run.query("waits_for", result_type=WaitsFor)).details

    # One that has yet to begin its wait would tell of the wait alone.
    await eventually(details, lambda found: "aits" in found or "kept until" in found, 120)
    await waiting.run.cancel()
    if waiting.cancelled:
        assert await eventually(lambda: status(waiting.run), lambda now: now != _RUNS, 120) == _ENDS
        return
    await eventually(details, lambda found: CANCELLATION_IGNORED in found, 120)
    assert await status(waiting.run) == _RUNS
    await waiting.finish()
    assert await eventually(lambda: status(waiting.run), lambda now: now != _RUNS, 120) == _ENDS


async def test_a_cancelled_registration_is_withdrawn_and_erased(world: World) -> None:
    registration, run = await world.save(child_form(address()), born(9))
    await run.cancel()
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WITHDRAWN
    person = "SELECT 1 FROM persons WHERE person_id = :p"
    assert not await world.rows("identity", person, p=registration.person_id)


@pytest.mark.parametrize("named", [of.__name__ for of in WORKFLOWS])
def test_signals_of_runs_say_so_in_temporals_ui(named: str) -> None:
    told = {
        RegistrationWorkflowNames.MOVED,
        RegistrationWorkflowNames.ADDRESS_CHANGED,
        RegistrationWorkflowNames.CUSTOMERSHIP_ENDED,
        RegistrationWorkflowNames.RESUMED,
        RegistrationWorkflowNames.MERGED,
        RegistrationWorkflowNames.ADOPT,
        RemovalWorkflowNames.RETURNED,
        NeedWorkflowNames.CHANGED,
        InvitationWorkflowNames.ACCEPTED,
    }
    for name, signal in definition_of(named).signals.items():
        assert (name in told) == bool(signal.description and "not by people" in signal.description)


async def test_a_run_whose_message_never_comes_ends_by_itself(world: World) -> None:
    started = [
        await world.temporal.start_workflow(
            name, args=args, id=f"never-{name}/{uuid.uuid4()}", task_queue="registration"
        )
        for name, args in _STARTED_BY_A_MESSAGE.items()
    ]
    for run in started:
        with suppress(RPCError):
            await world.environment.fast_forward(run)
        await run.result()
        description = await run.describe()
        assert description.status == _ENDS
        assert description.close_time is not None
        assert description.close_time - description.start_time <= timedelta(minutes=11)


_STARTED_BY_A_MESSAGE: Mapping[str, list[Any]] = {
    "RegistrationWorkflow": [{"personId": "nobody"}],
    "TransferWorkflow": [],
    "CredentialsWorkflow": [],
    "AddressChangeWorkflow": [],
    "RemovalWorkflow": [{"customerId": "nobody"}],
    "NeedWorkflow": [{"customerId": "nobody"}],
    "InvitationWorkflow": [],
    "UnitClosingWorkflow": [],
    "MergeWorkflow": [],
    "CodeChangeWorkflow": [],
}
