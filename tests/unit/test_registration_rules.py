"""The rules of registering: ages at their edges, and every rule of the form."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from google.type.date_pb2 import Date
from hypothesis import given
from hypothesis import strategies as st

from liity.registration.v1.unit_service_pb2 import (
    UNIT_KIND_HIGHER_EDUCATION,
    UNIT_KIND_LIBRARY,
    UNIT_KIND_OTHER,
    UNIT_KIND_SCHOOL,
)
from liity.v1 import customer_form_pb2 as pb
from liity.v1 import reason_pb2 as reasons
from liity.v1.customer_form_pb2 import CustomerForm, PaperConsent
from services.registration.forms import consent_errors, form_errors, from_json, normalise, to_json
from services.registration.rules import (
    consent_needed,
    day_of_age,
    form_violations,
    full_years,
    parse_email,
    parse_phone,
)
from services.runtime.clock import helsinki_day, to_proto_date
from services.runtime.errors import FieldViolation
from tests.registration_forms import adult_form, child_form

TODAY = date(2026, 3, 15)
ADULT = date(1990, 1, 1)
YOUTH = date(2010, 1, 1)
CHILD = date(2017, 1, 1)

Change = Callable[[CustomerForm], None]


# Age


@pytest.mark.parametrize(
    ("birth_date", "day", "age"),
    [
        (date(2011, 6, 10), date(2026, 6, 9), 14),
        (date(2011, 6, 10), date(2026, 6, 10), 15),
        (date(2011, 6, 10), date(2026, 6, 11), 15),
        (date(2008, 6, 10), date(2026, 6, 9), 17),
        (date(2008, 6, 10), date(2026, 6, 10), 18),
        (date(2008, 6, 10), date(2026, 6, 11), 18),
        (date(2011, 1, 1), date(2025, 12, 31), 14),
        (date(2011, 1, 1), date(2026, 1, 1), 15),
        (date(2012, 2, 29), date(2027, 2, 28), 14),
        (date(2012, 2, 29), date(2027, 3, 1), 15),
        (date(2012, 2, 29), date(2028, 2, 28), 15),
        (date(2012, 2, 29), date(2028, 2, 29), 16),
        (date(2012, 2, 29), date(2030, 2, 28), 17),
        (date(2012, 2, 29), date(2030, 3, 1), 18),
        (date(2026, 3, 15), date(2026, 3, 15), 0),
        (date(1897, 5, 1), date(2026, 5, 1), 129),
    ],
)
def test_age_in_full_years(birth_date: date, day: date, age: int) -> None:
    assert full_years(birth_date, day) == age


@pytest.mark.parametrize(
    ("birth_date", "years", "day"),
    [
        (date(2011, 6, 10), 15, date(2026, 6, 10)),
        (date(2012, 2, 29), 15, date(2027, 3, 1)),
        (date(2012, 2, 29), 16, date(2028, 2, 29)),
        (date(2012, 2, 29), 18, date(2030, 3, 1)),
        (date(2012, 2, 28), 15, date(2027, 2, 28)),
        (date(2011, 12, 31), 15, date(2026, 12, 31)),
    ],
)
def test_day_of_an_age(birth_date: date, years: int, day: date) -> None:
    assert day_of_age(birth_date, years) == day


@given(st.dates(date(1850, 1, 1), date(2100, 1, 1)), st.integers(0, 120))
def test_a_person_reaches_an_age_on_its_day_and_not_before(birth_date: date, years: int) -> None:
    day = day_of_age(birth_date, years)
    assert full_years(birth_date, day) == years
    assert full_years(birth_date, day - timedelta(days=1)) == years - 1


@given(st.dates(date(1850, 1, 1), date(2100, 1, 1)), st.dates(date(2100, 1, 1), date(2200, 1, 1)))
def test_nobody_grows_younger(birth_date: date, day: date) -> None:
    growth = full_years(birth_date, day + timedelta(days=1)) - full_years(birth_date, day)
    assert growth in {0, 1}


@pytest.mark.parametrize(
    ("moment", "needed"),
    [
        # Helsinki is two hours ahead of UTC in winter, three in summer.
        (datetime(2026, 1, 9, 21, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 1, 9, 22, 0, tzinfo=UTC), False),
        (datetime(2026, 1, 10, 0, 0, tzinfo=UTC), False),
    ],
)
def test_fifteen_begins_at_midnight_in_helsinki_in_winter(moment: datetime, needed: bool) -> None:
    assert consent_needed(date(2011, 1, 10), helsinki_day(moment), child_form()) is needed


@pytest.mark.parametrize(
    ("moment", "needed"),
    [
        (datetime(2026, 6, 9, 20, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 6, 9, 21, 0, tzinfo=UTC), False),
    ],
)
def test_fifteen_begins_at_midnight_in_helsinki_in_summer(moment: datetime, needed: bool) -> None:
    assert consent_needed(date(2011, 6, 10), helsinki_day(moment), child_form()) is needed


def test_consent_on_paper_is_not_waited_for() -> None:
    form = child_form()
    assert consent_needed(CHILD, TODAY, form)
    form.paper_consent.guardian_name = "Kerttu Huoltaja"
    assert not consent_needed(CHILD, TODAY, form)


# The form


def errors_of(
    form: CustomerForm, birth_date: date | None = ADULT, unit_kind: int = UNIT_KIND_LIBRARY
) -> dict[str, str]:
    found = form_errors(normalise(form), birth_date=birth_date, unit_kind=unit_kind, today=TODAY)
    assert len({violation.field for violation in found}) == len(found)
    return {
        violation.field.removeprefix("form."): reasons.Reason.Name(violation.reason).removeprefix("REASON_")
        for violation in found
    }


def changed(form: CustomerForm, **fields: object) -> CustomerForm:
    """The form with fields set: a name with `__` reaches into a message, None clears."""
    for path, value in fields.items():
        *parents, name = path.split("__")
        message = form
        for parent in parents:
            message = getattr(message, parent)
        if value is None:
            message.ClearField(name)
        elif isinstance(value, Date | PaperConsent | pb.RelatedPerson | pb.PostalAddress):
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return form


def signed(days_ago: int) -> PaperConsent:
    return PaperConsent(
        guardian_name="Kerttu Huoltaja", sign_date=to_proto_date(TODAY - timedelta(days=days_ago))
    )


@pytest.mark.parametrize(
    ("form", "birth_date", "unit_kind"),
    [
        (adult_form(), ADULT, UNIT_KIND_LIBRARY),
        (adult_form(), ADULT, UNIT_KIND_OTHER),
        (adult_form(), ADULT, UNIT_KIND_HIGHER_EDUCATION),
        (adult_form(), YOUTH, UNIT_KIND_LIBRARY),
        (child_form(), CHILD, UNIT_KIND_LIBRARY),
        (child_form(), YOUTH, UNIT_KIND_LIBRARY),
        (changed(child_form(), school_support=pb.SCHOOL_SUPPORT_SPECIAL), CHILD, UNIT_KIND_SCHOOL),
        (changed(child_form(), school_support=pb.SCHOOL_SUPPORT_INTENSIFIED), CHILD, UNIT_KIND_SCHOOL),
        (changed(child_form(), school_support=pb.SCHOOL_SUPPORT_PUPIL_SPECIFIC), CHILD, UNIT_KIND_SCHOOL),
        (changed(child_form(), applicant=pb.APPLICANT_CONTACT_PERSON), ADULT, UNIT_KIND_LIBRARY),
        (
            changed(
                child_form(),
                paper_consent=signed(0),
                related_person__email="",
                email="e@koti.example",
                credentials_recipient=pb.CREDENTIALS_RECIPIENT_CUSTOMER,
            ),
            CHILD,
            UNIT_KIND_LIBRARY,
        ),
        (changed(child_form(), paper_consent=signed(90)), CHILD, UNIT_KIND_LIBRARY),
        (
            changed(adult_form(), email="", credentials_recipient=pb.CREDENTIALS_RECIPIENT_REGISTRAR),
            ADULT,
            UNIT_KIND_LIBRARY,
        ),
        (
            changed(adult_form(), kind=pb.CUSTOMER_KIND_CD_BORROWER, email="", credentials_recipient=None),
            ADULT,
            UNIT_KIND_LIBRARY,
        ),
        (
            changed(adult_form(), temporary=True, expected_end_date=Date(year=2026, month=3, day=16)),
            ADULT,
            UNIT_KIND_LIBRARY,
        ),
        (changed(adult_form(), temporary=True), ADULT, UNIT_KIND_LIBRARY),
        (
            changed(
                adult_form(), print_disability=pb.PRINT_DISABILITY_PHYSICAL, disability_storage_allowed=True
            ),
            ADULT,
            UNIT_KIND_LIBRARY,
        ),
        (
            changed(
                adult_form(), address__country_code="SE", address__postcode="111 22", address__municipality=""
            ),
            ADULT,
            UNIT_KIND_LIBRARY,
        ),
        (changed(adult_form(), address__country_code=""), ADULT, UNIT_KIND_LIBRARY),
        (changed(adult_form(), address__country_code="fi"), ADULT, UNIT_KIND_LIBRARY),
        (changed(adult_form(), phone="", additional_information=""), ADULT, UNIT_KIND_LIBRARY),
        (changed(adult_form(), first_names="Ngọc Ánh", last_name="Đặng"), ADULT, UNIT_KIND_LIBRARY),
        (changed(adult_form(), first_names="A\u0308ino", last_name="Ma\u030alli"), ADULT, UNIT_KIND_LIBRARY),
        (changed(adult_form(), first_names="Ольга", last_name="محمد"), ADULT, UNIT_KIND_LIBRARY),
        (changed(adult_form(), first_names="अ\u200dनु", last_name="O’Brien-𠮷田"), ADULT, UNIT_KIND_LIBRARY),
        (changed(adult_form(), first_names="x" * 100, last_name="y"), ADULT, UNIT_KIND_LIBRARY),
        (changed(adult_form(), first_names="  " + "x" * 100 + " "), ADULT, UNIT_KIND_LIBRARY),
        (changed(adult_form(), additional_information="å" * 1000), ADULT, UNIT_KIND_LIBRARY),
        (changed(child_form(), applicant=pb.APPLICANT_GUARDIAN), None, UNIT_KIND_LIBRARY),
    ],
)
def test_a_good_form_has_no_errors(form: CustomerForm, birth_date: date | None, unit_kind: int) -> None:
    assert errors_of(form, birth_date, unit_kind) == {}


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"first_names": ""}, {"first_names": "REQUIRED"}),
        ({"first_names": " \u00a0\u3000 "}, {"first_names": "REQUIRED"}),
        ({"first_names": "\t\n"}, {"first_names": "REQUIRED"}),
        ({"last_name": "\u200b\ufeff"}, {"last_name": "REQUIRED"}),
        ({"last_name": "x" * 101}, {"last_name": "TOO_LONG"}),
        ({"last_name": "Malli\x00kas"}, {"last_name": "FORBIDDEN_CHARACTERS"}),
        ({"last_name": "Malli\nkas"}, {"last_name": "FORBIDDEN_CHARACTERS"}),
        ({"last_name": "Malli\u202ekas"}, {"last_name": "FORBIDDEN_CHARACTERS"}),
        ({"address": None}, {"address": "REQUIRED"}),
        ({"address__street_address": " "}, {"address.street_address": "REQUIRED"}),
        ({"address__postcode": ""}, {"address.postcode": "REQUIRED"}),
        ({"address__post_office": ""}, {"address.post_office": "REQUIRED"}),
        ({"address__postcode": "0010"}, {"address.postcode": "INVALID_POSTCODE"}),
        ({"address__postcode": "001000"}, {"address.postcode": "INVALID_POSTCODE"}),
        ({"address__postcode": "0010a"}, {"address.postcode": "INVALID_POSTCODE"}),
        ({"address__postcode": "٠٠١٠٠"}, {"address.postcode": "INVALID_POSTCODE"}),
        ({"address__municipality": ""}, {"address.municipality": "REQUIRED"}),
        ({"address__municipality": " ", "address__country_code": ""}, {"address.municipality": "REQUIRED"}),
        ({"address__country_code": "FIN"}, {"address.country_code": "INVALID_FORMAT"}),
        (
            {"address__country_code": "SE", "address__postcode": "1" * 21},
            {"address.postcode": "TOO_LONG"},
        ),
        ({"email": "aino"}, {"email": "INVALID_EMAIL"}),
        ({"email": "aino@koti"}, {"email": "INVALID_EMAIL"}),
        ({"email": "aino@@koti.example"}, {"email": "INVALID_EMAIL"}),
        ({"email": "aino@koti.example\r\nBcc: muut@koti.example"}, {"email": "INVALID_EMAIL"}),
        ({"email": "a" * 250 + "@koti.example"}, {"email": "TOO_LONG"}),
        ({"email": ""}, {"email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"}),
        ({"email": " "}, {"email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"}),
        ({"phone": "12"}, {"phone": "INVALID_PHONE"}),
        ({"phone": "soita iltaisin"}, {"phone": "INVALID_PHONE"}),
        ({"phone": "040 123\x004567"}, {"phone": "INVALID_PHONE"}),
        ({"language": None}, {"language": "REQUIRED"}),
        ({"language": 9}, {"language": "UNKNOWN_VALUE"}),
        ({"entitlement_declared": False}, {"entitlement_declared": "ENTITLEMENT_NOT_DECLARED"}),
        (
            {"print_disability": pb.PRINT_DISABILITY_OTHER},
            {"print_disability": "DISABILITY_STORAGE_NOT_ALLOWED"},
        ),
        (
            {"print_disability": 77, "disability_storage_allowed": True},
            {"print_disability": "UNKNOWN_VALUE"},
        ),
        ({"school_support": pb.SCHOOL_SUPPORT_SPECIAL}, {"school_support": "SCHOOL_SUPPORT_NOT_ALLOWED"}),
        ({"kind": None}, {"kind": "REQUIRED"}),
        ({"kind": 7}, {"kind": "UNKNOWN_VALUE"}),
        (
            {"kind": pb.CUSTOMER_KIND_CD_BORROWER},
            {"credentials_recipient": "CREDENTIALS_NOT_FOR_CD_BORROWER"},
        ),
        (
            {"expected_end_date": Date(year=2026, month=9, day=1)},
            {"expected_end_date": "NOT_TEMPORARY"},
        ),
        (
            {"temporary": True, "expected_end_date": Date(year=2026, month=3, day=15)},
            {"expected_end_date": "DATE_NOT_IN_FUTURE"},
        ),
        (
            {"temporary": True, "expected_end_date": Date(year=2026, month=2, day=30)},
            {"expected_end_date": "INVALID_DATE"},
        ),
        ({"temporary": True, "expected_end_date": Date(year=-1)}, {"expected_end_date": "INVALID_DATE"}),
        ({"applicant": None}, {"applicant": "REQUIRED"}),
        (
            {"applicant": pb.APPLICANT_GUARDIAN},
            {"applicant": "GUARDIAN_NOT_ALLOWED", "related_person": "REQUIRED"},
        ),
        ({"applicant": pb.APPLICANT_CONTACT_PERSON}, {"related_person": "REQUIRED"}),
        ({"related_person": pb.RelatedPerson()}, {"related_person.full_name": "REQUIRED"}),
        (
            {"related_person": pb.RelatedPerson(full_name="Kerttu", email="ei", phone="0")},
            {"related_person.email": "INVALID_EMAIL", "related_person.phone": "INVALID_PHONE"},
        ),
        (
            {"paper_consent": signed(1)},
            {"paper_consent": "CONSENT_NOT_NEEDED"},
        ),
        ({"terms_accepted": False}, {"terms_accepted": "TERMS_NOT_ACCEPTED"}),
        ({"credentials_recipient": None}, {"credentials_recipient": "REQUIRED"}),
        (
            {"credentials_recipient": None, "email": ""},
            {"email": "REQUIRED", "credentials_recipient": "REQUIRED"},
        ),
        ({"credentials_recipient": 44}, {"credentials_recipient": "UNKNOWN_VALUE"}),
        (
            {"credentials_recipient": pb.CREDENTIALS_RECIPIENT_RELATED_PERSON},
            {"related_person.email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"},
        ),
        ({"additional_information": "x" * 1001}, {"additional_information": "TOO_LONG"}),
        ({"additional_information": "x\x07"}, {"additional_information": "FORBIDDEN_CHARACTERS"}),
    ],
)
def test_what_an_adults_form_may_not_say(fields: dict[str, object], errors: dict[str, str]) -> None:
    assert errors_of(changed(adult_form(), **fields)) == errors


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"applicant": pb.APPLICANT_SELF}, {"applicant": "GUARDIAN_REQUIRED"}),
        ({"applicant": pb.APPLICANT_CONTACT_PERSON}, {"applicant": "GUARDIAN_REQUIRED"}),
        (
            {"related_person": None},
            {"related_person": "REQUIRED", "related_person.email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"},
        ),
        (
            {"related_person": None, "credentials_recipient": pb.CREDENTIALS_RECIPIENT_REGISTRAR},
            {"related_person": "REQUIRED"},
        ),
        (
            {"related_person__email": "", "credentials_recipient": pb.CREDENTIALS_RECIPIENT_REGISTRAR},
            {"related_person.email": "REQUIRED"},
        ),
        ({"related_person__email": ""}, {"related_person.email": "REQUIRED"}),
        (
            {"related_person__email": "", "paper_consent": signed(1)},
            {"related_person.email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"},
        ),
        ({"related_person__full_name": " "}, {"related_person.full_name": "REQUIRED"}),
        ({"related_person__relation": "x" * 101}, {"related_person.relation": "TOO_LONG"}),
        ({"paper_consent": signed(91)}, {"paper_consent.sign_date": "CONSENT_TOO_OLD"}),
        ({"paper_consent": signed(-1)}, {"paper_consent.sign_date": "DATE_IN_FUTURE"}),
        (
            {"paper_consent": PaperConsent(guardian_name="K", sign_date=Date(year=2026, month=13, day=1))},
            {"paper_consent.sign_date": "INVALID_DATE"},
        ),
        (
            {"paper_consent": PaperConsent(guardian_name=" ")},
            {"paper_consent.guardian_name": "REQUIRED", "paper_consent.sign_date": "REQUIRED"},
        ),
    ],
)
def test_what_a_childs_form_may_not_say(fields: dict[str, object], errors: dict[str, str]) -> None:
    assert errors_of(changed(child_form(), **fields), CHILD) == errors


def test_a_contact_person_acts_for_adults_only() -> None:
    form = changed(child_form(), applicant=pb.APPLICANT_CONTACT_PERSON)
    assert errors_of(form, YOUTH) == {"applicant": "CONTACT_PERSON_NOT_ALLOWED"}


@pytest.mark.parametrize(
    ("birth_date", "own", "guardians", "contact_persons"),
    [
        (date(2011, 3, 16), "GUARDIAN_REQUIRED", None, "GUARDIAN_REQUIRED"),
        (date(2011, 3, 15), None, None, "CONTACT_PERSON_NOT_ALLOWED"),
        (date(2011, 3, 14), None, None, "CONTACT_PERSON_NOT_ALLOWED"),
        (date(2008, 3, 16), None, None, "CONTACT_PERSON_NOT_ALLOWED"),
        (date(2008, 3, 15), None, "GUARDIAN_NOT_ALLOWED", None),
        (date(2008, 3, 14), None, "GUARDIAN_NOT_ALLOWED", None),
    ],
)
def test_who_may_apply_at_the_edges_of_the_ages(
    birth_date: date, own: str | None, guardians: str | None, contact_persons: str | None
) -> None:
    answers = [
        errors_of(changed(child_form(), applicant=applicant), birth_date).get("applicant")
        for applicant in (pb.APPLICANT_SELF, pb.APPLICANT_GUARDIAN, pb.APPLICANT_CONTACT_PERSON)
    ]
    assert answers == [own, guardians, contact_persons]


def test_a_school_names_the_support() -> None:
    assert errors_of(child_form(), CHILD, UNIT_KIND_SCHOOL) == {"school_support": "SCHOOL_SUPPORT_REQUIRED"}


def test_without_a_date_of_birth_the_rules_of_age_are_left_out() -> None:
    form = changed(child_form(), applicant=pb.APPLICANT_SELF, paper_consent=signed(200))
    assert errors_of(form, None) == {"paper_consent.sign_date": "CONSENT_TOO_OLD"}


def test_all_errors_come_together_in_the_order_of_the_form() -> None:
    form = CustomerForm(
        first_names="\x01",
        address=pb.PostalAddress(postcode="1", country_code="FI"),
        email="ei",
        phone="12",
        print_disability=pb.PRINT_DISABILITY_OTHER,
        expected_end_date=Date(year=2026, month=9, day=1),
        applicant=pb.APPLICANT_SELF,
        paper_consent=signed(-5),
        additional_information="x" * 1001,
    )
    assert list(errors_of(form, CHILD, UNIT_KIND_SCHOOL).items()) == [
        ("first_names", "FORBIDDEN_CHARACTERS"),
        ("last_name", "REQUIRED"),
        ("address.street_address", "REQUIRED"),
        ("address.postcode", "INVALID_POSTCODE"),
        ("address.post_office", "REQUIRED"),
        ("address.municipality", "REQUIRED"),
        ("email", "INVALID_EMAIL"),
        ("phone", "INVALID_PHONE"),
        ("language", "REQUIRED"),
        ("entitlement_declared", "ENTITLEMENT_NOT_DECLARED"),
        ("print_disability", "DISABILITY_STORAGE_NOT_ALLOWED"),
        ("school_support", "SCHOOL_SUPPORT_REQUIRED"),
        ("kind", "REQUIRED"),
        ("expected_end_date", "NOT_TEMPORARY"),
        ("applicant", "GUARDIAN_REQUIRED"),
        ("related_person", "REQUIRED"),
        ("paper_consent.sign_date", "DATE_IN_FUTURE"),
        ("terms_accepted", "TERMS_NOT_ACCEPTED"),
        ("additional_information", "TOO_LONG"),
    ]


def test_the_rules_by_themselves_count_blank_texts_as_missing() -> None:
    form = changed(adult_form(), first_names=" \u200b\t")
    assert form_violations(form, birth_date=ADULT, unit_kind=UNIT_KIND_LIBRARY, today=TODAY) == [
        FieldViolation("form.first_names", reasons.REASON_REQUIRED)
    ]


@given(
    st.builds(
        CustomerForm,
        first_names=st.text(max_size=120),
        last_name=st.text(max_size=3),
        email=st.text(max_size=12) | st.emails(),
        phone=st.text(max_size=12) | st.from_regex(r"\+?[0-9 -]{1,20}", fullmatch=True),
        kind=st.integers(-5, 5),
        applicant=st.integers(-5, 5),
        credentials_recipient=st.integers(-5, 5),
        temporary=st.booleans(),
        expected_end_date=st.builds(Date, year=st.integers(-5, 10000), month=st.integers(-1, 13)),
        related_person=st.builds(pb.RelatedPerson, email=st.text(max_size=12) | st.emails()),
        paper_consent=st.builds(PaperConsent, guardian_name=st.text(max_size=3)),
        additional_information=st.text(max_size=50),
    ),
    st.none() | st.dates(date(1850, 1, 1), TODAY),
    st.sampled_from([UNIT_KIND_LIBRARY, UNIT_KIND_SCHOOL]),
)
def test_any_form_gets_an_answer_and_normalising_settles(
    form: CustomerForm, birth_date: date | None, unit_kind: int
) -> None:
    normal = normalise(form)
    assert normalise(normal) == normal
    assert "terms_accepted" in errors_of(form, birth_date, unit_kind)


# Its normal form


def test_normalising_tidies_texts_and_leaves_the_original() -> None:
    form = changed(
        child_form(),
        first_names="  A\u0308ino \u00a0 Maria ",
        email=" Aino@KOTI.example ",
        phone="040 123 4567",
        related_person__phone="+46 8 123 456",
        related_person__relation="\u200b",
        address__country_code="",
        additional_information="rivi\n\nriviä",
    )
    before = CustomerForm()
    before.CopyFrom(form)
    normal = normalise(form)
    assert form == before
    assert normal.first_names == "Äino Maria"
    assert normal.email == "Aino@koti.example"
    assert normal.phone == "+358401234567"
    assert normal.related_person.phone == "+468123456"
    assert normal.related_person.relation == ""
    assert normal.address.country_code == "FI"
    assert normal.additional_information == "rivi\n\nriviä"


def test_normalising_adds_no_part_that_was_left_out() -> None:
    normal = normalise(CustomerForm())
    assert normal == CustomerForm()
    assert not normal.HasField("address")
    assert not normal.HasField("related_person")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a@koti.example", "a@koti.example"),
        ("A.B+c@EXAMPLE.com", "A.B+c@example.com"),
        ("a@örebro.example", "a@xn--rebro-iua.example"),
        ("a@localhost", None),
        ("a b@koti.example", None),
        ("Aino <a@koti.example>", None),
        ("a@koti.example, b@koti.example", None),
    ],
)
def test_email_addresses(text: str, address: str | None) -> None:
    assert parse_email(text) == address


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("040 1234567", "+358401234567"),
        ("(09) 123-4567", "+35891234567"),
        ("+46 8 123 456", "+468123456"),
        ("00358401234567", "+358401234567"),
        ("112x", None),
        ("+999 123 456", None),
        ("0" * 7, None),
        ("0" * 30, None),
    ],
)
def test_telephone_numbers(text: str, number: str | None) -> None:
    assert parse_phone(text) == number


def test_a_form_survives_its_storage() -> None:
    form = changed(
        child_form(),
        paper_consent=signed(3),
        print_disability=pb.PRINT_DISABILITY_COGNITIVE,
        disability_storage_allowed=True,
    )
    assert from_json(to_json(form)) == form
    assert from_json({**to_json(form), "field_of_tomorrow": {"x": 1}}) == form


# Consent on paper, recorded later


@pytest.mark.parametrize(
    ("consent", "errors"),
    [
        (signed(0), {}),
        (signed(90), {}),
        (PaperConsent(), {"guardian_name": "REQUIRED", "sign_date": "REQUIRED"}),
        (
            PaperConsent(guardian_name=" ", sign_date=Date()),
            {"guardian_name": "REQUIRED", "sign_date": "INVALID_DATE"},
        ),
        (signed(91), {"sign_date": "CONSENT_TOO_OLD"}),
        (signed(-1), {"sign_date": "DATE_IN_FUTURE"}),
        (
            PaperConsent(guardian_name="x" * 101, sign_date=to_proto_date(TODAY)),
            {"guardian_name": "TOO_LONG"},
        ),
        (
            PaperConsent(guardian_name="K\x00", sign_date=to_proto_date(TODAY)),
            {"guardian_name": "FORBIDDEN_CHARACTERS"},
        ),
    ],
)
def test_a_consent_on_paper(consent: PaperConsent, errors: dict[str, str]) -> None:
    assert {
        field: reasons.Reason.Name(reason).removeprefix("REASON_")
        for field, reason in consent_errors(consent, TODAY)
    } == {f"consent.{field}": reason for field, reason in errors.items()}
