"""Forms: fields that mirror a message of the contracts, what was typed in them, and what is wrong."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum

from google.protobuf.message import Message
from google.type.date_pb2 import Date

from frontends.refusals import Refusal
from frontends.web import words
from frontends.web.language import N_
from liity.v1.customer_form_pb2 import FormNotice

NO_DATE = N_("Write the date as day, month and year, for example 31.12.2027.")


class Kind(Enum):
    """How a field is typed."""

    TEXT = "text"
    EMAIL = "email"
    TEL = "tel"
    DATE = "date"
    CHOICE = "choice"
    TICK = "tick"
    LONG = "long"


@dataclass(frozen=True)
class Field:
    """A field of a form. `path` is that of the message's field, and the name and ID in HTML."""

    path: str
    label: str
    kind: Kind = Kind.TEXT
    hint: str = ""
    enum: str = ""
    """The enum of a choice."""
    optional: bool = False
    sometimes: bool = False
    """Optional, but for some customers: what is missing then is told."""
    width: str = "long"
    code: bool = False
    """Typed in a script without words: no spelling help."""


@dataclass(frozen=True)
class Group:
    """Fields under one heading."""

    title: str
    fields: Sequence[Field]
    note: str = ""


@dataclass
class Form:
    """What was typed in the fields, and the text of what is wrong, by path."""

    groups: Sequence[Group]
    values: Mapping[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    general: list[str] = field(default_factory=list)
    """What is wrong with no single field."""

    @property
    def fields(self) -> Iterable[Field]:
        """The fields of all groups."""
        return (each for group in self.groups for each in group.fields)

    @property
    def labels(self) -> Mapping[str, str]:
        """The label of each field, by path."""
        return {each.path: each.label for each in self.fields}

    @property
    def is_wrong(self) -> bool:
        """Whether something is wrong."""
        return bool(self.errors or self.general)

    def fill(self, message: Message) -> None:
        """Writes what was typed into a message. What is no date is an error."""
        for each in self.fields:
            typed = self.values.get(each.path, "").strip()
            if typed:
                self._set(message, each, typed)

    def _set(self, message: Message, each: Field, typed: str) -> None:
        *parents, name = each.path.split(".")
        for parent in parents:
            message = getattr(message, parent)
        if each.kind is Kind.CHOICE:
            setattr(message, name, words.value_of(each.enum, typed))
        elif each.kind is Kind.TICK:
            setattr(message, name, True)
        elif each.kind is Kind.DATE:
            day = typed_date(typed)
            if day is None:
                self.errors[each.path] = NO_DATE
            else:
                getattr(message, name).CopyFrom(day)
        else:
            setattr(message, name, typed)

    def changed(self, before: Mapping[str, str]) -> list[str]:
        """The paths of the fields typed otherwise than they were."""
        return [
            each.path
            for each in self.fields
            if self.values.get(each.path, "").strip() != before.get(each.path, "")
        ]

    def told(self, notices: Iterable[FormNotice]) -> list[tuple[str, str]]:
        """The label and the text of what was mended, or is perhaps wrong; empty labels of other fields."""
        return [(self.labels.get(each.field.removeprefix("form."), ""), each.message) for each in notices]

    def take_errors(self, refusal: Refusal, prefix: str = "") -> None:
        """Puts each violation at its field, and those of no field of this form on top."""
        paths = [each.path for each in self.fields]
        for path, _, text in refusal.violations:
            own = path.removeprefix(prefix)
            # A missing part, such as an address, is told at its first field.
            at = next((each for each in paths if each == own or each.startswith(f"{own}.")), None)
            if at is not None:
                self.errors.setdefault(at, text)
            elif text not in self.general:
                self.general.append(text)
        if not refusal.violations:
            self.general.append(refusal.text)


def values_of(message: Message, fields: Iterable[Field]) -> dict[str, str]:
    """What stands in a message, as it would be typed."""
    values: dict[str, str] = {}
    for each in fields:
        *parents, name = each.path.split(".")
        owner = message
        for parent in parents:
            owner = getattr(owner, parent)
        value = getattr(owner, name)
        if each.kind is Kind.CHOICE:
            text = words.name_of(each.enum, value)
        elif each.kind is Kind.TICK:
            text = "yes" if value else ""
        elif each.kind is Kind.DATE:
            text = f"{value.day}.{value.month}.{value.year}" if owner.HasField(name) else ""
        else:
            text = value
        if text:
            values[each.path] = text
    return values


_DATE = re.compile(r"(\d{1,2})[.\s/-]+(\d{1,2})[.\s/-]+(\d{4})\.?|(\d{4})-(\d{1,2})-(\d{1,2})")


def typed_date(typed: str) -> Date | None:
    """A date typed as `31.12.2027`, `31 12 2027`, `31/12/2027` or `2027-12-31`; None if it is none."""
    found = _DATE.fullmatch(typed.strip())
    if found is None:
        return None
    day, month, year = (found[1], found[2], found[3]) if found[1] else (found[6], found[5], found[4])
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return None
    return Date(year=int(year), month=int(month), day=int(day))
