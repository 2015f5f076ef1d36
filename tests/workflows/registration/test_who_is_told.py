"""Whether the registrar is told is decided with the decision: who comes too late changes nothing."""

import asyncio
import uuid

import pytest
from temporalio.client import WorkflowHandle

from deploy.demo.polling import eventually
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_REGISTRAR, Role
from liity.v1.reason_pb2 import REASON_NOT_WAITING
from liity.workflows.v1.registration_workflow_pb2 import RecordConsentRequest, WithdrawRequest
from services.runtime.rpc.context import set_current_actor
from services.runtime.rpc.errors import Refusal
from tests.workflows.conftest import World, child_form
from tests.workflows.registration.test_responsible import CONSENTED, saved_by, subjects
from tests.workflows.support.stories import address

_PATIENCE = 120.0


async def consents(world: World, registration: Registration, role: Role.ValueType) -> Registration:
    """Somebody records the guardian's consent."""
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac7", role=role))
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_RECORDED, guardian_name="Outi Huoltaja")
    request = RecordConsentRequest(request_id=str(uuid.uuid4()), evidence=evidence)
    return await world.workflows.record_consent(registration.person_id, request)


async def withdraws(world: World, registration: Registration, role: Role.ValueType) -> Registration:
    """Somebody withdraws the registration."""
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac8", role=role))
    request = WithdrawRequest(request_id=str(uuid.uuid4()))
    return await world.workflows.withdraw(registration.person_id, request)


async def updates(run: WorkflowHandle[object, object]) -> int:
    """How many updates a run has taken."""
    events = [event async for event in run.fetch_history_events()]
    return sum(event.HasField("workflow_execution_update_accepted_event_attributes") for event in events)


async def test_whoever_decides_too_late_keeps_nobody_from_being_told(world: World) -> None:
    """Customer service's consent counts; the registrar, who withdraws meanwhile, is told of it."""
    unit_id = await world.unit()
    registrar = await world.account(unit_id)
    registration, run = await saved_by(world, registrar, unit_id, child_form(address()), 9)
    with world.faults.away(run.id, "activate_registration"):
        consent = asyncio.create_task(consents(world, registration, ROLE_CUSTOMER_SERVICE))
        await eventually(lambda: updates(run), lambda taken: taken == 2, _PATIENCE)
        withdrawal = asyncio.create_task(withdraws(world, registration, ROLE_REGISTRAR))
        await eventually(lambda: updates(run), lambda taken: taken == 3, _PATIENCE)
    assert (await consent).customer_id
    with pytest.raises(Refusal) as refused:
        await withdrawal
    assert refused.value.reason == REASON_NOT_WAITING

    async def told() -> list[str]:
        return subjects(world, registrar.email)

    await eventually(told, lambda mails: CONSENTED in mails, _PATIENCE)
