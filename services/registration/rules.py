"""Rules of registering (R1 to R8): ages and the form. Pure functions, no I/O."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

import phonenumbers
from babel import Locale
from google.type.date_pb2 import Date

from liity.registration.v1.unit_service_pb2 import (
    UNIT_KIND_HIGHER_EDUCATION,
    UNIT_KIND_SCHOOL,
    UnitKind,
)
from liity.v1.customer_form_pb2 import (
    APPLICANT_CONTACT_PERSON,
    APPLICANT_GUARDIAN,
    APPLICANT_SELF,
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    CUSTOMER_KIND_ONLINE,
    CustomerForm,
    PaperConsent,
    RelatedPerson,
)
from liity.v1.reason_pb2 import (
    REASON_BIRTH_DATE_TOO_EARLY,
    REASON_CONSENT_NOT_NEEDED,
    REASON_CONSENT_TOO_OLD,
    REASON_CONTACT_PERSON_NOT_ALLOWED,
    REASON_CREDENTIALS_NOT_FOR_CD_BORROWER,
    REASON_CREDENTIALS_RECIPIENT_WITHOUT_EMAIL,
    REASON_DATE_IN_FUTURE,
    REASON_DATE_NOT_IN_FUTURE,
    REASON_DISABILITY_STORAGE_NOT_ALLOWED,
    REASON_ENTITLEMENT_NOT_DECLARED,
    REASON_GUARDIAN_EMAIL_IS_CHILDS,
    REASON_GUARDIAN_NOT_ALLOWED,
    REASON_GUARDIAN_REQUIRED,
    REASON_GUARDIANS_SHARE_EMAIL,
    REASON_INVALID_DATE,
    REASON_INVALID_PHONE,
    REASON_INVALID_POSTCODE,
    REASON_NOT_TEMPORARY,
    REASON_OTHER_GUARDIAN_NOT_ASKED,
    REASON_PROTECTED_ADDRESS,
    REASON_REQUIRED,
    REASON_SCHOOL_SUPPORT_NOT_ALLOWED,
    REASON_SCHOOL_SUPPORT_REQUIRED,
    REASON_TERMS_NOT_ACCEPTED,
    REASON_UNKNOWN_COUNTRY,
    Reason,
)
from liity.v1.registration_pb2 import (
    GUARDIAN_ANSWER_CONSENTS,
    GUARDIAN_ANSWER_DECLINES,
    STAGE_ACTIVE,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    GuardianAnswer,
    Stage,
)
from liity.v1.registration_service_pb2 import MissingPersonalIdentityCode
from services.registration.forms.name_keys import fold, parts
from services.registration.forms.withholding import holds_address
from services.runtime.clock import from_proto_date
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.rpc.errors import FieldViolation
from services.runtime.text import email_addresses
from services.runtime.text.cleaning import clean_line, is_blank
from services.runtime.text.email_addresses import mailbox

AGE_OF_OWN_DECISION = 15
"""From this age no guardian's consent is needed (R5, R6)."""

AGE_OF_MAJORITY = 18
"""From this age a guardian may not apply (R7)."""

_CENTURY = 100
_OLDEST_IN_FINLAND = 115
"""Nobody in Finland has become older: of somebody alive it is a wrong century."""

OLDEST_AGE = 130
"""A greater age is taken for a typing error."""

PAPER_CONSENT_VALIDITY = timedelta(days=90)
"""How old a consent on paper may be when it is recorded."""

FAMILIES_OF_ONE_ADDRESS = 5
"""From so many different last names in a unit, an address is asked about as the guardian's of many (R40)."""

HOME_COUNTRY = "FI"
"""The country of an address without one."""

_NO_COUNTRIES = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
"""Codes of unions, and those that CLDR uses for tests."""

_COUNTRIES = {
    str(code) for code in Locale("en").territories if re.fullmatch("[A-Z]{2}", str(code))
} - _NO_COUNTRIES
"""ISO 3166-1 alpha-2, by CLDR."""

_POSTCODE = re.compile("(?!00000)[0-9]{5}")
_FINLAND = 358
_SHORTEST_MOBILE, _LONGEST_MOBILE = 8, 10
"""Digits of a Finnish mobile number without its first 0."""


# Age


def full_years(birth_date: date, day: date) -> int:
    """A person's age on a day. A person born on 29 February turns a year older on 1 March in common years."""
    birthday_ahead = (day.month, day.day) < (birth_date.month, birth_date.day)
    return day.year - birth_date.year - birthday_ahead


def day_of_age(birth_date: date, years: int) -> date:
    """The first day on which a person is `years` old."""
    try:
        return birth_date.replace(year=birth_date.year + years)
    except ValueError:
        return date(birth_date.year + years, 3, 1)


def consent_needed(birth_date: date, day: date, form: CustomerForm) -> bool:
    """Whether the guardian's consent is still needed: under 15 and not on paper (R5, R29)."""
    return full_years(birth_date, day) < AGE_OF_OWN_DECISION and not form.HasField("paper_consent")


def first_stage(birth_date: date, day: date, form: CustomerForm, *, has_code: bool) -> Stage.ValueType:
    """Where a new registration begins. Whoever has no code is identified before anybody is asked (R24)."""
    if not has_code:
        return STAGE_WAITING_FOR_IDENTITY_CHECK
    return STAGE_WAITING_FOR_CONSENT if consent_needed(birth_date, day, form) else STAGE_ACTIVE


# Two guardians (R39)


def guardians_of(form: CustomerForm) -> dict[int, RelatedPerson]:
    """The guardians on a form, by number: one, or two."""
    first = {FIRST_GUARDIAN: form.related_person}
    return first | {OTHER_GUARDIAN: form.other_guardian} if form.HasField("other_guardian") else first


def guardians_named(form: CustomerForm, name: str) -> list[int]:
    """The numbers of the guardians of a name, whichever part of it comes first."""
    signer = RelatedPerson(full_name=name)
    return [number for number, person in guardians_of(form).items() if same_name(person, signer)]


def same_name(one: RelatedPerson, other: RelatedPerson) -> bool:
    """Whether two names are the same, whichever part of them comes first."""
    return sorted(parts(fold(one.full_name))) == sorted(parts(fold(other.full_name)))


def consent_is_given(answers: Mapping[int, GuardianAnswer.ValueType], *, both_needed: bool) -> bool:
    """Whether the consent is given as a whole: by one of two guardians, or by both if both are needed."""
    consents = [answer == GUARDIAN_ANSWER_CONSENTS for answer in answers.values()]
    return all(consents) if both_needed else any(consents)


def consent_is_declined(answers: Mapping[int, GuardianAnswer.ValueType], *, both_needed: bool) -> bool:
    """Whether the consent is declined as a whole: nobody's answer that is awaited could still give it."""
    declines = [answer == GUARDIAN_ANSWER_DECLINES for answer in answers.values()]
    return any(declines) if both_needed else all(declines)


# Text


def email_fault(text: str) -> Reason.ValueType | None:
    """What is wrong with an e-mail address; None if nothing is."""
    try:
        email_addresses.parse(text)
    except email_addresses.InvalidAddressError as error:
        return error.reason
    return None


_PHONE = re.compile(r"(?:tel:)?[+0-9 ()/.-]+", re.IGNORECASE)
_TRUNK = re.compile(r"\(0\)")
_LAST_GROUP = re.compile(r"[ .-]+[0-9]{1,4}$")
_ONE_MORE = re.compile(r"[0-9][ .-]+[0-9]$")
_BRACKETED_COUNTRY = re.compile(r"^\((\+[0-9]{1,3}(?: ?[0-9]{2,3})?)\)")
_BRACKETS = re.compile(r"[^()]{0,6}(?:\([^()]+\))?[^()]+")
"""Brackets only around an area code: behind a number they hold another thing."""
_AREA_CODE = re.compile(r"(?:0|\+358 ?)[0-9]{1,3}/[0-9 -]{4,9}")
_LABEL = re.compile(
    r"^(?:p|puh|puhelin|matkapuh|gsm|tel|telefon|tfn|mob|phone)(?:\.:?|:|(?= ))\s*", re.IGNORECASE
)
"""A word for "telephone" in front of a number."""
_BEGINNING = re.compile(r"\(?[0+]|(?:4[0-9]|50)[0-9]{6}|358[1-9]")
"""How a whole number begins, or one that has lost its zero or plus: otherwise it lacks the area code."""
_HYPHENS = re.compile("[\u02d7\u2010-\u2015\u2043\u2212\ufe58\ufe63]")


def parse_phone(text: str) -> str | None:
    """A telephone number in E.164, Finnish unless it starts with + or 00; None if it is not one number alone.

    Words, names, times and extensions beside it are refused: the library would read letters as digits.
    """
    bare = clean_line(text).rstrip(" ,;:.")
    # Digits and signs of every width and script, as `phonenumbers` reads them.
    plain = _HYPHENS.sub("-", unicodedata.normalize("NFKC", bare))
    plain = "".join(
        str(unicodedata.decimal(sign)) if unicodedata.category(sign) == "Nd" else sign for sign in plain
    )
    plain = _LABEL.sub("", plain)
    if not _PHONE.fullmatch(plain):
        return None
    plain = _BRACKETED_COUNTRY.sub(r"\1", plain.lower().removeprefix("tel:").strip())
    if plain.startswith(("+", "00")):
        plain = _TRUNK.sub("", plain)
    if _AREA_CODE.fullmatch(plain):
        plain = plain.replace("/", " ")
    if not _BEGINNING.match(re.sub("[ ./-]", "", plain)):
        return None
    if "+" in plain[1:] or "/" in plain or not _BRACKETS.fullmatch(plain):
        return None
    try:
        number = phonenumbers.parse(plain, HOME_COUNTRY)
        international = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        # Rows of zeros and the like change when parsed again from E.164.
        stable = plain == international or phonenumbers.parse(international) == number
    except phonenumbers.NumberParseException:
        return None
    possible = stable and not number.extension and phonenumbers.is_possible_number(number)
    whole = possible and not _lacks_some(number) and not _holds_more(number, plain)
    return international if whole else None


def _lacks_some(number: phonenumbers.PhoneNumber) -> bool:
    """Whether a Finnish mobile number is too short to be a whole one."""
    national = str(number.national_number)
    is_mobile = number.country_code == _FINLAND and national.startswith(("4", "50"))
    return is_mobile and len(national) < _SHORTEST_MOBILE


def _holds_more(number: phonenumbers.PhoneNumber, plain: str) -> bool:
    """Whether digits behind the number make it longer than a real one, as `040 123 4567 16` does.

    Finnish mobile numbers have 10 digits with the first 0, seldom 11; others have at most 10.
    """
    if number.country_code != _FINLAND:
        without = _LAST_GROUP.sub("", plain)
        return without != plain and not phonenumbers.is_valid_number(number) and _is_valid(without)
    digits = len(str(number.national_number))
    if str(number.national_number)[:1] not in "45":
        return digits >= _LONGEST_MOBILE
    return digits > _LONGEST_MOBILE or (digits == _LONGEST_MOBILE and bool(_ONE_MORE.search(plain)))


def _is_valid(plain: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(plain, HOME_COUNTRY))
    except phonenumbers.NumberParseException:
        return False


# The form


def form_violations(
    form: CustomerForm, *, birth_date: date | None, unit_kind: UnitKind.ValueType, today: date
) -> list[FieldViolation]:
    """All violations of the rules, each with its path as in `form.address.postcode`.

    Without a date of birth the rules of age are skipped. The contract's annotations are not checked here,
    except that a text without a visible character counts as missing.
    """
    age = None if birth_date is None else full_years(birth_date, today)
    rules = (
        _names(form),
        _address(form),
        _contact(form),
        _entitlement(form, unit_kind),
        _temporary_need(form, today),
        _applicant(form, age),
        _related_person(form, age),
        _other_guardian(form, age),
        _paper_consent(form, age, today),
        _choices(form),
        _credentials(form),
    )
    return [FieldViolation(f"form.{field}", reason) for rule in rules for field, reason in rule]


def century_is_doubtful(
    form: CustomerForm, *, birth_date: date, unit_kind: UnitKind.ValueType, today: date
) -> bool:
    """Whether somebody is said to be older than they can be (R45), or a hundred years old at school.

    One sign decides on the century of a code: `+` typed for `-` makes somebody of 28 years one of 128.
    """
    is_young = form.applicant == APPLICANT_GUARDIAN or unit_kind in _OF_THE_YOUNG
    return full_years(birth_date, today) >= (_CENTURY if is_young else _OLDEST_IN_FINLAND)


_OF_THE_YOUNG = frozenset({UNIT_KIND_SCHOOL, UNIT_KIND_HIGHER_EDUCATION})
"""Units whose customers are pupils and students."""


def consent_violations(consent: PaperConsent, today: date, prefix: str) -> Iterator[FieldViolation]:
    """Violations in a consent on paper (R29): signer and date."""
    yield from _missing((f"{prefix}guardian_name", consent.guardian_name))
    if consent.HasField("sign_date"):
        signed = _calendar_day(consent.sign_date)
        field = f"{prefix}sign_date"
        if signed is None:
            yield FieldViolation(field, REASON_INVALID_DATE)
        elif signed > today:
            yield FieldViolation(field, REASON_DATE_IN_FUTURE)
        elif today - signed > PAPER_CONSENT_VALIDITY:
            yield FieldViolation(field, REASON_CONSENT_TOO_OLD)


def missing_code_violations(missing: MissingPersonalIdentityCode, today: date) -> Iterator[FieldViolation]:
    """Violations in the data given instead of a personal identity code (R24)."""
    if not missing.HasField("birth_date"):
        yield FieldViolation("birth_date", REASON_REQUIRED)
    else:
        born = _calendar_day(missing.birth_date)
        if born is None:
            yield FieldViolation("birth_date", REASON_INVALID_DATE)
        elif born > today:
            yield FieldViolation("birth_date", REASON_DATE_IN_FUTURE)
        elif full_years(born, today) > OLDEST_AGE:
            yield FieldViolation("birth_date", REASON_BIRTH_DATE_TOO_EARLY)
    if not missing.reason:
        yield FieldViolation("reason", REASON_REQUIRED)


def _names(form: CustomerForm) -> Iterator[FieldViolation]:
    """One name is enough."""
    if is_blank(form.first_names) and is_blank(form.last_name):
        yield from _missing(("first_names", form.first_names), ("last_name", form.last_name))


def _address(form: CustomerForm) -> Iterator[FieldViolation]:
    """Required, except that none is taken for a protected person (R37)."""
    if form.protected_person:
        if holds_address(form):
            yield FieldViolation("address", REASON_PROTECTED_ADDRESS)
        return
    if not form.HasField("address"):
        yield FieldViolation("address", REASON_REQUIRED)
        return
    address = form.address
    yield from _missing(
        ("address.street_address", address.street_address),
        ("address.postcode", address.postcode),
        ("address.post_office", address.post_office),
    )
    if address.country_code and address.country_code not in _COUNTRIES:
        yield FieldViolation("address.country_code", REASON_UNKNOWN_COUNTRY)
    if address.country_code in {"", HOME_COUNTRY}:
        if not is_blank(address.postcode) and not _POSTCODE.fullmatch(address.postcode):
            yield FieldViolation("address.postcode", REASON_INVALID_POSTCODE)
        yield from _missing(("address.municipality", address.municipality))


def _contact(form: CustomerForm) -> Iterator[FieldViolation]:
    yield from _malformed_contact("", form.email, form.phone)


def _entitlement(form: CustomerForm, unit_kind: UnitKind.ValueType) -> Iterator[FieldViolation]:
    """R1 to R3."""
    if not form.entitlement_declared:
        yield FieldViolation("entitlement_declared", REASON_ENTITLEMENT_NOT_DECLARED)
    if form.print_disability and not form.disability_storage_allowed:
        yield FieldViolation("print_disability", REASON_DISABILITY_STORAGE_NOT_ALLOWED)
    if unit_kind == UNIT_KIND_SCHOOL and not form.school_support:
        yield FieldViolation("school_support", REASON_SCHOOL_SUPPORT_REQUIRED)
    if unit_kind != UNIT_KIND_SCHOOL and form.school_support:
        yield FieldViolation("school_support", REASON_SCHOOL_SUPPORT_NOT_ALLOWED)


def _temporary_need(form: CustomerForm, today: date) -> Iterator[FieldViolation]:
    """R21."""
    if not form.HasField("expected_end_date"):
        return
    end = _calendar_day(form.expected_end_date)
    if not form.temporary:
        yield FieldViolation("expected_end_date", REASON_NOT_TEMPORARY)
    elif end is None:
        yield FieldViolation("expected_end_date", REASON_INVALID_DATE)
    elif end <= today:
        yield FieldViolation("expected_end_date", REASON_DATE_NOT_IN_FUTURE)


def _applicant(form: CustomerForm, age: int | None) -> Iterator[FieldViolation]:
    """R5 to R7."""
    if age is None:
        return
    if form.applicant in {APPLICANT_SELF, APPLICANT_CONTACT_PERSON} and age < AGE_OF_OWN_DECISION:
        yield FieldViolation("applicant", REASON_GUARDIAN_REQUIRED)
    elif form.applicant == APPLICANT_CONTACT_PERSON and age < AGE_OF_MAJORITY:
        yield FieldViolation("applicant", REASON_CONTACT_PERSON_NOT_ALLOWED)
    elif form.applicant == APPLICANT_GUARDIAN and age >= AGE_OF_MAJORITY:
        yield FieldViolation("applicant", REASON_GUARDIAN_NOT_ALLOWED)


def _related_person(form: CustomerForm, age: int | None) -> Iterator[FieldViolation]:
    under_age = age is not None and age < AGE_OF_OWN_DECISION
    if not form.HasField("related_person"):
        if under_age or form.applicant in {APPLICANT_GUARDIAN, APPLICANT_CONTACT_PERSON}:
            yield FieldViolation("related_person", REASON_REQUIRED)
        return
    person = form.related_person
    yield from _missing(("related_person.full_name", person.full_name))
    yield from _malformed_contact("related_person.", person.email, person.phone)
    if under_age and not form.HasField("paper_consent"):
        yield from _missing(("related_person.email", person.email))
        is_childs = not is_blank(form.email) and mailbox(form.email) == mailbox(person.email)
        if is_childs:
            # Nobody consents for themselves (R40).
            yield FieldViolation("related_person.email", REASON_GUARDIAN_EMAIL_IS_CHILDS)


def _other_guardian(form: CustomerForm, age: int | None) -> Iterator[FieldViolation]:
    """R39: two are asked by mail, each at an address of their own."""
    if not form.HasField("other_guardian"):
        return
    under_age = age is None or age < AGE_OF_OWN_DECISION
    if not under_age or form.HasField("paper_consent") or form.applicant != APPLICANT_GUARDIAN:
        yield FieldViolation("other_guardian", REASON_OTHER_GUARDIAN_NOT_ASKED)
        return
    person = form.other_guardian
    yield from _missing(
        ("other_guardian.full_name", person.full_name), ("other_guardian.email", person.email)
    )
    yield from _malformed_contact("other_guardian.", person.email, person.phone)
    if is_blank(person.email):
        return
    if mailbox(person.email) == mailbox(form.related_person.email):
        yield FieldViolation("other_guardian.email", REASON_GUARDIANS_SHARE_EMAIL)
    if not is_blank(form.email) and mailbox(form.email) == mailbox(person.email):
        yield FieldViolation("other_guardian.email", REASON_GUARDIAN_EMAIL_IS_CHILDS)


def _paper_consent(form: CustomerForm, age: int | None, today: date) -> Iterator[FieldViolation]:
    """R29."""
    if not form.HasField("paper_consent"):
        return
    if age is not None and age >= AGE_OF_OWN_DECISION:
        yield FieldViolation("paper_consent", REASON_CONSENT_NOT_NEEDED)
    yield from consent_violations(form.paper_consent, today, "paper_consent.")


def _choices(form: CustomerForm) -> Iterator[FieldViolation]:
    if not form.terms_accepted:
        yield FieldViolation("terms_accepted", REASON_TERMS_NOT_ACCEPTED)


def _credentials(form: CustomerForm) -> Iterator[FieldViolation]:
    """R13: to an address on the form, or to the registrar."""
    recipient = form.credentials_recipient
    if form.kind == CUSTOMER_KIND_CD_BORROWER and recipient:
        yield FieldViolation("credentials_recipient", REASON_CREDENTIALS_NOT_FOR_CD_BORROWER)
    if form.kind != CUSTOMER_KIND_ONLINE:
        return
    if recipient == CREDENTIALS_RECIPIENT_UNSPECIFIED:
        yield FieldViolation("credentials_recipient", REASON_REQUIRED)
    elif recipient == CREDENTIALS_RECIPIENT_CUSTOMER and is_blank(form.email):
        yield FieldViolation("email", REASON_CREDENTIALS_RECIPIENT_WITHOUT_EMAIL)
    elif recipient == CREDENTIALS_RECIPIENT_RELATED_PERSON and is_blank(form.related_person.email):
        yield FieldViolation("related_person.email", REASON_CREDENTIALS_RECIPIENT_WITHOUT_EMAIL)


def _missing(*texts: tuple[str, str]) -> Iterable[FieldViolation]:
    return (FieldViolation(field, REASON_REQUIRED) for field, text in texts if is_blank(text))


def _malformed_contact(prefix: str, email: str, phone: str) -> Iterator[FieldViolation]:
    fault = None if is_blank(email) else email_fault(email)
    if fault is not None:
        yield FieldViolation(f"{prefix}email", fault)
    if not is_blank(phone) and parse_phone(phone) is None:
        yield FieldViolation(f"{prefix}phone", REASON_INVALID_PHONE)


def _calendar_day(day: Date) -> date | None:
    try:
        return from_proto_date(day)
    except ValueError:
        return None
