"""Every message and a cancellation, in every stage in which a run waits: no run gets stuck or fails."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from google.protobuf.message import Message
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
    TASK_QUEUE,
    AddressChangeWorkflowNames,
    ClassListWorkflowNames,
    CredentialsWorkflowNames,
    DisclosureWorkflowNames,
    InvitationWorkflowNames,
    MergeWorkflowNames,
    NeedWorkflowNames,
    RegistrationWorkflowNames,
    RemovalWorkflowNames,
    TransferWorkflowNames,
    UnitClosingWorkflowNames,
)
from services.runtime.temporal.search_attributes import STAGE
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers.test_need import temporary_form, watched
from tests.workflows.feedback import feedback
from tests.workflows.messages import messages
from tests.workflows.registration.test_decisions import _time_stands, returning
from tests.workflows.removal.test_removal import end
from tests.workflows.removal.test_removal import removal as removal_of
from tests.workflows.support import stories
from tests.workflows.units.test_invitation import Inviting
from workflows.support.signals import CANCELLATION_IGNORED
from workflows.support.steps import NEVER_BEGUN
from workflows.worker import WORKFLOWS

Run = WorkflowHandle[Any, Any]
_RUNS = WorkflowExecutionStatus.RUNNING
_ENDS = WorkflowExecutionStatus.COMPLETED


@dataclass
class Waiting:
    """A waiting run, and how to end it regularly."""

    workflow: str
    run: Run
    finish: Callable[[], Awaitable[object]]
    cancelled: bool = False
    """Whether a cancellation ends the run."""
    away: ExitStack = field(default_factory=ExitStack)
    """Closed to make unavailable services available again."""
    begun: bool = True
    """Whether the run has received its first message."""
    as_long_as_its_row: bool = False
    """Whether the run waits until it is finished, however long."""

    async def end(self) -> None:
        """Lets the run end regularly."""
        self.away.close()
        await self.finish()


async def nothing() -> None:
    """Does nothing: the run ends by itself."""


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
"""Messages for which `{}` is a sufficient body."""


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
    "MergeUndoWorkflow": [],
    "CodeChangeWorkflow": [],
}
"""Workflows started by a message, and their input."""


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
        await world.skip_to_end(run)
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


async def for_the_customers_own_address(world: World) -> Waiting:
    """The welcome mail waits while a registrar's address is on file."""
    registrar = await world.account(world.unit_id)
    registration, run = await world.save(adult_form(registrar.email), born(40))
    await world.skip(run, timedelta(days=16))

    async def welcome() -> None:
        await world.skip_to_end(run)
        await run.result()
        assert (await world.stored(registration)).stage == STAGE_WELCOMED

    return Waiting(RegistrationWorkflowNames.WORKFLOW, run, welcome)


async def for_a_mail_server(world: World) -> Waiting:
    """The customership has begun, and the credentials cannot be mailed."""
    registration, run = await world.save(child_form(address()), born(9))
    away = _away(world, run, "send_credentials")
    await run.signal(RegistrationWorkflowNames.RECORD_CONSENT, {})
    await eventually(lambda: _shows(run), lambda shown: "Sends the credentials" in shown, 120)

    async def welcome() -> None:
        await world.skip_to_end(run)
        await run.result()
        assert (await world.stored(registration)).stage == STAGE_WELCOMED

    return Waiting(RegistrationWorkflowNames.WORKFLOW, run, welcome, away=away)


async def for_an_answer_of_a_temporary_customer(world: World) -> Waiting:
    customer, run = await stories.with_a_temporary_need(world)
    await world.skip(run, timedelta(days=6))

    async def end_it() -> None:
        await end(world, customer)

    return Waiting(NeedWorkflowNames.WORKFLOW, run, end_it)


async def for_an_answer_to_a_late_message(world: World) -> Waiting:
    message, run = await messages.sent(world)
    await world.skip(run, timedelta(days=15))

    async def answer() -> None:
        await messages.close(world, message)
        await messages.look(world, message)

    return Waiting("MessageWorkflow", run, answer)


async def for_an_answer_to_feedback(world: World) -> Waiting:
    given, run = await feedback.sent(world)

    async def answer() -> None:
        await feedback.answer(world, given)
        await feedback.look(world, given)

    return Waiting("FeedbackWorkflow", run, answer, as_long_as_its_row=True)


async def for_rows_of_a_class_list(world: World) -> Waiting:
    scene = await stories.class_list(world)
    away = _away(world, scene.run(world), "register_rows")
    await scene.go()
    run = scene.run(world)
    return Waiting(ClassListWorkflowNames.WORKFLOW, run, nothing, cancelled=True, away=away)


async def for_the_end_of_an_export(world: World) -> Waiting:
    scene = await stories.disclosed(world)
    await scene.go()
    run = scene.run(world)

    async def pass_by() -> None:
        await world.skip_to_end(run)

    return Waiting(DisclosureWorkflowNames.WORKFLOW, run, pass_by)


def _telling(workflow: str, story: stories.Story, step: str) -> Callable[[World], Awaitable[Waiting]]:
    """A change is made, and its notification cannot be mailed."""

    async def stage(world: World) -> Waiting:
        scene = await story(world)
        away = _away(world, scene.run(world), step)
        await scene.go()
        run = scene.run(world)
        # Some wait for an answer afterwards.
        return Waiting(workflow, run, lambda: world.skip_to_end(run), away=away)

    stage.__name__ = f"to_tell_of_{story.__name__}"
    return stage


def _unbegun(workflow: str) -> Callable[[World], Awaitable[Waiting]]:
    """A run waits for its first message."""

    async def stage(world: World) -> Waiting:
        run = await world.temporal.start_workflow(
            workflow,
            args=_STARTED_BY_A_MESSAGE[workflow],
            id=f"unbegun-{workflow}/{uuid.uuid4()}",
            task_queue=TASK_QUEUE,
        )

        async def pass_by() -> None:
            with suppress(RPCError):
                await world.skip_to_end(run)

        return Waiting(workflow, run, pass_by, begun=False)

    stage.__name__ = f"to_begin_{workflow}"
    return stage


def _away(world: World, run: Run, step: str) -> ExitStack:
    """Makes an activity of a run fail until it is closed."""
    away = ExitStack()
    away.enter_context(world.faults.away(run.id, step))
    return away


async def _shows(run: Run) -> str:
    waits_for: WaitsFor = await run.query("waits_for", result_type=WaitsFor)
    return waits_for.details


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
        for_the_customers_own_address,
        for_a_mail_server,
        for_an_answer_of_a_temporary_customer,
        for_an_answer_to_a_late_message,
        for_an_answer_to_feedback,
        for_rows_of_a_class_list,
        for_the_end_of_an_export,
        _telling(TransferWorkflowNames.WORKFLOW, stories.transferred, "tell_previous_unit"),
        _telling(CredentialsWorkflowNames.WORKFLOW, stories.credentials_sent_anew, "send_credentials_anew"),
        _telling(AddressChangeWorkflowNames.WORKFLOW, stories.address_changed, "confirm_address"),
        _telling(MergeWorkflowNames.WORKFLOW, stories.merged, "tell_previous_unit"),
        _telling(UnitClosingWorkflowNames.WORKFLOW, stories.unit_closed, "tell_unit_closed"),
        *map(_unbegun, _STARTED_BY_A_MESSAGE),
    )
}


STAGES_OF: Mapping[str, set[str]] = {
    "RegistrationWorkflow": {
        "for_consent",
        "for_reactivation",
        "for_identity_check",
        "for_the_welcome",
        "for_the_customers_own_address",
        "for_a_mail_server",
        "to_begin_RegistrationWorkflow",
    },
    "RemovalWorkflow": {"for_erasure", "to_begin_RemovalWorkflow"},
    "NeedWorkflow": {
        "for_the_end_of_a_need",
        "for_an_answer_of_a_temporary_customer",
        "to_begin_NeedWorkflow",
    },
    "InvitationWorkflow": {"for_an_answer_to_an_invitation", "to_begin_InvitationWorkflow"},
    "MessageWorkflow": {"for_an_answer_to_a_message", "for_an_answer_to_a_late_message"},
    "FeedbackWorkflow": {"for_an_answer_to_feedback"},
    "ClassListWorkflow": {"for_rows_of_a_class_list"},
    "TransferWorkflow": {"to_tell_of_transferred", "to_begin_TransferWorkflow"},
    "CredentialsWorkflow": {"to_tell_of_credentials_sent_anew", "to_begin_CredentialsWorkflow"},
    "AddressChangeWorkflow": {"to_tell_of_address_changed", "to_begin_AddressChangeWorkflow"},
    "MergeWorkflow": {"to_tell_of_merged", "to_begin_MergeWorkflow"},
    "MergeUndoWorkflow": {"to_begin_MergeUndoWorkflow"},
    "UnitClosingWorkflow": {"to_tell_of_unit_closed", "to_begin_UnitClosingWorkflow"},
    "CodeChangeWorkflow": {"to_begin_CodeChangeWorkflow"},
    "DisclosureWorkflow": {"for_the_end_of_an_export"},
}
"""The stages of each workflow: of those that take messages, and of one that waits."""

_TAKE_NO_MESSAGE = {
    "DisclosureWorkflow",
    "PasswordOrderWorkflow",
    "PasswordReminderWorkflow",
    "WorkDigestWorkflow",
    "ReconciliationWorkflow",
}
"""Workflows without signals and updates: nothing can be sent to them in any stage."""


def definition_of(name: str) -> Any:
    """The SDK's definition of a workflow."""
    return {of.name: of for of in map(workflow._Definition.must_from_class, WORKFLOWS)}[name]


def bodies(workflow_name: str, message: str) -> Iterator[list[object]]:
    """Bodies to send: none, text, number, unknown fields, two messages, an empty message."""
    wrong: list[list[object]] = [[], ["text"], [17], [{"no_such_field": 1}], [{}, {}]]
    yield from wrong
    if message not in _DECIDING.get(workflow_name, ()):
        yield [{}]


async def status(run: Run) -> WorkflowExecutionStatus | None:
    return (await run.describe()).status


def right_body(of: type[Message], depth: int = 3) -> Message:
    """A valid body with every singular field set; the resources it names do not exist."""
    body = of()
    for part in of.DESCRIPTOR.fields:
        if part.is_repeated:
            continue
        if part.type == part.TYPE_MESSAGE:
            inner = getattr(body, part.name)
            inner.CopyFrom(right_body(type(inner), depth - 1) if depth else type(inner)())
        elif part.enum_type is not None:
            setattr(body, part.name, part.enum_type.values[-1].number)
        else:
            setattr(body, part.name, str(uuid.uuid4()) if part.type == part.TYPE_STRING else 1)
    return body


async def _is_sound(run: Run) -> bool:
    """Asserts that a run waits or has ended. A stuck run answers no query."""
    now = await status(run)
    assert now in {_RUNS, _ENDS}
    if now == _RUNS:
        with suppress(RPCError):
            await run.query("waits_for", result_type=WaitsFor)
            return True
        # The run may have ended just now.
        assert await status(run) == _ENDS
    return False


async def _ends(waiting: Waiting) -> None:
    await waiting.end()
    assert await eventually(lambda: status(waiting.run), lambda now: now != _RUNS, 120) == _ENDS


def test_every_workflow_that_takes_messages_has_a_stage() -> None:
    named = [workflow._Definition.must_from_class(of) for of in WORKFLOWS]
    silent = {of.name for of in named if not of.signals and not of.updates}
    assert silent == _TAKE_NO_MESSAGE
    assert STAGES_OF.keys() | silent == {of.name for of in named}
    assert {stage for stages in STAGES_OF.values() for stage in stages} == STAGES.keys()


@pytest.mark.parametrize("stage", STAGES)
async def test_no_message_sticks_a_run_or_fails_it(world: World, stage: str) -> None:
    waiting = await STAGES[stage](world)
    assert stage in STAGES_OF[waiting.workflow]
    definition = definition_of(waiting.workflow)
    for signal in definition.signals:
        for body in bodies(waiting.workflow, signal):
            await waiting.run.signal(signal, args=body)
    for update in definition.updates:
        for body in bodies(waiting.workflow, update):
            await _sent(waiting.run.execute_update(update, args=body))
    assert await _is_sound(waiting.run) or not waiting.begun
    await _ends(waiting)


@pytest.mark.parametrize("stage", STAGES)
async def test_no_right_message_sticks_a_run_or_fails_it(world: World, stage: str) -> None:
    waiting = await STAGES[stage](world)
    definition = definition_of(waiting.workflow)
    sendings: list[Callable[[Run], Awaitable[object]]] = [
        *(partial(_signal, name, of.arg_types[0]) for name, of in definition.signals.items()),
        *(partial(_update, name, of.arg_types[0]) for name, of in definition.updates.items()),
    ]
    for send in sendings:
        if not await _is_sound(waiting.run):
            # A message has ended the run regularly: the others are sent to another run.
            waiting.away.close()
            waiting = await STAGES[stage](world)
        await _sent(send(waiting.run))
    waiting.away.close()
    if await _is_sound(waiting.run):
        # Whatever was decided, the run ends in time, if it has not ended yet.
        if waiting.as_long_as_its_row:
            await waiting.finish()
        with suppress(RPCError):
            await world.skip_to_end(waiting.run)
        assert await status(waiting.run) in {_ENDS, WorkflowExecutionStatus.CONTINUED_AS_NEW}


async def _signal(name: str, of: type[Message], run: Run) -> None:
    await run.signal(name, right_body(of))


async def _update(name: str, of: type[Message], run: Run) -> None:
    await run.execute_update(name, right_body(of))


async def _sent(sending: Awaitable[object]) -> None:
    """Sends a message, which may be refused or too late, but must get an answer."""
    with suppress(WorkflowUpdateFailedError, RPCError):
        await asyncio.wait_for(sending, 60)


@pytest.mark.parametrize("stage", STAGES)
async def test_a_cancellation_locks_nobody_out(world: World, stage: str) -> None:
    waiting = await STAGES[stage](world)
    await waiting.run.cancel()
    if waiting.cancelled:
        waiting.away.close()
        assert await eventually(lambda: status(waiting.run), lambda now: now != _RUNS, 120) == _ENDS
        return
    await eventually(lambda: _shows(waiting.run), lambda found: CANCELLATION_IGNORED in found, 120)
    assert await status(waiting.run) == _RUNS
    await _ends(waiting)


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
            await world.skip_to_end(run)
        await run.result()
        description = await run.describe()
        assert description.status == _ENDS
        assert description.close_time is not None
        assert description.close_time - description.start_time <= timedelta(minutes=11)
        # So operators count them.
        assert description.typed_search_attributes[STAGE] == NEVER_BEGUN
    ended = " OR ".join(f"WorkflowId = '{run.id}'" for run in started)

    async def counted() -> int:
        query = f"({ended}) AND {STAGE.name} = '{NEVER_BEGUN}' AND ExecutionStatus = 'Completed'"
        return (await world.temporal.count_workflows(query)).count

    # The list lags behind.
    assert await eventually(counted, lambda number: number == len(started), 60)
