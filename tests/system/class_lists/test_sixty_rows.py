"""A class list of 60 pupils that a program has written with openpyxl, with 25 faults; then mended."""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import openpyxl
from openpyxl.styles import Font

from deploy.demo.artificial_hetu import artificial_hetu
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_XLSX,
    CheckClassListRequest,
    ClassListError,
    ClassListReport,
)
from services.runtime.rpc.errors import reason_name
from tests.system.conftest import Api
from tests.system.support.class_lists import done, register
from tests.system.support.registering import PATIENCE

_PUPIL = {
    "Henkilötunnus": "",
    "Etunimet": "",
    "Sukunimi": "Virtanen",
    "Katuosoite": "Koulukatu 5",
    "Postinumero": "00100",
    "Postitoimipaikka": "Helsinki",
    "Kotikunta": "Helsinki",
    "Sähköposti": "",
    "Puhelin": "",
    "Kieli": "suomi",
    "Asiakastyyppi": "verkkoasiakas",
    "Lukemiseste": "kyllä",
    "Koulun tuki": "oppilaskohtainen tuki",
    "Hakija": "huoltaja",
    "Huoltaja": "Kerttu Virtanen",
    "Huoltajan sähköposti": "",
    "Tunnusten saaja": "huoltaja",
    "Käyttöehdot hyväksytty": "kyllä",
}
_NAMES = ("Aino", "Eino", "Helmi", "Oiva", "Siiri", "Toivo")
_COUNT = 60


@dataclass(frozen=True)
class Fault:
    """What is wrong with cells of a row, and what somebody makes of them who reads the error."""

    wrong: Mapping[str, Any]
    right: Mapping[str, Any]


def _row(number: int) -> dict[str, Any]:
    """A pupil of their own, by the row's number in the sheet."""
    return _PUPIL | {
        "Henkilötunnus": artificial_hetu(date(2015, 1, 1) + timedelta(days=number), 900 + number),
        "Etunimet": f"{_NAMES[number % len(_NAMES)]} {_NAMES[number // len(_NAMES) % len(_NAMES)]}",
        "Huoltajan sähköposti": f"huoltaja.{number}@posti.example",
    }


_FAULTS = {
    3: Fault({"Sähköposti": '=B3&"@posti.example"'}, {"Sähköposti": ""}),
    5: Fault({"Katuosoite": "#REF!"}, {"Katuosoite": "Koulukatu 5"}),
    7: Fault({"Sukunimi": "#PUUTTUU!"}, {"Sukunimi": "Korhonen"}),
    9: Fault({"Sukunimi": 0}, {"Sukunimi": "Nieminen"}),
    11: Fault({"Sukunimi": "MÃ¤kinen"}, {"Sukunimi": "Mäkinen"}),
    15: Fault({"Puhelin": "040 123 4567 mor"}, {"Puhelin": "040 123 4567"}),
    17: Fault({"Henkilötunnus": _row(16)["Henkilötunnus"].lower()}, {}),
    19: Fault({"Henkilötunnus": _row(19)["Henkilötunnus"][:-1] + "*"}, {}),
    21: Fault({"Hakija": "Äiti"}, {"Hakija": "huoltaja"}),
    23: Fault({"Postitoimipaikka": '"'}, {"Postitoimipaikka": "Helsinki"}),
    25: Fault({"Henkilötunnus": datetime(2015, 1, 25)}, {}),  # noqa: DTZ001 - as a sheet holds it
    27: Fault({"Huoltajan sähköposti": "########"}, {}),
    29: Fault({"Henkilötunnus": artificial_hetu(date(1916, 5, 1), 903)}, {}),
    33: Fault({"Huoltajan sähköposti": ""}, {}),
}
_STRUCK_THROUGH, _HIDDEN, _TOTALS = 35, 37, _COUNT + 2
_MENDED = {
    4: {"Postinumero": 100},
    6: {"Puhelin": 401234567},
    8: {"Etunimet": "Oi\u00adva\u200b"},
    10: {"Huoltajan sähköposti": "<kerttu@posti.example>;"},
    12: {"Huoltajan sähköposti": "kerttu@gmial.com"},
    13: {"Huoltajan sähköposti": "anna\u2013maija@posti.example"},
    14: {"Sukunimi": "'Virtanen"},
    31: {"Etunimet": "Aino, Eino ja Helmi"},
}
"""What is certain is mended, or told, and registers."""


def _written(change: Callable[[int], Mapping[str, Any]], *, faulty: bool) -> bytes:
    workbook = openpyxl.Workbook()
    sheet: Any = workbook.worksheets[0]
    sheet.append(list(_PUPIL))
    for number in range(2, _COUNT + 2):
        row = _row(number)
        sheet.append(list((row | change(number)).values()))
    if faulty:
        for cell in sheet[_STRUCK_THROUGH]:
            cell.font = Font(strike=True)
        sheet.row_dimensions[_HIDDEN].hidden = True
        sheet.append(["Yhteensä", _COUNT])
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def _told(told: Iterable[ClassListError]) -> set[tuple[int, str, str]]:
    """Row, last part of the field, and reason."""
    return {(each.row, each.field.rpartition(".")[2], reason_name(each.reason)) for each in told}


async def test_mended_by_what_the_errors_say_all_sixty_are_registered(api: Api) -> None:
    def wrong(number: int) -> Mapping[str, Any]:
        return _FAULTS[number].wrong if number in _FAULTS else _MENDED.get(number, {})

    def right(number: int) -> Mapping[str, Any]:
        return _FAULTS[number].right if number in _FAULTS else _MENDED.get(number, {})

    report = await _check(api, _written(wrong, faulty=True))
    assert _told(report.errors) == {
        (3, "email", "FORMULA_WITHOUT_VALUE"),
        (5, "street_address", "SPREADSHEET_ERROR"),
        (7, "last_name", "SPREADSHEET_ERROR"),
        (9, "last_name", "ZERO_INSTEAD_OF_TEXT"),
        (11, "last_name", "GARBLED_TEXT"),
        (15, "phone", "INVALID_PHONE"),
        (17, "personal_identity_code", "TWICE_IN_CLASS_LIST"),
        (19, "personal_identity_code", "HETU_FORMAT"),
        (21, "applicant", "UNKNOWN_VALUE"),
        (23, "post_office", "DITTO_MARK"),
        (25, "personal_identity_code", "REWRITTEN_BY_SPREADSHEET"),
        (27, "email", "SPREADSHEET_ERROR"),
        (29, "personal_identity_code", "CENTURY_PERHAPS_WRONG"),
        (33, "email", "REQUIRED"),
        (35, "", "STRUCK_THROUGH"),
        (37, "", "HIDDEN_ROWS"),
        (62, "", "NOT_A_PERSON"),
    }
    assert _told(report.notices) == {
        (4, "postcode", "LEADING_ZEROS_RESTORED"),
        (6, "phone", "LEADING_ZEROS_RESTORED"),
        (8, "first_names", "INVISIBLE_SIGNS_REMOVED"),
        (10, "email", "EXTRA_SIGNS_REMOVED"),
        (12, "email", "ADDRESS_PERHAPS_MISTYPED"),
        (13, "email", "EXTRA_SIGNS_REMOVED"),
        (14, "last_name", "NAME_PERHAPS_WRONG"),
        (31, "first_names", "NAME_PERHAPS_WRONG"),
    }
    mended = _written(right, faulty=False)
    report = await _check(api, mended)
    assert _told(report.errors) == set()
    started = await register(api.teacher, mended)
    ended = await done(api.teacher, started.class_list.name)
    assert (ended.counts.total, ended.counts.waiting) == (_COUNT, _COUNT)


async def _check(api: Api, content: bytes) -> ClassListReport:
    request = CheckClassListRequest(parent=api.teacher.unit, content=content, format=CLASS_LIST_FORMAT_XLSX)
    return (await api.teacher.call(api.teacher.class_lists.CheckClassList, request, timeout=PATIENCE)).report
