"""Class lists of persons that occur nowhere else, and calls with them through the public API."""

import csv
import io
from collections.abc import Sequence
from datetime import date, timedelta

import openpyxl

from deploy.demo.artificial_hetu import artificial_hetu
from deploy.demo.polling import eventually
from frontends.client import ApiClient, new_request_id
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CLASS_LIST_FORMAT_XLSX,
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
    CheckClassListRequest,
    ClassList,
    ClassListReport,
    GetClassListRequest,
    GetClassListResultRequest,
    RegisterClassListRequest,
    RegisterClassListResponse,
)
from tests.system.support.registering import PATIENCE, persistently

HEADINGS = (
    "Henkilötunnus",
    "Etunimet",
    "Sukunimi",
    "Katuosoite",
    "Postinumero",
    "Postitoimipaikka",
    "Kotikunta",
    "Sähköposti",
    "Kieli",
    "Asiakastyyppi",
    "Lukemiseste",
    "Koulun tuki",
    "Hakija",
    "Huoltaja",
    "Huoltajan sähköposti",
    "Tunnusten saaja",
    "Käyttöehdot hyväksytty",
)
_ADDRESS = ("Esimerkkikatu 1", "00100", "Helsinki", "Helsinki")
_DAYS = iter(range(100_000))


def _code(first: date) -> str:
    """A code used by no other row: codes of one day differ by the individual number."""
    day, individual = divmod(next(_DAYS), 100)
    return artificial_hetu(first + timedelta(days=day), 900 + individual)


def adult_row(number: int, *, cd: bool = False) -> list[str]:
    """An adult whose first name contains the row's number."""
    email = "" if cd else f"luettelo-{new_request_id()}@posti.example"
    kind, recipient = ("CD-lainaaja", "") if cd else ("verkkoasiakas", "asiakas")
    return [
        _code(date(1950, 1, 1)),
        f"Rivi {number}",
        "Luettelo",
        *_ADDRESS,
        email,
        "suomi",
        kind,
        "kyllä",
        "",
        "itse",
        "",
        "",
        recipient,
        "kyllä",
    ]


def pupil_row(number: int) -> list[str]:
    """A pupil whose guardian gets a consent request by mail."""
    guardian = f"huoltaja-{new_request_id()}@posti.example"
    return [
        # Not of the year in which the pupils of other tests are born.
        _code(date(2014, 1, 1)),
        f"Oppilas {number}",
        "Luettelo",
        *_ADDRESS,
        "",
        "suomi",
        "verkkoasiakas",
        "kyllä",
        "oppilaskohtainen tuki",
        "huoltaja",
        "Huolto Luettelo",
        guardian,
        "huoltaja",
        "kyllä",
    ]


def changed(row: Sequence[str], **cells: str) -> list[str]:
    """A row with some cells replaced, by heading."""
    return [cells.get(heading, cell) for heading, cell in zip(HEADINGS, row, strict=True)]


def csv_of(rows: Sequence[Sequence[str]], *more: str) -> bytes:
    """A list with the usual headings, and some more."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";").writerows([(*HEADINGS, *more), *rows])
    return text.getvalue().encode("cp1252")


def xlsx_of(rows: Sequence[Sequence[str]]) -> bytes:
    workbook = openpyxl.Workbook()
    for row in (HEADINGS, *rows):
        workbook.worksheets[0].append(list(row))
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


async def check(client: ApiClient, content: bytes, unit: str = "") -> ClassListReport:
    request = CheckClassListRequest(parent=unit or client.unit, content=content, format=CLASS_LIST_FORMAT_CSV)
    return (await client.call(client.class_lists.CheckClassList, request, timeout=PATIENCE)).report


async def register(
    client: ApiClient,
    content: bytes,
    *,
    skip_wrong_rows: bool = False,
    transfer_rows: Sequence[int] = (),
    request_id: str = "",
    unit: str = "",
) -> RegisterClassListResponse:
    request = RegisterClassListRequest(
        parent=unit or client.unit,
        request_id=request_id or new_request_id(),
        content=content,
        format=CLASS_LIST_FORMAT_CSV if content[:2] != b"PK" else CLASS_LIST_FORMAT_XLSX,
        skip_wrong_rows=skip_wrong_rows,
        transfer_rows=transfer_rows,
    )
    call = client.class_lists.RegisterClassList
    return await persistently(lambda: client.call(call, request, timeout=PATIENCE))


async def get(client: ApiClient, name: str) -> ClassList:
    request = GetClassListRequest(name=name)
    return (await persistently(lambda: client.call(client.class_lists.GetClassList, request))).class_list


async def done(client: ApiClient, name: str) -> ClassList:
    """A list, once it has ended."""
    ends = {CLASS_LIST_STATE_DONE, CLASS_LIST_STATE_CANCELLED}
    return await eventually(lambda: get(client, name), lambda found: found.state in ends, 3 * PATIENCE)


async def result(client: ApiClient, name: str) -> list[dict[str, str]]:
    answer = await client.call(client.class_lists.GetClassListResult, GetClassListResultRequest(name=name))
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=";"))
