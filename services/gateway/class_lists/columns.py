"""Columns of a class list: headings and words in three languages."""

import re
import tomllib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from liity.v1.customer_form_pb2 import LANGUAGE_FI, CustomerForm, Language
from liity.v1.registration_service_pb2 import MissingPersonalIdentityCode

CODE = "personal_identity_code"
MISSING_CODE = "missing_personal_identity_code"
BIRTH_DATE, WHY_NO_CODE = f"{MISSING_CODE}.birth_date", f"{MISSING_CODE}.reason"
"""With the code, the only columns that are not fields of the form (R24)."""

REQUIRED = (
    CODE,
    "form.first_names",
    "form.last_name",
    "form.address.street_address",
    "form.address.postcode",
    "form.address.post_office",
    "form.language",
    "form.kind",
    "form.entitlement_declared",
    "form.applicant",
    "form.terms_accepted",
)
"""Columns that every list must have."""

_OF_SCHOOLS = "form.school_support"

_IN_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")

_OF_NOBODY = {"form.email", "form.related_person.full_name", "form.related_person.email"}
"""Fields of the example whose values are nobody's."""

_ALIKE = 0.75
"""How alike a text and a heading are, from 0 to 1, of which one was perhaps meant as the other."""

_LETTERS_OF_MONTH = 3
"""How many letters a month's name has in short, in Swedish and English."""

YES, NO = "yes", "no"
"""The values of a yes/no choice."""


def columns(*, school: bool) -> Sequence[str]:
    """The fields with a column in the template, in its order."""
    return [field for field in _words()["columns"] if school or field != _OF_SCHOOLS]


def field_of(heading: str) -> str | None:
    """The field of a heading in any language; None if unknown. What stands in brackets may be a hint."""
    found = _headings().get(_key(heading))
    return found or _headings().get(_key(_IN_BRACKETS.sub("", heading)))


def perhaps_meant(heading: str, taken: Collection[str | None]) -> str:
    """The heading most like a text, in any language, of a field that is not taken; empty if none is alike."""
    free = {
        _key(name): name
        for field, of_languages in _words()["columns"].items()
        if field not in taken
        for of_language in of_languages.values()
        for name in of_language
    }
    nearest = get_close_matches(_key(heading), free, n=1, cutoff=_ALIKE)
    return free[nearest[0]] if nearest else ""


def is_of_remarks(heading: str) -> bool:
    """Whether a heading, in any language, is that of the column into which a check has written."""
    return _key(heading) in {_key(word) for word in _words()["result"]["remarks"].values()}


def is_total(cell: str) -> bool:
    """Whether a cell begins a row of totals, in any language: as in "Yhteensä: 25"."""
    return re.sub(r"[0-9]+.*", "", _key(cell)) in _listed("totals")


def refers_to_row_above(cell: str) -> bool:
    """Whether a cell says, in any language, that it is as the one above."""
    return _key(cell) in _listed("ditto")


def is_relation(cell: str) -> bool:
    """Whether a cell is a word for a relative instead of a name, in any language."""
    return _key(cell) in _listed("relations")


def is_weekday(word: str) -> bool:
    """Whether a word is a day of the week, in any language."""
    return _key(word) in _listed("weekdays")


def month_of(word: str) -> int:
    """The number of a month, in any language; ValueError if it is none."""
    key = _key(word)
    for language, months in _words()["months"].items():
        for number, month in enumerate(months, 1):
            # "Mar" is March: in Finnish, months are not shortened to three letters.
            others = {f"{month}kuu", f"{month}kuuta"} if language == "fi" else {month[:_LETTERS_OF_MONTH]}
            if key in {month, *others}:
                return number
    raise ValueError(word)


def heading_of(field: str, language: Language.ValueType) -> str:
    """A field's heading; for a field with parts, that of the first part."""
    of_columns: Mapping[str, Any] = _words()["columns"]
    whole = next((column for column in of_columns if column == field or column.startswith(f"{field}.")), None)
    return str(of_columns[whole][_locale(language)][0]) if whole else ""


def value_of(word: str, values: Sequence[str]) -> str | None:
    """The one of `values` that a word means in any language; None if unknown."""
    key = _key(word)
    return next((value for value in values if key in _spellings(value)), None)


def word_of(value: str, language: Language.ValueType) -> str:
    """The word for a value; an unknown value is returned as it is."""
    words: Mapping[str, Any] = _words()["words"]
    return str(words[value][_locale(language)][0]) if value in words else value


def result_word(name: str, language: Language.ValueType) -> str:
    """The word for a result's column or outcome."""
    return str(_words()["result"][name][_locale(language)])


def is_example(code: str, first_names: str, last_name: str) -> bool:
    """Whether a row is the template's example, or has its code alone."""
    whole = [
        tuple(of_nobody[field] for field in (CODE, "form.first_names", "form.last_name"))
        for of_nobody in _examples()
    ]
    return (code, first_names, last_name) in {*whole, *((own, "", "") for own, *_ in whole)}


def is_of_example(field: str, cell: str) -> bool:
    """Whether a cell holds the name or the address of somebody of the template's example."""
    return field in _OF_NOBODY and any(cell == of_nobody.get(field) for of_nobody in _examples())


def example(*, school: bool) -> Mapping[str, str]:
    """The template's example row, by field."""
    return _examples()[not school]


def _examples() -> Sequence[Mapping[str, str]]:
    """Those of a pupil and of an adult."""
    examples: Mapping[str, Mapping[str, str]] = _words()["examples"]
    return examples["pupil"], examples["adult"]


@cache
def descriptor_of(field: str) -> FieldDescriptor:
    """The field at a path such as `form.address.postcode`."""
    first, *names = field.split(".")
    whole = MissingPersonalIdentityCode if first == MISSING_CODE else CustomerForm
    fields = whole.DESCRIPTOR.fields_by_name
    while len(names) > 1 and (parent := fields[names[0]].message_type) is not None:
        fields, names = parent.fields_by_name, names[1:]
    return fields[names[0]]


def options(field: str, language: Language.ValueType) -> list[str]:
    """The words that a column takes; empty if it takes any text."""
    described = None if field == CODE else descriptor_of(field)
    if described is None:
        return []
    if described.enum_type is not None:
        return [word_of(value, language) for value in enum_values(field)]
    yes_or_no = (YES, NO) if described.type == FieldDescriptor.TYPE_BOOL else ()
    return [word_of(value, language) for value in yes_or_no]


@cache
def enum_values(field: str) -> Mapping[str, int]:
    """The names of a choice's values, but for the first, which means unspecified, and their numbers."""
    values = descriptor_of(field).enum_type.values  # type: ignore[union-attr]
    return {value.name: value.number for value in values[1:]}


def _key(text: str) -> str:
    """A heading or word for comparison: letters and digits only, case folded, without dots and rings."""
    apart = unicodedata.normalize("NFD", text)
    return re.sub(r"[\W_]+", "", apart).casefold()


def _locale(language: Language.ValueType) -> str:
    return Language.Name(language or LANGUAGE_FI).removeprefix("LANGUAGE_").lower()


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("words.toml").read_text("utf-8"))


@cache
def _headings() -> dict[str, str]:
    return {
        _key(heading): field
        for field, headings in _words()["columns"].items()
        for heading in (heading for of_language in headings.values() for heading in of_language)
    }


@cache
def _listed(name: str) -> frozenset[str]:
    """The words of a list in all languages."""
    return frozenset(_key(word) for of_language in _words()[name].values() for word in of_language)


@cache
def _spellings(value: str) -> frozenset[str]:
    words: Mapping[str, Sequence[str]] = _words()["words"][value]
    return frozenset(_key(word) for of_language in words.values() for word in of_language)
