"""A class list of 60 pupils, typed into LibreOffice Calc 7.4, with everything that goes wrong there."""

from pathlib import Path

from services.gateway.class_lists.rows import read_class_list
from tests.unit.class_lists.lists import errors, notices

_LIST = Path(__file__).parent / "made_with_libreoffice.xlsx"


def test_each_fault_is_told_where_it_is_and_nothing_else() -> None:
    read = read_class_list(_LIST.read_bytes())
    assert {(row, field.rpartition(".")[2], reason) for row, field, reason in errors(read)} == {
        # Somebody has written over the template's example, and left its guardian.
        (2, "full_name", "EXAMPLE_VALUE"),
        (2, "email", "EXAMPLE_VALUE"),
        (3, "", "HIDDEN_ROWS"),
        (5, "", "STRUCK_THROUGH"),
        # A look-up that found nothing, and an error that somebody has copied as text.
        (6, "last_name", "SPREADSHEET_ERROR"),
        (35, "last_name", "SPREADSHEET_ERROR"),
        (16, "sign_date", "UNCLEAR_DATE"),
        (20, "last_name", "MERGED_CELLS"),
        (25, "language", "UNKNOWN_VALUE"),
        (27, "last_name", "GARBLED_TEXT"),
        (28, "email", "STRUCK_THROUGH"),
        (29, "personal_identity_code", "REWRITTEN_BY_SPREADSHEET"),
        (33, "", "CELL_WITHOUT_HEADING"),
        (47, "first_names", "DITTO_MARK"),
        (48, "post_office", "DITTO_MARK"),
        (62, "", "NOT_A_PERSON"),
        (63, "personal_identity_code", "EXAMPLE_ROW"),
    }
    assert {(row, field.rpartition(".")[2], reason) for row, field, reason, _ in notices(read)} == {
        (0, "", "SHEETS_NOT_READ"),
        (7, "postcode", "LEADING_ZEROS_RESTORED"),
        (9, "phone", "LEADING_ZEROS_RESTORED"),
        (11, "first_names", "INVISIBLE_SIGNS_REMOVED"),
        (12, "email", "ADDRESS_PERHAPS_MISTYPED"),
        (30, "email", "EXTRA_SIGNS_REMOVED"),
        (40, "street_address", "EXTRA_SIGNS_REMOVED"),
        (41, "full_name", "NAME_PERHAPS_WRONG"),
        (52, "last_name", "NAME_PERHAPS_WRONG"),
        (53, "first_names", "NAME_PERHAPS_WRONG"),
    }


def test_what_was_mended_is_right() -> None:
    rows = {row.number: row.form for row in read_class_list(_LIST.read_bytes()).rows}
    assert rows[7].address.postcode == "00100"
    assert rows[9].related_person.phone == "0501234567"
    assert rows[11].first_names == "Aino Maria"
    assert rows[30].related_person.email == "kaisa@posti.example"
    assert rows[39].first_names == "Aino Maria"
    assert rows[40].address.street_address == "Koulukatu 5 A 3"
