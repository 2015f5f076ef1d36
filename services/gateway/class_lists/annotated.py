"""Writes a check's remarks into the file that was checked.

They stand in a last column, and in a workbook at their cells, too. Those of an earlier check are replaced.
"""

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, MergedCell
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
"""The background of a cell with an error, and of a row that is wrong as a whole."""

_NOTED = PatternFill("solid", fgColor="FFE1F0FF")
"""The background of a cell with notices alone."""

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
    of_text_file = not read.table.sheet
    if not remarks or any(row.torn for row in read.table.rows) or (read.heading_errors and of_text_file):
        return Annotated()
    heading, name = result_word("remarks", language), f"liity-{result_word('annotated', language)}"
    if of_text_file:
        return Annotated(_text_file(read, heading, remarks), f"{name}.csv")
    errors = _by_row(report.errors)
    try:
        return Annotated(_workbook(content, read, heading, remarks, errors), f"{name}.xlsx")
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
    content: bytes,
    read: ReadList,
    heading: str,
    remarks: Mapping[int, list[ClassListError]],
    errors: Mapping[int, list[ClassListError]],
) -> bytes:
    workbook = open_to_edit(content)
    sheet = workbook[read.table.sheet]
    _remove_marks(sheet)
    _mark_headings(sheet, read, remarks)
    of_rows = {number: told for number, told in remarks.items() if number != read.heading_row}
    if of_rows:
        _mark_rows(sheet, read, heading, of_rows, errors)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def _mark_headings(sheet: Any, read: ReadList, remarks: Mapping[int, list[ClassListError]]) -> None:  # noqa: ANN401
    """Marks wrong headings."""
    for cell in sheet[read.heading_row]:
        shown = " ".join(str(cell.value or "").split())
        told = [each for each in remarks.get(read.heading_row, ()) if shown and each.column == shown]
        if told:
            _mark(_written(sheet, cell.row, cell.column), told, _WRONG)


def _mark_rows(
    sheet: Any,  # noqa: ANN401
    read: ReadList,
    heading: str,
    remarks: Mapping[int, list[ClassListError]],
    errors: Mapping[int, list[ClassListError]],
) -> None:
    earlier = (cell.column for cell in sheet[read.heading_row] if is_of_remarks(str(cell.value or "")))
    # No merged cell may reach into it.
    widest = max([_width(read), *(area.max_col for area in sheet.merged_cells.ranges)])
    column = next(earlier, widest + 1)
    for cell in _cells(sheet):
        if cell.column == column and not isinstance(cell, MergedCell):
            cell.value = None
    _write(sheet.cell(read.heading_row, column), heading)
    sheet.column_dimensions[sheet.cell(1, column).column_letter].width = _WIDTH
    for number, of_row in remarks.items():
        shown = _shown(sheet, number, read)
        before = str(sheet.cell(shown, column).value or "")
        _write(sheet.cell(shown, column), "\n".join(filter(None, (before, _told(of_row)))))
        wrong = {read.places.get(each.field) for each in errors.get(number, ())}
        if None in wrong:
            # About the row as a whole.
            sheet.cell(shown, column).fill = _WRONG
        for place in {read.places[each.field] for each in of_row if each.field in read.places}:
            told = [each for each in of_row if read.places.get(each.field) == place]
            _mark(_written(sheet, number, place + 1), told, _WRONG if place in wrong else _NOTED)


def _shown(sheet: Any, number: int, read: ReadList) -> int:  # noqa: ANN401
    """The row itself, or the next one that is not hidden: a remark must be seen."""
    while sheet.row_dimensions[number].hidden and number <= read.table.rows[-1].number:
        number += 1
    return number


def _written(sheet: Any, row: int, column: int) -> Any:  # noqa: ANN401
    """The cell at a place; of merged ones, that which can be written."""
    cell = sheet.cell(row, column)
    if isinstance(cell, MergedCell):
        area = next(area for area in sheet.merged_cells.ranges if cell.coordinate in area)
        return sheet.cell(area.min_row, area.min_col)
    return cell


def _write(cell: Any, text: str) -> None:  # noqa: ANN401 - openpyxl's cells have no types
    """Writes a text that is no formula, whatever it begins with."""
    cell.value = text
    cell.data_type = "s"
    cell.alignment = Alignment(wrap_text=True, vertical="top")


def _mark(cell: Any, remarks: Iterable[ClassListError], fill: PatternFill) -> None:  # noqa: ANN401
    cell.fill = fill
    if cell.comment is None:
        # Somebody's own comment stays.
        cell.comment = Comment("\n".join(each.message for each in remarks), _AUTHOR)


def _remove_marks(sheet: Any) -> None:  # noqa: ANN401
    """Removes what an earlier check has written at the cells."""
    for cell in _cells(sheet):
        if cell.comment is not None and cell.comment.author == _AUTHOR:
            cell.comment = None
        if cell.fill.fgColor.rgb in {_WRONG.fgColor.rgb, _NOTED.fgColor.rgb}:
            cell.fill = PatternFill()


def _cells(sheet: Any) -> list[Any]:  # noqa: ANN401
    """The cells that are there: a walk over rows would make those between them, up to the last row of all."""
    return list(sheet._cells.values())
