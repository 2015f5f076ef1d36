"""Writes a check's remarks into the file that was checked.

They stand in a last column, and in a workbook at their cells, too. Those of an earlier check are replaced.
"""

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.comments import Comment
from openpyxl.styles import Alignment, PatternFill

from liity.v1.class_list_service_pb2 import ClassListError, ClassListReport
from liity.v1.customer_form_pb2 import Language
from services.gateway.class_lists.columns import is_of_remarks, result_word
from services.gateway.class_lists.files import csv_file
from services.gateway.class_lists.rows import ReadList
from services.gateway.class_lists.workbooks import open_to_edit

_AUTHOR = "Liity"
_WRONG = PatternFill("solid", fgColor="FFFFE0B2")
"""The background of a wrong cell."""

_WIDTH = 80
"""Signs of the column of remarks."""


class Annotated(NamedTuple):
    """A file with remarks."""

    content: bytes = b""
    """Empty if there is nothing to write, or nothing can be written."""
    file_name: str = ""


def annotated(
    content: bytes, read: ReadList, report: ClassListReport, language: Language.ValueType
) -> Annotated:
    """The file with the remarks of its report."""
    remarks = _by_row([*report.errors, *report.notices])
    if read.heading_errors or not remarks or any(row.torn for row in read.table.rows):
        return Annotated()
    heading, name = result_word("remarks", language), f"liity-{result_word('annotated', language)}"
    if not read.table.sheet:
        return Annotated(_text_file(read, heading, remarks), f"{name}.csv")
    try:
        return Annotated(_workbook(content, read, heading, remarks), f"{name}.xlsx")
    except Exception:  # noqa: BLE001 - workbooks of other programs fail within openpyxl in more ways than it names
        return Annotated()


def _by_row(remarks: Iterable[ClassListError]) -> Mapping[int, list[ClassListError]]:
    """The remarks about each row; those about the file as a whole stand nowhere in it."""
    by_row = defaultdict(list)
    for remark in remarks:
        if remark.row:
            by_row[remark.row].append(remark)
    return by_row


def _told(remarks: Iterable[ClassListError]) -> str:
    lines = (f"{each.column}: {each.message}" if each.column else each.message for each in remarks)
    return ILLEGAL_CHARACTERS_RE.sub("", "\n".join(lines))


def _width(read: ReadList) -> int:
    """How many columns the file uses."""
    return max(place for row in read.table.rows for place, cell in enumerate(row.cells, 1) if cell)


def _text_file(read: ReadList, heading: str, remarks: Mapping[int, list[ClassListError]]) -> bytes:
    width = _width(read)
    rows = {row.number: [*row.cells[:width]] for row in read.table.rows}
    told = {number: _told(of_row) for number, of_row in remarks.items()} | {read.heading_row: heading}
    for number, text in told.items():
        cells = rows.setdefault(number, [])
        cells += [""] * (width - len(cells)) + [text]
    # Blank rows keep the numbers of those after them.
    return csv_file(rows.get(number, []) for number in range(1, max(rows) + 1))


def _workbook(
    content: bytes, read: ReadList, heading: str, remarks: Mapping[int, list[ClassListError]]
) -> bytes:
    workbook = open_to_edit(content)
    sheet = workbook[read.table.sheet]
    _remove_marks(sheet)
    earlier = (cell.column for cell in sheet[read.heading_row] if is_of_remarks(str(cell.value or "")))
    column = next(earlier, _width(read) + 1)
    for cell in _cells(sheet):
        if cell.column == column:
            cell.value = None
    _write(sheet.cell(read.heading_row, column), heading)
    sheet.column_dimensions[sheet.cell(1, column).column_letter].width = _WIDTH
    for number, of_row in remarks.items():
        _write(sheet.cell(number, column), _told(of_row))
        for place in {read.places[each.field] for each in of_row if each.field in read.places}:
            _mark(
                sheet.cell(number, place + 1),
                [each for each in of_row if read.places.get(each.field) == place],
            )
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def _write(cell: Any, text: str) -> None:  # noqa: ANN401 - openpyxl's cells have no types
    """Writes a text that is no formula, whatever it begins with."""
    cell.value = text
    cell.data_type = "s"
    cell.alignment = Alignment(wrap_text=True, vertical="top")


def _mark(cell: Any, remarks: Iterable[ClassListError]) -> None:  # noqa: ANN401
    cell.fill = _WRONG
    if cell.comment is None:
        # Somebody's own comment stays.
        cell.comment = Comment("\n".join(each.message for each in remarks), _AUTHOR)


def _remove_marks(sheet: Any) -> None:  # noqa: ANN401
    """Removes what an earlier check has written at the cells."""
    for cell in _cells(sheet):
        if cell.comment is not None and cell.comment.author == _AUTHOR:
            cell.comment = None
        if cell.fill.fgColor.rgb == _WRONG.fgColor.rgb:
            cell.fill = PatternFill()


def _cells(sheet: Any) -> list[Any]:  # noqa: ANN401
    """The cells that are there: a walk over rows would make those between them, up to the last row of all."""
    return list(sheet._cells.values())
