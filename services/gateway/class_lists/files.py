"""Reads and writes class-list files, CSV and XLSX, as tables of text.

Input is untrusted: its size is bounded before it is read, and nothing in it is executed or followed.
"""

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, NamedTuple

import openpyxl

from liity.v1.class_list_service_pb2 import CLASS_LIST_FORMAT_CSV, ClassListFormat
from liity.v1.reason_pb2 import (
    REASON_CLASS_LIST_EMPTY,
    REASON_CLASS_LIST_UNREADABLE,
    REASON_TOO_MANY_ROWS,
    Reason,
)
from services.gateway.class_lists.columns import field_of
from services.runtime.class_list_limits import MOST_BYTES, MOST_ROWS
from services.runtime.rpc.errors import FieldViolation, Refusal, invalid

_DELIMITERS = ";,\t"
_TOLD = re.compile(r"\s*sep=(.)\r?\n", re.IGNORECASE)
"""A line before the headings that tells Excel the delimiter; Excel does not show it."""

_LOOKED_AT = 10 * MOST_ROWS
"""The most rows that are read, blank ones included: they take time, too."""

_MOST_COLUMNS = 100
_MOST_UNPACKED = 16 * 1024 * 1024
"""The most bytes of all parts of a workbook. A part larger than it declares is treated as damaged."""

_MOST_PARTS = 200
_MOST_SHEETS = 10
"""The most sheets searched for rows."""


class Row(NamedTuple):
    """A row that is not blank."""

    number: int
    """The number that a spreadsheet shows, from 1."""
    cells: Sequence[str]
    """Stripped of spaces."""
    torn: bool = False
    """A misplaced quotation mark: the cells' ends are unknown, and no cells are given."""


def read_table(content: bytes, form: ClassListFormat.ValueType) -> list[Row]:
    """The rows of a file that are not blank, the headings first.

    INVALID_ARGUMENT (`content`) if it cannot be read, is too large, or has no row besides the headings.
    """
    if len(content) > MOST_BYTES:
        raise _refused(REASON_CLASS_LIST_UNREADABLE)
    cells = _csv(content) if form == CLASS_LIST_FORMAT_CSV else _xlsx(content)
    rows, size = [], 0
    for number, row in enumerate(cells, 1):
        stripped = [cell.strip() for cell in row or ()]
        size += sum(len(cell.encode("utf-8", "replace")) for cell in stripped)
        if row is None or any(stripped):
            rows.append(Row(number, stripped, torn=row is None))
        if number > _LOOKED_AT or len(rows) > MOST_ROWS + 1:
            raise _refused(REASON_TOO_MANY_ROWS)
        if size > MOST_BYTES:
            raise _refused(REASON_CLASS_LIST_UNREADABLE)
    if rows and rows[0].torn:
        raise _refused(REASON_CLASS_LIST_UNREADABLE)
    if len(rows) < 2:  # noqa: PLR2004 - the headings and one row
        raise _refused(REASON_CLASS_LIST_EMPTY)
    return rows


def _csv(content: bytes) -> Iterator[Sequence[str] | None]:
    """The cells of each row; None for a torn row."""
    text = _decoded(content)
    told = _TOLD.match(text)
    text = text[told.end() :] if told else text
    delimiter = told[1] if told and told[1] in _DELIMITERS else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        try:
            yield next(reader)
        except csv.Error:
            # The reader continues with the next line.
            yield None
        except StopIteration:
            return


def _decoded(content: bytes) -> str:
    """The decoded text: UTF-8, UTF-16 (Excel's "Unicode text"), or Windows-1252 (Excel's CSV in Finland)."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encodings = ("utf-16",) if wide else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise _refused(REASON_CLASS_LIST_UNREADABLE)


def _delimiter(text: str) -> str:
    """The delimiter by which the first line has the most known headings."""
    line = next((line for line in text.splitlines() if line.strip()), "")

    def known(delimiter: str) -> int:
        return sum(field_of(cell.strip(' "')) is not None for cell in line.split(delimiter))

    return max(_DELIMITERS, key=known)


def _xlsx(content: bytes) -> Iterator[Sequence[str]]:
    try:
        _require_small(content)
        # Read only: row by row. Data only: values computed by Excel, never formulas.
        workbook = openpyxl.load_workbook(
            io.BytesIO(content), read_only=True, data_only=True, keep_links=False
        )
        for sheet in workbook.worksheets[:_MOST_SHEETS]:
            # The dimensions that a sheet declares may be wrong or missing.
            sheet.reset_dimensions()
            if any(cell.strip() for row in _rows_of(sheet) for cell in row):
                yield from _rows_of(sheet)
                return
    except Exception:  # noqa: BLE001 - broken workbooks fail within openpyxl in more ways than it names
        raise _refused(REASON_CLASS_LIST_UNREADABLE) from None


def _rows_of(sheet: Any) -> Iterator[Sequence[str]]:  # noqa: ANN401 - openpyxl has no types
    rows = islice(sheet.iter_rows(values_only=True, max_col=_MOST_COLUMNS), _LOOKED_AT + 1)
    return ([_text(cell) for cell in row] for row in rows)


def _require_small(content: bytes) -> None:
    """ValueError if a workbook would unpack to more than a class list can need."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
    if len(parts) > _MOST_PARTS or sum(part.file_size for part in parts) > _MOST_UNPACKED:
        raise ValueError("too large")


def _text(cell: object) -> str:
    """A cell's value as a person would type it."""
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case datetime():
            return cell.date().isoformat()
        case date():
            return cell.isoformat()
        case float() if cell.is_integer():
            return str(int(cell))
        case _:
            return str(cell)


def _refused(reason: Reason.ValueType) -> Refusal:
    return invalid([FieldViolation("content", reason)])


def csv_file(rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file that Excel in Finland opens without questions: UTF-8 with BOM, semicolons, CRLF."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return codecs.BOM_UTF8 + text.getvalue().encode()


def xlsx_file(rows: Iterable[Sequence[str]]) -> bytes:
    """A workbook of one sheet whose cells are all text: postcodes keep their zeros."""
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet()
    for row in rows:
        cells = []
        for value in row:
            cell = openpyxl.cell.WriteOnlyCell(sheet, _harmless(value))
            cell.number_format = "@"
            cells.append(cell)
        sheet.append(cells)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet reads as a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
