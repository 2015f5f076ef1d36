"""A cell of a file's whole length is read: what takes the square of its length would hang."""

import pytest

from services.gateway.class_lists.cells import read_cell
from services.gateway.class_lists.columns import CODE
from services.gateway.class_lists.rows import _date, _NotUnderstood
from services.gateway.class_lists.signs import is_garbled_name, is_spreadsheet_error

LENGTH = 100_000
PARTS = [
    "a@",
    "<a@a ",
    "[",
    "a@a<",
    "mailto:",
    "*-",
    "0 ",
    "1-",
    "(+3",
    "=C3",
    "ä ",
    "ä",
    "x?",
    "HETU:",
    "1   ",
    "#A",
]
COLUMNS = [
    CODE,
    "form.last_name",
    "form.email",
    "form.phone",
    "form.address.street_address",
    "form.address.postcode",
    "form.expected_end_date",
    "form.additional_information",
]


@pytest.mark.parametrize("part", PARTS)
def test_a_cell_of_any_length_is_read(part: str) -> None:
    cell = (part * LENGTH)[:LENGTH].strip()
    for column in COLUMNS:
        read_cell(column, cell)
    is_garbled_name(cell)
    is_spreadsheet_error(cell)


@pytest.mark.parametrize("between", [" ", ".", "1. ", "/ ", "a "])
def test_a_date_of_any_length_is_none(between: str) -> None:
    with pytest.raises(_NotUnderstood):
        _date(f"1{(between * LENGTH)[:LENGTH]}x")
