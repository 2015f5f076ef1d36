"""What waits for customer service, in the registration service: who is saved so, and what a decision does."""

import asyncio
import secrets
import uuid
from datetime import UTC, timedelta
from typing import Any

import pytest
from google.type.date_pb2 import Date

from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.customer_service_pb2 import Customer
from liity.registration.v1.unit_service_pb2 import CloseUnitRequest, Unit
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1 import registration_pb2 as life
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_UNSPECIFIED, CUSTOMER_KIND_CD_BORROWER
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_MARKED_FOR_DELETION,
    STANDING_REGISTERED_IN_THIS_UNIT,
    MissingPersonalIdentityCode,
)
from services.registration.registrations.note_retention import NOTE_LIFETIME, sweep_notes
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal, reason_name
from tests.support.registration_forms import adult_form, changed, child_form, paper_consent
from tests.support.registration_service import (
    BIRTH_OF_ADULT,
    DEADLINE,
    REGISTRAR,
    Service,
    birth_of_child,
    refusal,
    timestamp,
    violations,
)

WITHOUT_CODE = {"missing_code_reason": life.MISSING_CODE_REASON_NOT_YET_GIVEN}
NOT_WAITING = ("FAILED_PRECONDITION", "NOT_WAITING_FOR_DECISION")


async def unidentified(service: Service, unit: Unit, **fields: Any) -> pb.Registration:
    """A registration of an adult without a code; names may be given."""
    names = {name: fields.pop(name) for name in ("first_names", "last_name") if name in fields}
    form = changed(adult_form(), **names)
    created = await service.create(unit.unit_id, form, **(WITHOUT_CODE | fields))
    assert created.registration.stage == life.STAGE_WAITING_FOR_IDENTITY_CHECK
    return created.registration


async def saved_again(service: Service, unit: Unit, customer: Customer, **fields: Any) -> pb.Registration:
    """A registration of somebody who is marked for deletion."""
    form = fields.pop("form", None) or adult_form()
    created = await service.create(unit.unit_id, form, person_id=customer.person_id, **fields)
    return created.registration


async def marked(service: Service, unit: Unit, **fields: Any) -> Customer:
    customer = await service.customer(unit.unit_id, **fields)
    await service.mark(customer.customer_id)
    return await service.get_customer(customer.customer_id)


async def test_a_save_without_a_code_waits_whatever_the_age(service: Service, unit: Unit) -> None:
    with_paper = child_form()
    with_paper.paper_consent.CopyFrom(paper_consent())
    for form, birth_date, consent in (
        (adult_form(), BIRTH_OF_ADULT, life.CONSENT_STATE_NOT_NEEDED),
        (child_form(), birth_of_child(), life.CONSENT_STATE_UNSPECIFIED),
        (with_paper, birth_of_child(), life.CONSENT_STATE_UNSPECIFIED),
    ):
        created = await service.create(unit.unit_id, form, birth_date=birth_date, **WITHOUT_CODE)
        registration = created.registration
        assert registration.stage == life.STAGE_WAITING_FOR_IDENTITY_CHECK
        assert registration.consent_state == consent
        assert registration.missing_code_reason == life.MISSING_CODE_REASON_NOT_YET_GIVEN
        assert registration.deadline.ToDatetime(UTC) == DEADLINE
        assert not registration.customer_id
        assert not created.HasField("consent_outgrown_date")
        assert await service.get(registration.registration_id) == registration
        found = await service.page(unit.unit_id, stage=life.STAGE_WAITING_FOR_IDENTITY_CHECK)
        assert registration in list(found.registrations)


async def test_what_is_told_instead_of_a_code_is_checked_with_the_form(service: Service, unit: Unit) -> None:
    form = changed(adult_form(), address__post_office="")
    missing = MissingPersonalIdentityCode(birth_date=Date(year=2019, month=13, day=1))
    prepare = service.prepare(unit.unit_id, form, birth_date=None, missing_personal_identity_code=missing)
    assert await violations(prepare) == {
        "missing_personal_identity_code.birth_date": "INVALID_DATE",
        "missing_personal_identity_code.reason": "REQUIRED",
        "form.address.post_office": "REQUIRED",
    }
    missing = MissingPersonalIdentityCode(
        birth_date=birth_of_child(),
        reason=99,  # type: ignore[arg-type] # a reason of the future
    )
    prepare = service.prepare(
        unit.unit_id, adult_form(), birth_date=None, missing_personal_identity_code=missing
    )
    assert await violations(prepare) == {
        "missing_personal_identity_code.reason": "UNKNOWN_VALUE",
        "form.applicant": "GUARDIAN_REQUIRED",
        "form.related_person": "REQUIRED",
    }


async def test_a_yes_begins_the_customership_with_the_date_of_birth(service: Service, unit: Unit) -> None:
    waiting = await unidentified(service, unit)
    decision = str(uuid.uuid4())
    approved = await service.approve(waiting.registration_id, decision_request_id=decision)
    registration = approved.registration
    assert registration.stage == life.STAGE_ACTIVE
    assert not approved.HasField("previous")
    assert registration.decision_request_id == decision
    assert not registration.missing_code_reason
    [customer] = await service.rows(
        "SELECT * FROM customers WHERE customer_id = :c", c=registration.customer_id
    )
    assert customer["birth_date"].year == BIRTH_OF_ADULT.year
    again = await service.approve(waiting.registration_id, decision_request_id=decision)
    assert again.registration == registration
    assert len(await service.rows("SELECT 1 FROM customers WHERE person_id = :p", p=waiting.person_id)) == 1


async def test_a_yes_to_a_child_waits_for_consent_unless_it_is_on_paper(service: Service, unit: Unit) -> None:
    with_paper = child_form()
    with_paper.paper_consent.CopyFrom(paper_consent(days_ago=2))
    fields = {"birth_date": birth_of_child(), **WITHOUT_CODE}
    asked = (await service.create(unit.unit_id, child_form(), **fields)).registration
    signed = (await service.create(unit.unit_id, with_paper, **fields)).registration
    approved = await service.approve(asked.registration_id)
    assert approved.registration.stage == life.STAGE_WAITING_FOR_CONSENT
    assert approved.registration.consent_state == life.CONSENT_STATE_AWAITED
    assert approved.consent_outgrown_date.year == birth_of_child().year + 15
    assert await service.approve(asked.registration_id) == approved
    active = (await service.approve(signed.registration_id)).registration
    assert (active.stage, active.consent_state) == (life.STAGE_ACTIVE, life.CONSENT_STATE_GIVEN)
    [evidence] = await service.rows(
        "SELECT * FROM consents WHERE registration_id = :r", r=signed.registration_id
    )
    assert (evidence["method"], evidence["recorded_by"]) == (
        pb.ConsentEvidence.METHOD_PAPER,
        REGISTRAR.account_id,
    )


async def test_the_age_counts_on_the_day_of_the_decision(service: Service, unit: Unit) -> None:
    fields = {"birth_date": birth_of_child(), **WITHOUT_CODE}
    waiting = (await service.create(unit.unit_id, child_form(), **fields)).registration
    grown = timestamp(now() + timedelta(days=366 * 8))
    approved = await service.approve(waiting.registration_id, decide_time=grown)
    assert approved.registration.stage == life.STAGE_ACTIVE
    assert approved.registration.consent_state == life.CONSENT_STATE_NOT_NEEDED


async def test_what_does_not_wait_for_customer_service_takes_no_yes(service: Service, unit: Unit) -> None:
    child = await service.waiting(unit.unit_id)
    adult = (await service.create(unit.unit_id, adult_form())).registration
    ended = await unidentified(service, unit)
    await service.end(ended.registration_id, life.STAGE_WITHDRAWN)
    customer = await service.customer(unit.unit_id)
    for registration in (child, adult, ended):
        assert await refusal(service.approve(registration.registration_id)) == NOT_WAITING
        assert await refusal(service.link(registration.registration_id, customer)) == NOT_WAITING
    nobody = ("NOT_FOUND", "REGISTRATION_NOT_FOUND")
    assert await refusal(service.approve("none")) == nobody
    assert await refusal(service.link("none", customer)) == nobody


@pytest.mark.parametrize("kind", ["online", "CD borrower"])
async def test_one_who_is_marked_is_saved_anew_and_waits(service: Service, unit: Unit, kind: str) -> None:
    other = await service.unit("Toinen kirjasto")
    form = (
        adult_form()
        if kind == "online"
        else changed(
            adult_form(),
            kind=CUSTOMER_KIND_CD_BORROWER,
            credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED,
        )
    )
    created = (await service.create(unit.unit_id, form)).registration
    customer = await service.get_customer(created.customer_id)
    assert await refusal(saved_again(service, other, customer)) == (
        "ALREADY_EXISTS",
        "ALREADY_REGISTERED_IN_ANOTHER_UNIT",
    )
    await service.mark(customer.customer_id)
    assert await service.prepare(other.unit_id, adult_form(), person_id=customer.person_id) is None
    for asking in (unit, other):
        known = await service.look_up(customer.person_id, asking.unit_id)
        assert known.standing == STANDING_MARKED_FOR_DELETION
        assert known.customer_unit_id == unit.unit_id
    registration = await saved_again(service, other, customer)
    assert registration.stage == life.STAGE_WAITING_FOR_REACTIVATION
    assert registration.deadline.ToDatetime(UTC) == DEADLINE
    for asking in (unit, other):
        known = await service.look_up(customer.person_id, asking.unit_id)
        assert known.standing == STANDING_BEING_REGISTERED
        assert known.registration == registration
        assert known.unit_display_name == "Toinen kirjasto"
    beside = service.prepare(unit.unit_id, adult_form(), person_id=customer.person_id)
    assert await refusal(beside) == ("ALREADY_EXISTS", "BEING_REGISTERED")
    assert await refusal(saved_again(service, unit, customer)) == ("ALREADY_EXISTS", "BEING_REGISTERED")


async def test_repeating_the_save_of_one_who_is_marked_answers_the_same(service: Service, unit: Unit) -> None:
    customer = await marked(service, unit)
    request = {"request_id": str(uuid.uuid4())}
    answers = [await saved_again(service, unit, customer, **request) for _ in range(3)]
    assert answers[1:] == answers[:1] * 2
    await service.approve(answers[0].registration_id)
    assert (await saved_again(service, unit, customer, **request)).stage == life.STAGE_ACTIVE


async def test_of_many_who_save_one_who_is_marked_one_comes_first(service: Service) -> None:
    units = [await service.unit(f"Kirjasto {number}") for number in range(4)]
    for _ in range(5):
        customer = await marked(service, units[0])
        answers = await asyncio.gather(
            *(saved_again(service, units[number % 4], customer) for number in range(12)),
            return_exceptions=True,
        )
        made = [answer for answer in answers if isinstance(answer, pb.Registration)]
        refused = {reason_name(answer.reason) for answer in answers if isinstance(answer, Refusal)}
        assert (len(made), refused) == (1, {"BEING_REGISTERED"})


async def test_a_reactivation_brings_the_new_data_and_moves(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")
    customer = await marked(service, unit, last_name="Vanhanen", email="vanha@koti.example")
    before = await service.get(customer.registration_id)
    form = changed(adult_form(), last_name="Uusinen", email="uusi@koti.example")
    registration = await saved_again(service, other, customer, form=form)
    decision = str(uuid.uuid4())
    approved = await service.approve(registration.registration_id, decision_request_id=decision)
    assert approved.previous == pb.PreviousCustomership(
        unit_id=unit.unit_id,
        registration_id=before.registration_id,
        registration_create_time=before.create_time,
        registrar_account_id=REGISTRAR.account_id,
    )
    assert await service.approve(registration.registration_id, decision_request_id=decision) == approved
    now_there = await service.get_customer(customer.customer_id)
    assert now_there.state == CUSTOMER_STATE_ACTIVE
    assert not now_there.HasField("end_time")
    assert (now_there.unit_id, now_there.form.email) == (other.unit_id, "uusi@koti.example")
    assert now_there.create_time == customer.create_time
    assert now_there.etag != customer.etag
    found = (await service.search(other.unit_id, "uusi")).customers
    assert [each.name.rpartition("/")[2] for each in found] == [customer.customer_id]
    assert not (await service.search(unit.unit_id, "vanh")).customers
    assert not (await service.search(other.unit_id, "vanh")).customers
    assert (await service.get(before.registration_id)).unit_id == other.unit_id
    known = await service.look_up(customer.person_id, other.unit_id)
    assert known.standing == STANDING_REGISTERED_IN_THIS_UNIT
    assert known.registration == approved.registration
    late = await service.update(customer, "phone", phone="+358401112222", of_unit_id=other.unit_id)
    assert "phone" in late.changed_meanwhile.paths


async def test_nobody_is_activated_in_a_closed_unit(service: Service, unit: Unit) -> None:
    other = await service.unit("Suljettava kirjasto")
    customer = await marked(service, unit)
    registration = await saved_again(service, other, customer)
    close = CloseUnitRequest(unit_id=other.unit_id)
    await service.worker.call(UnitServiceStub(service.worker.channel).CloseUnit, close)
    approval = service.approve(registration.registration_id)
    assert await refusal(approval) == ("FAILED_PRECONDITION", "UNIT_CLOSED")
    assert (await service.get(registration.registration_id)).stage == life.STAGE_WAITING_FOR_REACTIVATION
    assert (await service.get_customer(customer.customer_id)).unit_id == unit.unit_id


async def test_who_has_no_code_is_shown_with_the_date_of_birth(service: Service, unit: Unit) -> None:
    waiting = await unidentified(service, unit)
    known = await service.waiting(unit.unit_id)
    forms = [
        await service.gateway.call(
            service.reads.GetForm, pb.GetFormRequest(registration_id=registration.registration_id)
        )
        for registration in (waiting, known)
    ]
    assert forms[0].birth_date == BIRTH_OF_ADULT
    assert not forms[1].HasField("birth_date")


async def test_an_ended_wait_leaves_one_who_is_marked_alone(service: Service, unit: Unit) -> None:
    customer = await marked(service, unit)
    for stage in (life.STAGE_LAPSED, life.STAGE_WITHDRAWN, life.STAGE_REJECTED):
        registration = await saved_again(service, unit, customer)
        request = pb.EndRegistrationRequest(registration_id=registration.registration_id, stage=stage)
        ended = await service.worker.call(service.changes.EndRegistration, request)
        assert ended.is_customer
        assert not ended.registration.customer_display_name
    assert await service.get_customer(customer.customer_id) == customer
    [kept] = await service.rows(
        "SELECT count(*) AS number FROM registrations WHERE person_id = :p AND form IS NOT NULL",
        p=customer.person_id,
    )
    assert kept["number"] == 0
    other = await unidentified(service, unit)
    request = pb.EndRegistrationRequest(registration_id=other.registration_id, stage=life.STAGE_REJECTED)
    assert not (await service.worker.call(service.changes.EndRegistration, request)).is_customer


async def test_why_a_return_was_declined_outlives_the_erasure_of_the_customer(
    service: Service, unit: Unit
) -> None:
    customer = await marked(service, unit)
    back = await saved_again(service, unit, customer)
    request = pb.EndRegistrationRequest(
        registration_id=back.registration_id,
        stage=life.STAGE_REJECTED,
        rejection_note="Muutti ulkomaille",
        decision_request_id=str(uuid.uuid4()),
    )
    await service.worker.call(service.changes.EndRegistration, request)
    await service.erase(customer.person_id)
    await service.forget(customer.person_id)
    assert (await service.get(back.registration_id)).rejection_note == "Muutti ulkomaille"


async def test_why_it_was_declined_stands_for_90_days(service: Service, unit: Unit) -> None:
    waiting = await unidentified(service, unit)
    request = pb.EndRegistrationRequest(
        registration_id=waiting.registration_id,
        stage=life.STAGE_REJECTED,
        rejection_note="  Kahdesti\ntallennettu ",
        decision_request_id=str(uuid.uuid4()),
    )
    await service.worker.call(service.changes.EndRegistration, request)
    # The erasure of the person leaves it to the unit.
    await service.erase(waiting.person_id)
    await service.forget(waiting.person_id)
    rejected = await service.get(waiting.registration_id)
    assert (rejected.stage, rejected.rejection_note) == (life.STAGE_REJECTED, "Kahdesti\ntallennettu")
    assert (rejected.person_id, rejected.customer_display_name) == ("", "")
    await sweep_notes(service.engine)
    assert (await service.get(waiting.registration_id)).rejection_note
    async with service.engine.begin() as connection:
        long_ago = now() - NOTE_LIFETIME - timedelta(hours=1)
        await connection.exec_driver_sql(
            "UPDATE registrations SET updated_at = $1 WHERE registration_id = $2",
            (long_ago, waiting.registration_id),
        )
    await sweep_notes(service.engine)
    assert not (await service.get(waiting.registration_id)).rejection_note


async def test_a_linked_registration_is_the_customers(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")
    customer = await service.customer(unit.unit_id)
    save = {"request_id": str(uuid.uuid4()), "person_id": secrets.token_hex(16)}
    waiting = await unidentified(service, other, **save)
    decision = str(uuid.uuid4())
    linked = await service.link(waiting.registration_id, customer, decision)
    assert linked.registration.stage == life.STAGE_LINKED
    assert linked.registration.person_id == customer.person_id
    assert linked.registration.customer_id == customer.customer_id
    assert (linked.previous.unit_id, linked.previous.registration_id) == (
        unit.unit_id,
        customer.registration_id,
    )
    assert await service.link(waiting.registration_id, customer, decision) == linked
    assert (await service.get_customer(customer.customer_id)).unit_id == other.unit_id
    # Repeating the Save finds it, though the person made for it is gone.
    assert await service.prepare(other.unit_id, adult_form(), **save) == linked.registration
    told = await service.export(customer.person_id)
    assert waiting.registration_id in told.registration_ids
    assert not (await service.export(waiting.person_id)).registration_ids


async def test_a_link_within_the_unit_moves_nobody(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    waiting = await unidentified(service, unit)
    linked = await service.link(waiting.registration_id, customer)
    assert not linked.HasField("previous")
    assert (await service.get_customer(customer.customer_id)).form == customer.form


async def test_nobody_is_linked_to_one_who_is_marked_or_elsewhere(service: Service, unit: Unit) -> None:
    customer = await marked(service, unit)
    waiting = await unidentified(service, unit)
    undo = ("FAILED_PRECONDITION", "UNDO_REMOVAL_FIRST")
    assert await refusal(service.link(waiting.registration_id, customer)) == undo
    customer.unit_id = (await service.unit("Toinen kirjasto")).unit_id
    nobody = ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    assert await refusal(service.link(waiting.registration_id, customer)) == nobody
    assert (await service.get(waiting.registration_id)).stage == life.STAGE_WAITING_FOR_IDENTITY_CHECK


async def test_possible_duplicates_have_the_name_and_the_date_of_birth(service: Service) -> None:
    here, there = await service.unit("A-kirjasto"), await service.unit("B-kirjasto")
    name = f"Äyräs{secrets.token_hex(4)}"
    same = await service.customer(here.unit_id, first_names="Väinö Ilmari", last_name=name)
    louder = await service.customer(there.unit_id, first_names="VÄINÖ", last_name=name.upper())
    await service.mark(louder.customer_id)
    await service.customer(here.unit_id, first_names="Ilmari", last_name=name)
    await service.customer(here.unit_id, first_names="Väinö", last_name=f"{name}nen")
    form = changed(adult_form(), first_names="Väinö", last_name=name)
    await service.create(here.unit_id, form, birth_date=Date(year=1991, month=1, day=1))
    waiting = await unidentified(service, there, first_names="Väinö", last_name=name)
    found = await service.duplicates(waiting.registration_id)
    assert [(one.customer, one.state) for one in found] == [
        (f"units/{here.unit_id}/customers/{same.customer_id}", CUSTOMER_STATE_ACTIVE),
        (f"units/{there.unit_id}/customers/{louder.customer_id}", CUSTOMER_STATE_MARKED_FOR_DELETION),
    ]
    assert (found[0].customer_display_name, found[0].birth_date) == (f"Väinö Ilmari {name}", BIRTH_OF_ADULT)
    assert found[0].unit_display_name == "A-kirjasto"
    # The names of a person stand in any order, and none of them is the one that all have written.
    turned = await unidentified(service, there, first_names="Ilmari Väinö", last_name=name)
    assert len([one for one in await service.duplicates(turned.registration_id) if one.customer]) == 3
    await service.end(turned.registration_id, life.STAGE_REJECTED)
    twin = await unidentified(service, here, first_names="väinö", last_name=name)
    for one, other in ((waiting, twin), (twin, waiting)):
        last = (await service.duplicates(one.registration_id))[-1]
        assert last.registration == f"units/{other.unit_id}/registrations/{other.registration_id}"
        assert (last.customer, last.birth_date) == ("", BIRTH_OF_ADULT)
    await service.approve(waiting.registration_id)
    assert not await service.duplicates(waiting.registration_id)


async def test_a_decision_is_in_the_log_of_use(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")
    customer = await marked(service, other)
    back = await saved_again(service, unit, customer)
    await service.approve(back.registration_id)
    new = await unidentified(service, unit)
    await service.approve(new.registration_id)
    old = await unidentified(service, unit)
    there = await service.customer(other.unit_id)
    await service.link(old.registration_id, there)
    declined = await unidentified(service, unit)
    await service.end(declined.registration_id, life.STAGE_REJECTED)
    for registration, action in (
        (back, "registration:reactivate"),
        (new, "registration:verify-identity"),
        (old, "registration:link"),
        (declined, "registration:reject"),
    ):
        uses = await service.rows(
            "SELECT action FROM use_entries WHERE subject_ids @> ARRAY[:r]::varchar[] ORDER BY used_at",
            r=registration.registration_id,
        )
        assert [use["action"] for use in uses] == ["registration:create", action]
    for person_id in (customer.person_id, there.person_id):
        departures = await service.rows(
            "SELECT for_unit_id FROM use_entries WHERE action = 'customer:transfer-away'"
            " AND subject_ids @> ARRAY[:p]::varchar[]",
            p=person_id,
        )
        assert [use["for_unit_id"] for use in departures] == [other.unit_id]


async def test_an_erased_person_leaves_nothing_of_a_wait(service: Service, unit: Unit) -> None:
    customer = await marked(service, unit)
    form = changed(adult_form(), last_name="Kadonnut", email="kadonnut@koti.example")
    back = await saved_again(service, unit, customer, form=form)
    new = await unidentified(service, unit, last_name="Kadonnut")
    for registration in (back, new):
        assert registration.registration_id in await service.erase(registration.person_id)
        await service.forget(registration.person_id)
        stored = await service.get(registration.registration_id)
        assert (stored.stage, stored.person_id) == (life.STAGE_WITHDRAWN, "")
        assert not stored.missing_code_reason
    assert "adonnut" not in await service.everything_stored(log=False)
