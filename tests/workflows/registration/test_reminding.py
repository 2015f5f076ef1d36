"""The unit has a guardian reminded: once per call, and not soon after another mail (R29, R30)."""

import uuid
from datetime import timedelta

import grpc
import pytest

from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.customer_form_pb2 import RelatedPerson
from liity.v1.reason_pb2 import REASON_GUARDIAN_MAILED_RECENTLY, REASON_NOT_WAITING_FOR_CONSENT
from liity.workflows.v1.registration_workflow_pb2 import (
    RecordConsentRequest,
    RemindGuardianRequest,
    RemindGuardianResponse,
)
from services.runtime.rpc.errors import Refusal
from tests.workflows.conftest import World, born, child_form
from tests.workflows.registration.test_editing import edit
from tests.workflows.registration.test_registration import address, subjects, token_in


async def remind(world: World, registration: Registration, request_id: str = "") -> RemindGuardianResponse:
    request = RemindGuardianRequest(request_id=request_id or str(uuid.uuid4()))
    return await world.workflows.remind_guardian(registration.person_id, request)


async def refused(world: World, registration: Registration) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await remind(world, registration)
    return caught.value


async def test_a_guardian_is_reminded_once_per_call(world: World) -> None:
    guardian, request_id = address(), str(uuid.uuid4())
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(days=3, minutes=1))
    first = await remind(world, registration, request_id)
    assert first.registration.registration_id == registration.registration_id
    asked = registration.create_time.ToDatetime()
    assert timedelta(days=3) <= first.mail_time.ToDatetime() - asked < timedelta(days=4)
    assert await remind(world, registration, request_id) == first
    await world.skip(run, timedelta(minutes=1))
    request, reminder = world.mails_to(guardian)
    assert token_in(reminder) == token_in(request)
    assert len(set(subjects(world, guardian))) == 2


async def test_a_guardian_who_was_mailed_recently_is_not_reminded(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    # An automatic reminder goes out on the seventh day.
    for days in (1, 7):
        await world.skip(run, timedelta(days=days))
        refusal = await refused(world, registration)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            REASON_GUARDIAN_MAILED_RECENTLY,
        )
        assert refusal.retry_after is not None
        assert round(refusal.retry_after / timedelta(hours=1)) == 48
    assert len(world.mails_to(guardian)) == 2
    await world.skip(run, timedelta(days=2, minutes=1))
    await remind(world, registration)
    await refused(world, registration)


async def test_an_automatic_reminder_soon_after_is_left_out(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(days=5))
    await remind(world, registration)
    sent = []
    # Day 6, 8, 15 and 22: those of the days 14 and 21 go out.
    for days in (1, 2, 7, 7):
        await world.skip(run, timedelta(days=days))
        sent.append(len(world.mails_to(guardian)))
    assert sent == [2, 2, 3, 4]


async def test_an_automatic_reminder_later_goes_out(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(days=3, hours=12))
    await remind(world, registration)
    await world.skip(run, timedelta(days=4))
    assert len(world.mails_to(guardian)) == 3


async def test_a_guardian_whose_address_was_corrected_has_just_been_mailed(world: World) -> None:
    registration, run = await world.save(child_form(address()), born(9))
    await world.skip(run, timedelta(days=4))
    corrected = address()
    await edit(world, registration, "related_person.email", related_person=RelatedPerson(email=corrected))
    await world.skip(run, timedelta(minutes=1))
    assert (await refused(world, registration)).reason == REASON_GUARDIAN_MAILED_RECENTLY
    assert len(world.mails_to(corrected)) == 1


async def test_a_guardian_who_has_answered_is_not_reminded(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(days=4))
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja")
    consent = RecordConsentRequest(request_id=str(uuid.uuid4()), evidence=evidence)
    await world.workflows.record_consent(registration.person_id, consent)
    assert (await refused(world, registration)).reason == REASON_NOT_WAITING_FOR_CONSENT
