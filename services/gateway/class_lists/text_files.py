"""Reads CSV files: their encoding, their separator, and their rows."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence

from liity.v1.reason_pb2 import (
    REASON_CLASS_LIST_OLD_LETTERS,
    REASON_CLASS_LIST_TOO_LARGE,
    REASON_CLASS_LIST_UNREADABLE,
    REASON_TOO_MANY_ROWS,
)
from services.gateway.class_lists.headings import MOST_TITLES, most_known
from services.gateway.class_lists.signs import strangeness, strangeness_of_old
from services.gateway.class_lists.tables import MOST_KEPT, MOST_LOOKED_AT, Row, Table, refused
from services.runtime.class_list_limits import MOST_BYTES

_DELIMITERS = ";,\t|"
_TOLD = re.compile(r"\s*sep=(.)(\r\n|\r|\n)", re.IGNORECASE)
"""A line before the headings that tells Excel the delimiter; Excel does not show it."""

_OLD_ENCODINGS = ("mac_roman", "cp850", "cp437")
"""Of Excel's "CSV (Macintosh)" and "CSV (MS-DOS)"."""


def read_text(content: bytes) -> Table:
    """The rows of a CSV file that are not blank.

    INVALID_ARGUMENT (`content`) if its letters cannot be told for certain, or it is too large.
    """
    rows: list[Row] = []
    size = 0
    text = _decoded(content)
    if "\x00" in text:
        # No text has it.
        raise refused(REASON_CLASS_LIST_UNREADABLE)
    # MS-DOS ends a file with a sign.
    for number, cells in enumerate(_records(text.removesuffix("\x1a")), 1):
        stripped = [cell.strip() for cell in cells or ()]
        size += sum(len(cell.encode("utf-8", "replace")) for cell in stripped)
        if cells is None or any(stripped):
            rows.append(Row(number, stripped, torn=cells is None))
        if number > MOST_LOOKED_AT or len(rows) > MOST_KEPT:
            raise refused(REASON_TOO_MANY_ROWS)
        if size > MOST_BYTES:
            raise refused(REASON_CLASS_LIST_TOO_LARGE)
    return Table(rows)


def _records(text: str) -> Iterator[Sequence[str] | None]:
    """The cells of each row; None for a torn row."""
    told = _TOLD.match(text)
    text = text[told.end() :] if told else text
    delimiter = told[1] if told and told[1] in _DELIMITERS else _delimiter(text)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    while True:
        try:
            yield next(reader)
        except csv.Error:
            # The reader continues with the next line.
            yield None
        except StopIteration:
            return


def split(lines: Sequence[str]) -> list[Sequence[str] | None]:
    """The cells of each line of a text that stands in one column; None for a torn line."""
    delimiter = _delimiter("\n".join(lines))
    return [_cells_of(line, delimiter) for line in lines]


def _cells_of(line: str, delimiter: str) -> Sequence[str] | None:
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True), [])
    except csv.Error:
        return None
    return [cell.strip() for cell in cells]


def _decoded(content: bytes) -> str:
    """The text: UTF-8, UTF-16 (Excel's "Unicode text"), or Windows-1252 (Excel's CSV in Finland).

    A UTF-8 file with a few wrong bytes is UTF-8: they become surrogates, which are reported where they are.
    INVALID_ARGUMENT (`content`) if the letters are rather those of an old Mac or of MS-DOS.
    """
    wide = _wide_encoding(content)
    if wide:
        try:
            return content.decode(wide)
        except UnicodeDecodeError:
            raise refused(REASON_CLASS_LIST_UNREADABLE) from None
    text = content.decode("utf-8-sig", "surrogateescape")
    wrong = sum("\udc80" <= sign <= "\udcff" for sign in text)
    right = sum(sign > "\x7f" for sign in text) - wrong
    if not wrong or content.startswith(codecs.BOM_UTF8) or right >= wrong:
        return text
    try:
        windows = content.decode("cp1252")
    except UnicodeDecodeError:
        raise refused(REASON_CLASS_LIST_OLD_LETTERS) from None
    # Old encodings have the same bytes for other letters: the reading with the fewest strange words is right.
    if strangeness(windows) > min(strangeness_of_old(content.decode(old)) for old in _OLD_ENCODINGS):
        raise refused(REASON_CLASS_LIST_OLD_LETTERS)
    return windows


def _wide_encoding(content: bytes) -> str:
    """The encoding of a text of two bytes for each sign; empty if it is none."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Headings are of letters whose one byte is zero.
    even, odd = (content[first:200:2].count(0) for first in (0, 1))
    if max(even, odd) * 4 < len(content[:200]) or min(even, odd):
        return ""
    return "utf-16-be" if even > odd else "utf-16-le"


def _delimiter(text: str) -> str:
    """The delimiter by which a row near the beginning has the most known headings."""

    def known(delimiter: str) -> int:
        return most_known(_first_rows(text, delimiter))

    return max(_DELIMITERS, key=known)


def _first_rows(text: str, delimiter: str) -> Iterator[Sequence[str]]:
    # Not strict: a torn row further down must not hide the headings.
    reader = csv.reader(io.StringIO(text[:50_000], newline=""), delimiter=delimiter)
    filled = 0
    try:
        for cells in reader:
            if any(cells):
                yield cells
                filled += 1
            if filled > MOST_TITLES:
                return
    except csv.Error:
        return
