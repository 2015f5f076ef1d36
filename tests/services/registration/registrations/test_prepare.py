"""PrepareRegistration decides whether a form may be saved."""

import secrets
from typing import Any

import pytest
from google.type.date_pb2 import Date

from liity.registration.v1.unit_service_pb2 import (
    UNIT_KIND_SCHOOL,
    Unit,
)
from liity.v1 import customer_form_pb2 as form_pb
from liity.v1.registration_pb2 import MISSING_CODE_REASON_NOT_YET_GIVEN
from liity.v1.registration_service_pb2 import MissingPersonalIdentityCode
from tests.services.registration.registrations.test_waiting_forms import correct, form_of
from tests.support.registration_forms import adult_form, changed, child_form, paper_consent
from tests.support.registration_service import Service, birth_of_child, refusal, violations


async def test_a_good_form_may_be_saved_and_nothing_is_stored(service: Service, unit: Unit) -> None:
    assert await service.prepare(unit.unit_id, adult_form(), person_id=secrets.token_hex(16)) is None
    assert await service.prepare(unit.unit_id, adult_form()) is None
    assert not (await service.page(unit.unit_id)).registrations


async def test_all_errors_of_a_form_come_in_one_answer(service: Service) -> None:
    school = await service.unit("Esimerkkikoulu", UNIT_KIND_SCHOOL)
    form = child_form()
    form.first_names, form.last_name = "-", " "
    form.address.postcode = "1"
    form.applicant = form_pb.APPLICANT_SELF
    form.related_person.email = ""
    assert await violations(service.prepare(school.unit_id, form, birth_date=birth_of_child())) == {
        "form.first_names": "REQUIRED",
        "form.last_name": "REQUIRED",
        "form.address.postcode": "INVALID_POSTCODE",
        "form.school_support": "SCHOOL_SUPPORT_REQUIRED",
        "form.applicant": "GUARDIAN_REQUIRED",
        "form.related_person.email": "REQUIRED",
    }


async def test_without_a_birth_date_the_rest_of_the_form_is_checked(service: Service, unit: Unit) -> None:
    form = child_form()
    assert await service.prepare(unit.unit_id, form, birth_date=None) is None
    form.terms_accepted = False
    wrong = service.prepare(unit.unit_id, form, birth_date=None)
    assert await violations(wrong) == {"form.terms_accepted": "TERMS_NOT_ACCEPTED"}


async def test_a_missing_form_and_a_missing_unit(service: Service, unit: Unit) -> None:
    found = await violations(service.prepare(unit.unit_id, None))
    assert found["form.first_names"] == "REQUIRED"
    missing = service.prepare("nosuchunit", adult_form())
    assert await refusal(missing) == ("NOT_FOUND", "UNIT_NOT_FOUND")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": ""}, {"request_id": "INVALID_FORMAT"}),
        ({"unit_id": "../x"}, {"unit_id": "INVALID_FORMAT"}),
        ({"person_id": "\x00"}, {"person_id": "INVALID_FORMAT"}),
        ({"account_id": ""}, {"account_id": "INVALID_FORMAT"}),
        ({"birth_date": Date(year=2001, month=2, day=29)}, {"birth_date": "INVALID_DATE"}),
        ({"birth_date": Date()}, {"birth_date": "INVALID_DATE"}),
        ({"birth_date": Date(year=9999, month=1, day=1)}, {"birth_date": "DATE_IN_FUTURE"}),
    ],
)
async def test_a_malformed_preparation_is_refused(
    service: Service, unit: Unit, fields: dict[str, Any], wrong: dict[str, str]
) -> None:
    good = {"unit_id": unit.unit_id}
    assert await violations(service.prepare(form=adult_form(), **(good | fields))) == wrong


async def test_a_known_person_is_not_registered_anew(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")
    customer, child = secrets.token_hex(16), secrets.token_hex(16)
    await service.create(unit.unit_id, adult_form(), person_id=customer)
    await service.waiting(unit.unit_id, person_id=child)
    for attempt in (
        lambda unit_id, person_id: service.prepare(unit_id, adult_form(), person_id=person_id),
        lambda unit_id, person_id: service.create(unit_id, adult_form(), person_id=person_id),
        lambda unit_id, person_id: service.waiting(unit_id, person_id=person_id),
    ):
        assert await refusal(attempt(unit.unit_id, customer)) == (
            "ALREADY_EXISTS",
            "ALREADY_REGISTERED_IN_THIS_UNIT",
        )
        assert await refusal(attempt(other.unit_id, customer)) == (
            "ALREADY_EXISTS",
            "ALREADY_REGISTERED_IN_ANOTHER_UNIT",
        )
        for unit_id in (unit.unit_id, other.unit_id):
            assert await refusal(attempt(unit_id, child)) == ("ALREADY_EXISTS", "BEING_REGISTERED")


async def test_errors_of_the_form_come_before_what_is_known_of_the_person(
    service: Service, unit: Unit
) -> None:
    person_id = secrets.token_hex(16)
    await service.create(unit.unit_id, adult_form(), person_id=person_id)
    form = adult_form()
    form.terms_accepted = False
    wrong = service.prepare(unit.unit_id, form, person_id=person_id)
    assert await violations(wrong) == {"form.terms_accepted": "TERMS_NOT_ACCEPTED"}


async def test_a_guardians_address_of_many_families_is_asked_about(service: Service, unit: Unit) -> None:
    form = child_form()
    form.related_person.email = "opettaja.yhteinen@koulu.example"
    for number, last_name in enumerate(["Esimerkki", "Mallikas", "esimerkki", "Kuvitteellinen"]):
        form.last_name = last_name
        if number == 0:
            # This customership has begun.
            form.paper_consent.CopyFrom(paper_consent())
        await service.create(unit.unit_id, form, birth_date=birth_of_child())
        form.ClearField("paper_consent")
    form.last_name = "Neljäs"
    assert await service.prepare(unit.unit_id, form, birth_date=birth_of_child()) is None
    await service.create(unit.unit_id, form, birth_date=birth_of_child())
    form.last_name = "Viides"
    asked = {"form.related_person.email": "GUARDIAN_EMAIL_OF_MANY"}
    assert await violations(service.prepare(unit.unit_id, form, birth_date=birth_of_child())) == asked
    confirmed = {"birth_date": birth_of_child(), "guardian_email_confirmed": True}
    assert await service.prepare(unit.unit_id, form, **confirmed) is None
    form.last_name = "Mallikas"
    other = await service.unit("Toinen koulu")
    assert await service.prepare(other.unit_id, form, birth_date=birth_of_child()) is None


async def test_many_families_are_seen_behind_one_mailbox(service: Service, unit: Unit) -> None:
    """Cases 17 and 40: a tag, letters of case and Gmail's dots make no other guardian."""
    name = secrets.token_hex(6)
    written = [f"{name[:6]}.{name[6:]}@gmail.com", f"{name.upper()}@googlemail.com", f"{name}+3@gmail.com"]
    written += [f"{name}+{number}@gmail.com" for number in (4, 5, 6)]
    for number, address in enumerate(written):
        form = changed(child_form(), last_name=f"Perhe {number}", related_person__email=address)
        prepared = service.prepare(unit.unit_id, form, birth_date=birth_of_child())
        if number < 4:
            assert await prepared is None
        else:
            assert await violations(prepared) == {"form.related_person.email": "GUARDIAN_EMAIL_OF_MANY"}
        registration = (await service.create(unit.unit_id, form, birth_date=birth_of_child())).registration
        if number % 2:
            # Of customers, as of those who wait.
            await service.activate(registration.registration_id, None)
        else:
            # As people wrote it: that is where mail goes.
            details = (await service.mailing(registration.registration_id)).mailing_details
            assert details.related_person_email == address


async def test_the_registrars_own_address_is_asked_about(service: Service, unit: Unit) -> None:
    form = child_form()
    own = {"birth_date": birth_of_child(), "registrars_email": form.related_person.email.title()}
    asked = {"form.related_person.email": "GUARDIAN_EMAIL_IS_REGISTRARS"}
    assert await violations(service.prepare(unit.unit_id, form, **own)) == asked
    assert await service.prepare(unit.unit_id, form, **own, guardian_email_confirmed=True) is None
    grown = adult_form()
    assert await service.prepare(unit.unit_id, grown, registrars_email=grown.email) is None


async def test_an_edit_to_an_address_of_many_or_of_the_registrars_is_asked_about(
    service: Service, unit: Unit
) -> None:
    """As a Save is: of a form that waits, and of a child who is a customer."""
    waiting = await service.waiting(unit.unit_id)
    active = await service.waiting(unit.unit_id)
    active = await service.activate(active.registration_id, None)
    child = await service.get_customer(active.customer_id)
    many = f"kanslia-{secrets.token_hex(4)}@koulu.example"
    for last_name in ("Esimerkki", "Mallikas", "Kuvitteellinen", "Neljäs"):
        form = changed(child_form(), last_name=last_name, related_person__email=many)
        await service.create(unit.unit_id, form, birth_date=birth_of_child())
    asked = {"form.related_person.email": "GUARDIAN_EMAIL_OF_MANY"}
    new: dict[str, Any] = {"last_name": "Viides", "related_person__email": many}
    read, paths = await form_of(service, waiting), ("last_name", "related_person.email")
    assert await violations(correct(service, waiting, read, *paths, **new)) == asked
    assert await violations(service.update(child, *paths, **new)) == asked
    own = {"form.related_person.email": "GUARDIAN_EMAIL_IS_REGISTRARS"}
    mine: dict[str, Any] = {"related_person__email": "minun@koulu.example"}
    mine["of_registrars_email"] = "Minun+Sivu@Koulu.Example"
    assert await violations(correct(service, waiting, read, "related_person.email", **mine)) == own
    assert await violations(service.update(child, "related_person.email", **mine)) == own

    new["of_guardian_email_confirmed"] = True
    await correct(service, waiting, read, *paths, **new)
    await service.update(child, *paths, **new)
    # What is confirmed once is not asked about at the next edit.
    read, child = await form_of(service, waiting), await service.get_customer(child.customer_id)
    await correct(service, waiting, read, "phone", phone="+358401234567")
    await service.update(child, "phone", phone="+358401234567")


async def test_who_would_be_a_hundred_years_old_is_no_pupil_and_has_no_guardian(
    service: Service, unit: Unit
) -> None:
    """One sign decides on the century of a code (R45); what would follow from the age is not told."""
    school = await service.unit("Esimerkkikoulu", UNIT_KIND_SCHOOL)
    born, wrong = Date(year=1916, month=6, day=17), "CENTURY_PERHAPS_WRONG"
    of_school = changed(adult_form(), school_support=form_pb.SCHOOL_SUPPORT_PUPIL_SPECIFIC)
    for unit_id, form in ((unit.unit_id, child_form()), (school.unit_id, of_school)):
        told = await violations(service.prepare(unit_id, form, birth_date=born))
        assert told == {"personal_identity_code": wrong}
        missing = MissingPersonalIdentityCode(birth_date=born, reason=MISSING_CODE_REASON_NOT_YET_GIVEN)
        told = await violations(
            service.prepare(unit_id, form, birth_date=None, missing_personal_identity_code=missing)
        )
        assert told == {"missing_personal_identity_code.birth_date": wrong}
    # A library's customer may be as old, but not older than anybody in Finland has become.
    assert await service.prepare(unit.unit_id, adult_form(), birth_date=born) is None
    for year in (1897, 1898, 1899):
        of_today = service.prepare(unit.unit_id, adult_form(), birth_date=Date(year=year, month=1, day=1))
        assert await violations(of_today) == {"personal_identity_code": wrong}
