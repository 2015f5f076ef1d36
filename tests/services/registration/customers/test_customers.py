"""Customers: read, edited (R14) and searched by name (R15)."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from google.type.date_pb2 import Date
from sqlalchemy import text

from liity.registration.v1 import customer_service_pb2 as pb
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.customer_form_pb2 import (
    APPLICANT_SELF,
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CUSTOMER_KIND_CD_BORROWER,
    CustomerForm,
    RelatedPerson,
)
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    EMAIL_STATE_CONFIRMED,
    EMAIL_STATE_UNCONFIRMED,
    EMAIL_STATE_UNDELIVERABLE,
)
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
from services.runtime.clock import helsinki_day, now, to_proto_date
from tests.support.registration_forms import child_form, paper_consent
from tests.support.registration_service import Service, birth_of_child, refusal, violations


@pytest.fixture
async def customer(service: Service, unit: Unit) -> pb.Customer:
    return await service.customer(unit.unit_id)


@pytest.fixture
async def child(service: Service, unit: Unit) -> pb.Customer:
    form = child_form()
    form.paper_consent.CopyFrom(paper_consent())
    created = (await service.create(unit.unit_id, form, birth_date=birth_of_child())).registration
    return await service.get_customer(created.customer_id)


async def names_found(service: Service, unit_id: str, query: str) -> list[str]:
    page = await service.search(unit_id, query)
    return [f"{found.last_name} {found.first_names}" for found in page.customers]


# Reading


async def test_a_customer_is_as_the_form_says(service: Service, unit: Unit, customer: pb.Customer) -> None:
    assert customer.unit_id == unit.unit_id
    assert customer.state == CUSTOMER_STATE_ACTIVE
    assert customer.email_state == EMAIL_STATE_UNCONFIRMED
    assert customer.form.last_name == "Mallikas"
    assert customer.registration_id
    assert not customer.HasField("end_time")


async def test_a_child_becomes_the_same_kind_of_customer_after_the_consent(
    service: Service, unit: Unit
) -> None:
    waiting = await service.waiting(unit.unit_id)
    assert not waiting.customer_id
    activated = await service.activate(waiting.registration_id, None)
    customer = await service.get_customer(activated.customer_id)
    assert customer.email_state == EMAIL_STATE_UNCONFIRMED
    assert await names_found(service, unit.unit_id, "ilm mall") == ["Mallikas Eetu Ilmari"]
    stored = await service.rows(
        "SELECT birth_date FROM customers WHERE customer_id = :id", id=activated.customer_id
    )
    assert stored[0]["birth_date"].year == birth_of_child().year


async def test_a_customer_that_is_not_there(service: Service) -> None:
    assert await refusal(service.get_customer("nosuch")) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")


# Editing


async def test_only_the_masked_fields_change(service: Service, customer: pb.Customer) -> None:
    answer = await service.update(
        customer, "last_name", "address.postcode", last_name="Uusinimi", address__postcode="33100", phone="0"
    )
    form = answer.customer.form
    assert (form.last_name, form.address.postcode, form.phone) == ("Uusinimi", "33100", "+358401234567")
    assert answer.customer.etag != customer.etag
    assert not answer.HasField("changed_meanwhile")
    assert await service.get_customer(customer.customer_id) == answer.customer


async def test_fields_can_be_emptied(service: Service, customer: pb.Customer) -> None:
    answer = await service.update(
        customer, "phone", "additional_information", phone="", additional_information=""
    )
    assert (answer.customer.form.phone, answer.customer.form.additional_information) == ("", "")


async def test_texts_are_tidied_and_contacts_made_uniform(service: Service, customer: pb.Customer) -> None:
    answer = await service.update(
        customer, "first_names", "phone", first_names="  Aino   Orvokki ", phone="040 765 4321"
    )
    assert answer.customer.form.first_names == "Aino Orvokki"
    assert answer.customer.form.phone == "+358407654321"


async def test_all_that_is_wrong_with_a_change_is_told_at_once(
    service: Service, customer: pb.Customer
) -> None:
    wrong = await violations(
        service.update(
            customer,
            "first_names",
            "last_name",
            "address.postcode",
            "email",
            first_names=" ",
            last_name="-",
            address__postcode="1234",
            email="ei ole",
        )
    )
    assert wrong == {
        "form.first_names": "REQUIRED",
        "form.last_name": "REQUIRED",
        "form.address.postcode": "INVALID_POSTCODE",
        "form.email": "INVALID_EMAIL",
    }
    assert await service.get_customer(customer.customer_id) == customer


async def test_an_online_customer_keeps_an_address(service: Service, customer: pb.Customer) -> None:
    wrong = await violations(service.update(customer, "email", email=""))
    assert wrong == {"form.email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"}


async def test_a_child_keeps_a_guardian(service: Service, child: pb.Customer) -> None:
    wrong = await violations(service.update(child, "related_person", related_person=None))
    assert "form.related_person" in wrong


async def test_a_guardian_is_taken_off_a_grown_customer_who_then_needs_an_address(
    service: Service, child: pb.Customer
) -> None:
    await _set(service, child, "birth_date = '2000-01-01'")
    wrong = await violations(service.update(child, "related_person", related_person=None))
    assert wrong == {"form.email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"}
    paths, email = ("related_person", "email"), "oma@koti.example"
    form = (await service.update(child, *paths, related_person=None, email=email)).customer.form
    assert (form.HasField("related_person"), form.email) == (False, email)
    assert (form.applicant, form.credentials_recipient) == (APPLICANT_SELF, CREDENTIALS_RECIPIENT_CUSTOMER)


async def test_what_has_become_wrong_by_itself_does_not_stand_in_the_way(
    service: Service, child: pb.Customer
) -> None:
    # A year later the consent on paper would be too old to register with.
    await _set(service, child, "profile = jsonb_set(profile, '{paper_consent,sign_date,year}', '2020')")
    answer = await service.update(child, "last_name", last_name="Uusinimi")
    assert answer.customer.form.last_name == "Uusinimi"


@pytest.mark.parametrize(
    "path",
    ["kind", "entitlement_declared", "terms_accepted", "applicant", "paper_consent", "credentials_recipient"],
)
async def test_what_was_true_on_the_day_of_registering_stays(
    service: Service, customer: pb.Customer, path: str
) -> None:
    assert await violations(service.update(customer, path)) == {f"form.{path}": "NOT_EDITABLE"}


@pytest.mark.parametrize("paths", [[], ["nothing"], ["address.nothing"], ["email.text"], [""], ["*"]])
async def test_a_mask_names_fields_of_the_form(
    service: Service, customer: pb.Customer, paths: list[str]
) -> None:
    assert await violations(service.update(customer, *paths)) == {"update_mask": "UNKNOWN_VALUE"}


def test_every_field_of_the_form_is_either_editable_or_as_registered() -> None:
    # A field that the form gains is editable unless somebody decides otherwise: here they are asked to.
    assert len(CustomerForm.DESCRIPTOR.fields) == 22


async def test_the_second_of_two_is_told_what_the_first_has_changed(
    service: Service, customer: pb.Customer
) -> None:
    await service.update(customer, "last_name", last_name="Ensimmäinen")
    newer = await service.get_customer(customer.customer_id)
    await service.update(newer, "address.postcode", address__postcode="33100")

    answer = await service.update(customer, "last_name", last_name="Toinen")

    assert list(answer.changed_meanwhile.paths) == ["address.postcode", "last_name"]
    assert answer.customer.form.last_name == "Ensimmäinen"
    assert (await service.get_customer(customer.customer_id)).form.last_name == "Ensimmäinen"


@pytest.mark.parametrize("etag", ["", "none of ours", "-1", "9" * 64, "٣"])
async def test_with_an_etag_that_is_none_everything_may_have_changed(
    service: Service, customer: pb.Customer, etag: str
) -> None:
    answer = await service.update(customer, "last_name", last_name="Toinen", of_etag=etag)
    assert answer.HasField("changed_meanwhile")
    assert (await service.get_customer(customer.customer_id)).form.last_name == "Mallikas"


async def test_of_many_at_once_one_wins(service: Service, customer: pb.Customer) -> None:
    answers = await asyncio.gather(
        *(service.update(customer, "last_name", last_name=f"Nimi{'abcdefgh'[number]}") for number in range(8))
    )
    winners = [answer for answer in answers if not answer.HasField("changed_meanwhile")]
    assert len(winners) == 1
    assert await service.get_customer(customer.customer_id) == winners[0].customer


async def test_a_repeated_change_is_made_once(service: Service, customer: pb.Customer) -> None:
    request_id = str(uuid.uuid4())
    first = await service.update(customer, "last_name", last_name="Uusinimi", of_request_id=request_id)
    again = await service.update(customer, "last_name", last_name="Uusinimi", of_request_id=request_id)
    assert again.customer == first.customer
    assert not again.HasField("changed_meanwhile")


async def test_a_request_id_is_for_one_customer(service: Service, unit: Unit, customer: pb.Customer) -> None:
    other = await service.customer(unit.unit_id)
    request_id = str(uuid.uuid4())
    await service.update(customer, "last_name", last_name="Uusinimi", of_request_id=request_id)
    reused = service.update(other, "last_name", last_name="Uusinimi", of_request_id=request_id)
    assert await refusal(reused) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_a_changed_address_is_not_confirmed_yet(service: Service, customer: pb.Customer) -> None:
    await _set(service, customer, f"email_state = {EMAIL_STATE_CONFIRMED}")
    same = await service.update(customer, "phone", phone="")
    assert (same.customer.email_state, same.previous_email) == (EMAIL_STATE_CONFIRMED, "")
    moved = await service.update(same.customer, "email", email="uusi@koti.example")
    assert moved.customer.email_state == EMAIL_STATE_UNCONFIRMED
    assert moved.previous_email == "aino.mallikas@koti.example"


async def test_a_guardians_changed_address_is_told_of_beside_the_customers_own(
    service: Service, unit: Unit
) -> None:
    guardian = RelatedPerson(full_name="Outi Huoltaja", email="vanha@koti.example", relation="äiti")
    customer = await service.customer(unit.unit_id, related_person=guardian)
    guardian.email = "uusi@koti.example"
    request_id = str(uuid.uuid4())
    for repeated in (False, True):
        changed = await service.update(
            customer, "related_person", related_person=guardian, of_request_id=request_id
        )
        assert changed.previous_related_email == "vanha@koti.example"
        assert (changed.HasField("previous_email"), changed.repeated) == (False, repeated)
    same = await service.update(changed.customer, "phone", phone="")
    assert not same.previous_related_email


async def test_another_units_customer_is_not_there(service: Service, customer: pb.Customer) -> None:
    other = await service.unit("Toinen kirjasto")
    elsewhere = service.update(customer, "last_name", last_name="Uusinimi", of_unit_id=other.unit_id)
    assert await refusal(elsewhere) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")


async def test_one_who_has_ended_is_not_edited(service: Service, customer: pb.Customer) -> None:
    await _set(service, customer, f"state = {CUSTOMER_STATE_MARKED_FOR_DELETION}")
    ended = service.update(customer, "last_name", last_name="Uusinimi")
    assert await refusal(ended) == ("FAILED_PRECONDITION", "CUSTOMER_HAS_ENDED")


# Searching


async def test_a_unit_finds_its_own_by_any_part_of_a_name(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")
    await service.customer(unit.unit_id, first_names="Anna-Meiri", last_name="Öberg")
    await service.customer(unit.unit_id, first_names="Åke", last_name="Mäkinen")
    await service.customer(other.unit_id, first_names="Anna", last_name="Öberg")
    assert await names_found(service, unit.unit_id, "meiri") == ["Öberg Anna-Meiri"]
    assert await names_found(service, unit.unit_id, "OB ann") == ["Öberg Anna-Meiri"]
    assert await names_found(service, unit.unit_id, "a") == ["Mäkinen Åke", "Öberg Anna-Meiri"]
    assert await names_found(service, unit.unit_id, "ä") == []
    assert await names_found(service, unit.unit_id, "mak ake") == ["Mäkinen Åke"]
    assert await names_found(service, unit.unit_id, "%") == []
    assert await names_found(service, unit.unit_id, "'; DROP TABLE customers") == []


async def test_a_changed_name_is_found_and_the_old_one_is_not(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id, last_name="Entinen")
    await service.update(customer, "last_name", last_name="Nykyinen")
    assert await names_found(service, unit.unit_id, "entinen") == []
    assert await names_found(service, unit.unit_id, "nykyinen") == ["Nykyinen Aino Orvokki"]


async def test_one_who_has_ended_is_not_found(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    await _set(service, customer, f"state = {CUSTOMER_STATE_MARKED_FOR_DELETION}")
    assert await names_found(service, unit.unit_id, "mallikas") == []


async def test_pages_are_in_the_order_of_the_finnish_alphabet(service: Service, unit: Unit) -> None:
    last_names = ["Aho", "Virtanen", "Zetterberg", "Åkerman", "Äyräs", "Öhman"]
    for last_name in reversed(last_names):
        await service.customer(unit.unit_id, first_names="Sama", last_name=last_name)
    seen, page_token = [], ""
    while True:
        page = await service.search(unit.unit_id, "sama", page_size=2, page_token=page_token)
        seen += [found.last_name for found in page.customers]
        page_token = page.next_page_token
        if not page_token:
            break
    assert seen == last_names


@pytest.mark.parametrize("page_token", ["x", "bm8=", "WzEsMl0=", "WyJcdTAwMDAiLCJhIl0="])
async def test_a_page_token_that_is_none_of_ours(service: Service, unit: Unit, page_token: str) -> None:
    wrong = await violations(service.search(unit.unit_id, "a", page_token=page_token))
    assert wrong == {"page_token": "INVALID_PAGE_TOKEN"}


async def test_all_customers_are_listed_without_a_word(service: Service, unit: Unit) -> None:
    last_names = ["Aho", "Virtanen", "Zetterberg", "Åkerman", "Äyräs", "Öhman"]
    for last_name in reversed(last_names):
        await service.customer(unit.unit_id, last_name=last_name)
    ended = await service.customer(unit.unit_id, last_name="Entinen")
    await _set(service, ended, f"state = {CUSTOMER_STATE_MARKED_FOR_DELETION}")
    await service.customer((await service.unit("Toinen kirjasto")).unit_id, last_name="Muualla")
    first = await service.search(unit.unit_id, page_size=4)
    rest = await service.search(unit.unit_id, "  ", page_size=4, page_token=first.next_page_token)
    assert [found.last_name for found in (*first.customers, *rest.customers)] == last_names
    assert not rest.next_page_token


async def test_temporary_customers_are_listed_by_the_end_of_their_need(service: Service, unit: Unit) -> None:
    today = helsinki_day(now())
    ends = {"Aho": 40, "Berg": 30, "Cederberg": 31, "Dahl": 5}
    for last_name, days in ends.items():
        await service.customer(
            unit.unit_id,
            last_name=last_name,
            temporary=True,
            expected_end_date=to_proto_date(today + timedelta(days=days)),
        )
    await service.customer(unit.unit_id, last_name="Eerola", temporary=True)
    await service.customer(unit.unit_id, last_name="Forss")
    before = to_proto_date(today + timedelta(days=31))
    page = await service.search(unit.unit_id, need_ends_before_date=before)
    assert [found.last_name for found in page.customers] == ["Berg", "Dahl"]
    assert page.customers[1].expected_end_date == to_proto_date(today + timedelta(days=5))
    one = await service.search(unit.unit_id, "dah", need_ends_before_date=before)
    assert [found.last_name for found in one.customers] == ["Dahl"]


@pytest.mark.parametrize("day", [Date(year=2026, month=2, day=30), Date(), Date(year=2026, month=-1, day=1)])
async def test_a_day_that_is_none(service: Service, unit: Unit, day: Date) -> None:
    found = await violations(service.search(unit.unit_id, need_ends_before_date=day))
    assert found == {"need_ends_before_date": "INVALID_DATE"}


async def test_customers_whose_address_failed_are_listed(service: Service, unit: Unit) -> None:
    await service.customer(unit.unit_id, last_name="Toimii")
    failed = await service.customer(unit.unit_id, last_name="Palautuu")
    ended = await service.customer(unit.unit_id, last_name="Entinen")
    for one in (failed, ended):
        await _set(service, one, f"email_state = {EMAIL_STATE_UNDELIVERABLE}")
    await _set(service, ended, f"state = {CUSTOMER_STATE_MARKED_FOR_DELETION}")
    page = await service.search(unit.unit_id, undeliverable=True)
    assert [found.last_name for found in page.customers] == ["Palautuu"]
    assert page.customers[0].email_state == EMAIL_STATE_UNDELIVERABLE


async def test_customers_without_a_welcome_are_listed(service: Service, unit: Unit) -> None:
    stages = {"Alku": None, "Odottaa": STAGE_CREDENTIALS_SENT, "Valmis": STAGE_WELCOMED}
    for last_name, stage in stages.items():
        customer = await service.customer(unit.unit_id, last_name=last_name)
        if stage is not None:
            await service.advance(customer.registration_id, stage)
    await service.customer(unit.unit_id, last_name="Levyt", kind=CUSTOMER_KIND_CD_BORROWER)
    page = await service.search(unit.unit_id, not_welcomed=True)
    assert [found.last_name for found in page.customers] == ["Alku", "Odottaa"]


async def _set(service: Service, customer: pb.Customer, assignment: str) -> None:
    async with service.engine.begin() as connection:
        statement = f"UPDATE customers SET {assignment} WHERE customer_id = :id"  # noqa: S608
        await connection.execute(text(statement), {"id": customer.customer_id})
