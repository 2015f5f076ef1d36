"""The form is corrected while a registration waits (R14): a guardian is asked anew."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from liity.registration.v1.registration_service_pb2 import (
    ConsentEvidence,
    GetFormRequest,
    GetFormResponse,
    Registration,
    UpdateFormRequest,
)
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_REPLACED,
    CONSENT_REQUEST_STATE_WRONG_RECIPIENT,
)
from liity.v1.customer_form_pb2 import CustomerForm, RelatedPerson
from liity.v1.reason_pb2 import (
    REASON_LINK_USED,
    REASON_LINK_VOID,
    REASON_NOT_WAITING,
    REASON_NOT_WAITING_FOR_CONSENT,
)
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_WAITING_FOR_CONSENT
from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    EditRequest,
    EditResponse,
    RecordConsentRequest,
    ReportWrongRecipientRequest,
    SendConsentLinkRequest,
    WithdrawRequest,
)
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.search_attributes import DEADLINE
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, born, child_form
from tests.workflows.registration.test_registration import address, became_of, link_id, subjects, token_in

WRONG = "Huoltajan osoite on väärä: korjaathan sen"


async def form_of(world: World, registration: Registration) -> GetFormResponse:
    gateway = world.gateway["registration"]
    request = GetFormRequest(registration_id=registration.registration_id)
    return await gateway.call(RegistrationServiceStub(gateway.channel).GetForm, request)


async def edit(
    world: World, registration: Registration, path: str, request_id: str = "", etag: str = "", **fields: Any
) -> EditResponse:
    update = UpdateFormRequest(
        registration_id=registration.registration_id,
        unit_id=registration.unit_id,
        etag=etag or (await form_of(world, registration)).etag,
        update_mask=FieldMask(paths=[path]),
        form=CustomerForm(**fields),
    )
    request = EditRequest(request_id=request_id or str(uuid.uuid4()), update=update)
    return await world.workflows.edit(registration.person_id, request)


async def test_a_guardian_whose_address_is_corrected_is_asked_anew(world: World) -> None:
    wrong, right = address(), address()
    registration, run = await world.save(child_form(wrong), born(9))
    await world.skip(run, timedelta(days=3))
    first = token_in(world.mails_to(wrong)[0])
    deadline = (await run.describe()).typed_search_attributes[DEADLINE]
    request_id, etag = str(uuid.uuid4()), (await form_of(world, registration)).etag
    for _ in range(2):
        await edit(
            world,
            registration,
            "related_person.email",
            request_id,
            etag,
            related_person=RelatedPerson(email=right),
        )
    await world.skip(run, timedelta(hours=1))
    assert len(world.mails_to(right)) == 1
    with pytest.raises(Refusal) as refused:
        await link_id(world, first)
    assert refused.value.reason == REASON_LINK_VOID
    assert await became_of(world, first) == CONSENT_REQUEST_STATE_REPLACED
    assert (await run.describe()).typed_search_attributes[DEADLINE] == deadline
    # Ordered by the old link, the new one is mailed again: once, and to the new address alone.
    order = SendConsentLinkRequest(request_id=str(uuid.uuid4()))
    for _ in range(2):
        await world.workflows.send_consent_link(registration.person_id, order)
    await world.skip(run, timedelta(hours=1))
    assert len(world.mails_to(right)) == 2
    # A reminder repeats the new link, too.
    await world.skip(run, timedelta(days=5))
    assert len(world.mails_to(wrong)) == 1
    request, ordered, reminder = world.mails_to(right)
    assert token_in(request) == token_in(ordered) == token_in(reminder)
    consent = RecordConsentRequest(
        request_id=str(uuid.uuid4()),
        evidence=ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja"),
        link_id=await link_id(world, token_in(request)),
    )
    assert (await world.workflows.record_consent(registration.person_id, consent)).stage == STAGE_ACTIVE
    with pytest.raises(Refusal) as refused:
        await world.workflows.send_consent_link(
            registration.person_id, SendConsentLinkRequest(request_id=str(uuid.uuid4()))
        )
    assert refused.value.reason == REASON_NOT_WAITING_FOR_CONSENT


async def test_a_wrong_recipient_declines_nothing_and_gets_no_more_mail(world: World) -> None:
    wrong, right = address(), address()
    registration, run = await world.save(child_form(wrong), born(9))
    await world.skip(run, timedelta(hours=1))
    told = subjects(world, REGISTRARS_ADDRESS).count(WRONG)
    token = token_in(world.mails_to(wrong)[0])
    report = ReportWrongRecipientRequest(request_id=str(uuid.uuid4()), link_id=await link_id(world, token))
    for _ in range(2):
        answer = await world.workflows.report_wrong_recipient(registration.person_id, report)
        assert answer.stage == STAGE_WAITING_FOR_CONSENT
    with pytest.raises(Refusal) as refused:
        await link_id(world, token)
    assert refused.value.reason == REASON_LINK_USED
    assert await became_of(world, token) == CONSENT_REQUEST_STATE_WRONG_RECIPIENT
    # Neither a reminder nor an order of a new link mails that address; nor does a change that keeps it.
    order = SendConsentLinkRequest(request_id=str(uuid.uuid4()))
    await world.workflows.send_consent_link(registration.person_id, order)
    person = RelatedPerson()
    person.CopyFrom((await form_of(world, registration)).form.related_person)
    person.phone = "+358401234567"
    await edit(world, registration, "related_person", related_person=person)
    await world.skip(run, timedelta(days=8))
    assert len(world.mails_to(wrong)) == 1
    assert subjects(world, REGISTRARS_ADDRESS).count(WRONG) == told + 1
    assert (await world.stored(registration)).HasField("wrong_recipient_time")

    await edit(world, registration, "related_person.email", related_person=RelatedPerson(email=right))
    await world.skip(run, timedelta(days=8))
    assert not (await world.stored(registration)).HasField("wrong_recipient_time")
    request, reminder = world.mails_to(right)
    assert token_in(request) == token_in(reminder)
    assert await link_id(world, token_in(request))


async def test_a_decline_from_a_wrong_address_does_not_count_once_it_is_corrected(world: World) -> None:
    right = address()
    registration, run = await world.save(child_form(address()), born(9))
    await world.skip(run, timedelta(hours=1))
    decline = DeclineConsentRequest(request_id=str(uuid.uuid4()))
    assert (await world.workflows.decline_consent(registration.person_id, decline)).HasField("decline_time")
    await edit(world, registration, "related_person.email", related_person=RelatedPerson(email=right))
    await world.skip(run, timedelta(hours=2))
    stored = await world.stored(registration)
    assert stored.stage == STAGE_WAITING_FOR_CONSENT
    assert not stored.HasField("decline_time")
    assert len(world.mails_to(right)) == 1


async def test_what_concerns_no_guardian_asks_nobody(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(hours=1))
    answer = await edit(world, registration, "first_names", first_names="Onni Oskari")
    assert answer.updated.registration.customer_display_name == "Onni Oskari Esimerkki"
    await world.skip(run, timedelta(days=1))
    assert len(world.mails_to(guardian)) == 1
    assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_CONSENT


async def test_of_two_the_later_is_told_and_nobody_is_asked(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(hours=1))
    stale = (await form_of(world, registration)).etag
    await edit(world, registration, "first_names", first_names="Oiva")
    late = await edit(
        world,
        registration,
        "related_person.email",
        etag=stale,
        related_person=RelatedPerson(email=address()),
    )
    assert list(late.updated.changed_meanwhile.paths) == ["first_names"]
    await world.skip(run, timedelta(days=1))
    assert len(world.mails_to(guardian)) == 1
    assert await link_id(world, token_in(world.mails_to(guardian)[0]))


async def test_what_waits_no_more_is_not_corrected(world: World) -> None:
    registration, run = await world.save(child_form(address()), born(9))
    withdraw = WithdrawRequest(request_id=str(uuid.uuid4()))
    await world.workflows.withdraw(registration.person_id, withdraw)
    await run.result()
    with pytest.raises(Refusal) as refused:
        await edit(world, registration, "first_names", etag="b2Zub3RoaW5n", first_names="Oiva")
    assert refused.value.reason == REASON_NOT_WAITING
