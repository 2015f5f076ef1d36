"""Requests right in form that cannot be: other people's units, what is not there, what was done before."""

import base64
import json
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest

from deploy.demo.forms import DemoPerson
from frontends.client import new_request_id
from liity.v1.customer_form_pb2 import (
    APPLICANT_CONTACT_PERSON,
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CUSTOMER_KIND_CD_BORROWER,
    PRINT_DISABILITY_PHYSICAL,
    CustomerForm,
    Language,
    PaperConsent,
    PostalAddress,
    RelatedPerson,
)
from liity.v1.reason_pb2 import REASON_UNAUTHENTICATED
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    GetRegistrationRequest,
    ListRegistrationsRequest,
    RecordConsentRequest,
    RegisterCustomerRequest,
)
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.texts import reason_text
from tests.support.hetu_codes import code
from tests.support.registration_forms import date_from_today
from tests.system.support.calls import right
from tests.system.support.public_api import (
    LANGUAGES,
    METHODS,
    Gateway,
    Stores,
    fields_of,
    is_for_staff,
    outcome,
    request_class,
)
from tests.system.support.public_api_facts import Facts
from tests.system.support.registering import adult, save_request
from tests.system.support.walks import walk_storing_nothing

REGISTRATIONS = "/liity.v1.RegistrationService"
CHECK = f"{REGISTRATIONS}/CheckPersonalIdentityCode"
REGISTER = f"{REGISTRATIONS}/RegisterCustomer"
GET = f"{REGISTRATIONS}/GetRegistration"
LIST = f"{REGISTRATIONS}/ListRegistrations"
RECORD = f"{REGISTRATIONS}/RecordConsent"
UPDATE = f"{REGISTRATIONS}/UpdateRegistration"
WITHDRAW = f"{REGISTRATIONS}/WithdrawRegistration"
REMIND = f"{REGISTRATIONS}/RemindGuardian"
EXPLAIN = f"{REGISTRATIONS}/ExplainRegistration"
ACCEPT = "/liity.v1.ConsentService/AcceptConsent"


OURS = {path for path in METHODS if path.startswith(f"{REGISTRATIONS}/") and not is_for_staff(path)}
IN_UNIT = sorted(path for path in OURS if "parent" in request_class(path).DESCRIPTOR.fields_by_name)
"""The RPCs that name a unit."""
OF_REGISTRATION = sorted(OURS - {*IN_UNIT})
"""The RPCs that name a registration."""


def test_every_rpc_for_accounts_names_a_unit_or_a_registration() -> None:
    assert {CHECK, REGISTER, LIST} == {*IN_UNIT}
    assert {GET, RECORD, REMIND, UPDATE, WITHDRAW, EXPLAIN} == {*OF_REGISTRATION}


# Units and registrations


def about(path: str, unit: str, facts: Facts) -> Any:
    """A right request about a unit, and there about a child whom the school is registering."""
    code = facts.child.personal_identity_code
    return right(path, facts, parent=unit, **({"personal_identity_code": code} if path == CHECK else {}))


async def test_another_unit_is_as_little_there_as_one_that_is_not(
    gateway: Gateway, facts: Facts, stores: Stores
) -> None:
    nobodys = ("units/0", f"units/{'f' * 32}")

    async def check(path: str) -> None:
        # To staff it is told of no unit but those that are not there.
        for caller, units in {
            "registrar": (facts.school, *nobodys),
            "teacher": (facts.library, *nobodys),
            "staff": nobodys,
        }.items():
            for unit in units:
                refusal = await gateway.refusal(path, about(path, unit, facts), caller)
                assert outcome(refusal) == ("NOT_FOUND", "UNIT_NOT_FOUND"), (caller, unit)

    await walk_storing_nothing(stores, {path: partial(check, path) for path in IN_UNIT})


async def test_another_units_registration_is_not_found(
    gateway: Gateway, facts: Facts, stores: Stores
) -> None:
    waiting = facts.waiting.name.rpartition("/")[2]
    nobodys = (f"{facts.library}/registrations/{waiting}", f"{facts.library}/registrations/{'0' * 32}")

    async def check(path: str) -> None:
        refusal = await gateway.refusal(path, right(path, facts, name=facts.waiting.name), "registrar")
        assert outcome(refusal) == ("NOT_FOUND", "UNIT_NOT_FOUND")
        for name in nobodys:
            for caller in ("registrar", "staff"):
                refusal = await gateway.refusal(path, right(path, facts, name=name), caller)
                assert outcome(refusal) == ("NOT_FOUND", "REGISTRATION_NOT_FOUND"), (caller, name)

    await walk_storing_nothing(stores, {path: partial(check, path) for path in OF_REGISTRATION})


async def test_names_that_are_none_are_refused(gateway: Gateway, facts: Facts, stores: Stores) -> None:
    own = facts.library
    names = ["", "units", "units/", f"{own}/", f"/{own}", own.upper(), f"{own}/registrations", f"{own}/../x"]
    names += [
        f"{own}/registrations/",
        f"{own}/registrations/a/b",
        f"{own}/registrations/ä",
        "registrations/1",
    ]

    async def check(path: str) -> None:
        field, of_another_kind = ("parent", facts.active.name) if path in IN_UNIT else ("name", own)
        for name in (*names, of_another_kind):
            refusal = await gateway.refusal(path, right(path, facts, **{field: name}), "registrar")
            assert (outcome(refusal)[0], fields_of(refusal)) == (
                "INVALID_ARGUMENT",
                [(field, "INVALID_FORMAT")],
            ), name

    await walk_storing_nothing(stores, {path: partial(check, path) for path in sorted(OURS)})


OVER = (
    ("active", RECORD, "NOT_WAITING_FOR_CONSENT"),
    ("given", RECORD, "NOT_WAITING_FOR_CONSENT"),
    ("withdrawn", RECORD, "NOT_WAITING_FOR_CONSENT"),
    ("active", WITHDRAW, "NOT_WAITING"),
    ("given", WITHDRAW, "NOT_WAITING"),
)


async def test_what_waits_no_more_is_left_alone(gateway: Gateway, facts: Facts, stores: Stores) -> None:
    async def check(state: str, path: str, reason: str) -> None:
        request = right(path, facts, name=getattr(facts, state).name)
        for language in LANGUAGES:
            refusal = await gateway.refusal(path, request, "staff", language=language)
            assert outcome(refusal) == ("FAILED_PRECONDITION", reason)

    await walk_storing_nothing(
        stores, {f"{state} {path}": partial(check, state, path, reason) for state, path, reason in OVER}
    )


@pytest.mark.usefixtures("nothing_stored")
async def test_withdrawing_what_is_withdrawn_is_fine(gateway: Gateway, facts: Facts) -> None:
    await gateway.call(WITHDRAW, right(WITHDRAW, facts, name=facts.withdrawn.name), "teacher")


# Saves


@pytest.mark.usefixtures("nothing_stored")
async def test_every_error_of_a_form_is_told_at_once(gateway: Gateway, facts: Facts) -> None:
    form = CustomerForm(
        first_names="Ai\x07no",
        last_name=" \u200b ",
        address=PostalAddress(street_address="x" * 101, postcode="1234", post_office="", country_code="FI"),
        email="aino.at.koti.example",
        phone="12",
        language=9,  # type: ignore[arg-type] # a language of the future
        print_disability=PRINT_DISABILITY_PHYSICAL,
        kind=CUSTOMER_KIND_CD_BORROWER,
        expected_end_date=date_from_today(1),
        applicant=APPLICANT_CONTACT_PERSON,
        related_person=RelatedPerson(full_name="", email="@", phone="++", relation="äi\nti"),
        paper_consent=PaperConsent(guardian_name="", sign_date=date_from_today(1)),
        credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
        additional_information="x" * 1001,
    )
    request = RegisterCustomerRequest(
        parent=facts.school, request_id=new_request_id(), personal_identity_code="010594Y9033", form=form
    )
    for language in LANGUAGES:
        refusal = await gateway.refusal(REGISTER, request, "teacher", language=language)
        assert outcome(refusal) == ("INVALID_ARGUMENT", "HETU_CHECK_CHARACTER")
        assert fields_of(refusal) == [
            ("personal_identity_code", "HETU_CHECK_CHARACTER"),
            ("form.first_names", "FORBIDDEN_CHARACTERS"),
            ("form.address.street_address", "TOO_LONG"),
            ("form.address.postcode", "INVALID_POSTCODE"),
            ("form.address.post_office", "REQUIRED"),
            ("form.address.municipality", "REQUIRED"),
            ("form.email", "INVALID_EMAIL"),
            ("form.phone", "INVALID_PHONE"),
            ("form.language", "UNKNOWN_VALUE"),
            ("form.entitlement_declared", "ENTITLEMENT_NOT_DECLARED"),
            ("form.print_disability", "DISABILITY_STORAGE_NOT_ALLOWED"),
            ("form.school_support", "SCHOOL_SUPPORT_REQUIRED"),
            ("form.expected_end_date", "NOT_TEMPORARY"),
            ("form.related_person.full_name", "REQUIRED"),
            ("form.related_person.email", "INVALID_EMAIL"),
            ("form.related_person.phone", "INVALID_PHONE"),
            ("form.related_person.relation", "FORBIDDEN_CHARACTERS"),
            ("form.paper_consent.guardian_name", "REQUIRED"),
            ("form.paper_consent.sign_date", "DATE_IN_FUTURE"),
            ("form.terms_accepted", "TERMS_NOT_ACCEPTED"),
            ("form.credentials_recipient", "CREDENTIALS_NOT_FOR_CD_BORROWER"),
            ("form.additional_information", "TOO_LONG"),
        ]


_UNBORN = code(helsinki_day(now()) + timedelta(days=2), "A")


WRONG_CODES = {
    "": "HETU_FORMAT",
    "010594": "HETU_FORMAT",
    "010594Y903": "HETU_FORMAT",
    "010594Y90321": "HETU_FORMAT",
    "010150+903F": "HETU_TOO_OLD",
    "010594\x00Y9032": "HETU_FORMAT",
    "010594Z9032": "HETU_FORMAT",
    "300294Y9039": "HETU_DATE",
    "000094Y9039": "HETU_DATE",
    "010594Y9033": "HETU_CHECK_CHARACTER",
    _UNBORN: "HETU_NOT_YET_BORN",
    "22222222222": "HETU_DUMMY",
    "9" * 40: "HETU_DUMMY",
}


async def test_a_code_that_is_none_is_refused_with_what_is_wrong(
    gateway: Gateway, facts: Facts, stores: Stores
) -> None:
    async def check(typed: str, reason: str) -> None:
        request = CheckPersonalIdentityCodeRequest(parent=facts.library, personal_identity_code=typed)
        person = DemoPerson(typed, facts.newcomer.form, facts.newcomer.email)
        for path, asked in ((CHECK, request), (REGISTER, save_request(facts.library, person))):
            refusal = await gateway.refusal(path, asked, "registrar")
            assert outcome(refusal) == ("INVALID_ARGUMENT", reason)
            assert fields_of(refusal) == [("personal_identity_code", reason)]

    await walk_storing_nothing(
        stores, {ascii(typed): partial(check, typed, reason) for typed, reason in WRONG_CODES.items()}
    )


@pytest.mark.usefixtures("nothing_stored")
async def test_a_known_person_is_not_saved_again(gateway: Gateway, facts: Facts) -> None:
    cases = [
        (facts.library, facts.adult, "ALREADY_REGISTERED_IN_THIS_UNIT"),
        (facts.school, facts.adult, "ALREADY_REGISTERED_IN_ANOTHER_UNIT"),
        (facts.school, facts.child, "BEING_REGISTERED"),
        (facts.library, facts.child, "BEING_REGISTERED"),
    ]
    for unit, person, reason in cases:
        request = save_request(unit, person)
        if unit == facts.library:
            request.form.ClearField("school_support")
        else:
            request.form.school_support = facts.child.form.school_support
        for language in LANGUAGES:
            refusal = await gateway.refusal(REGISTER, request, "staff", language=language)
            assert outcome(refusal) == ("ALREADY_EXISTS", reason)


@pytest.mark.usefixtures("nothing_stored")
async def test_a_request_id_serves_one_save_only(gateway: Gateway, facts: Facts) -> None:
    other_person = save_request(facts.school, facts.new_pupil, facts.save_request_id)
    refusal = await gateway.refusal(REGISTER, other_person, "teacher")
    assert outcome(refusal) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    # Another caller's same ID is a call of its own, which learns nothing of the first.
    other_caller = save_request(facts.school, facts.child, facts.save_request_id)
    refusal = await gateway.refusal(REGISTER, other_caller, "staff")
    assert outcome(refusal) == ("ALREADY_EXISTS", "BEING_REGISTERED")


# Consents


WRONG_CONSENTS = (
    (PaperConsent(), [("guardian_name", "REQUIRED"), ("sign_date", "REQUIRED")]),
    (
        PaperConsent(guardian_name=" \u2060 ", sign_date=date_from_today(1)),
        [("guardian_name", "REQUIRED"), ("sign_date", "DATE_IN_FUTURE")],
    ),
    (
        PaperConsent(guardian_name="x" * 101, sign_date=date_from_today(-91)),
        [("guardian_name", "TOO_LONG"), ("sign_date", "CONSENT_TOO_OLD")],
    ),
)


@pytest.mark.usefixtures("nothing_stored")
async def test_a_consent_that_cannot_be_is_not_recorded(gateway: Gateway, facts: Facts) -> None:
    for consent, fields in WRONG_CONSENTS:
        request = RecordConsentRequest(name=facts.waiting.name, request_id=new_request_id(), consent=consent)
        refusal = await gateway.refusal(RECORD, request, "teacher")
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert fields_of(refusal) == [(f"consent.{field}", reason) for field, reason in fields]


@pytest.mark.usefixtures("nothing_stored")
async def test_a_guardian_says_who_they_are_and_what_they_read(gateway: Gateway, facts: Facts) -> None:
    for field, value, reason in (
        ("guardian_name", "   ", "REQUIRED"),
        ("guardian_name", "\u2060", "REQUIRED"),
        ("wording_version", "1999-1", "UNKNOWN_VALUE"),
    ):
        refusal = await gateway.refusal(ACCEPT, right(ACCEPT, facts, **{field: value}))
        assert fields_of(refusal) == [(field, reason)]


# Lists


def _page_token(*content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(content)).encode()).decode()


@pytest.mark.usefixtures("nothing_stored")
async def test_a_page_token_that_is_none_is_refused(gateway: Gateway, facts: Facts) -> None:
    good = "0" * 32
    tokens = ["1", "liity", "=", "ä", "AAAA", _page_token(), _page_token(1), _page_token("1", good)]
    tokens += [_page_token(1, good, 1), _page_token(1, "' OR 1=1 --"), _page_token(1.5, good)]
    tokens += [_page_token(10**17, "0" * 31), _page_token(10**80, good), _page_token(-(10**80), good)]
    for token in tokens:
        request = ListRegistrationsRequest(parent=facts.school, page_token=token)
        refusal = await gateway.refusal(LIST, request, "teacher")
        assert (outcome(refusal)[0], fields_of(refusal)) == (
            "INVALID_ARGUMENT",
            [("page_token", "INVALID_PAGE_TOKEN")],
        ), token


@pytest.mark.usefixtures("nothing_stored")
async def test_page_tokens_of_the_ends_of_time_give_a_page(gateway: Gateway, facts: Facts) -> None:
    for moment in (-62_135_596_800_000_000, -1, 0, 253_402_300_799_999_999):
        request = ListRegistrationsRequest(parent=facts.school, page_token=_page_token(moment, "0" * 32))
        await gateway.call(LIST, request, "teacher")


# Languages, and what is not there


ASKED = {
    "sv-FI": "sv",
    "EN": "en",
    "de, sv;q=0.5, en;q=0.9": "sv",
    "de": "fi",
    "": "fi",
    "unspecified": "fi",
    ";;,,--": "fi",
    "x" * 2000: "fi",
}


@pytest.mark.usefixtures("nothing_stored")
async def test_the_text_is_in_a_language_that_is_asked_for(gateway: Gateway, facts: Facts) -> None:
    for asked, given in ASKED.items():
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await gateway.send(
                GET, GetRegistrationRequest(name=facts.active.name), ("accept-language", asked)
            )
        language: Language.ValueType = LANGUAGES[given]
        assert error.value.details() == reason_text(REASON_UNAUTHENTICATED, language), asked


@pytest.mark.usefixtures("nothing_stored")
async def test_an_rpc_that_is_not_there_is_unimplemented(gateway: Gateway) -> None:
    for path in (
        "/liity.v1.RegistrationService/DeleteEverything",
        "/liity.identity.v1.PersonService/FindPerson",
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await gateway.send_anywhere(path, b"")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.usefixtures("nothing_stored")
async def test_a_newcomer_can_be_saved_all_the_same(gateway: Gateway, facts: Facts) -> None:
    """Else the refusals above would prove nothing."""
    check = CheckPersonalIdentityCodeRequest(
        parent=facts.library, personal_identity_code=adult().personal_identity_code
    )
    await gateway.call(CHECK, check, "registrar")
