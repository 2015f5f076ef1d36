"""Parses a class list's table into forms, one for each row, with parsing errors."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.type.date_pb2 import Date
from openpyxl.utils import get_column_letter

from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.reason_pb2 import (
    REASON_CELL_WITHOUT_HEADING,
    REASON_COLUMN_TWICE,
    REASON_END_FAR_AWAY,
    REASON_EXAMPLE_ROW,
    REASON_EXAMPLE_VALUE,
    REASON_HEADINGS_NOT_FOUND,
    REASON_HIDDEN_COLUMN,
    REASON_HIDDEN_ROWS,
    REASON_INVALID_DATE,
    REASON_INVISIBLE_TEXT,
    REASON_MISSING_COLUMN,
    REASON_NOT_A_PERSON,
    REASON_ONE_NAME_ALONE,
    REASON_PERHAPS_STRUCK_THROUGH,
    REASON_REQUIRED,
    REASON_REWRITTEN_BY_SPREADSHEET,
    REASON_ROW_ABOVE_HEADINGS,
    REASON_ROW_WITHOUT_DATA,
    REASON_ROWS_HIDDEN_BY_DEFAULT,
    REASON_ROWS_NOT_READ,
    REASON_SEVERAL_LISTS,
    REASON_SHEETS_NOT_READ,
    REASON_STRAY_QUOTE,
    REASON_STRUCK_THROUGH,
    REASON_TOO_LONG,
    REASON_UNCLEAR_DATE,
    REASON_UNKNOWN_COLUMN,
    REASON_UNKNOWN_VALUE,
    Reason,
)
from liity.v1.registration_pb2 import MISSING_CODE_REASON_NOT_KNOWN
from liity.v1.registration_service_pb2 import MissingPersonalIdentityCode
from services.gateway.class_lists.cells import COUNTRY, MIDNIGHT, ReadCell, is_far_away, read_cell
from services.gateway.class_lists.columns import (
    BIRTH_DATE,
    CODE,
    MISSING_CODE,
    NO,
    REQUIRED,
    YES,
    descriptor_of,
    enum_values,
    field_of,
    is_example,
    is_of_example,
    is_of_remarks,
    is_total,
    is_weekday,
    month_of,
    perhaps_meant,
    value_of,
)
from services.gateway.class_lists.files import read_table
from services.gateway.class_lists.headings import headings_among, repeats_headings
from services.gateway.class_lists.tables import PLAIN, Mark, Row, Table
from services.runtime.clock import to_proto_date
from services.runtime.rpc.errors import FieldViolation
from services.runtime.security.hetu_detector import looks_like_hetu
from services.runtime.text.no_name import is_no_name

_LONGEST_CODE = 40
_LONGEST_HEADING = 100
_OF_ROW = ((Mark.STRUCK, REASON_STRUCK_THROUGH), (Mark.UNSEEN, REASON_INVISIBLE_TEXT))
"""Marks that speak of a row where more than half of its cells have them."""

_FIRST_NAMES, _LAST_NAME = "form.first_names", "form.last_name"
_EXPECTED_END = "form.expected_end_date"

_FINNISH_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})\.?")
_YEAR_FIRST = re.compile(r"(\d{4})([./-])(\d{1,2})\2(\d{1,2})|(\d{4})(\d{2})(\d{2})")
_IN_WORDS = re.compile(
    r"(?P<day>\d{1,2})(?:\.|st|nd|rd|th)? ?(?P<month>[^\W\d_]+)\.?,? ?(?P<year>\d{4})"
    r"|(?P<month_first>[^\W\d_]+)\.? (?P<day_second>\d{1,2})(?:st|nd|rd|th)?, ?(?P<year_last>\d{4})"
)
"""A date with the month's name, as Excel writes long dates; a weekday may stand in front."""

_SERIAL = re.compile(r"[1-9]\d{4}(?:[.,]\d+)?")
"""The number of a day, which a spreadsheet shows in a column that is not of dates."""

_SLASHED_DATE = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
_PARTS_OF_DATE = (("day", "day_second"), ("month", "month_first"), ("year", "year_last"))
_SHORT_YEAR = re.compile(r"\d{1,2}([./-])\d{1,2}\1\d{2}")
_MONTHS = 12

_FEWEST_OF_PERSON = 3
"""The fewest filled cells of a row that has no code and no whole name, yet may be about a person."""


class _NotUnderstood(Exception):
    """A cell whose value is not valid in its column."""

    def __init__(self, reason: Reason.ValueType) -> None:
        self.reason = reason
        super().__init__()


class Notice(NamedTuple):
    """What was mended, or not read, without an error."""

    row: int
    field: str
    """The field; empty for a row or the whole file."""
    reason: Reason.ValueType
    where: str = ""
    """Rows, sheets, a number or an address, to be added to the text."""
    read_as: str = ""
    """What a mended cell is read as, to be added, too."""


@dataclass
class ReadRow:
    """One row of the list."""

    number: int
    """The number that a spreadsheet shows."""
    code: str = ""
    missing: MissingPersonalIdentityCode = field(default_factory=MissingPersonalIdentityCode)
    """The date of birth, and why there is no code if there is none (R24)."""
    form: CustomerForm = field(default_factory=CustomerForm)
    errors: list[FieldViolation] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    torn: bool = False
    """Whether the row could not be parsed at all."""
    spoilt: bool = False
    """Whether its errors are about the row as a whole: nothing else of it is checked."""
    where: str = ""
    """Other rows that its error is about."""

    @property
    def has_no_code(self) -> bool:
        """Whether the person has no code, and is known by the date of birth instead (R24)."""
        is_wrong = any(error.field == CODE for error in self.errors)
        return not self.code and not is_wrong and self.missing.HasField("birth_date")


@dataclass
class HeadingError:
    """A wrong or missing heading, or another reason why no row can be read."""

    heading: str
    """As in the file, or the column's letter if it has none; empty if the heading is missing."""
    field: str
    """The field it names; empty if none."""
    reason: Reason.ValueType
    where: str = ""
    """Sheets, or the heading that was perhaps meant, to be added to the text."""


@dataclass
class ReadList:
    """A parsed class list."""

    headings: Mapping[str, str]
    """The file's headings by field."""
    heading_errors: list[HeadingError]
    heading_row: int
    rows: list[ReadRow]
    """Beside a wrong heading, what is known of the other columns."""
    notices: list[Notice] = field(default_factory=list)
    """Of the file as a whole."""
    table: Table = field(default_factory=Table)
    """What it was read from."""
    places: Mapping[str, int] = field(default_factory=dict)
    """The places of the columns, from 0, by field."""

    def told(self, errors: Sequence[FieldViolation]) -> Sequence[FieldViolation]:
        """Those of a row's errors that do not come of a wrong heading."""
        if not self.heading_errors:
            return errors
        # One name is enough: without the column of the other, nobody knows whether it is there.
        names = {_FIRST_NAMES, _LAST_NAME}
        certain = {*REQUIRED} if names <= self.headings.keys() else {*REQUIRED} - names
        return [
            error
            for error in errors
            if not error.field
            or (error.field in self.headings and (error.reason != REASON_REQUIRED or error.field in certain))
        ]


def read_class_list(content: bytes) -> ReadList:
    """Parses a file, CSV or XLSX. INVALID_ARGUMENT (`content`) if it cannot be read at all."""
    table = read_table(content)
    _remove_remarks(table)
    place = headings_among(table.rows)
    if place is None:
        return _without_headings(table)
    above, top, rows = table.rows[:place], table.rows[place], table.rows[place + 1 :]
    width = max((place for place, heading in enumerate(top.cells, 1) if heading), default=0)
    headings = [_printable(heading) for heading in _named(top.cells[:width], rows)]
    fields = [
        None if place in table.hidden_columns else field_of(each) for place, each in enumerate(headings)
    ]
    errors = _heading_errors(headings, fields, table)
    # Of a column that stands twice the first one is read.
    fields = [None if each in fields[:place] else each for place, each in enumerate(fields)]
    read = ReadList(
        headings={named: heading for named, heading in zip(fields, headings, strict=True) if named},
        heading_errors=errors,
        heading_row=top.number,
        rows=[],
        notices=_notices(table, above),
        table=table,
        places={named: 0 if table.in_one_cell else place for place, named in enumerate(fields) if named},
    )
    if not table.other_lists:
        named = [each or "" for each in fields]
        # Most cells of a list are repeated: a town, a language, a yes.
        understand = cache(read_cell)
        read.rows = sorted(
            [
                *(_row_above(row) for row in above if _may_be_person(row, top)),
                *_hidden(table),
                *(_read_row(row, named, understand) for row in rows),
            ],
            key=lambda row: row.number,
        )
    return read


def _remove_remarks(table: Table) -> None:
    """Empties the column in which an earlier check has left its remarks."""
    headings = headings_among(table.rows)
    top = table.rows[headings].cells if headings is not None else ()
    places = {place for place, heading in enumerate(top) if is_of_remarks(heading)}
    if places:
        table.rows = [
            row._replace(
                cells=["" if place in places else cell for place, cell in enumerate(row.cells)],
                marks={place: mark for place, mark in row.marks.items() if place not in places},
            )
            for row in table.rows
        ]
        table.rows = [row for row in table.rows if any(row.cells) or row.torn]
        table.hidden_columns = [place for place in table.hidden_columns if place not in places]


def ranges(numbers: Sequence[int]) -> str:
    """Numbers as a person writes them, with their count: "4, 6–8 (4)"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    told = ", ".join("–".join(map(str, dict.fromkeys(part))) for part in parts)
    return f"{told} ({len(numbers)})" if len(numbers) > 1 else told


def _without_headings(table: Table) -> ReadList:
    first = table.rows[0].number if table.rows else 1
    error = HeadingError("", "", REASON_HEADINGS_NOT_FOUND)
    return ReadList({}, [error], first, _hidden(table), _notices(table, ()))


def _notices(table: Table, above: Sequence[Row]) -> list[Notice]:
    notices = []
    if table.other_sheets:
        notices.append(Notice(0, "", REASON_SHEETS_NOT_READ, ", ".join(table.other_sheets)))
    hidden = table.rows_hidden_by_default
    if hidden:
        notices.append(Notice(hidden[0], "", REASON_ROWS_HIDDEN_BY_DEFAULT, ranges(hidden)))
    if above:
        numbers = [row.number for row in above]
        notices.append(Notice(numbers[0], "", REASON_ROWS_NOT_READ, ranges(numbers)))
    return notices


def _may_be_person(row: Row, headings: Row) -> bool:
    """Whether a row above the headings is about a person, and no title."""
    return any(map(looks_like_hetu, row.cells)) or row.filled > headings.filled // 2


def _row_above(row: Row) -> ReadRow:
    return ReadRow(row.number, errors=[FieldViolation("", REASON_ROW_ABOVE_HEADINGS)], spoilt=True)


def _hidden(table: Table) -> list[ReadRow]:
    """One row that stands for all hidden ones."""
    if not table.hidden_rows:
        return []
    errors = [FieldViolation("", REASON_HIDDEN_ROWS)]
    return [ReadRow(table.hidden_rows[0], errors=errors, spoilt=True, where=ranges(table.hidden_rows))]


def _printable(heading: str) -> str:
    """A heading as one line, without signs that cannot be shown."""
    return " ".join(heading.encode("utf-8", "replace").decode().split())


def _named(headings: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """The headings; a column with cells but without a heading gets its letter."""
    used = {place for row in rows for place, cell in enumerate(row.cells) if cell}
    return [
        heading or (get_column_letter(place + 1) if place in used else "")
        for place, heading in enumerate(headings)
    ]


def _heading_errors(headings: Sequence[str], fields: list[str | None], table: Table) -> list[HeadingError]:
    errors = []
    if table.other_lists:
        errors.append(HeadingError("", "", REASON_SEVERAL_LISTS, ", ".join(table.other_lists)))
    for place, (heading, named) in enumerate(zip(headings, fields, strict=True)):
        if place in table.hidden_columns:
            shown = (heading or get_column_letter(place + 1))[:_LONGEST_HEADING]
            errors.append(HeadingError(shown, field_of(heading) or "", REASON_HIDDEN_COLUMN))
        elif heading and named is None:
            shown = heading[:_LONGEST_HEADING]
            errors.append(HeadingError(shown, "", REASON_UNKNOWN_COLUMN, perhaps_meant(shown, fields)))
        elif heading and named in fields[:place]:
            errors.append(HeadingError(heading[:_LONGEST_HEADING], named or "", REASON_COLUMN_TWICE))
    found = {*fields, *(error.field for error in errors)}
    return errors + [
        HeadingError("", named, REASON_MISSING_COLUMN) for named in REQUIRED if named not in found
    ]


def _read_row(row: Row, fields: list[str], understand: Callable[..., ReadCell]) -> ReadRow:
    if row.torn:
        return ReadRow(row.number, errors=[FieldViolation("", REASON_STRAY_QUOTE)], torn=True, spoilt=True)
    fault = _fault_of_row(row, fields)
    if fault is not None:
        return ReadRow(row.number, errors=[fault], spoilt=True)
    read = ReadRow(row.number)
    cells = {path: (cell, row.mark(place)) for place, (path, cell) in enumerate(_padded(row, fields)) if path}
    read.errors += _doubts_of_row(row, len(fields))
    abroad = cells.get(COUNTRY, ("", PLAIN))[0].upper() not in {"", "FI"}
    for path, (cell, mark) in cells.items():
        if is_of_example(path, cell):
            read.errors.append(FieldViolation(path, REASON_EXAMPLE_VALUE))
        elif cell or Mark.MERGED in mark:
            _add(read, path, understand(path, cell, mark, abroad=abroad))
    wrong = {error.field for error in read.errors}
    if CODE in fields and not (read.code or read.has_no_code or wrong & {CODE, BIRTH_DATE}):
        read.errors.append(FieldViolation(CODE, REASON_REQUIRED))
    if read.has_no_code and not read.missing.reason:
        read.missing.reason = MISSING_CODE_REASON_NOT_KNOWN
    if is_far_away(read.form.expected_end_date):
        read.notices.append(Notice(read.number, _EXPECTED_END, REASON_END_FAR_AWAY))
    first, last = (is_no_name(name) for name in (read.form.first_names, read.form.last_name))
    if (
        first != last
        and {_FIRST_NAMES, _LAST_NAME}.issubset(fields)
        and not wrong & {_FIRST_NAMES, _LAST_NAME}
    ):
        # One name is enough, but seldom all.
        missing = _FIRST_NAMES if first else _LAST_NAME
        read.notices.append(Notice(read.number, missing, REASON_ONE_NAME_ALONE))
    return read


def _padded(row: Row, fields: list[str]) -> list[tuple[str, str]]:
    missing = [""] * (len(fields) - len(row.cells))
    return list(zip(fields, [*row.cells, *missing], strict=False))


def _fault_of_row(row: Row, fields: list[str]) -> FieldViolation | None:
    """What is wrong with a row as a whole, if anything: then nothing else of it is told."""
    cells = dict(_padded(row, fields))
    code, first, last = (cells.get(path, "") for path in (CODE, _FIRST_NAMES, _LAST_NAME))
    if is_example(code, first, last):
        return FieldViolation(CODE, REASON_EXAMPLE_ROW)
    for mark, reason in _OF_ROW:
        if sum(mark in each for each in row.marks.values()) > row.filled // 2:
            return FieldViolation("", reason)
    if looks_like_hetu(code):
        return FieldViolation("", REASON_ROW_WITHOUT_DATA) if row.filled == 1 else None
    is_named = all(any(map(str.isalpha, name)) for name in (first, last))
    is_short_or_total = row.filled < _FEWEST_OF_PERSON or any(map(is_total, row.cells))
    if repeats_headings(row) or (not is_named and is_short_or_total):
        return FieldViolation("", REASON_NOT_A_PERSON)
    return None


def _doubts_of_row(row: Row, columns: int) -> Iterator[FieldViolation]:
    """What is perhaps wrong with a row as a whole, beside the errors of its cells."""
    if any(Mark.PERHAPS_STRUCK in mark for mark in row.marks.values()):
        yield FieldViolation("", REASON_PERHAPS_STRUCK_THROUGH)
    if any(row.cells[columns:]):
        # If one cell is in the wrong column, all may be.
        yield FieldViolation("", REASON_CELL_WITHOUT_HEADING)


def _add(read: ReadRow, path: str, found: ReadCell) -> None:
    """Adds a cell's value to its row, or what is wrong with it."""
    if found.error is not None:
        read.errors.append(FieldViolation(path, found.error))
        return
    read.notices += (Notice(read.number, path, *note) for note in found.notes)
    if path == CODE and len(found.text) > _LONGEST_CODE:
        read.errors.append(FieldViolation(CODE, REASON_TOO_LONG))
    elif path == CODE:
        # "None" beside a date of birth is no code.
        read.code = "" if is_no_name(found.text) else found.text
    elif found.text:
        try:
            _set(read.missing if path.startswith(MISSING_CODE) else read.form, path, found.text)
        except _NotUnderstood as error:
            read.errors.append(FieldViolation(path, error.reason))


def _set(whole: CustomerForm | MissingPersonalIdentityCode, path: str, cell: str) -> None:
    """Sets the field at a path to a cell's value."""
    *parents, last = path.split(".")[1:]
    message: Any = whole
    for parent in parents:
        message = getattr(message, parent)
    described = descriptor_of(path)
    if described.enum_type is not None:
        values = enum_values(path)
        setattr(message, last, values[_understood(value_of(cell, tuple(values)))])
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
    """A day as in 31.12.2026, 31/12/2026, 2026-12-31 or 31. joulukuuta 2026; a midnight after it is ignored.

    With slashes or hyphens some write the month first: an ambiguous day is refused.
    """
    if _SERIAL.fullmatch(cell):
        raise _NotUnderstood(REASON_REWRITTEN_BY_SPREADSHEET)
    day_alone = re.sub(r" ?([./-]) ?(?=\d)", r"\1", MIDNIGHT.sub("", " ".join(cell.split())))
    if is_weekday(weekday := day_alone.partition(" ")[0]):
        day_alone = day_alone.removeprefix(weekday).strip()
    slashed = _SLASHED_DATE.fullmatch(day_alone)
    if _SHORT_YEAR.fullmatch(day_alone) or (slashed and not _is_clear(*map(int, slashed.groups()))):
        raise _NotUnderstood(REASON_UNCLEAR_DATE)
    try:
        if in_finnish_order := slashed or _FINNISH_DATE.fullmatch(day_alone):
            day, month, year = map(int, in_finnish_order.groups())
            return to_proto_date(date(year, month, day))
        if year_first := _YEAR_FIRST.fullmatch(day_alone):
            year, month, day = (int(part) for part in year_first.groups() if part and part.isdigit())
            return to_proto_date(date(year, month, day))
        return to_proto_date(_date_in_words(day_alone))
    except ValueError:
        raise _NotUnderstood(REASON_INVALID_DATE) from None


def _date_in_words(text: str) -> date:
    """ValueError if it is none."""
    found = _IN_WORDS.fullmatch(text)
    if found is None:
        raise ValueError(text)
    day, month, year = (found[name] or found[other] for name, other in _PARTS_OF_DATE)
    return date(int(year), month_of(month), int(day))


def _is_clear(day: int, month: int, _year: int) -> bool:
    return month <= _MONTHS and (day > _MONTHS or day == month)
