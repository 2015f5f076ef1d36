"""Reads XLSX workbooks as Excel, LibreOffice, Google and others write them.

Beside the text of cells it tells what a person sees in the program: hidden rows, columns and sheets, text
that is struck through, errors, and formulas that no program has computed. openpyxl streams the rows; its own
readers drop what is hidden, so one of its parsers is used directly.
"""

import io
import re
import threading
import warnings
import zipfile
from collections.abc import Generator
from datetime import date, datetime, time, timedelta
from typing import IO, Any
from xml.etree.ElementTree import Element

import openpyxl
from openpyxl.cell.rich_text import CellRichText
from openpyxl.utils.cell import range_boundaries
from openpyxl.worksheet._reader import COL_TAG, FORMULA_TAG, ROW_TAG, VALUE_TAG, WorkSheetParser
from openpyxl.xml.constants import SHEET_MAIN_NS
from openpyxl.xml.functions import iterparse

from liity.v1.reason_pb2 import (
    REASON_CLASS_LIST_TOO_LARGE,
    REASON_CLASS_LIST_UNREADABLE,
    REASON_TOO_MANY_ROWS,
)
from services.gateway.class_lists.conditional import (
    Rule,
    extended_rules_of,
    is_extended,
    mark_struck,
    rules_of,
)
from services.gateway.class_lists.headings import is_list
from services.gateway.class_lists.tables import MOST_KEPT, MOST_LOOKED_AT, PLAIN, Mark, Row, Table, refused
from services.runtime.class_list_limits import MOST_BYTES

_MOST_COLUMNS = 100
_MOST_UNPACKED = 16 * 1024 * 1024
"""The most bytes of all parts of a workbook. A part larger than it declares is treated as damaged."""

_MOST_TAGS = 600_000
"""The most tags of all parts: each costs memory while its row is read. A list of 100 columns has 500,000."""

_MOST_PARTS = 200
_MOST_SHEETS = 10
"""The most visible sheets that are read."""

_SMALLEST_SEEN = 2.0
"""The height of a row in points, and the width of a column in signs, below which nobody sees its cells."""

_FIRST_OWN_FORMAT = 164
"""The least number of a format that a workbook defines itself (ECMA-376 part 1, 18.8.30)."""

_OF_TEXT = 3
"""The section of a format that is for text, behind those for numbers above, below and equal to 0."""

_WHITES = {1, 9}
"""The numbers of white among the indexed colours (ECMA-376 part 1, 18.8.27)."""

_LAST_ROW_NUMBER = 1_000_000
_LAST_DAY = 2_958_466
"""The number after that of 31.12.9999, the last day of Excel's calendar."""

_STRICT = (
    (b"http://purl.oclc.org/ooxml/spreadsheetml/main", SHEET_MAIN_NS.encode()),
    (
        b"http://purl.oclc.org/ooxml/officeDocument/relationships",
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    ),
)
"""Namespaces of "Strict Open XML" workbooks, and those that openpyxl knows."""

_UNNEEDED = re.compile(r"docProps/|xl/(theme|media|drawings|charts|externalLinks|comments|printerSettings)")
_MERGED_TAG = f"{{{SHEET_MAIN_NS}}}mergeCell"
_FORMAT_TAG = f"{{{SHEET_MAIN_NS}}}sheetFormatPr"
_CONDITIONAL_TAG = f"{{{SHEET_MAIN_NS}}}conditionalFormatting"
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")

_loading = threading.Lock()
"""Guards the interpreter's warning filters, which are global."""


def read_workbook(content: bytes) -> Table:
    """The rows of the first visible sheet that has the headings of a list; without one, that holds anything.

    INVALID_ARGUMENT (`content`) if the workbook is damaged or unpacks to too much.
    """
    try:
        workbook = _load(content)
        visible = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
        sheets = {str(sheet.title): _read_sheet(workbook, sheet) for sheet in visible[:_MOST_SHEETS]}
    except Exception:  # noqa: BLE001 - broken workbooks fail within openpyxl in more ways than it names
        raise refused(REASON_CLASS_LIST_UNREADABLE) from None
    filled = {
        name: table for name, table in sheets.items() if table.rows or table.hidden_rows or table.overflow
    }
    lists = [name for name, table in filled.items() if is_list(table.rows)]
    chosen = next(iter([*lists, *filled]), "")
    table = filled.pop(chosen, Table())
    if table.overflow is not None:
        raise refused(table.overflow)
    table.sheet = chosen
    table.other_lists = [name for name in filled if name in lists]
    table.other_sheets = [name for name in filled if name not in lists]
    return table


def _load(content: bytes) -> Any:  # noqa: ANN401 - openpyxl's read-only workbook has no types
    plain = _plain(content, _UNNEEDED)
    with _loading, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Read only: row by row. Data only: values computed by Excel, never formulas.
        return openpyxl.load_workbook(plain, read_only=True, data_only=True, keep_links=False, rich_text=True)


def open_to_edit(content: bytes) -> Any:  # noqa: ANN401 - openpyxl's workbook has no types
    """The whole workbook, formulas and all. Raises as openpyxl does, or ValueError if it is too large."""
    plain = _plain(content, re.compile(r"(?!)"))
    with _loading, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openpyxl.load_workbook(plain, keep_links=False, rich_text=True)


def _plain(content: bytes, unneeded: re.Pattern[str]) -> IO[bytes]:
    """The workbook in ordinary namespaces, without unneeded parts. ValueError if its parts are too large."""
    file, tags = io.BytesIO(), 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(file, "w") as plain:
        parts = archive.infolist()
        if len(parts) > _MOST_PARTS or sum(part.file_size for part in parts) > _MOST_UNPACKED:
            raise ValueError("too large")
        for part in parts:
            if not unneeded.match(part.filename):
                text = archive.read(part)
                tags += text.count(b"<")
                if tags > _MOST_TAGS:
                    raise ValueError("too many cells")
                for strict, ordinary in _STRICT:
                    text = text.replace(strict, ordinary)
                plain.writestr(part.filename, text)
    return file


class _Parser(WorkSheetParser):
    """Yields the rows of a sheet, and keeps what is hidden and merged."""

    def __init__(self, workbook: Any, sheet: Any, source: IO[bytes]) -> None:  # noqa: ANN401
        super().__init__(
            source,
            sheet._shared_strings,
            data_only=True,
            epoch=workbook.epoch,
            date_formats=workbook._date_formats,
            timedelta_formats=workbook._timedelta_formats,
            rich_text=True,
        )
        self._strikes = [
            bool(style.font and style.font.strike) for style in workbook._differential_styles.styles
        ]
        self._hides_rows = self._flattens_rows = self._narrows_columns = False
        self._told_columns: set[int] = set()
        self.is_hidden_by_default = False
        self.rules: list[Rule] = []
        self.hidden_columns: set[int] = set()
        self.merged: list[str] = []

    def parse(self) -> Generator[tuple[int, list[dict[str, Any]]], None, None]:
        """The number and the cells of each row. Other parts of a sheet, however broken, are passed over."""
        for _, element in iterparse(self.source):
            if element.tag == _FORMAT_TAG:
                self._read_defaults(element)
            elif element.tag == COL_TAG:
                # Places from 0; the last columns may be hidden as a whole.
                last = min(int(element.get("max", "0")), _MOST_COLUMNS)
                places = range(int(element.get("min", "1")) - 1, last)
                self._told_columns.update(places)
                if _is_hidden(element, "width"):
                    self.hidden_columns.update(places)
            elif element.tag == _CONDITIONAL_TAG:
                self.rules += rules_of(element, self._strikes_through)
            elif is_extended(element):
                self.rules += extended_rules_of(element)
            elif element.tag == _MERGED_TAG:
                self.merged.append(element.get("ref", ""))
            elif element.tag == ROW_TAG:
                tells = element.get("hidden") is not None or element.get("ht") is not None
                self.is_hidden = _is_hidden(element, "ht") or (self._flattens_rows and not tells)
                self.is_hidden_by_default = self._hides_rows and not tells
                yield self.parse_row(element)
                element.clear()
        if self._narrows_columns:
            self.hidden_columns.update(set(range(_MOST_COLUMNS)) - self._told_columns)

    def _read_defaults(self, element: Element) -> None:
        """What holds of rows and columns that tell nothing themselves."""
        self._hides_rows = _is_true(element.get("zeroHeight"))
        self._flattens_rows = _is_true(element.get("customHeight")) and _is_tiny(element, "defaultRowHeight")
        self._narrows_columns = _is_tiny(element, "defaultColWidth")

    def _strikes_through(self, style: int) -> bool:
        return self._strikes[style : style + 1] == [True]

    def parse_cell(self, element: Element) -> dict[str, Any]:
        """The cell; of a formula without a value, and of a date beyond the calendar, an error."""
        value, style = element.findtext(VALUE_TAG) or "", int(element.get("s", "0"))
        kind = element.get("t", "n")
        is_date = kind == "n" and value and style in self.date_formats
        beyond = is_date and not 0 <= float(value) < _LAST_DAY
        if beyond and (found := element.find(VALUE_TAG)) is not None:
            found.text = ""
        cell: dict[str, Any] = super().parse_cell(element)
        if beyond:
            cell |= {"data_type": "e", "value": "########"}
        elif element.find(FORMULA_TAG) is not None and not value and kind != "str":
            cell |= {"data_type": "uncomputed", "value": "="}
        return cell


def _is_hidden(element: Element, size: str) -> bool:
    """Whether a row or column is hidden, or too low or narrow to be seen."""
    return _is_true(element.get("hidden")) or _is_tiny(element, size)


def _is_true(value: str | None) -> bool:
    return value in {"1", "true"}


def _is_tiny(element: Element, size: str) -> bool:
    try:
        return float(element.get(size, "8")) < _SMALLEST_SEEN
    except ValueError:
        return False


def _read_sheet(workbook: Any, sheet: Any) -> Table:  # noqa: ANN401
    table, size = Table(), 0
    kept: dict[int, Row] = {}
    with workbook._archive.open(sheet._worksheet_path) as source:
        parser = _Parser(workbook, sheet, source)
        for looked_at, (number, cells) in enumerate(parser.parse(), 1):
            row = _read_row(workbook, number, cells)
            size += sum(len(cell.encode("utf-8", "replace")) for cell in row.cells)
            if looked_at > MOST_LOOKED_AT or number > _LAST_ROW_NUMBER or len(kept) > MOST_KEPT:
                table.overflow = REASON_TOO_MANY_ROWS
                break
            if size > MOST_BYTES:
                table.overflow = REASON_CLASS_LIST_TOO_LARGE
                break
            if any(row.cells) and parser.is_hidden:
                table.hidden_rows.append(number)
            elif any(row.cells):
                kept[number] = row
                if parser.is_hidden_by_default:
                    table.rows_hidden_by_default.append(number)
    mark_struck(kept, parser.rules)
    _mark_merged(kept, parser.merged)
    table.rows = [kept[number] for number in sorted(kept)]
    used = {place for row in table.rows for place, cell in enumerate(row.cells) if cell}
    table.hidden_columns = sorted(used & parser.hidden_columns)
    return table


def _read_row(workbook: Any, number: int, cells: list[dict[str, Any]]) -> Row:  # noqa: ANN401
    texts: list[str] = []
    marks: dict[int, Mark] = {}
    for cell in cells:
        place, value = cell["column"] - 1, cell["value"]
        if value is None or place >= _MOST_COLUMNS:
            continue
        text, mark = _text(value, cell["data_type"])
        if text and _is_struck(workbook, cell["style_id"], value):
            mark |= Mark.STRUCK
        if text and _is_unseen(workbook, cell["style_id"], is_number=Mark.NUMBER in mark):
            mark |= Mark.UNSEEN
        texts += [""] * (place + 1 - len(texts))
        texts[place] = text
        if mark != PLAIN:
            marks[place] = mark
    return Row(number, texts, marks=marks)


def _is_struck(workbook: Any, style: int, value: object) -> bool:  # noqa: ANN401
    font = workbook._fonts[workbook._cell_styles[style].fontId]
    blocks = value if isinstance(value, CellRichText) else ()
    return bool(font.strike) or any(not isinstance(block, str) and block.font.strike for block in blocks)


def _is_unseen(workbook: Any, style: int, *, is_number: bool) -> bool:  # noqa: ANN401
    """Whether a cell's text is white on white, or its format shows nothing of it."""
    cell = workbook._cell_styles[style]
    fill = workbook._fills[cell.fillId]
    on_white = fill.fill_type is None or (fill.fill_type == "solid" and _is_white(fill.fgColor))
    return (on_white and _is_white(workbook._fonts[cell.fontId].color)) or (
        cell.numFmtId >= _FIRST_OWN_FORMAT
        and _shows_nothing(workbook._number_formats[cell.numFmtId - _FIRST_OWN_FORMAT], is_number=is_number)
    )


def _is_white(color: Any) -> bool:  # noqa: ANN401 - openpyxl's colour has no types
    return color is not None and (
        (color.type == "rgb" and color.rgb[-6:].upper() == "FFFFFF")
        or (color.type == "theme" and color.theme == 0 and not color.tint)
        or (color.type == "indexed" and color.indexed in _WHITES)
    )


def _shows_nothing(number_format: str, *, is_number: bool) -> bool:
    """Whether a format has no sign for a number above 0 or for a text: `;;;` shows neither."""
    sections = number_format.split(";")
    shown = sections[:1] if is_number else sections[_OF_TEXT : _OF_TEXT + 1]
    return len(sections) > 1 and shown in ([""], ['""'])


def _mark_merged(rows: dict[int, Row], merged: list[str]) -> None:
    """Marks the cells whose text stands in another cell that they are merged with."""
    for each in merged:
        first, top, last, bottom = range_boundaries(each)
        first_row = rows.get(top or 0)
        if first_row is None or first is None or last is None or bottom is None or top is None:
            continue
        if not any(first_row.cells[first - 1 : first]):
            continue
        for number in rows.keys() & range(top, bottom + 1):
            row = rows[number]
            marks = {
                place: Mark.MERGED
                for place in range(first - 1, min(last, _MOST_COLUMNS))
                if (number, place) != (top, first - 1)
            }
            rows[number] = row._replace(marks={**row.marks, **marks})


def _text(value: object, data_type: str) -> tuple[str, Mark]:  # noqa: PLR0911 - one line for each kind
    """A cell's value as a person would type it, and what it is besides."""
    match value:
        case _ if data_type == "e":
            return str(value), Mark.ERROR
        case _ if data_type == "uncomputed":
            return "=", Mark.UNCOMPUTED
        case bool():
            return str(value).lower(), Mark.BOOLEAN
        case datetime() if value.time() == time():
            return value.date().isoformat(), Mark.DATE
        case datetime() | time() | timedelta():
            return str(value), Mark.DATE | Mark.TIME
        case date():
            return value.isoformat(), Mark.DATE
        case float() if value.is_integer():
            return str(int(value)), Mark.NUMBER
        case int() | float():
            return str(value), Mark.NUMBER
        case _:
            return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), str(value)).strip(), PLAIN
