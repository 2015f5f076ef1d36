"""Small class lists as files, and their only row."""

import io
from collections.abc import Sequence
from typing import Any

import openpyxl

from services.gateway.class_lists.rows import ReadList, ReadRow, read_class_list

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
