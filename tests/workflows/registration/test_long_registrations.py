"""A registration that is edited without end: it goes on in new runs, and is slowed down (R14)."""

import uuid
from datetime import timedelta

import grpc
import pytest

from deploy.demo.polling import eventually
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.reason_pb2 import REASON_GUARDIAN_MAILED_RECENTLY, REASON_TOO_MANY_EDITS
from liity.v1.registration_pb2 import STAGE_WELCOMED
from liity.workflows.v1.registration_workflow_pb2 import RecordConsentRequest, RemindGuardianRequest
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import RegistrationWorkflowNames
from tests.workflows.conftest import World, born, child_form
from tests.workflows.registration.test_editing import edit
from tests.workflows.registration.test_registration import address
from workflows.registration import state
from workflows.registration import workflow as registration_workflow

_PATIENCE = 120
"""Seconds."""

_EDITS = 8
"""Of the tests' run, instead of a thousand."""


async def waiting(world: World, guardian: str) -> tuple[Registration, str]:
    """A child whose guardian was asked; and the ID of its run."""
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(minutes=1))
    return registration, await run_id(world, registration)


async def run_id(world: World, registration: Registration) -> str:
    """The ID of the newest run."""
    workflow_id = RegistrationWorkflowNames.workflow_id(registration.person_id)
    return (await world.temporal.get_workflow_handle(workflow_id).describe()).run_id


async def in_a_new_run(world: World, registration: Registration, before: str) -> str:
    """Waits until the registration goes on in a new run."""
    return await eventually(lambda: run_id(world, registration), lambda now: now != before, _PATIENCE)


async def consented(world: World, registration: Registration) -> None:
    """The guardian says yes."""
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja")
    consent = RecordConsentRequest(request_id=str(uuid.uuid4()), evidence=evidence)
    await world.workflows.record_consent(registration.person_id, consent)


async def test_a_guardian_is_heard_after_any_number_of_edits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "EDITS_PER_RUN", _EDITS)
    guardian = address()
    registration, first = await waiting(world, guardian)
    for number in range(2 * _EDITS + 1):
        await edit(world, registration, "first_names", first_names=f"Onni {'I' * number}")
    await in_a_new_run(world, registration, first)
    await consented(world, registration)
    # Once the customership has begun, it goes on in new runs, too.
    workflow_id = RegistrationWorkflowNames.workflow_id(registration.person_id)
    run = world.temporal.get_workflow_handle(workflow_id)
    await world.skip(run, timedelta(days=1))
    before = await run_id(world, registration)
    monkeypatch.setattr(state, "EDITS_PER_RUN", 0)
    await run.signal(RegistrationWorkflowNames.ADDRESS_CHANGED, {})
    await in_a_new_run(world, registration, before)
    monkeypatch.setattr(state, "EDITS_PER_RUN", _EDITS)
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    # The request, the receipt, the credentials and the welcome: each once.
    assert len(world.mails_to(guardian)) == 4


async def test_a_reminder_is_repeated_by_no_later_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(days=5))
    first = await run_id(world, registration)
    request = RemindGuardianRequest(request_id=str(uuid.uuid4()))
    reminded = await world.workflows.remind_guardian(registration.person_id, request)
    await world.skip(run, timedelta(minutes=1))
    monkeypatch.setattr(state, "EDITS_PER_RUN", 2)
    await edit(world, registration, "first_names", first_names="Onni Ilmari")
    await in_a_new_run(world, registration, first)
    again = await world.workflows.remind_guardian(registration.person_id, request)
    assert again.mail_time == reminded.mail_time
    other = RemindGuardianRequest(request_id=str(uuid.uuid4()))
    with pytest.raises(Refusal) as refused:
        await world.workflows.remind_guardian(registration.person_id, other)
    assert refused.value.reason == REASON_GUARDIAN_MAILED_RECENTLY
    # The reminder of the seventh day is left out.
    newest = world.temporal.get_workflow_handle(RegistrationWorkflowNames.workflow_id(registration.person_id))
    await world.skip(newest, timedelta(days=3))
    assert len(world.mails_to(guardian)) == 2


async def test_edits_at_every_keystroke_are_slowed_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration_workflow, "EDITS_AT_ONCE", 3)
    registration, _ = await waiting(world, address())
    for name in ("A", "B", "C"):
        await edit(world, registration, "first_names", first_names=name)
    with pytest.raises(Refusal) as refused:
        await edit(world, registration, "first_names", first_names="D")
    assert refused.value.reason == REASON_TOO_MANY_EDITS
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.retry_after == timedelta(minutes=1)
    workflow_id = RegistrationWorkflowNames.workflow_id(registration.person_id)
    await world.skip(world.temporal.get_workflow_handle(workflow_id), timedelta(minutes=2))
    await edit(world, registration, "first_names", first_names="E")
