"""Files of class lists: as Excel and others write them, in three languages; and files that are none."""

import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest

from liity.registration.v1.class_list_service_pb2 import RowOutcome, WrongField
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CLASS_LIST_FORMAT_XLSX,
    CLASS_LIST_OUTCOME_REFUSED,
    CLASS_LIST_OUTCOME_REGISTERED,
)
from liity.v1.customer_form_pb2 import (
    APPLICANT_GUARDIAN,
    CUSTOMER_KIND_CD_BORROWER,
    CUSTOMER_KIND_ONLINE,
    LANGUAGE_EN,
    LANGUAGE_FI,
    LANGUAGE_SV,
    SCHOOL_SUPPORT_PUPIL_SPECIFIC,
    CustomerForm,
    Language,
)
from liity.v1.reason_pb2 import (
    REASON_CELL_WITHOUT_HEADING,
    REASON_CLASS_LIST_EMPTY,
    REASON_CLASS_LIST_OLD_LETTERS,
    REASON_CLASS_LIST_TOO_LARGE,
    REASON_CLASS_LIST_UNREADABLE,
    REASON_COLUMN_TWICE,
    REASON_DATE_WITH_TIME,
    REASON_EXAMPLE_ROW,
    REASON_INVALID_DATE,
    REASON_INVALID_EMAIL,
    REASON_INVALID_POSTCODE,
    REASON_MISSING_COLUMN,
    REASON_REQUIRED,
    REASON_REWRITTEN_BY_SPREADSHEET,
    REASON_STRAY_QUOTE,
    REASON_TOO_LONG,
    REASON_TOO_MANY_ROWS,
    REASON_UNCLEAR_DATE,
    REASON_UNKNOWN_COLUMN,
    REASON_UNKNOWN_VALUE,
)
from services.gateway.class_lists import reports
from services.gateway.class_lists.checked import Checked
from services.gateway.class_lists.columns import (
    BIRTH_DATE,
    CODE,
    WHY_NO_CODE,
    columns,
    descriptor_of,
    field_of,
    heading_of,
)
from services.gateway.class_lists.files import csv_file, read_table, template_file
from services.gateway.class_lists.rows import read_class_list
from services.runtime.rpc.errors import FieldViolation, Refusal
from tests.unit.class_lists.lists import csv_of, one, read_csv, with_cells, xlsx_of

LANGUAGES = (LANGUAGE_FI, LANGUAGE_SV, LANGUAGE_EN)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", [CLASS_LIST_FORMAT_CSV, CLASS_LIST_FORMAT_XLSX])
@pytest.mark.parametrize("school", [True, False])
def test_the_template_can_be_read_as_a_list(language: Language.ValueType, form: Any, school: bool) -> None:
    template = reports.template(form, language, school=school)
    assert template.file_name.endswith(".csv" if form == CLASS_LIST_FORMAT_CSV else ".xlsx")
    headings, example = read_table(template.content).rows
    assert one(read_class_list(template.content)).errors == [FieldViolation(CODE, REASON_EXAMPLE_ROW)]
    somebody = [cell.replace("Malli", "Mallinen").replace("malli@", "oma@") for cell in example.cells]
    read = read_csv([headings.cells, somebody])
    row = one(read)
    assert row.errors == []
    assert list(read.headings) == list(columns(school=school))
    assert row.number == 2
    assert row.code == ("010516B903X" if school else "010594Y9032")
    expected = CustomerForm(
        first_names=row.form.first_names,
        language=LANGUAGE_FI,
        kind=CUSTOMER_KIND_ONLINE,
        entitlement_declared=True,
        terms_accepted=True,
    )
    if school:
        expected.applicant = APPLICANT_GUARDIAN
        expected.school_support = SCHOOL_SUPPORT_PUPIL_SPECIFIC
    for field, value in expected.ListFields():
        assert getattr(row.form, field.name) == value


def test_every_field_of_the_form_has_a_column_with_a_heading_of_its_own() -> None:
    fields = {field for field in columns(school=True) if field not in {CODE, BIRTH_DATE, WHY_NO_CODE}}
    assert fields == _paths(CustomerForm.DESCRIPTOR, "form.")
    for field in fields:
        assert descriptor_of(field).name == field.rpartition(".")[2]
    for language in LANGUAGES:
        headings = {heading_of(field, language): field for field in columns(school=True)}
        assert {heading: field_of(heading) for heading in headings} == headings


def _paths(message: Any, prefix: str) -> set[str]:
    found: set[str] = set()
    for field in message.fields:
        path = prefix + field.name
        inner = field.message_type
        nested = inner is not None and inner.full_name != "google.type.Date"
        found |= _paths(inner, f"{path}.") if nested else {path}
    return found


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_separators_and_encodings(delimiter: str, encoding: str) -> None:
    row = one(read_csv(with_cells(), delimiter=delimiter, encoding=encoding))
    assert (row.form.first_names, row.form.last_name, row.errors) == ("Åke Väinö", "Öhman", [])


def test_headings_in_any_order_case_and_language() -> None:
    heading, cells = with_cells()
    heading = [h.upper() + " *" for h in heading]
    heading[1:3] = ["FIRST NAMES", "Efternamn:"]
    row = one(read_csv([heading[::-1], cells[::-1]]))
    assert (row.form.first_names, row.form.last_name, row.errors) == ("Åke Väinö", "Öhman", [])


@pytest.mark.parametrize(
    ("heading", "named"),
    [
        ("Henkilotunnus", "Henkilötunnus"),
        ("Hlötunnus", "Henkilötunnus"),
        ("Sotu", "Henkilötunnus"),
        ("Släktnamn", "Sukunimi"),
        ("Family name", "Sukunimi"),
        ("Lahiosoite", "Lähiosoite"),
        ("Post.nro", "Postinumero"),
        ("Postnr", "Postinumero"),
        ("Postitmp.", "Postitoimipaikka"),
        ("Kayttoehdot hyvaksytty", "Käyttöehdot hyväksytty"),
    ],
)
def test_other_words_for_a_heading(heading: str, named: str) -> None:
    headings, cells = with_cells()
    row = one(read_csv([[heading if each == named else each for each in headings], cells]))
    assert (row.code, row.form.last_name, row.errors) == ("010594Y9032", "Öhman", [])


@pytest.mark.parametrize("number", ["1", "2"])
def test_guardians_are_told_apart_by_numbers(number: str) -> None:
    (row,) = read_csv(with_cells(**{f"Huoltaja_{number}": "Outi Malli"})).rows
    names = [row.form.related_person.full_name, row.form.other_guardian.full_name]
    assert names.index("Outi Malli") == int(number) - 1


def test_quotes_line_breaks_and_blank_rows_keep_the_numbers() -> None:
    heading, cells = with_cells(Lisätietoja='"rivi\nja ""toinen; rivi"""')
    read = read_csv([heading, cells, ["", ""], [], cells])
    assert [row.number for row in read.rows] == [2, 5]
    assert read.rows[0].form.additional_information == 'rivi\nja "toinen; rivi"'


@pytest.mark.parametrize("torn", ['"Masa" Matti', '"Masa;', '"Masa"Matti;"x'])
def test_a_stray_quotation_mark_spoils_its_row_alone(torn: str) -> None:
    heading, cells = with_cells()
    read = read_csv([heading, cells, [torn, *cells[1:]], cells])
    assert [row.number for row in read.rows[:2]] == [2, 3]
    assert [row.errors for row in read.rows[:2]] == [[], [FieldViolation("", REASON_STRAY_QUOTE)]]
    assert [row.torn for row in read.rows[:2]] == [False, True]
    if ";" not in torn:
        assert (read.rows[2].number, read.rows[2].errors) == (4, [])


def test_a_quotation_mark_within_a_cell_is_part_of_it() -> None:
    row = one(read_csv(with_cells(Etunimet='Matti "Masa"')))
    assert (row.form.first_names, row.errors) == ('Matti "Masa"', [])


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_excel_may_be_told_the_separator(delimiter: str, encoding: str) -> None:
    content = f"sep={delimiter}\r\n".encode(encoding) + csv_of(with_cells(), delimiter).decode().encode(
        "utf-16-le" if encoding == "utf-16" else encoding.removesuffix("-sig")
    )
    read = read_class_list(content)
    assert (one(read).errors, read.heading_row, one(read).number) == ([], 1, 2)


def test_empty_columns_are_left_out() -> None:
    heading, cells = with_cells()
    row = one(read_csv([["", *heading[:3], "", *heading[3:], "", ""], ["", *cells[:3], " ", *cells[3:]]]))
    assert (row.errors, row.form.address.post_office) == ([], "Helsinki")


def test_a_column_that_holds_something_but_has_no_heading_is_named_by_its_letter() -> None:
    heading, cells = with_cells()
    rows = [[*heading[:3], "", *heading[3:]], [*cells[:3], "", *cells[3:]], [*cells[:3], "3B", *cells[3:]]]
    read = read_csv(rows)
    assert [(error.heading, error.field, error.reason) for error in read.heading_errors] == [
        ("D", "", REASON_UNKNOWN_COLUMN)
    ]


def test_the_first_sheet_that_holds_anything_counts() -> None:
    workbook = openpyxl.Workbook()
    workbook.worksheets[0].append([None, " "])
    pupils = workbook.create_sheet("Oppilaat")
    for row in with_cells(Etunimet="Ensimmäinen"):
        pupils.append(row)
    workbook.create_sheet("Ohje").append(["Näin täytät luettelon"])
    file = io.BytesIO()
    workbook.save(file)
    assert one(read_class_list(file.getvalue())).form.first_names == "Ensimmäinen"


def test_a_workbook_with_cells_of_every_kind() -> None:
    row = one(
        read_class_list(
            xlsx_of(
                with_cells(
                    Postinumero=100,
                    Puhelin=401234567.0,
                    Tilapäinen=True,
                    Markkinointi_sallittu=False,
                    Arvioitu_päättymispäivä=datetime(2031, 12, 31),  # noqa: DTZ001 - as a workbook has it
                    Suostumuksen_päiväys=date(2026, 1, 2),
                    Sähköposti=None,
                )
            )
        )
    )
    assert row.errors == []
    assert row.form.address.postcode == "00100"
    assert row.form.phone == "0401234567"
    assert row.form.temporary
    assert (row.form.expected_end_date.year, row.form.expected_end_date.day) == (2031, 31)
    assert row.form.paper_consent.sign_date.month == 1
    assert not row.form.email


@pytest.mark.parametrize(
    ("heading", "cell", "field", "value"),
    [
        ("Arvioitu päättymispäivä", "31.12.2031", "expected_end_date", (2031, 12, 31)),
        ("Arvioitu päättymispäivä", "1.2.2031", "expected_end_date", (2031, 2, 1)),
        ("Arvioitu päättymispäivä", "2031-12-31", "expected_end_date", (2031, 12, 31)),
        ("Arvioitu päättymispäivä", "31.12.2031 0:00", "expected_end_date", (2031, 12, 31)),
        ("Arvioitu päättymispäivä", "31.12.2031 klo 0.00", "expected_end_date", (2031, 12, 31)),
        ("Arvioitu päättymispäivä", "2031-12-31 00:00:00", "expected_end_date", (2031, 12, 31)),
        ("Arvioitu päättymispäivä", "2031-12-31T00:00:00", "expected_end_date", (2031, 12, 31)),
        ("Arvioitu päättymispäivä", "31/12/2031", "expected_end_date", (2031, 12, 31)),
        ("Arvioitu päättymispäivä", "5/5/2031", "expected_end_date", (2031, 5, 5)),
        *(
            ("Arvioitu päättymispäivä", day, "expected_end_date", (2031, 12, 31))
            for day in (
                *("31.12.2031.", "31 . 12 . 2031", "31-12-2031", "2031/12/31", "2031.12.31", "20311231"),
                *("31. joulukuuta 2031", "31. joulukuu 2031", "den 31 december 2031", "31 Dec 2031"),
                *("December 31, 2031", "ke 31.12.2031", "onsdag 31 december 2031", "31 dec. 2031"),
            )
        ),
        ("Arvioitu päättymispäivä", "2031-3-1", "expected_end_date", (2031, 3, 1)),
        ("Arvioitu päättymispäivä", "1 Mar 2031", "expected_end_date", (2031, 3, 1)),
        ("Tilapäinen", "TOSI", "temporary", True),
        ("Tilapäinen", "SANT", "temporary", True),
        ("Tilapäinen", "TRUE", "temporary", True),
        ("Tilapäinen", "EPÄTOSI", "temporary", False),
        ("Tilapäinen", "FALSKT", "temporary", False),
        ("Tilapäinen", "FALSE", "temporary", False),
        ("Kieli", "RUOTSI", "language", LANGUAGE_SV),
        ("Kieli", "english", "language", LANGUAGE_EN),
        ("Kieli", "swe", "language", LANGUAGE_SV),
        ("Kieli", "sv-FI", "language", LANGUAGE_SV),
        ("Tilapäinen", "kylla", "temporary", True),
        ("Asiakastyyppi", "cd-låntagare", "kind", CUSTOMER_KIND_CD_BORROWER),
        ("Asiakastyyppi", "CD lainaaja", "kind", CUSTOMER_KIND_CD_BORROWER),
        ("Tilapäinen", "Ja", "temporary", True),
        ("Tilapäinen", "no", "temporary", False),
        ("Tilapäinen", "0", "temporary", False),
        ("Postinumero", "990", "address.postcode", "00990"),
    ],
)
def test_what_cells_say(heading: str, cell: str, field: str, value: object) -> None:
    row = one(read_csv(with_cells(**{heading.replace(" ", "_"): cell})))
    found: Any = row.form
    for name in field.split("."):
        found = getattr(found, name)
    assert row.errors == []
    assert value == ((found.year, found.month, found.day) if isinstance(value, tuple) else found)


def test_a_postcode_abroad_stays_as_it_is() -> None:
    row = one(read_csv(with_cells(Postinumero="990", Maatunnus="EE")))
    assert row.form.address.postcode == "990"


@pytest.mark.parametrize(
    ("cells", "error"),
    [
        ({"Tilapäinen": "ehkä"}, FieldViolation("form.temporary", REASON_UNKNOWN_VALUE)),
        ({"Kieli": "viro"}, FieldViolation("form.language", REASON_UNKNOWN_VALUE)),
        (
            {"Arvioitu päättymispäivä": "31.2.2031"},
            FieldViolation("form.expected_end_date", REASON_INVALID_DATE),
        ),
        *(
            ({"Arvioitu päättymispäivä": day}, FieldViolation("form.expected_end_date", REASON_UNCLEAR_DATE))
            for day in ("31.12.31", "31/12/31", "3/4/2031", "12/31/2031", "1.2.31 0:00", "3-4-2031")
        ),
        *(
            ({"Arvioitu päättymispäivä": day}, FieldViolation("form.expected_end_date", REASON_INVALID_DATE))
            for day in ("31/2/2031", "2031-W01-1", "2031-365", "toistaiseksi", "31.12.", "31. foo 2031")
        ),
        *(
            (
                {"Arvioitu päättymispäivä": number},
                FieldViolation("form.expected_end_date", REASON_REWRITTEN_BY_SPREADSHEET),
            )
            for number in ("48213", "48213.0", '"48213,5"')
        ),
        *(
            (
                {"Arvioitu päättymispäivä": day},
                FieldViolation("form.expected_end_date", REASON_DATE_WITH_TIME),
            )
            for day in ("31.12.2031 8:00", "2031-12-31T22:00:00Z", "31.12.2031 klo 22.00")
        ),
        (
            {"Suostumuksen päiväys": "eilen"},
            FieldViolation("form.paper_consent.sign_date", REASON_INVALID_DATE),
        ),
        ({"Henkilötunnus": ""}, FieldViolation(CODE, REASON_REQUIRED)),
        ({"Henkilötunnus": "0" * 41}, FieldViolation(CODE, REASON_TOO_LONG)),
    ],
)
def test_cells_that_say_nothing(cells: dict[str, str], error: FieldViolation) -> None:
    assert one(read_csv(with_cells(**cells))).errors == [error]


def test_a_cell_beside_the_last_heading() -> None:
    heading, cells = with_cells()
    assert one(read_csv([heading, [*cells, "", "siirtynyt"]])).errors == [
        FieldViolation("", REASON_CELL_WITHOUT_HEADING)
    ]


@pytest.mark.parametrize(
    ("heading", "meant"),
    [
        ("Etunimmet", "Etunimet"),
        ("Huoltajan sähköpsti", "Huoltajan sähköposti"),
        ("Kattuosoite", "Katuosoite"),
        ("Luokka", ""),
        ("Opettaja", ""),
    ],
)
def test_of_an_unknown_heading_the_nearest_one_is_asked_about(heading: str, meant: str) -> None:
    given, cells = with_cells()
    dropped = {"Etunimmet": "Etunimet", "Kattuosoite": "Lähiosoite"}.get(heading)
    if dropped:
        cells.pop(given.index(dropped))
        given.remove(dropped)
    report = reports.report_of(read_csv([[*given, heading], [*cells, "x"]]), Checked(), LANGUAGE_FI)
    told = next(error.message for error in report.errors if error.reason == REASON_UNKNOWN_COLUMN)
    assert told.rpartition("Tarkoititko: ")[2] == meant if meant else "Tarkoititko" not in told


def test_wrong_headings_are_told_all_at_once() -> None:
    heading, cells = with_cells(Luokka="3B", Nimi="x")
    heading = ["Sukunimi" if h == "Etunimet" else h for h in heading]
    read = read_csv([heading, cells])
    assert [(error.heading, error.field, error.reason) for error in read.heading_errors] == [
        ("Sukunimi", "form.last_name", REASON_COLUMN_TWICE),
        ("Luokka", "", REASON_UNKNOWN_COLUMN),
        ("Nimi", "", REASON_UNKNOWN_COLUMN),
        ("", "form.first_names", REASON_MISSING_COLUMN),
    ]
    report = reports.report_of(read, Checked(), LANGUAGE_SV)
    assert [error.column for error in report.errors] == ["Sukunimi", "Luokka", "Nimi", "Förnamn"]
    assert all(error.row == 1 and error.message for error in report.errors)
    assert not report.HasField("standings")


def test_a_wrong_heading_hides_no_fault_of_a_row() -> None:
    """What can be checked beside it is told at once; what the missing column would hold is no error."""
    heading, cells = with_cells(Kieli="viro", Sähköposti="#PUUTTUU!")
    heading = ["Sukunimmi" if h == "Sukunimi" else h for h in heading]
    read = read_csv([heading, cells])
    assert [error.reason for error in read.heading_errors] == [REASON_UNKNOWN_COLUMN, REASON_MISSING_COLUMN]
    (row,) = read.rows
    assert {error.field for error in row.errors} == {"form.language", "form.email"}
    report = reports.report_of(read, Checked(wrong={2: row.errors}), LANGUAGE_FI)
    assert [error.row for error in report.errors] == [1, 1, 2, 2]
    without_code = read_csv([heading[1:], cells[1:]]).rows
    assert {error.field for error in without_code[0].errors} == {"form.language", "form.email"}


def test_errors_that_come_of_a_wrong_heading_are_not_told_at_rows() -> None:
    heading, cells = with_cells(Kieli="viro")
    heading = ["Sukunimmi" if h == "Sukunimi" else h for h in heading]
    found = [
        FieldViolation("form.last_name", REASON_REQUIRED),
        FieldViolation("form.email", REASON_REQUIRED),
        FieldViolation("form.address.postcode", REASON_INVALID_POSTCODE),
        FieldViolation("form.first_names", REASON_REQUIRED),
        FieldViolation("form.address.street_address", REASON_REQUIRED),
    ]
    assert read_csv([heading, cells]).told(found) == [found[2], found[4]]
    assert read_csv(with_cells()).told(found) == found


def _bomb() -> bytes:
    """A workbook whose sheet unpacks to far more than it takes."""
    source, file = io.BytesIO(xlsx_of(with_cells())), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, old.read(part))
        new.writestr("xl/media/zeros.bin", bytes(64 * 1024 * 1024))
    return file.getvalue()


def _wide() -> bytes:
    """A workbook with a row of so many cells that they would not fit into memory."""
    source, file = io.BytesIO(xlsx_of(with_cells())), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            row = b"<row>" + b"<c/>" * 3_000_000 + b"</row></sheetData>"
            new.writestr(part, old.read(part).replace(b"</sheetData>", row))
    return file.getvalue()


def _entities() -> bytes:
    """A workbook whose sheet declares entities that grow without bound."""
    laughs = (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">'
        '<c r="A1" t="inlineStr"><is><t>&b;</t></is></c></row></sheetData></worksheet>'
    )
    source, file = io.BytesIO(xlsx_of(with_cells())), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(file, "w") as new:
        for part in old.namelist():
            new.writestr(part, laughs if part.startswith("xl/worksheets/") else old.read(part))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: b"\x81\x8d\x8f", REASON_CLASS_LIST_OLD_LETTERS),
        (lambda: b'"never closed\n' + b"x", REASON_CLASS_LIST_UNREADABLE),
        (lambda: b"\xff\xfe\x00", REASON_CLASS_LIST_UNREADABLE),
        (lambda: b" " * (512 * 1024 + 1), REASON_CLASS_LIST_TOO_LARGE),
        (lambda: b"", REASON_CLASS_LIST_EMPTY),
        (lambda: csv_of(with_cells()[:1]), REASON_CLASS_LIST_EMPTY),
        (lambda: csv_of(with_cells()[:1] + [["x"]] * 1001), REASON_TOO_MANY_ROWS),
        (lambda: b"\n" * 10_001, REASON_TOO_MANY_ROWS),
        (lambda: xlsx_of(with_cells())[:-100], REASON_CLASS_LIST_UNREADABLE),
        (_bomb, REASON_CLASS_LIST_UNREADABLE),
        (_wide, REASON_CLASS_LIST_UNREADABLE),
        (_entities, REASON_CLASS_LIST_UNREADABLE),
        (lambda: xlsx_of(with_cells()[:1]), REASON_CLASS_LIST_EMPTY),
        (lambda: xlsx_of(with_cells()[:1] + [["x"]] * 1001), REASON_TOO_MANY_ROWS),
        (lambda: xlsx_of([["x" * 30_000] * 20]), REASON_CLASS_LIST_TOO_LARGE),
    ],
)
def test_files_that_are_no_list(content: Callable[[], bytes], reason: int) -> None:
    with pytest.raises(Refusal) as refusal:
        read_class_list(content())
    assert refusal.value.violations == (FieldViolation("content", reason),)  # type: ignore[arg-type]


def test_a_thousand_rows_fit() -> None:
    heading, cells = with_cells()
    assert len(read_csv([heading, *[cells] * 1000]).rows) == 1000


def test_a_report_names_the_columns_of_the_file() -> None:
    read = read_csv(with_cells(Sähköposti="x"))
    wrong = {
        2: [
            FieldViolation("form.email", REASON_INVALID_EMAIL),
            FieldViolation("form.related_person", REASON_REQUIRED),
            FieldViolation("form.address", REASON_REQUIRED),
        ]
    }
    report = reports.report_of(read, Checked(wrong=wrong), LANGUAGE_EN)
    assert (report.row_count, report.wrong_row_count, report.omitted_error_count) == (1, 1, 0)
    assert [error.column for error in report.errors] == [
        "Sähköposti",
        "Name of guardian or contact person",
        "Lähiosoite",
    ]


def test_a_report_has_an_end() -> None:
    read = read_csv(with_cells())
    wrong = {row: [FieldViolation("form.email", REASON_INVALID_EMAIL)] * 30 for row in range(2, 202)}
    report = reports.report_of(read, Checked(wrong=wrong), LANGUAGE_FI)
    assert (len(report.errors), report.omitted_error_count) == (5000, 1000)


def test_the_result_tells_what_became_of_each_row() -> None:
    outcomes = [
        RowOutcome(
            row_number=2,
            outcome=CLASS_LIST_OUTCOME_REGISTERED,
            registration_id="r1",
            registration_unit_id="u1",
        ),
        RowOutcome(
            row_number=3,
            outcome=CLASS_LIST_OUTCOME_REFUSED,
            wrong_fields=[
                WrongField(field="form.email", reason=REASON_INVALID_EMAIL),
                WrongField(reason=REASON_REQUIRED),
            ],
        ),
    ]
    lines = reports.result(outcomes, LANGUAGE_EN).content.decode("utf-8-sig").splitlines()
    assert lines[:2] == ["Row;Outcome;Column;Reason;Registration", "2;registered;;;units/u1/registrations/r1"]
    assert [line.split(";")[:3] for line in lines[2:]] == [
        ["3", "not registered", "E-mail"],
        ["3", "not registered", ""],
    ]


@pytest.mark.parametrize("cell", ["=1+1", "+358", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_cell_that_is_written_is_a_formula(cell: str) -> None:
    assert csv_file([["x", cell]]).decode("utf-8-sig").replace('"', "").startswith(f"x;'{cell[:1]}")
    workbook = openpyxl.load_workbook(io.BytesIO(template_file([cell.strip()], ["x"], [()])))
    assert workbook.worksheets[0]["A1"].data_type == "s"
