"""Reads and writes class-list files, CSV and XLSX, as tables of text.

Input is untrusted: its size is bounded before it is read, and nothing in it is executed or followed.
"""

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace

import openpyxl
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

from liity.v1.reason_pb2 import (
    REASON_CLASS_LIST_EMPTY,
    REASON_CLASS_LIST_TOO_LARGE,
    REASON_CLASS_LIST_UNREADABLE,
    REASON_TOO_MANY_ROWS,
)
from services.gateway.class_lists.headings import headings_among
from services.gateway.class_lists.kinds import is_workbook
from services.gateway.class_lists.tables import Row, Table, refused
from services.gateway.class_lists.text_files import read_text, split
from services.gateway.class_lists.workbooks import read_workbook
from services.runtime.class_list_limits import MOST_BYTES, MOST_ROWS

_TEXT = "@"
"""The format of cells whose content stays as it was typed."""

_NARROWEST = 10
"""The fewest signs that a column of the template shows."""


def read_table(content: bytes) -> Table:
    """The table in a file, which is told by its content.

    INVALID_ARGUMENT (`content`) if it cannot be read, is too large, or has no row besides the headings.
    """
    is_xlsx = is_workbook(content)
    if len(content) > MOST_BYTES:
        raise refused(REASON_CLASS_LIST_TOO_LARGE)
    table = _in_columns(read_workbook(content) if is_xlsx else read_text(content))
    rows = table.rows
    if rows and rows[0].torn:
        raise refused(REASON_CLASS_LIST_UNREADABLE)
    if len(rows) - (headings_among(rows) or 0) - 1 > MOST_ROWS:
        raise refused(REASON_TOO_MANY_ROWS)
    if len(rows) + len(table.hidden_rows) < 2:  # noqa: PLR2004 - the headings and one row
        raise refused(REASON_CLASS_LIST_EMPTY)
    return table


def _in_columns(table: Table) -> Table:
    """The table; if each of its rows stands whole in its first cell, with its cells apart.

    So it is when Excel opens a CSV file with another separator than its own, and saves it. Beside the first
    cell stand our remarks, or what has no heading.
    """
    rows = table.rows
    if headings_among(rows) is not None or any(row.torn or not any(row.cells[:1]) for row in rows):
        return table
    lines = split([row.cells[0] for row in rows])
    width = max((len(cells) for cells in lines if cells), default=0)
    apart = [
        Row(
            row.number,
            () if cells is None else [*cells, *[""] * (width - len(cells)), *row.cells[1:]],
            torn=cells is None,
            # What holds of the cell holds of all that was in it.
            marks=dict.fromkeys(range(len(cells or ())), row.mark(0)),
        )
        for row, cells in zip(rows, lines, strict=True)
    ]
    return replace(table, rows=apart, in_one_cell=True) if headings_among(apart) is not None else table


def csv_file(rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file that Excel in Finland opens without questions: UTF-8 with BOM, semicolons, CRLF."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    # Bytes of a file that are no letters come back as they were.
    return codecs.BOM_UTF8 + text.getvalue().encode("utf-8", "surrogateescape")


def template_file(
    headings: Sequence[str], of_nobody: Sequence[str], choices: Sequence[Sequence[str]]
) -> bytes:
    """A workbook with headings that stay in sight and one example row.

    All columns are text, so that postcodes keep their zeros; `choices` has the words of each to choose from.
    """
    workbook = openpyxl.Workbook()
    sheet = workbook.worksheets[0]
    sheet.freeze_panes = "A2"
    for row in (headings, of_nobody):
        sheet.append([_harmless(value) for value in row])
    for place, (heading, words) in enumerate(zip(headings, choices, strict=True), 1):
        letter = get_column_letter(place)
        column = sheet.column_dimensions[letter]
        column.number_format, column.width = _TEXT, max(len(heading), *map(len, words), _NARROWEST) + 2
        sheet.cell(1, place).font = Font(bold=True)
        for number in (1, 2):
            sheet.cell(number, place).number_format = _TEXT
        if words:
            chosen = DataValidation("list", formula1=f'"{",".join(words)}"', allow_blank=True)
            # What is pasted or typed is checked by us, which understands more words.
            chosen.showErrorMessage = False
            chosen.add(f"{letter}2:{letter}{MOST_ROWS + 1}")
            sheet.add_data_validation(chosen)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet reads as a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
