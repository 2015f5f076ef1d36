"""Normalises a form, checks it as a whole, and converts it to and from JSON."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.type.date_pb2 import Date

from liity.registration.v1.unit_service_pb2 import UnitKind
from liity.v1.customer_form_pb2 import CustomerForm, PaperConsent, RelatedPerson
from liity.v1.reason_pb2 import REASON_CENTURY_PERHAPS_WRONG, REASON_GARBLED_TEXT
from liity.v1.registration_service_pb2 import MissingPersonalIdentityCode
from services.registration.forms.withholding import holds_address
from services.registration.rules import (
    HOME_COUNTRY,
    century_is_doubtful,
    consent_violations,
    form_violations,
    missing_code_violations,
    parse_phone,
)
from services.runtime.clock import from_proto_date
from services.runtime.rpc.errors import FieldViolation
from services.runtime.rpc.interceptor import violations_of
from services.runtime.text import email_addresses
from services.runtime.text.cleaning import clean_line
from services.runtime.text.garbled import is_garbled
from services.runtime.text.no_name import is_no_name

_FREE_TEXTS = frozenset({"additional_information"})
_NOTHING = re.compile(r"""[-–—−‐‑‒_.?…"'”’/ ]+""")
"""What people write for "none"."""

_POSTCODE = re.compile(r"(?:(?:FIN?|AX)[ -]*)?([0-9](?: ?[0-9]){4})", re.IGNORECASE)


def normalise(form: CustomerForm) -> CustomerForm:
    """A copy to be stored: tidied texts (NFC), e-mail and telephone in normal form, country set.

    Invalid values stay as they are, for `form_errors` to report.
    """
    tidy = CustomerForm()
    tidy.CopyFrom(form)
    _tidy_texts(tidy)
    _normalise_names(tidy)
    _normalise_contact(tidy)
    if tidy.HasField("related_person"):
        _normalise_contact(tidy.related_person)
    if tidy.HasField("other_guardian"):
        _normalise_contact(tidy.other_guardian)
    if tidy.protected_person and not holds_address(tidy):
        tidy.ClearField("address")
    if tidy.HasField("address"):
        tidy.address.country_code = tidy.address.country_code.upper() or HOME_COUNTRY
        if tidy.address.country_code == HOME_COUNTRY:
            tidy.address.postcode = _bare_postcode(tidy.address.postcode)
    return tidy


def form_errors(
    form: CustomerForm, *, birth_date: date | None, unit_kind: UnitKind.ValueType, today: date
) -> list[FieldViolation]:
    """Everything wrong with a normalised form, one violation per field, in the order of the fields."""
    found = [
        *_garbled(form, "form."),
        *violations_of(form, "form."),
        *form_violations(form, birth_date=birth_date, unit_kind=unit_kind, today=today),
    ]
    if form.protected_person:
        # What is wrong is that there is an address (R37), not what it lacks.
        found = [error for error in found if not error.field.startswith("form.address.")]
    return sorted(_first_of_each(found), key=_position)


def save_errors(
    form: CustomerForm,
    *,
    birth_date: date | None,
    has_code: bool,
    unit_kind: UnitKind.ValueType,
    today: date,
) -> list[FieldViolation]:
    """Everything wrong with the normalised form of somebody new, as `form_errors`, and with their century.

    Of somebody whose century is doubtful, what would follow from the age is not told.
    """
    if birth_date is None or not century_is_doubtful(
        form, birth_date=birth_date, unit_kind=unit_kind, today=today
    ):
        return form_errors(form, birth_date=birth_date, unit_kind=unit_kind, today=today)
    field = "personal_identity_code" if has_code else "missing_personal_identity_code.birth_date"
    errors = form_errors(form, birth_date=None, unit_kind=unit_kind, today=today)
    return [FieldViolation(field, REASON_CENTURY_PERHAPS_WRONG), *errors]


def _garbled(message: Message, prefix: str) -> Iterator[FieldViolation]:
    """Texts of one line whose letters were changed before they were pasted."""
    for field, value in message.ListFields():
        if isinstance(value, Message):
            yield from _garbled(value, f"{prefix}{field.name}.")
        elif isinstance(value, str) and field.name not in _FREE_TEXTS and is_garbled(value):
            yield FieldViolation(prefix + field.name, REASON_GARBLED_TEXT)


def consent_errors(consent: PaperConsent, today: date) -> list[FieldViolation]:
    """Everything wrong with a consent on paper recorded later, one violation per field."""
    tidy = PaperConsent()
    tidy.CopyFrom(consent)
    _tidy_texts(tidy)
    return _first_of_each(
        [*violations_of(tidy, "consent."), *consent_violations(tidy, today, prefix="consent.")]
    )


def missing_code_errors(
    missing: MissingPersonalIdentityCode, today: date
) -> tuple[date | None, list[FieldViolation]]:
    """The birth date given instead of a personal identity code (R24), and everything wrong.

    The date is None if it is not valid.
    """
    prefix = "missing_personal_identity_code."
    rules = missing_code_violations(missing, today)
    found = [
        *violations_of(missing, prefix),
        *(FieldViolation(prefix + field, reason) for field, reason in rules),
    ]
    errors = sorted(_first_of_each(found), key=lambda error: error.field)
    if any(error.field == f"{prefix}birth_date" for error in errors):
        return None, errors
    return from_proto_date(missing.birth_date), errors


def to_json(form: CustomerForm) -> dict[str, Any]:
    """A form as JSON for the database: field and enum names as in the contract."""
    return json_format.MessageToDict(form, preserving_proto_field_name=True)


def from_json(stored: dict[str, Any]) -> CustomerForm:
    """A stored form. Fields that a newer release has added are ignored."""
    return json_format.ParseDict(stored, CustomerForm(), ignore_unknown_fields=True)


def in_words(stored: dict[str, Any], message: Descriptor = CustomerForm.DESCRIPTOR) -> dict[str, Any]:
    """A stored form for the person it is about: in the contract's order, dates as in 2026-11-24.

    Fields that a newer release has added are kept as stored.
    """
    told: dict[str, Any] = {}
    for field in message.fields:
        value = stored.get(field.name)
        if isinstance(value, dict) and field.message_type is not None:
            is_date = field.message_type.full_name == Date.DESCRIPTOR.full_name
            told[field.name] = _iso_date(value) if is_date else in_words(value, field.message_type)
        elif field.name in stored:
            told[field.name] = value
    return told | {name: value for name, value in stored.items() if name not in told}


def _iso_date(day: dict[str, int]) -> str:
    return f"{day.get('year', 0):04}-{day.get('month', 0):02}-{day.get('day', 0):02}"


def _bare_postcode(text: str) -> str:
    """A Finnish postcode without the country in front and spaces: `FI-00100`, `001 00`."""
    found = _POSTCODE.fullmatch(text)
    return found[1].replace(" ", "") if found else text


def _tidy_texts(message: Message) -> None:
    for field, value in message.ListFields():
        if isinstance(value, str):
            line = clean_line(value)
            setattr(
                message, field.name, line if field.name in _FREE_TEXTS or not _NOTHING.fullmatch(line) else ""
            )
        elif isinstance(value, Message):
            _tidy_texts(value)


def _normalise_names(form: CustomerForm) -> None:
    """An only name stands as the first names, and what stands for no name is left out."""
    names = [name for name in (form.first_names, form.last_name) if not is_no_name(name)]
    if len(names) == 1:
        form.first_names, form.last_name = names[0], ""
    elif not names:
        form.first_names = form.last_name = ""


def _normalise_contact(person: CustomerForm | RelatedPerson) -> None:
    if person.email:
        person.email = email_addresses.normal(person.email)
    if person.phone:
        person.phone = parse_phone(person.phone) or person.phone


def _first_of_each(violations: list[FieldViolation]) -> list[FieldViolation]:
    first: dict[str, FieldViolation] = {}
    for violation in violations:
        first.setdefault(violation.field, violation)
    return list(first.values())


def _position(violation: FieldViolation) -> tuple[int, ...]:
    """The field numbers on the path to the violation's field: a sort key."""
    numbers = []
    message = CustomerForm.DESCRIPTOR
    for name in violation.field.split(".")[1:]:
        field = message.fields_by_name[name]
        numbers.append(field.number)
        message = field.message_type or message
    return tuple(numbers)
