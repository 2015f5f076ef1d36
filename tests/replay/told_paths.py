"""The paths that the stories of `tests.workflows` tell, and those of what goes wrong."""

import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

from temporalio.client import WorkflowContinuedAsNewError, WorkflowHandle
from temporalio.service import RPCError

from deploy.demo.polling import eventually
from liity.registration.v1.customer_service_pb2 import Customer
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER
from liity.workflows.v1.registration_workflow_pb2 import RegistrationWorkflowInput
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import (
    TASK_QUEUE,
    RegistrationWorkflowNames,
)
from tests.services.registration.audit.uses import acting_as, an_account
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers.test_lost_updates import losing
from tests.workflows.customers.test_need import extend
from tests.workflows.registration.test_editing import edit
from tests.workflows.removal.test_removal import end
from tests.workflows.support import stories
from tests.workflows.support.stories import Run, Story, address
from tests.workflows.units.test_invitation import Inviting, token_in, until_mailed
from workflows.registration import state
from workflows.support import steps

Path = Callable[[World], Awaitable[Run]]

EDITS_PER_RUN = 3
"""Of the paths of many edits: a history of as many as a run really takes would be long."""

_PATIENCE = 60.0

_STORIES: Sequence[Story] = (
    stories.converted,
    stories.wrong_recipient,
    stories.decline_taken_back,
    stories.consent_withdrawn,
    stories.edited,
    stories.adopted,
    stories.over,
    stories.resumed,
    stories.transferred,
    stories.credentials_sent_anew,
    stories.address_changed,
    stories.guardians_address_changed,
    stories.need_begun,
    stories.need_extended,
    stories.merged,
    stories.merged_within_a_unit,
    stories.merge_undone,
    stories.undone,
    stories.returned,
    stories.disclosed,
    stories.password_ordered,
    stories.invited,
    stories.invitation_withdrawn,
    stories.unit_closed,
    stories.unit_moved,
    stories.message_erased,
    stories.feedback_answered,
    stories.passwords_reminded_of,
    stories.work_is_due,
    stories.reconciled,
)
"""Those of which there is no other path."""


def _path_of(story: Story) -> Path:
    async def path(world: World) -> Run:
        scene = await story(world)
        await scene.go()
        return await _to_its_end(world, scene.run(world))

    return path


async def _to_its_end(world: World, run: Run) -> Run:
    """Lets time pass until a run ends, or goes on in a new one: its handle is of this run alone."""
    this = world.temporal.get_workflow_handle(run.id, run_id=(await run.describe()).run_id)
    with suppress(RPCError):
        # It may have ended by now.
        await world.skip_to_end(this)
    with suppress(WorkflowContinuedAsNewError):
        await this.result(follow_runs=False)
    return this


async def _child(world: World) -> tuple[Registration, Run]:
    return await world.save(child_form(address()), born(9))


async def cancelled_while_waiting(world: World) -> Run:
    """A child whose registration an operator cancels in Temporal UI."""
    _, run = await _child(world)
    await run.cancel()
    return await _to_its_end(world, run)


async def cancelled_in_vain(world: World) -> Run:
    """An adult, whose welcome no cancellation stops."""
    _, run = await world.save(adult_form(address()), born(40))
    await run.cancel()
    return await _to_its_end(world, run)


async def first_update_lost(world: World) -> Run:
    """A run that never gets the Save it was started for."""
    person_id = uuid.uuid4().hex
    run = await world.temporal.start_workflow(
        RegistrationWorkflowNames.WORKFLOW,
        RegistrationWorkflowInput(person_id=person_id),
        id=RegistrationWorkflowNames.workflow_id(person_id),
        task_queue=TASK_QUEUE,
    )
    return await _to_its_end(world, run)


async def update_performed_from_the_input(world: World) -> Run:
    """A transfer whose update is lost: the run makes it from its input."""
    scene = await stories.transferred(world)
    asking = losing(world).transfer(scene.request)
    with suppress(Refusal):
        await acting_as(an_account(scene.request.registrar.account_id), asking)
    return await _to_its_end(world, scene.run(world))


async def edited_for_long(world: World) -> Run:
    """A child whose form is edited until the registration goes on in a new run."""
    return (await _edited_for_long(world))[0]


async def gone_on_in_a_new_run(world: World) -> Run:
    """The new run of a child whose form was edited for long, until it lapses."""
    return await _to_its_end(world, (await _edited_for_long(world))[1])


async def _edited_for_long(world: World) -> tuple[Run, Run]:
    with edits_per_run():
        registration, run = await _child(world)
        first = (await run.describe()).run_id
        for number in range(EDITS_PER_RUN):
            await edit(world, registration, "first_names", first_names=f"Onni {'I' * number}")

        async def newest() -> str | None:
            return (await run.describe()).run_id

        second = await eventually(newest, lambda found: found != first, _PATIENCE)

    def handle(run_id: str | None) -> WorkflowHandle[object, object]:
        return world.temporal.get_workflow_handle(run.id, run_id=run_id)

    return handle(first), handle(second)


@contextmanager
def edits_per_run() -> Iterator[None]:
    """Has a run take few edits."""
    before = state.EDITS_PER_RUN
    state.EDITS_PER_RUN = EDITS_PER_RUN
    try:
        yield
    finally:
        state.EDITS_PER_RUN = before


async def welcome_refused(world: World) -> Run:
    """An adult whose welcome is refused for good."""
    scene = await stories.adult(world)
    with world.faults.refusing(scene.workflow_id, "send_welcome"):
        await scene.go()
        return await _to_its_end(world, scene.run(world))


async def lapse_refused(world: World) -> Run:
    """A child whose registration cannot be ended at first, when it lapses."""
    _, run = await _child(world)
    with world.faults.refusing(run.id, "end_registration"):
        await world.skip(run, timedelta(days=30, hours=2))
    return await _to_its_end(world, run)


async def activation_late(world: World) -> Run:
    """A child whose guardian consents while registration is away, for longer than a local step is tried."""
    scene = await stories.withdrawn(world)
    run = scene.run(world)
    with world.faults.away(run.id, "activate_registration"):
        await run.signal(RegistrationWorkflowNames.RECORD_CONSENT, {})

        async def is_ordinary() -> bool:
            return ("activate_registration", run.id, False) in world.faults.tried

        await eventually(is_ordinary, bool, _PATIENCE)
    return await _to_its_end(world, run)


async def credentials_too_late(world: World) -> Run:
    """Credentials of somebody whose customership ends while the mail server is away."""
    scene = await stories.credentials_sent_anew(world)
    with world.faults.away(scene.workflow_id, "send_credentials_anew"):
        await scene.go()
        order = scene.request
        await end(world, Customer(customer_id=order.customer_id, unit_id=order.unit_id))
    return await _to_its_end(world, scene.run(world))


async def need_ended(world: World) -> Run:
    """A temporary need of somebody whose customership ends."""
    customer, run = await stories.with_a_temporary_need(world)
    await end(world, customer)
    return await _to_its_end(world, run)


async def need_asked_about_in_an_earlier_run(world: World) -> Run:
    """A run of a temporary need that goes on while an answer is waited for, which never comes."""
    before = steps.UPDATES_PER_RUN
    steps.UPDATES_PER_RUN = 1
    try:
        customer, run = await stories.with_a_temporary_need(world)
        await world.skip(run, timedelta(days=6))
        first = (await run.describe()).run_id
        with suppress(Refusal):
            await extend(world, customer, -1)

        async def newest() -> str | None:
            return (await run.describe()).run_id

        second = await eventually(newest, lambda found: found != first, _PATIENCE)
    finally:
        steps.UPDATES_PER_RUN = before
    return await _to_its_end(world, world.temporal.get_workflow_handle(run.id, run_id=second))


async def invitation_accepted(world: World) -> Run:
    """An invitation that is accepted."""
    unit_id, email = await world.unit(), f"{uuid.uuid4().hex}@kirjasto.example"
    inviter = await world.account(unit_id, ROLE_MAIN_USER)
    inviting = Inviting(world, unit_id, inviter.account_id, inviter.email)
    _, run = await inviting.invite(email)
    await until_mailed(world, run)
    (mail,) = world.mails_to(email)
    await inviting.accept(token_in(mail))
    return await _to_its_end(world, run)


TOLD_PATHS: Mapping[str, Path] = {
    **{story.__name__: _path_of(story) for story in _STORIES},
    **{
        path.__name__: path
        for path in (
            cancelled_while_waiting,
            cancelled_in_vain,
            first_update_lost,
            update_performed_from_the_input,
            edited_for_long,
            gone_on_in_a_new_run,
            welcome_refused,
            lapse_refused,
            activation_late,
            credentials_too_late,
            need_ended,
            need_asked_about_in_an_earlier_run,
            invitation_accepted,
        )
    },
}
"""All of them, by the names of their files."""
