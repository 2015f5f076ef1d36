"""Small class lists as files, and their only row."""

import io
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import openpyxl
import pytest

from services.gateway.class_lists.rows import ReadList, ReadRow, read_class_list
from services.runtime.rpc.errors import Refusal, reason_name

SIMPLE = {
    "Henkilötunnus": "010594Y9032",
    "Etunimet": "Åke Väinö",
    "Sukunimi": "Öhman",
    "Lähiosoite": "Käpykuja 1",
    "Postinumero": "00100",
    "Postitoimipaikka": "Helsinki",
    "Kieli": "suomi",
    "Asiakastyyppi": "verkkoasiakas",
    "Lukemiseste": "kyllä",
    "Hakija": "itse",
    "Käyttöehdot hyväksytty": "x",
}


def csv_of(rows: Sequence[Sequence[str]], delimiter: str = ";", encoding: str = "utf-8") -> bytes:
    return "\n".join(delimiter.join(row) for row in rows).encode(encoding)


def xlsx_of(rows: Sequence[Sequence[Any]]) -> bytes:
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.worksheets[0].append(list(row))
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def with_cells(**cells: Any) -> list[list[Any]]:
    """The simple list's rows, with cells changed or added: by their headings, `_` for spaces."""
    row = SIMPLE | {heading.replace("_", " "): cell for heading, cell in cells.items()}
    return [list(row), list(row.values())]


def read_csv(rows: Sequence[Sequence[str]], **options: str) -> ReadList:
    return read_class_list(csv_of(rows, **options))


def one(read: ReadList) -> ReadRow:
    assert read.heading_errors == []
    (row,) = read.rows
    return row


def rows_of(count: int, **cells: str) -> list[list[Any]]:
    """The headings and so many rows, each with a first name of its own."""
    heading, row = with_cells(**cells)
    return [heading, *([*row[:1], f"Nimi {chr(ord('a') + n)}", *row[2:]] for n in range(count))]


def workbook_of(rows: Sequence[Sequence[Any]], change: Callable[[Any, Any], object]) -> bytes:
    """A workbook with the rows, changed before it is saved."""
    workbook = openpyxl.Workbook()
    sheet: Any = workbook.worksheets[0]
    for row in rows:
        sheet.append(list(row))
    change(workbook, sheet)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def with_parts(content: bytes, change: Callable[[str, str], str]) -> bytes:
    """A workbook whose XML parts are changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name).decode()))
    return file.getvalue()


def errors(read: ReadList) -> set[tuple[int, str, str]]:
    """Row, field and reason of every error."""
    of_headings = {
        (read.heading_row, error.field, reason_name(error.reason)) for error in read.heading_errors
    }
    of_rows = {
        (row.number, error.field, reason_name(error.reason)) for row in read.rows for error in row.errors
    }
    return of_headings | of_rows


def notices(read: ReadList) -> set[tuple[int, str, str, str]]:
    """Row, field, reason and detail of every notice."""
    every = [*read.notices, *(notice for row in read.rows for notice in row.notices)]
    return {(notice.row, notice.field, reason_name(notice.reason), notice.where) for notice in every}


def refusal_of(content: bytes) -> str:
    with pytest.raises(Refusal) as refusal:
        read_class_list(content)
    assert [violation.field for violation in refusal.value.violations] == ["content"]
    return reason_name(refusal.value.reason)
