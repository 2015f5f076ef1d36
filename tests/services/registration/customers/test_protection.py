"""Protected persons (R37): what is withheld, from whom, and how customer service reads it."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.message import Message
from sqlalchemy import text

from liity.registration.v1 import customer_service_pb2 as pb
from liity.registration.v1 import message_service_pb2 as message_pb
from liity.registration.v1.message_service_pb2_grpc import MessageServiceStub
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_REGISTRAR, Role
from liity.v1.customer_form_pb2 import CustomerForm, PostalAddress
from liity.v1.customer_service_pb2 import (
    PROTECTED_READ_REASON_POSTAL_DELIVERY,
    ProtectedDetails,
)
from liity.v1.registration_pb2 import MISSING_CODE_REASON_NOT_YET_GIVEN
from services.runtime.rpc.context import set_current_actor
from services.runtime.text.unnamed_unit import UNNAMED_UNIT
from tests.services.registration.customers import test_merging as merging
from tests.services.registration.customers.test_transfers import asked, check, move
from tests.services.registration.registrations.test_waiting_forms import correct, form_of
from tests.support.registration_forms import adult_form, changed, child_form
from tests.support.registration_service import Service, birth_of_child, refusal, violations

_UNIT = "Salainen kirjasto"
_BLOCKED = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_SECRETS = ("Esimerkkikuja", '"00100"', "Helsinki", "Espoo", "401234567", "Lukee mieluiten", _UNIT)


@pytest.fixture
async def unit(service: Service) -> Unit:
    act_as(ROLE_REGISTRAR)
    return await service.unit(_UNIT)


def act_as(role: Role.ValueType) -> None:
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac7", role=role))


def of(unit_id: str, **key: str) -> pb.PersonOfUnit:
    return pb.PersonOfUnit(unit_id=unit_id, **key)


async def mark(service: Service, person: pb.PersonOfUnit) -> None:
    await service.gateway.call(service.customers.MarkProtected, pb.MarkProtectedRequest(person=person))


async def remove(service: Service, person: pb.PersonOfUnit) -> None:
    request = pb.RemoveProtectionRequest(person=person)
    await service.gateway.call(service.customers.RemoveProtection, request)


async def details(service: Service, person: pb.PersonOfUnit) -> ProtectedDetails:
    request = pb.GetProtectedDetailsRequest(person=person, reason=PROTECTED_READ_REASON_POSTAL_DELIVERY)
    return (await service.gateway.call(service.customers.GetProtectedDetails, request)).details


def protected_form(form: CustomerForm, **fields: Any) -> CustomerForm:
    form = changed(form, protected_person=True, **fields)
    form.ClearField("address")
    return form


def tells(*answers: Message) -> Sequence[str]:
    """What the answers tell of what must be withheld."""
    return [secret for secret in _SECRETS for answer in answers if secret in str(answer)]


async def test_no_form_of_a_protected_person_takes_an_address(service: Service, unit: Unit) -> None:
    given = changed(adult_form(), protected_person=True)
    assert await violations(service.prepare(unit.unit_id, given)) == {"form.address": "PROTECTED_ADDRESS"}
    only_municipality = protected_form(adult_form())
    only_municipality.address.municipality = "Espoo"
    assert await violations(service.prepare(unit.unit_id, only_municipality)) == {
        "form.address": "PROTECTED_ADDRESS"
    }
    # What a page sends for empty fields is no address.
    empty = protected_form(adult_form())
    empty.address.CopyFrom(PostalAddress(country_code="FI"))
    await service.prepare(unit.unit_id, empty)
    # Everybody else still needs one.
    without = adult_form()
    without.ClearField("address")
    assert await violations(service.prepare(unit.unit_id, without)) == {"form.address": "REQUIRED"}


async def test_what_the_form_tells_of_a_protected_person_is_withheld(service: Service, unit: Unit) -> None:
    saved = await service.create(unit.unit_id, protected_form(adult_form()))
    customer = await service.get_customer(saved.registration.customer_id)
    assert customer.form.protected_person
    mailing = (await service.mailing(saved.registration.registration_id)).mailing_details
    assert mailing.unit_display_name == saved.mailing_details.unit_display_name == UNNAMED_UNIT
    assert tells(customer, saved, mailing, await service.search(unit.unit_id)) == []
    told = await details(service, of(unit.unit_id, customer_id=customer.customer_id))
    assert (told.phone, told.unit_display_name) == ("+358401234567", _UNIT)
    assert told.additional_information.startswith("Lukee mieluiten")
    (entry,) = await service.rows("SELECT * FROM use_entries WHERE action = 'protected:postal-delivery'")
    assert customer.person_id in entry["subject_ids"]


async def test_a_protected_child_that_waits_stays_protected_as_a_customer(
    service: Service, unit: Unit
) -> None:
    form = protected_form(child_form(), additional_information="Asuu Espoossa.")
    saved = (await service.create(unit.unit_id, form, birth_date=birth_of_child())).registration
    assert saved.is_protected
    active = await service.activate(saved.registration_id, None)
    customer = await service.get_customer(active.customer_id)
    assert customer.form.protected_person
    assert not customer.form.related_person.phone
    told = await details(service, of(unit.unit_id, customer_id=active.customer_id))
    assert told.related_person_phone == "+358407654321"
    assert told.additional_information == "Asuu Espoossa."


async def test_marking_withholds_what_was_known_and_removing_the_mark_restores_it(
    service: Service, unit: Unit
) -> None:
    before = await service.customer(unit.unit_id)
    person = of(unit.unit_id, customer_id=before.customer_id)
    assert await refusal(details(service, person)) == ("FAILED_PRECONDITION", "NOT_PROTECTED")
    assert await refusal(remove(service, person)) == ("FAILED_PRECONDITION", "NOT_PROTECTED")
    await mark(service, person)
    await mark(service, person)
    after = await service.get_customer(before.customer_id)
    assert tells(after) == []
    of_person = {"customer": before.customer_id}
    stored = await service.rows("SELECT profile FROM customers WHERE customer_id = :customer", **of_person)
    assert "Esimerkkikuja" not in str(stored)
    told = await details(service, person)
    assert told.address == before.form.address
    # Who edits with what they read before is told; an edit later neither loses nor shows what is withheld.
    stale = await service.update(before, "phone", phone="+358501111111")
    assert "phone" in stale.changed_meanwhile.paths
    edited = await service.update(after, "phone", phone="+358501111111")
    assert not edited.customer.form.phone
    assert (await details(service, person)).phone == "+358501111111"
    address = PostalAddress(street_address="Uusikuja 1")
    refused = service.update(edited.customer, "address", address=address)
    assert await violations(refused) == {"form.address": "PROTECTED_ADDRESS"}
    unmark = service.update(edited.customer, "protected_person", protected_person=False)
    assert await violations(unmark) == {"form.protected_person": "NOT_EDITABLE"}
    request_id = str(uuid.uuid4())
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, role=ROLE_CUSTOMER_SERVICE, request_id=request_id))
    await asyncio.gather(*(remove(service, person) for _ in range(2)))
    restored = (await service.get_customer(before.customer_id)).form
    assert restored == changed(before.form, phone="+358501111111")


async def test_an_ended_protected_customer_who_comes_back_stays_protected(
    service: Service, unit: Unit
) -> None:
    customer = await service.customer(unit.unit_id)
    await mark(service, of(unit.unit_id, customer_id=customer.customer_id))
    await service.mark(customer.customer_id)
    other = await service.unit("Toinen kirjasto")
    form = adult_form()
    form.address.street_address = "Uusikuja 9"
    saved = (await service.create(other.unit_id, form, person_id=customer.person_id)).registration
    assert saved.is_protected
    await service.approve(saved.registration_id)
    again = await service.get_customer(customer.customer_id)
    assert again.form.protected_person
    assert "Uusikuja" not in str(again)
    told = await details(service, of(other.unit_id, customer_id=customer.customer_id))
    assert told.address.street_address == "Uusikuja 9"


async def test_a_repeated_correction_of_a_protected_person_that_waits_is_done_once(
    service: Service, unit: Unit
) -> None:
    form = protected_form(child_form())
    waiting = (await service.create(unit.unit_id, form, birth_date=birth_of_child())).registration
    read = await form_of(service, waiting)
    paths = "related_person.email", "phone"
    for _ in range(2):
        updated = await correct(
            service, waiting, read, *paths, related_person__email="k@koti.example", phone="+358501111111"
        )
        assert not updated.HasField("changed_meanwhile")
    # Another telephone number is a correction, though nothing of it is shown.
    await correct(service, waiting, await form_of(service, waiting), "phone", phone="+358502222222")
    person = of(unit.unit_id, registration_id=waiting.registration_id)
    assert (await details(service, person)).phone == "+358502222222"


async def test_no_decision_takes_the_protection_away(service: Service, unit: Unit) -> None:
    known = await service.customer(unit.unit_id)
    waiting = (
        await service.create(
            unit.unit_id, protected_form(adult_form()), missing_code_reason=MISSING_CODE_REASON_NOT_YET_GIVEN
        )
    ).registration
    assert await refusal(service.link(waiting.registration_id, known)) == (
        "FAILED_PRECONDITION",
        "ONE_IS_PROTECTED",
    )
    await mark(service, of(unit.unit_id, customer_id=known.customer_id))
    marked = await service.get_customer(known.customer_id)
    await service.link(waiting.registration_id, marked)
    assert (await service.get_customer(known.customer_id)).form.protected_person


async def test_who_is_marked_while_coming_back_stays_protected(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    person = of(unit.unit_id, customer_id=customer.customer_id)
    await service.mark(customer.customer_id)
    other = await service.unit("Toinen kirjasto")
    form = adult_form()
    form.address.street_address = "Uusikuja 9"
    async with service.engine.begin() as connection:
        # Both wait for the customer's row, the mark first.
        lock = text("SELECT * FROM customers WHERE customer_id = :customer FOR UPDATE")
        await connection.execute(lock, {"customer": customer.customer_id})
        marking = asyncio.create_task(mark(service, person))
        await blocked(service, 1)
        saving = asyncio.create_task(service.create(other.unit_id, form, person_id=customer.person_id))
        await blocked(service, 2)
    await marking
    saved = (await saving).registration
    assert saved.is_protected
    assert not (await form_of(service, saved)).form.HasField("address")


async def blocked(service: Service, count: int) -> None:
    """Waits until so many statements wait for a lock."""
    async with asyncio.timeout(30):
        while len(await service.rows(_BLOCKED)) < count:
            await asyncio.sleep(0.02)


async def test_customer_service_alone_moves_a_protected_person(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    await mark(service, of(unit.unit_id, customer_id=customer.customer_id))
    other = await service.unit("Toinen kirjasto")
    known = await service.look_up(customer.person_id, other.unit_id)
    assert known.is_protected
    assert not known.initials
    assert tells(known) == []
    wish = asked(customer.person_id, other)
    expected = "FAILED_PRECONDITION", "TRANSFER_BY_CUSTOMER_SERVICE"
    assert await refusal(check(service, wish)) == expected
    assert await refusal(move(service, wish)) == expected
    stub = MessageServiceStub(service.gateway.channel)

    async def write(request_id: str, text: str) -> message_pb.StoredMessage:
        request = message_pb.CreateMessageRequest(
            request_id=request_id,
            message_id=uuid.UUID(request_id).hex,
            unit_id=other.unit_id,
            transferred_person_id=customer.person_id,
            text=text,
        )
        return (await service.gateway.call(stub.CreateMessage, request)).message

    first = str(uuid.uuid4())
    message = await write(first, "Siirtopyyntö.")
    # One wish is one item in the work list, however often the registrar tries, and in which language.
    for request_id in (first, str(uuid.uuid4())):
        assert (await write(request_id, "Begäran.")).message_id == message.message_id
    told = await details(service, of(other.unit_id, message_id=message.message_id))
    assert (told.unit_display_name, told.phone) == (_UNIT, "+358401234567")
    act_as(ROLE_CUSTOMER_SERVICE)
    await check(service, wish)
    # Customer service sees no list that tells whose customer a protected person is.
    assert not (await service.search(unit.unit_id)).customers
    assert not (await service.page(unit.unit_id)).registrations


async def test_one_merge_is_of_protected_persons_or_of_others(service: Service, unit: Unit) -> None:
    kept, merged = await service.customer(unit.unit_id), await service.customer(unit.unit_id)
    await mark(service, of(unit.unit_id, customer_id=merged.customer_id))
    assert await refusal(merging.merge(service, merging.asked(kept, merged))) == (
        "FAILED_PRECONDITION",
        "ONE_IS_PROTECTED",
    )
    await remove(service, of(unit.unit_id, customer_id=merged.customer_id))
    await merging.merge(service, merging.asked(kept, merged))
    person = of(unit.unit_id, customer_id=kept.customer_id)
    await mark(service, person)
    after = await service.get_customer(kept.customer_id)
    assert len(after.merged_customers) == 1
    assert tells(after) == []
    export = await service.export(kept.person_id)
    assert "Esimerkkikuja" in str(export)
    await service.mark(kept.customer_id)
    await service.erase(kept.person_id)
    left = await service.rows("SELECT person_id FROM protected_persons")
    assert not {kept.person_id, merged.person_id} & {row["person_id"] for row in left}
