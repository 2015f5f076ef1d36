"""Every rule of the form, kept and broken."""

from datetime import date, timedelta

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
from liity.v1.registration_pb2 import (
    GUARDIAN_ANSWER_CONSENTS,
    GUARDIAN_ANSWER_DECLINES,
    GUARDIAN_ANSWER_UNSPECIFIED,
    GuardianAnswer,
)
from services.registration.forms.normalise import form_errors, normalise
from services.registration.rules import (
    consent_is_declined,
    consent_is_given,
    form_violations,
    guardians_named,
)
from services.runtime.clock import to_proto_date
from services.runtime.rpc.errors import FieldViolation
from tests.support.registration_forms import adult_form, changed, child_form

TODAY = date(2026, 3, 15)
OTHER = pb.RelatedPerson(full_name="Ismo Huoltaja", email="ismo.huoltaja@koti.example")
ADULT = date(1990, 1, 1)
YOUTH = date(2010, 1, 1)
CHILD = date(2017, 1, 1)


def errors_of(
    form: CustomerForm, birth_date: date | None = ADULT, unit_kind: int = UNIT_KIND_LIBRARY
) -> dict[str, str]:
    found = form_errors(normalise(form), birth_date=birth_date, unit_kind=unit_kind, today=TODAY)
    assert len({violation.field for violation in found}) == len(found)
    return {
        violation.field.removeprefix("form."): reasons.Reason.Name(violation.reason).removeprefix("REASON_")
        for violation in found
    }


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
        (
            {"first_names": " \u00a0\u3000\t", "last_name": "\u200b\ufeff"},
            {"first_names": "REQUIRED", "last_name": "REQUIRED"},
        ),
        ({"first_names": "x", "last_name": "-"}, {"first_names": "REQUIRED", "last_name": "REQUIRED"}),
        ({"last_name": "x" * 101}, {"last_name": "TOO_LONG"}),
        ({"last_name": "Malli\x00kas"}, {"last_name": "FORBIDDEN_CHARACTERS"}),
        ({"last_name": "Malli\nkas"}, {"last_name": "FORBIDDEN_CHARACTERS"}),
        ({"address": None}, {"address": "REQUIRED"}),
        ({"address__street_address": " "}, {"address.street_address": "REQUIRED"}),
        ({"address__postcode": ""}, {"address.postcode": "REQUIRED"}),
        ({"address__post_office": ""}, {"address.post_office": "REQUIRED"}),
        ({"address__postcode": "0010"}, {"address.postcode": "INVALID_POSTCODE"}),
        ({"address__postcode": "001000"}, {"address.postcode": "INVALID_POSTCODE"}),
        ({"address__postcode": "00000"}, {"address.postcode": "INVALID_POSTCODE"}),
        ({"address__country_code": "XX"}, {"address.country_code": "UNKNOWN_COUNTRY"}),
        ({"address__country_code": "EU"}, {"address.country_code": "UNKNOWN_COUNTRY"}),
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
        ({"phone": "040 123 4567 mor, 050 222 3333 far"}, {"phone": "INVALID_PHONE"}),
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
            # Whether an address is needed is not known before it is chosen.
            {"credentials_recipient": None, "email": ""},
            {"credentials_recipient": "REQUIRED"},
        ),
        ({"credentials_recipient": 44}, {"credentials_recipient": "UNKNOWN_VALUE"}),
        (
            {"credentials_recipient": pb.CREDENTIALS_RECIPIENT_RELATED_PERSON},
            {"related_person.email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"},
        ),
        ({"other_guardian": OTHER}, {"other_guardian": "OTHER_GUARDIAN_NOT_ASKED"}),
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
            {"email": "Kerttu.Huoltaja@KOTI.example"},
            {"related_person.email": "GUARDIAN_EMAIL_IS_CHILDS"},
        ),
        (
            {"email": "saana@åland.example", "related_person__email": "saana+äiti@xn--land-poa.example"},
            {"related_person.email": "GUARDIAN_EMAIL_IS_CHILDS"},
        ),
        (
            {"related_person__email": "", "paper_consent": signed(1)},
            {"related_person.email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"},
        ),
        ({"other_guardian": OTHER}, {}),
        (
            {"other_guardian": pb.RelatedPerson(full_name="Ismo", email="ei", phone="0")},
            {"other_guardian.email": "INVALID_EMAIL", "other_guardian.phone": "INVALID_PHONE"},
        ),
        (
            {"other_guardian": pb.RelatedPerson(phone="040 123 4567")},
            {"other_guardian.full_name": "REQUIRED", "other_guardian.email": "REQUIRED"},
        ),
        (
            {"other_guardian": OTHER, "related_person__email": "Ismo.Huoltaja+x@KOTI.example"},
            {"other_guardian.email": "GUARDIANS_SHARE_EMAIL"},
        ),
        (
            {"other_guardian": OTHER, "email": "ismo.huoltaja@koti.example"},
            {"other_guardian.email": "GUARDIAN_EMAIL_IS_CHILDS"},
        ),
        (
            {"other_guardian": OTHER, "paper_consent": signed(1)},
            {"other_guardian": "OTHER_GUARDIAN_NOT_ASKED"},
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
    form = changed(adult_form(), first_names=" \u200b\t", last_name="\u2060")
    assert form_violations(form, birth_date=ADULT, unit_kind=UNIT_KIND_LIBRARY, today=TODAY) == [
        FieldViolation("form.first_names", reasons.REASON_REQUIRED),
        FieldViolation("form.last_name", reasons.REASON_REQUIRED),
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


CONSENTS, DECLINES, NONE = GUARDIAN_ANSWER_CONSENTS, GUARDIAN_ANSWER_DECLINES, GUARDIAN_ANSWER_UNSPECIFIED


@pytest.mark.parametrize(
    ("first", "other", "one_is_enough", "both_needed"),
    [
        (NONE, NONE, "awaited", "awaited"),
        (CONSENTS, NONE, "given", "awaited"),
        (NONE, DECLINES, "awaited", "declined"),
        (DECLINES, CONSENTS, "given", "declined"),
        (CONSENTS, CONSENTS, "given", "given"),
        (DECLINES, DECLINES, "declined", "declined"),
    ],
)
def test_what_the_answers_of_two_guardians_make_of_the_consent(
    first: GuardianAnswer.ValueType, other: GuardianAnswer.ValueType, one_is_enough: str, both_needed: str
) -> None:
    for answers in ({1: first, 2: other}, {1: other, 2: first}):
        for needed, outcome in ((False, one_is_enough), (True, both_needed)):
            assert consent_is_given(answers, both_needed=needed) == (outcome == "given")
            assert consent_is_declined(answers, both_needed=needed) == (outcome == "declined")


def test_who_signed_is_told_by_the_name() -> None:
    form = changed(child_form(), other_guardian=OTHER)
    assert guardians_named(form, " ismo  HUOLTAJA ") == [2]
    assert guardians_named(form, "Huoltaja, Ismo") == [2]
    assert guardians_named(form, form.related_person.full_name) == [1]
    assert guardians_named(form, "Joku Muu") == []
