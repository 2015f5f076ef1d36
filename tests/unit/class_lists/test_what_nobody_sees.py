"""What of a workbook nobody sees, or is crossed out: hidden, struck through, white on white, merged away."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.formatting.rule import CellIsRule, FormulaRule, Rule
from openpyxl.styles import Color, Font, PatternFill
from openpyxl.styles.differential import DifferentialStyle

from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI, LANGUAGE_SV
from services.gateway.class_lists import reports
from services.gateway.class_lists.checked import Checked
from services.gateway.class_lists.rows import ReadList, read_class_list
from services.runtime.rpc.errors import reason_name
from tests.unit.class_lists.lists import (
    errors,
    notices,
    one,
    rows_of,
    with_cells,
    with_parts,
    workbook_of,
    xlsx_of,
)


def hide_rows(*numbers: int) -> Callable[[Any, Any], None]:
    def change(_workbook: Any, sheet: Any) -> None:
        sheet.auto_filter.ref = "A1:K26"
        for number in numbers:
            sheet.row_dimensions[number].hidden = True

    return change


def test_hidden_rows_are_one_error_that_names_them() -> None:
    hidden = (4, *range(6, 26))
    read = read_class_list(workbook_of(rows_of(25), hide_rows(*hidden)))
    assert errors(read) == {(4, "", "HIDDEN_ROWS")}
    assert [row.number for row in read.rows if not row.spoilt] == [2, 3, 5, 26]
    wrong = {row.number: row.errors for row in read.rows if row.errors}
    for language in (LANGUAGE_FI, LANGUAGE_SV, LANGUAGE_EN):
        (error,) = reports.report_of(read, Checked(wrong=wrong), language).errors
        assert error.message.endswith(": 4, 6–25 (21)")


def test_a_list_of_hidden_rows_alone_is_not_empty() -> None:
    assert errors(read_class_list(workbook_of(rows_of(2), hide_rows(2, 3)))) == {(2, "", "HIDDEN_ROWS")}


def test_rows_without_height_are_hidden_and_blank_hidden_rows_do_not_matter() -> None:
    content = workbook_of([*rows_of(1), [None], *rows_of(1)[1:]], hide_rows(3))
    assert errors(read_class_list(content)) == set()
    flat = with_parts(
        content, lambda _, part: part.replace('<row r="4"', '<row r="4" ht="0" customHeight="1"')
    )
    assert errors(read_class_list(flat)) == {(4, "", "HIDDEN_ROWS")}


@pytest.mark.parametrize(("hidden", "field"), [("C", "form.last_name"), ("L", "")])
def test_a_hidden_column_with_content_is_an_error(hidden: str, field: str) -> None:
    def change(_workbook: Any, sheet: Any) -> None:
        sheet.column_dimensions[hidden].hidden = True

    read = read_class_list(workbook_of(with_cells(Luokka="3B"), change))
    assert (1, field, "HIDDEN_COLUMN") in errors(read)
    assert all(error.field != "form.last_name" or field for error in read.heading_errors)
    assert read.rows[0].form.last_name == ("" if field else "Öhman")


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_is_never_read(state: str) -> None:
    def change(workbook: Any, sheet: Any) -> None:
        last_year = workbook.create_sheet("Viime vuosi", 0)
        for row in with_cells(Etunimet="Viimevuotinen"):
            last_year.append(row)
        last_year.sheet_state = state
        workbook.active = 1

    read = read_class_list(workbook_of(with_cells(Etunimet="Tämänvuotinen"), change))
    assert (one(read).form.first_names, notices(read)) == ("Tämänvuotinen", set())


def test_other_visible_sheets_are_told_and_other_lists_are_an_error() -> None:
    def change(workbook: Any, _sheet: Any) -> None:
        workbook.create_sheet("Ohje", 0).append(["Näin täytät luettelon"])
        workbook.create_sheet("Tyhjä")

    told = read_class_list(workbook_of(with_cells(), change))
    assert notices(told) == {(0, "", "SHEETS_NOT_READ", "Ohje")}
    assert one(told).errors == []

    def add_list(workbook: Any, _sheet: Any) -> None:
        other = workbook.create_sheet("3B")
        for row in with_cells():
            other.append(row)

    assert errors(read_class_list(workbook_of(with_cells(), add_list))) == {(1, "", "SEVERAL_LISTS")}


def test_a_row_that_is_struck_through_is_one_error() -> None:
    def change(_workbook: Any, sheet: Any) -> None:
        for cell in sheet[3]:
            cell.font = Font(strike=True)
        sheet["D4"].font = Font(strike=True)
        old_and_new = TextBlock(InlineFont(strike=True), "Vanhatie 1"), " Uusitie 2"
        sheet["D2"].value = CellRichText(*old_and_new)

    assert errors(read_class_list(workbook_of(rows_of(3), change))) == {
        (2, "form.address.street_address", "STRUCK_THROUGH"),
        (3, "", "STRUCK_THROUGH"),
        (4, "form.address.street_address", "STRUCK_THROUGH"),
    }


WHITE = Font(color="FFFFFFFF")


@pytest.mark.parametrize(
    "hide",
    [
        {"font": WHITE},
        {"font": Font(color=Color(theme=0))},
        {"font": Font(color=Color(indexed=9))},
        {"font": WHITE, "fill": PatternFill("solid", fgColor="FFFFFF")},
        {"number_format": ";;;"},
        {"number_format": "0;-0;0;"},
        {"number_format": '0;-0;0;""'},
    ],
)
def test_a_text_that_nobody_sees_is_an_error(hide: dict[str, Any]) -> None:
    def change(_workbook: Any, sheet: Any) -> None:
        for cell in (*sheet[3], sheet["D4"]):
            for name, value in hide.items():
                setattr(cell, name, value)

    assert errors(read_class_list(workbook_of(rows_of(3), change))) == {
        (3, "", "INVISIBLE_TEXT"),
        (4, "form.address.street_address", "INVISIBLE_TEXT"),
    }


@pytest.mark.parametrize(
    "shown",
    [
        {"font": WHITE, "fill": PatternFill("solid", fgColor="FF1F4E78")},
        {"font": Font(color=Color(theme=1))},
        {"font": Font(color="FFFFEEDD")},
        {"number_format": "0;-0;0;@"},
        {"number_format": "0;-0"},
        {"number_format": "@"},
    ],
)
def test_a_text_in_colours_is_seen(shown: dict[str, Any]) -> None:
    def change(_workbook: Any, sheet: Any) -> None:
        for cell in sheet[3]:
            for name, value in shown.items():
                setattr(cell, name, value)

    assert errors(read_class_list(workbook_of(rows_of(3), change))) == set()


def struck_by(rule: Any, area: str = "A2:M9", **cells: Any) -> set[tuple[int, str, str]]:
    """The errors of a list of three rows, of which the second is marked in column L, under a rule."""

    def change(_workbook: Any, sheet: Any) -> None:
        sheet["L1"] = "Lisätietoja"
        sheet["L3"] = "poistettu"
        sheet.conditional_formatting.add(area, rule)

    return errors(read_class_list(workbook_of(rows_of(3, **cells), change)))


STRIKES = {"font": Font(strike=True)}


@pytest.mark.parametrize(
    "rule",
    [
        FormulaRule(['$L2="Poistettu"'], **STRIKES),
        FormulaRule(['$L2<>""'], **STRIKES),
        FormulaRule(["NOT(ISBLANK($L2))"], **STRIKES),
        FormulaRule(["LEN(TRIM($L2))>0"], **STRIKES),
        FormulaRule(['ISNUMBER(SEARCH("poist", $L2))'], **STRIKES),
    ],
)
def test_a_row_that_conditional_formatting_strikes_through_is_one_error(rule: Any) -> None:
    assert struck_by(rule) == {(3, "", "STRUCK_THROUGH")}


def test_a_cell_that_conditional_formatting_strikes_through_is_an_error() -> None:
    field = "form.additional_information"
    equal = CellIsRule("equal", ['"poistettu"'], **STRIKES)
    assert struck_by(equal) == {(3, field, "STRUCK_THROUGH")}
    containing = Rule("containsText", operator="containsText", text="poist", dxf=DifferentialStyle(**STRIKES))
    assert struck_by(containing, "L2:L9") == {(3, field, "STRUCK_THROUGH")}


def test_what_conditional_formatting_may_strike_through_is_asked_about() -> None:
    """Case 3 in kind: nothing passes in silence whose rule we do not understand."""
    unknown = FormulaRule(["COUNTIF($L$2:$L$9,$L2)>AVERAGE($A$1)"], **STRIKES)
    assert struck_by(unknown) == {(row, "", "PERHAPS_STRUCK_THROUGH") for row in (2, 3, 4)}
    assert struck_by(unknown, "A4:M4") == {(4, "", "PERHAPS_STRUCK_THROUGH")}


def test_other_conditional_formatting_does_not_matter() -> None:
    assert struck_by(FormulaRule(['$L2="poistettu"'], font=Font(bold=True))) == set()
    assert struck_by(FormulaRule(['$L2="muuttanut"'], **STRIKES)) == set()


def test_rules_of_a_newer_excel_are_asked_about() -> None:
    rule = (
        '<extLst><ext uri="{78C0D931-6437-407d-A8EE-F0AAD7539E65}"><x14:conditionalFormattings'
        ' xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"'
        ' xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main"><x14:conditionalFormatting>'
        '<x14:cfRule type="expression" priority="1"><xm:f>Muut!$A2="x"</xm:f>'
        "<x14:dxf><font><strike/></font></x14:dxf></x14:cfRule><xm:sqref>A3:K3</xm:sqref>"
        "</x14:conditionalFormatting></x14:conditionalFormattings></ext></extLst></worksheet>"
    )
    content = with_parts(xlsx_of(rows_of(2)), lambda _, part: part.replace("</worksheet>", rule))
    assert errors(read_class_list(content)) == {(3, "", "PERHAPS_STRUCK_THROUGH")}


def with_defaults(content: bytes, defaults: str) -> ReadList:
    """A workbook whose sheet has other defaults of rows and columns."""

    def change(_name: str, part: str) -> str:
        return re.sub(r"<sheetFormatPr[^>]*/>", f"<sheetFormatPr {defaults}/>", part)

    return read_class_list(with_parts(content, change))


def test_a_sheet_that_hides_rows_by_default_is_told_once() -> None:
    """Case 3 in kind: Excel shows the rows that a file names, other programs may not."""
    read = with_defaults(xlsx_of(rows_of(3)), 'defaultRowHeight="15" zeroHeight="1"')
    assert errors(read) == set()
    (told,) = read.notices
    assert (reason_name(told.reason), told.row, told.where) == ("ROWS_HIDDEN_BY_DEFAULT", 1, "1–4 (4)")


def test_defaults_that_nobody_sees_hide_rows_and_columns() -> None:
    flat = with_defaults(xlsx_of(rows_of(2)), 'defaultRowHeight="0.5" customHeight="1"')
    assert errors(flat) == {(1, "", "HEADINGS_NOT_FOUND"), (1, "", "HIDDEN_ROWS")}
    narrow = with_defaults(xlsx_of(rows_of(2)), 'defaultRowHeight="15" defaultColWidth="0"')
    assert {reason for _, _, reason in errors(narrow)} == {"HIDDEN_COLUMN"}


def test_merged_cells_are_errors_where_their_text_is_missing() -> None:
    def change(_workbook: Any, sheet: Any) -> None:
        sheet.merge_cells("L2:L3")

    read = read_class_list(workbook_of(rows_of(3, Huoltajan_sähköposti="outi@posti.example"), change))
    assert errors(read) == {(3, "form.related_person.email", "MERGED_CELLS")}


@pytest.mark.parametrize(("height", "width"), [(0.75, None), (None, 0.5)])
def test_what_is_too_small_to_be_seen_is_hidden(height: float | None, width: float | None) -> None:
    def shrink(_workbook: Any, sheet: Any) -> None:
        if height:
            sheet.row_dimensions[2].height = height
        if width:
            sheet.column_dimensions["C"].width = width

    headings, row = with_cells()
    read = read_class_list(workbook_of([headings, row, row], shrink))
    told = [reason_name(error.reason) for each in read.rows for error in each.errors]
    told += [reason_name(error.reason) for error in read.heading_errors]
    assert told == ["HIDDEN_ROWS" if height else "HIDDEN_COLUMN"]
