"""Parses a class list's table into forms, one for each row, with parsing errors."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.type.date_pb2 import Date
from openpyxl.utils import get_column_letter

from liity.v1.class_list_service_pb2 import ClassListFormat
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.reason_pb2 import (
    REASON_CELL_WITHOUT_HEADING,
    REASON_COLUMN_TWICE,
    REASON_INVALID_DATE,
    REASON_MISSING_COLUMN,
    REASON_REQUIRED,
    REASON_STRAY_QUOTE,
    REASON_TOO_LONG,
    REASON_UNCLEAR_DATE,
    REASON_UNKNOWN_COLUMN,
    REASON_UNKNOWN_VALUE,
    Reason,
)
from services.gateway.class_lists.columns import (
    CODE,
    NO,
    REQUIRED,
    YES,
    descriptor_of,
    field_of,
    value_of,
)
from services.gateway.class_lists.files import Row, read_table
from services.runtime.clock import to_proto_date
from services.runtime.rpc.errors import FieldViolation

_LONGEST_CODE = 40
_POSTCODE, _COUNTRY = "form.address.postcode", "form.address.country_code"
_POSTCODE_DIGITS = 5
_MIDNIGHT = re.compile(r"[ T]+(klo *)?0?0[.:]00([.:]00)?$")
"""The midnight that spreadsheets append to a date."""

_FINNISH_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_SLASHED_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_SHORT_YEAR = re.compile(r"\d{1,2}([./-])\d{1,2}\1\d{2}")
_MONTHS = 12


class _NotUnderstood(Exception):
    """A cell whose value is not valid in its column."""

    def __init__(self, reason: Reason.ValueType) -> None:
        self.reason = reason
        super().__init__()


@dataclass
class ReadRow:
    """One row of the list."""

    number: int
    """The number that a spreadsheet shows."""
    code: str = ""
    form: CustomerForm = field(default_factory=CustomerForm)
    errors: list[FieldViolation] = field(default_factory=list)
    torn: bool = False
    """Whether the row could not be parsed at all."""


@dataclass
class HeadingError:
    """A wrong or missing heading."""

    heading: str
    """As in the file, or the column's letter if it has none; empty if the heading is missing."""
    field: str
    """Empty if the heading is unknown."""
    reason: Reason.ValueType


@dataclass
class ReadList:
    """A parsed file."""

    headings: Mapping[str, str]
    """The file's headings by field."""
    heading_errors: list[HeadingError]
    heading_row: int
    rows: list[ReadRow]
    """Parsed only if every heading is right."""


def read_class_list(content: bytes, form: ClassListFormat.ValueType) -> ReadList:
    """Parses a file. INVALID_ARGUMENT (`content`) if it cannot be read at all."""
    top, *rows = read_table(content, form)
    width = max((place for place, heading in enumerate(top.cells, 1) if heading), default=0)
    headings = _named(top.cells[:width], rows)
    fields = [field_of(heading) for heading in headings]
    errors = _heading_errors(headings, fields)
    return ReadList(
        headings={named: heading for named, heading in zip(fields, top.cells, strict=False) if named},
        heading_errors=errors,
        heading_row=top.number,
        rows=[] if errors else [_read_row(row, [named or "" for named in fields]) for row in rows],
    )


def _named(headings: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """The headings; a column with cells but without a heading gets its letter."""
    used = {place for row in rows for place, cell in enumerate(row.cells) if cell}
    return [
        heading or (get_column_letter(place + 1) if place in used else "")
        for place, heading in enumerate(headings)
    ]


def _heading_errors(headings: Sequence[str], fields: list[str | None]) -> list[HeadingError]:
    errors = []
    for place, (heading, named) in enumerate(zip(headings, fields, strict=True)):
        if not heading:
            continue
        if named is None:
            errors.append(HeadingError(heading[:100], "", REASON_UNKNOWN_COLUMN))
        elif named in fields[:place]:
            errors.append(HeadingError(heading[:100], named, REASON_COLUMN_TWICE))
    missing = (named for named in REQUIRED if named not in fields)
    return errors + [HeadingError("", named, REASON_MISSING_COLUMN) for named in missing]


def _read_row(row: Row, fields: list[str]) -> ReadRow:
    if row.torn:
        return ReadRow(row.number, errors=[FieldViolation("", REASON_STRAY_QUOTE)], torn=True)
    read = ReadRow(row.number)
    cells = dict(zip(fields, row.cells, strict=False))
    if any(row.cells[len(fields) :]):
        # If one cell is in the wrong column, all may be.
        read.errors.append(FieldViolation("", REASON_CELL_WITHOUT_HEADING))
    read.code = cells.pop(CODE, "")
    if not read.code:
        read.errors.append(FieldViolation(CODE, REASON_REQUIRED))
    if len(read.code) > _LONGEST_CODE:
        read.errors.append(FieldViolation(CODE, REASON_TOO_LONG))
        read.code = ""
    if cells.get(_COUNTRY, "").upper() in {"", "FI"} and re.fullmatch(
        r"[0-9]{1,4}", cells.get(_POSTCODE, "")
    ):
        # The spreadsheet took the postcode for a number and dropped its leading zeros.
        cells[_POSTCODE] = cells[_POSTCODE].zfill(_POSTCODE_DIGITS)
    for path, cell in cells.items():
        if cell:
            try:
                _set(read.form, path, cell)
            except _NotUnderstood as error:
                read.errors.append(FieldViolation(path, error.reason))
    return read


def _set(form: CustomerForm, path: str, cell: str) -> None:
    """Sets the form's field to a cell's value."""
    *parents, last = path.split(".")[1:]
    message: Any = form
    for parent in parents:
        message = getattr(message, parent)
    described = descriptor_of(path)
    if described.enum_type is not None:
        # The first value of each enum means unspecified.
        values = {value.name: value.number for value in described.enum_type.values[1:]}
        setattr(message, last, values[_understood(value_of(cell, list(values)))])
    elif described.message_type is not None:
        getattr(message, last).CopyFrom(_date(cell))
    elif described.type == FieldDescriptor.TYPE_BOOL:
        setattr(message, last, _understood(value_of(cell, (YES, NO))) == YES)
    else:
        setattr(message, last, cell)


def _understood(value: str | None) -> str:
    if value is None:
        raise _NotUnderstood(REASON_UNKNOWN_VALUE)
    return value


def _date(cell: str) -> Date:
    """A day as in 31.12.2026, 31/12/2026 or 2026-12-31; a midnight after it is ignored.

    With slashes some write the month first: an ambiguous day is refused.
    """
    day_alone = _MIDNIGHT.sub("", cell)
    slashed = _SLASHED_DATE.fullmatch(day_alone)
    if _SHORT_YEAR.fullmatch(day_alone) or (slashed and not _is_clear(*map(int, slashed.groups()))):
        raise _NotUnderstood(REASON_UNCLEAR_DATE)
    try:
        if in_finnish_order := slashed or _FINNISH_DATE.fullmatch(day_alone):
            day, month, year = map(int, in_finnish_order.groups())
            return to_proto_date(date(year, month, day))
        return to_proto_date(date.fromisoformat(day_alone))
    except ValueError:
        raise _NotUnderstood(REASON_INVALID_DATE) from None


def _is_clear(day: int, month: int, _year: int) -> bool:
    return month <= _MONTHS and (day > _MONTHS or day == month)
