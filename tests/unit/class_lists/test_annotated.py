"""A class list given back with the remarks of its check, and sent again."""

import io
from typing import Any

import openpyxl
from openpyxl.comments import Comment
from openpyxl.styles import Font

from liity.v1.class_list_service_pb2 import CLASS_LIST_FORMAT_XLSX, ClassListError, ClassListReport
from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI
from services.gateway.class_lists import reports
from services.gateway.class_lists.annotated import Annotated, annotated
from services.gateway.class_lists.checked import Checked
from services.gateway.class_lists.columns import CODE, heading_of
from services.gateway.class_lists.rows import read_class_list
from tests.unit.class_lists.lists import SIMPLE, csv_of, with_cells, workbook_of, xlsx_of


def given_back(content: bytes, language: Any = LANGUAGE_FI) -> Annotated:
    """The file with the remarks that stand in its own cells."""
    read = read_class_list(content)
    checked = Checked(wrong={row.number: row.errors for row in read.rows if row.errors})
    return annotated(content, read, reports.report_of(read, checked, language), language)


def sheet_of(content: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]


def remarks_of(sheet: Any, heading: str = "Liityn huomautukset", row: int = 1) -> dict[int, str]:
    (column,) = (cell.column for cell in sheet[row] if cell.value == heading)
    cells = ((number, sheet.cell(number, column).value) for number in range(row + 1, sheet.max_row + 1))
    return {number: text for number, text in cells if text}


def test_a_workbook_has_the_remarks_in_its_last_column_and_at_the_cells() -> None:
    headings, wrong = with_cells(Kieli="viro", Postinumero="100")
    given = given_back(xlsx_of([headings, wrong, list(SIMPLE.values())]))
    sheet = sheet_of(given.content)
    assert given.file_name == "liity-luettelo-huomautuksin.xlsx"
    told = remarks_of(sheet)
    assert list(told) == [2]
    assert "Kieli: " in told[2]
    assert "Postinumero: " in told[2]
    language = sheet.cell(2, headings.index("Kieli") + 1)
    assert language.comment.text in told[2]
    assert language.fill.fgColor.rgb == "FFFFE0B2"
    assert sheet.cell(3, headings.index("Kieli") + 1).comment is None
    assert [cell.value for cell in sheet[3]][: len(headings)] == list(SIMPLE.values())


def test_what_a_person_has_made_of_a_workbook_stays() -> None:
    def change(_workbook: Any, sheet: Any) -> None:
        for cell in sheet[2]:
            cell.font = Font(strike=True)
        sheet.row_dimensions[3].hidden = True
        sheet["B4"] = '=CONCATENATE("Aino"," Maria")'
        sheet["C4"].comment = Comment("Kysy isältä", "Opettaja")
        sheet["C4"] = "Virtanen 2 B"

    headings, row = with_cells()
    content = given_back(workbook_of([headings, row, row, row], change)).content
    sheet = sheet_of(content)
    assert sheet["A2"].font.strike
    assert sheet.row_dimensions[3].hidden
    assert sheet["B4"].value == '=CONCATENATE("Aino"," Maria")'
    assert sheet["C4"].comment.text == "Kysy isältä"
    # Read again, each trap is told as before.
    again = read_class_list(content)
    assert again.heading_errors == []
    assert [row.number for row in again.rows if row.errors] == [2, 3, 4]


def test_a_corrected_file_is_right_and_its_old_remarks_are_gone() -> None:
    headings, wrong = with_cells(Kieli="viro")
    workbook = openpyxl.load_workbook(io.BytesIO(given_back(xlsx_of([headings, wrong])).content))
    workbook.worksheets[0].cell(2, headings.index("Kieli") + 1).value = "suomi"
    workbook.worksheets[0].cell(2, headings.index("Hakija") + 1).value = "naapuri"
    file = io.BytesIO()
    workbook.save(file)
    sheet = sheet_of(given_back(file.getvalue(), LANGUAGE_EN).content)
    (told,) = remarks_of(sheet, "Remarks of Liity").values()
    assert told.startswith("Hakija: ")
    assert sheet.cell(2, headings.index("Kieli") + 1).comment is None
    assert sheet.cell(2, headings.index("Kieli") + 1).fill.fill_type is None
    assert [cell.value for cell in sheet[1]] == [*headings, "Remarks of Liity"]


def test_a_workbook_with_all_in_one_column_is_marked_there_and_read_again() -> None:
    content = xlsx_of([[",".join(row)] for row in with_cells(Kieli="viro")])
    for given in (given_back(content).content, given_back(given_back(content).content).content):
        sheet = sheet_of(given)
        assert "Kieli: " in remarks_of(sheet)[2]
        assert sheet["A2"].comment is not None
        assert [error.field for row in read_class_list(given).rows for error in row.errors] == [
            "form.language"
        ]


def test_a_text_file_keeps_its_rows_and_is_read_again() -> None:
    headings, wrong = with_cells(Kieli="viro", Puhelin="+358 40 1234567")
    given = given_back(csv_of([["Luokka 4 B"], [], headings, list(SIMPLE.values()), [], wrong]))
    assert given.file_name == "liity-luettelo-huomautuksin.csv"
    lines = given.content.decode("utf-8-sig").split("\r\n")
    assert lines[2].endswith(";Liityn huomautukset")
    assert (lines[1], lines[4]) == ("", "")
    assert "Kieli: " in lines[5]
    again = read_class_list(given.content)
    assert [(row.number, [error.field for error in row.errors]) for row in again.rows] == [
        (4, []),
        (6, ["form.language"]),
    ]
    assert again.rows[1].form.phone == "+358 40 1234567"
    assert given_back(given.content).content.count(b"Liityn huomautukset") == 1


def test_letters_that_are_none_come_back_as_they_were() -> None:
    content = csv_of(with_cells(Kieli="viro")).replace("Käpykuja".encode(), b"K\xe4pykuja")
    assert b"K\xe4pykuja" in given_back(content).content


def test_no_remark_becomes_a_formula() -> None:
    content = xlsx_of(with_cells())
    report = ClassListReport(errors=[ClassListError(row=2, column="=1+1", field=CODE, message="is wrong")])
    given = annotated(content, read_class_list(content), report, LANGUAGE_EN)
    remark = sheet_of(given.content)[2][-1]
    assert (remark.value, remark.data_type) == ("=1+1: is wrong", "s")


def test_a_list_without_a_remark_about_a_row_is_not_given_back() -> None:
    assert given_back(xlsx_of(with_cells())).content == b""
    assert given_back(csv_of(with_cells(Lempiväri="sininen"))).content == b""
    torn = csv_of(with_cells(Kieli="viro")) + b'\n"a"b;c\n'
    assert given_back(torn).content == b""


def test_a_cell_in_the_last_row_costs_no_more_than_another() -> None:
    def change(_workbook: Any, sheet: Any) -> None:
        # Nothing stands there: somebody has only coloured it.
        sheet.cell(1_000_000, 90).font = Font(bold=True)

    content = given_back(workbook_of(with_cells(Kieli="viro"), change)).content
    assert len(sheet_of(content)._cells) < 1000


def test_merged_cells_are_marked_where_they_can_be() -> None:
    def merge(_workbook: Any, sheet: Any) -> None:
        sheet.insert_rows(1)
        sheet["A1"] = "Luokka 7B"
        sheet.merge_cells("A1:Z1")
        sheet.merge_cells("B3:C3")

    headings, row = with_cells(Kieli="viro")
    given = given_back(workbook_of([headings, row], merge))
    sheet = sheet_of(given.content)
    assert sheet["A1"].value == "Luokka 7B"
    assert sheet["B3"].fill.fgColor.rgb == "FFFFE0B2"
    assert "Kieli: " in remarks_of(sheet, row=2)[3]


def test_wrong_headings_are_marked_in_a_workbook_beside_wrong_rows() -> None:
    headings, row = with_cells(Luokka="7B")
    given = given_back(xlsx_of([headings, row]))
    sheet = sheet_of(given.content)
    marked = [cell for cell in sheet[1] if cell.comment is not None]
    assert [cell.value for cell in marked] == ["Luokka"]
    assert sheet.max_column == len(headings)
    assert given_back(csv_of([headings, row])) == Annotated()
    wrong = ["viro" if heading == "Kieli" else cell for heading, cell in zip(headings, row, strict=True)]
    given = given_back(xlsx_of([headings, wrong]))
    assert "Kieli: " in remarks_of(sheet_of(given.content))[2]
    assert given_back(given.content).content


def test_a_remark_about_hidden_rows_stands_where_it_is_seen() -> None:
    def hide(_workbook: Any, sheet: Any) -> None:
        sheet.row_dimensions[2].hidden = True

    headings, row = with_cells()
    sheet = sheet_of(given_back(workbook_of([headings, row, row], hide)).content)
    assert list(remarks_of(sheet)) == [3]


def test_a_notice_looks_unlike_an_error_and_a_wrong_row_is_marked_as_a_whole() -> None:
    headings, row = with_cells(Postinumero="180", Kieli="viro")
    total = ["", "Yhteensä", "1", *[""] * (len(headings) - 3)]
    sheet = sheet_of(given_back(xlsx_of([headings, row, total])).content)
    colours = {sheet.cell(1, cell.column).value: cell.fill.fgColor.rgb for cell in sheet[2] if cell.comment}
    assert colours == {"Postinumero": "FFE1F0FF", "Kieli": "FFFFE0B2"}
    assert sheet.cell(3, len(headings) + 1).fill.fgColor.rgb == "FFFFE0B2"


def test_the_template_offers_the_words_of_its_choices() -> None:
    template = reports.template(CLASS_LIST_FORMAT_XLSX, LANGUAGE_FI, school=True)
    sheet = sheet_of(template.content)
    assert sheet.freeze_panes == "A2"
    offered = {
        sheet.cell(1, next(iter(chosen.sqref.ranges)).min_col).value: chosen.formula1
        for chosen in sheet.data_validations.dataValidation
    }
    assert offered[heading_of("form.language", LANGUAGE_FI)] == '"suomi,ruotsi,englanti"'
    assert {heading_of(field, LANGUAGE_FI) for field in ("form.kind", "form.applicant")} <= offered.keys()
    # Excel takes no longer list.
    assert max(map(len, offered.values())) <= 257
    assert {column.number_format for column in sheet.column_dimensions.values()} == {"@"}
