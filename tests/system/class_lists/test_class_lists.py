"""A school's and a library's lists, from the file to the result, and a worker killed in the midst of one."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest

from deploy.demo.polling import eventually
from deploy.local.mailbox.store import Maildir
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
    CancelClassListRequest,
    ClassListPerson,
    ClassListReport,
    ClassListStandings,
    GetClassListTemplateRequest,
    ListClassListsRequest,
    RegisterClassListRequest,
)
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, GetCustomerRequest
from liity.v1.registration_pb2 import (
    MISSING_CODE_REASON_NOT_KNOWN,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
)
from liity.v1.registration_service_pb2 import STANDING_REGISTERED_IN_ANOTHER_UNIT
from services.runtime.rpc.errors import reason_name
from tests.conftest import Amount
from tests.system.conftest import Api, Liity
from tests.system.customers.test_removal import customer, end
from tests.system.customers.test_transfer import refused
from tests.system.support.class_lists import (
    adult_row,
    changed,
    check,
    csv_of,
    done,
    get,
    pupil_row,
    register,
    result,
    xlsx_of,
)
from tests.system.support.registering import PATIENCE, adult, database, persistently, save
from tests.system.support.registering import get as stored


def errors(report: ClassListReport) -> set[tuple[int, str, str]]:
    return {(error.row, error.column, reason_name(error.reason)) for error in report.errors}


def grown_pupil_row(number: int) -> list[str]:
    """A pupil who needs no consent."""
    return changed(adult_row(number), **{"Koulun tuki": "oppilaskohtainen tuki"})


async def registered(stack: Stack, rows: Sequence[Sequence[str]]) -> int:
    """How many customers there are with the rows' names and addresses."""
    async with database(stack, "registration") as connection:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM customers WHERE email = ANY($1)", [row[7] for row in rows if row[7]]
        )
    return count


async def test_a_long_list_ends_right_though_the_worker_is_killed(
    stack: Stack, api: Api, amount: Amount
) -> None:
    hundreds, known = amount(2, long=10), adult()
    await save(api.registrar, known)
    good = [adult_row(number, cd=number % 2 == 0) for number in range(95 * hundreds)]
    wrong = [
        *(changed(adult_row(n), Henkilötunnus="010594Y9033") for n in range(hundreds)),
        *(changed(adult_row(n), Katuosoite="") for n in range(hundreds)),
        *(changed(adult_row(n), Kieli="viro") for n in range(hundreds)),
        *(changed(adult_row(n), Henkilötunnus=good[n][0]) for n in range(hundreds)),
        *(changed(adult_row(n), Sähköposti="ei osoite") for n in range(hundreds - 1)),
        changed(adult_row(0), Henkilötunnus=known.personal_identity_code),
    ]
    # The wrong ones stand among the others; one that repeats somebody comes after them.
    first = 90 * hundreds
    rows = good[:first] + [row for pair in zip(wrong, good[first:], strict=True) for row in pair]
    assert len(rows) == 100 * hundreds
    reasons = ["HETU_CHECK_CHARACTER", "REQUIRED", "UNKNOWN_VALUE", "TWICE_IN_CLASS_LIST", "INVALID_EMAIL"]

    answer = await register(api.registrar, csv_of(rows), skip_wrong_rows=True)
    assert answer.report.wrong_row_count == 5 * hundreds - 1
    assert answer.report.standings.in_this_unit == 1
    assert Counter(reason_name(error.reason) for error in answer.report.errors) == {
        **dict.fromkeys(reasons[:4], hundreds),
        reasons[4]: hundreds - 1,
    }
    name = answer.class_list.name
    await eventually(
        lambda: get(api.registrar, name), lambda found: found.counts.registered >= 20 * hundreds, 2 * PATIENCE
    )
    await stack.kill_component("worker")
    assert (await get(api.registrar, name)).counts.remaining > 0
    await stack.start_component("worker")

    ended = await done(api.registrar, name)
    assert ended.state == CLASS_LIST_STATE_DONE
    assert (ended.counts.total, ended.counts.registered) == (100 * hundreds, 95 * hundreds)
    assert (ended.counts.refused, ended.counts.yours) == (5 * hundreds - 1, 1)
    async with database(stack, "registration") as connection:
        once = await connection.fetch(
            "SELECT first_names, count(*) FROM customers WHERE last_name = 'Luettelo' AND created_at >= $1"
            " AND first_names LIKE 'Rivi %' GROUP BY first_names",
            answer.class_list.create_time.ToDatetime(),
        )
        forms = await connection.fetchval(
            "SELECT count(*) FROM class_list_rows WHERE class_list_id = $1 AND form IS NOT NULL",
            name.rpartition("/")[2],
        )
    assert {row["first_names"]: row["count"] for row in once} == {
        f"Rivi {n}": 1 for n in range(95 * hundreds)
    }
    assert forms == 0
    lines = await result(api.registrar, name)
    assert [int(line["Rivi"]) for line in lines] == list(range(2, 100 * hundreds + 2))
    for line, row in zip(lines, rows, strict=True):
        right = line["Tulos"] == "rekisteröity"
        assert right == (row in good)
        assert right == line["Rekisteröinti"].startswith(f"{api.registrar.unit}/registrations/")
        assert line["Tulos"].startswith("yksikön asiakas") or right != bool(line["Syy"])
    refused_columns = Counter(line["Sarake"] for line in lines if line["Syy"])
    assert refused_columns == {
        "Henkilötunnus": 2 * hundreds,
        "Katuosoite": hundreds,
        "Asiointikieli": hundreds,
        "Sähköposti": hundreds - 1,
    }


async def test_a_check_tells_every_error_and_stores_nothing(stack: Stack, api: Api) -> None:
    known = adult()
    saved = await save(api.registrar, known)
    twice = pupil_row(3)
    rows = [
        pupil_row(2),
        twice,
        changed(pupil_row(4), Etunimet="", Sukunimi="", Huoltaja="", **{"Koulun tuki": "kyllä"}),
        changed(pupil_row(5), Henkilötunnus=known.personal_identity_code, Hakija="itse"),
        changed(pupil_row(6), Henkilötunnus=twice[0].lower()),
    ]
    before = await _stored(stack)
    report = await check(api.teacher, csv_of(rows))
    assert (report.row_count, report.wrong_row_count) == (5, 2)
    assert errors(report) == {
        (4, "Etunimet", "REQUIRED"),
        (4, "Sukunimi", "REQUIRED"),
        (4, "Huoltaja", "REQUIRED"),
        (4, "Koulun tuki", "UNKNOWN_VALUE"),
        (6, "Henkilötunnus", "TWICE_IN_CLASS_LIST"),
    }
    assert all(error.message for error in report.errors)
    # The other row is named: it may be the wrong one.
    assert report.errors[-1].message.endswith(": 3")
    assert report.standings == ClassListStandings(new=2, in_another_unit=1)
    assert list(report.persons) == [
        ClassListPerson(row=5, standing=STANDING_REGISTERED_IN_ANOTHER_UNIT, transferable=True)
    ]
    assert await _stored(stack) == before
    async with database(stack, "registration") as connection:
        person_id = await connection.fetchval(
            "SELECT person_id FROM registrations WHERE registration_id = $1", saved.name.rpartition("/")[2]
        )
        looked = await connection.fetch(
            "SELECT outcome FROM use_entries"
            " WHERE action = 'class-list:check' AND subject_ids = ARRAY[$1::varchar]",
            person_id,
        )
    assert [row["outcome"] for row in looked] == ["OK"], "whom the list found is in the log of use"


async def test_the_list_of_the_next_year(api: Api) -> None:
    """Who is new is registered, who is here left alone, who is elsewhere transferred if asked (R41)."""
    last_year = [grown_pupil_row(number) for number in range(2, 6)]
    first = await register(api.teacher, csv_of(last_year))
    await done(api.teacher, first.class_list.name)
    mover, stayer = adult(), adult()
    for elsewhere in (mover, stayer):
        await save(api.registrar, elsewhere)
    rows = [
        *last_year[:3],
        changed(grown_pupil_row(5), Henkilötunnus=mover.personal_identity_code),
        changed(grown_pupil_row(6), Henkilötunnus=stayer.personal_identity_code, Kieli="viro"),
        grown_pupil_row(7),
    ]
    report = await check(api.teacher, xlsx_of(rows))
    assert not report.errors
    assert report.standings == ClassListStandings(new=1, in_this_unit=3, in_another_unit=2)
    assert [person.row for person in report.persons if person.transferable] == [5, 6]
    assert [gone.display_name for gone in report.gone] == ["Rivi 5 Luettelo"]

    answer = await register(api.teacher, csv_of(rows), transfer_rows=[5, 7])
    ended = await done(api.teacher, answer.class_list.name)
    counts = ended.counts
    assert (counts.yours, counts.transferred, counts.elsewhere, counts.registered) == (3, 1, 1, 1)
    outcomes = [line["Tulos"] for line in await result(api.teacher, ended.name)]
    assert outcomes[3:] == [
        "siirretty toisesta yksiköstä",
        "toisen yksikön asiakas, mitään ei tehty",
        "rekisteröity",
    ]
    again = await check(api.teacher, csv_of(rows))
    assert again.standings == ClassListStandings(in_this_unit=5, in_another_unit=1)
    assert not again.gone
    read = GetCustomerRequest(name=report.gone[0].customer)
    gone = await api.teacher.call(api.teacher.customers.GetCustomer, read)
    assert gone.customer.state == CUSTOMER_STATE_ACTIVE


async def _stored(stack: Stack) -> list[int]:
    """How much is stored of persons and lists."""
    async with database(stack, "identity") as identity, database(stack, "registration") as registration:
        return [
            await identity.fetchval("SELECT count(*) FROM persons"),
            await registration.fetchval("SELECT count(*) FROM class_lists"),
            await registration.fetchval("SELECT count(*) FROM registrations"),
        ]


async def test_a_list_with_errors_is_refused_as_a_whole(stack: Stack, api: Api) -> None:
    rows = [pupil_row(2), changed(pupil_row(3), Etunimet="", Sukunimi="")]
    before = await _stored(stack)
    answer = await register(api.teacher, csv_of(rows))
    assert not answer.HasField("class_list")
    assert errors(answer.report) == {(3, "Etunimet", "REQUIRED"), (3, "Sukunimi", "REQUIRED")}
    assert await _stored(stack) == before
    unknown = csv_of(rows).replace(b"Sukunimi", b"Nimi")
    answer = await register(api.teacher, unknown, skip_wrong_rows=True)
    assert not answer.HasField("class_list"), "a wrong heading spoils every row"
    assert errors(answer.report) == {(1, "Nimi", "UNKNOWN_COLUMN"), (1, "Sukunimi", "MISSING_COLUMN")}


async def test_a_class_waits_for_its_guardians_and_the_teacher_is_told(stack: Stack, api: Api) -> None:
    rows, request_id = [pupil_row(number) for number in range(2, 7)], new_request_id()
    first = await register(api.teacher, xlsx_of(rows), request_id=request_id)
    again = await register(api.teacher, xlsx_of(rows), request_id=request_id.upper())
    assert first.class_list.name == again.class_list.name
    ended = await done(api.teacher, first.class_list.name)
    assert (ended.counts.total, ended.counts.waiting) == (5, 5)
    maildir = Maildir(stack.folder / "mail")

    async def told() -> list[str]:
        mails = [mail for mail in maildir.sent_to() if "opettaja@koulu.example" in mail.recipients]
        return [mail.text for mail in mails if ended.name.rpartition("/")[2] in mail.text]

    (text,) = await eventually(told, bool, PATIENCE)
    assert "Odottaa suostumusta tai asiakaspalvelua: 5" in text
    assert "Oppilas" not in text
    asked = {recipient for mail in maildir.sent_to() for recipient in mail.recipients}
    assert {row[14] for row in rows} <= asked
    listed = await api.teacher.call(
        api.teacher.class_lists.ListClassLists, ListClassListsRequest(parent=api.teacher.unit, page_size=1)
    )
    assert [found.name for found in listed.class_lists] == [ended.name]
    async with database(stack, "registration") as connection:
        uses = await connection.fetch(
            "SELECT action, count(*) FROM use_entries WHERE call_id = $1 GROUP BY action", request_id
        )
    # The registrations' own, and the list's: all on behalf of the teacher's one call.
    assert {row["action"]: row["count"] for row in uses} == {
        "class-list:register": 1,
        "registration:create": 5,
    }


async def test_whose_list_it_is(api: Api) -> None:
    answer = await register(api.staff, csv_of([pupil_row(2)]), unit=api.teacher.unit)
    name = (await done(api.teacher, answer.class_list.name)).name
    assert (await get(api.teacher, name)).registrar_display_name == "Aino Asiakaspalvelija"
    elsewhere = name.replace(api.teacher.unit, api.registrar.unit)
    assert await refused(get(api.registrar, name)) == "NOT_FOUND UNIT_NOT_FOUND"
    assert await refused(get(api.registrar, elsewhere)) == "NOT_FOUND CLASS_LIST_NOT_FOUND"
    assert await refused(result(api.registrar, elsewhere)) == "NOT_FOUND CLASS_LIST_NOT_FOUND"
    assert await refused(check(api.operator, b"x", api.teacher.unit)) == "NOT_FOUND UNIT_NOT_FOUND"
    assert await refused(check(api.staff, csv_of([pupil_row(2)]), "units/none")) == "NOT_FOUND UNIT_NOT_FOUND"
    cancel = CancelClassListRequest(name=name, request_id=new_request_id())
    too_late = api.teacher.call(api.teacher.class_lists.CancelClassList, cancel)
    assert await refused(too_late) == "FAILED_PRECONDITION CLASS_LIST_HAS_ENDED"


async def test_a_list_is_cancelled_while_the_worker_is_away(stack: Stack, api: Api) -> None:
    rows = [adult_row(number) for number in range(2, 12)]
    await stack.kill_component("worker")
    answer = await register(api.registrar, csv_of(rows))
    cancel = CancelClassListRequest(name=answer.class_list.name, request_id=new_request_id())
    call = api.registrar.class_lists.CancelClassList
    assert await refused(api.registrar.call(call, cancel)) == "UNAVAILABLE UNAVAILABLE"
    await stack.start_component("worker")
    await persistently(lambda: api.registrar.call(call, cancel))
    ended = await done(api.registrar, answer.class_list.name)
    assert ended.state == CLASS_LIST_STATE_CANCELLED
    assert ended.counts.cancelled + ended.counts.registered == 10
    assert await registered(stack, rows) == ended.counts.registered
    async with database(stack, "registration") as connection:
        uses = await connection.fetch(
            "SELECT cardinality(subject_ids) AS persons FROM use_entries"
            " WHERE action = 'class-list:cancel' AND call_id = $1",
            cancel.request_id,
        )
    assert [use["persons"] for use in uses] == [ended.counts.cancelled]


async def test_who_is_marked_for_deletion_waits_for_customer_service(stack: Stack, api: Api) -> None:
    person = adult()
    returning = changed(adult_row(2), Henkilötunnus=person.personal_identity_code)
    await end(api.registrar, (await customer(api.registrar, await save(api.registrar, person))).name)
    rows = csv_of([returning, adult_row(3)])
    assert (await check(api.registrar, rows)).wrong_row_count == 0
    registering = await register(api.registrar, rows)
    ended = await done(api.registrar, registering.class_list.name)
    assert (ended.state, ended.counts.waiting, ended.counts.registered) == (CLASS_LIST_STATE_DONE, 1, 1)
    waits, begun = await result(api.registrar, ended.name)
    assert waits["Tulos"] == "odottaa suostumusta tai asiakaspalvelua"
    assert begun["Tulos"] == "rekisteröity"
    assert (await stored(api.registrar, waits["Rekisteröinti"])).stage == STAGE_WAITING_FOR_REACTIVATION
    assert await registered(stack, [returning]) == 0, "the form's data wait, too"


async def test_somebody_without_a_code_waits_for_customer_service(api: Api) -> None:
    """By the date of birth (R24). The next list knows them by it."""
    row = [*changed(grown_pupil_row(2), Henkilötunnus=""), "1.5.1999"]
    wrong = [
        [*changed(row[:-1], Etunimet="Syntymätön"), "1.5.2099"],
        [*changed(row[:-1], Henkilötunnus="010594Y9032", Etunimet="Toinen"), "2.5.1994"],
        row,
    ]
    report = await check(api.teacher, csv_of([row, *wrong], "Syntymäaika"))
    assert errors(report) == {
        (3, "Syntymäaika", "DATE_IN_FUTURE"),
        (4, "Syntymäaika", "BIRTH_DATE_NOT_OF_CODE"),
        (5, "Henkilötunnus", "TWICE_IN_CLASS_LIST"),
    }
    assert report.errors[-1].message.endswith(": 2")
    answer = await register(api.teacher, csv_of([row], "Syntymäaika"))
    ended = await done(api.teacher, answer.class_list.name)
    assert ended.counts.waiting == 1
    (waits,) = await result(api.teacher, ended.name)
    registration = await stored(api.teacher, waits["Rekisteröinti"])
    assert registration.stage == STAGE_WAITING_FOR_IDENTITY_CHECK
    assert registration.missing_code_reason == MISSING_CODE_REASON_NOT_KNOWN
    again = await check(api.teacher, csv_of([row], "Syntymäaika"))
    assert again.standings == ClassListStandings(being_registered=1)
    assert again.persons[0].registration == registration.name


async def test_a_torn_row_is_named(api: Api) -> None:
    rows = csv_of([pupil_row(2), changed(pupil_row(3), Etunimet="Masa"), pupil_row(4)])
    report = await check(api.teacher, rows.replace(b"Masa", b'"Masa" Matti'))
    assert (report.row_count, report.wrong_row_count) == (3, 1)
    assert errors(report) == {(3, "", "STRAY_QUOTE")}


async def test_what_an_open_quotation_mark_has_swallowed_is_not_passed_over(api: Api) -> None:
    rows = csv_of([pupil_row(2), changed(pupil_row(3), Etunimet="Masa"), pupil_row(4), pupil_row(5)])
    request = RegisterClassListRequest(
        parent=api.teacher.unit,
        request_id=new_request_id(),
        content=rows.replace(b"Masa", b'"Masa'),
        format=CLASS_LIST_FORMAT_CSV,
        skip_wrong_rows=True,
    )
    answer = await api.teacher.call(api.teacher.class_lists.RegisterClassList, request)
    assert not answer.HasField("class_list")
    assert (3, "", "STRAY_QUOTE") in errors(answer.report)


async def test_a_list_is_not_stored_without_its_run(stack: Stack, api: Api) -> None:
    request = RegisterClassListRequest(
        parent=api.teacher.unit,
        request_id=new_request_id(),
        content=csv_of([pupil_row(2)]),
        format=CLASS_LIST_FORMAT_CSV,
    )
    before = (await _stored(stack))[1]
    await stack.stop_component("temporal")
    registering = api.teacher.call(api.teacher.class_lists.RegisterClassList, request, timeout=PATIENCE)
    assert await refused(registering) == "UNAVAILABLE UNAVAILABLE"
    assert (await _stored(stack))[1] == before
    await stack.start_component("temporal")


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_the_program_takes_its_own_template(liity: Liity, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"luokka.{suffix}"
    assert liity("teacher", "class-lists", "template", str(file)).returncode == 0
    checked = liity("teacher", "class-lists", "check", str(file), "--json")
    again = liity("teacher", "class-lists", "template", str(file))
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    assert liity("teacher", "class-lists", "template", str(file), "--force").returncode == 0
    report = json.loads(checked.stdout)
    assert report["rowCount"] == 1
    # Its person may have been registered by a test before; nothing else is wrong with it.
    assert {error["field"] for error in report.get("errors", ())} <= {"personal_identity_code"}


def test_the_program_registers_and_shows(liity: Liity, tmp_path: Path) -> None:
    file, written = tmp_path / "luokka.csv", tmp_path / "tulos.csv"
    file.write_bytes(csv_of([pupil_row(2), changed(pupil_row(3), Etunimet="", Sukunimi="")]))
    before = json.loads(liity("teacher", "class-lists", "list", "--limit", "1", "--json").stdout)
    refused_list = liity("teacher", "class-lists", "register", str(file))
    assert refused_list.returncode == 1
    assert "REQUIRED" in refused_list.stdout
    again = ("--skip-wrong-rows", "--request-id", new_request_id())
    asked = liity("teacher", "class-lists", "register", str(file), *again, typed="n\n")
    assert asked.returncode == 1
    assert "Persons to register: 1. Mails that go out now: 1. Register them? [y/N]" in asked.stdout
    assert json.loads(liity("teacher", "class-lists", "list", "--limit", "1", "--json").stdout) == before
    again = (*again, "--yes")
    registering = liity("teacher", "class-lists", "register", str(file), *again)
    assert registering.returncode == 0, registering.stderr
    assert "DONE" in registering.stdout
    listed = json.loads(liity("teacher", "class-lists", "list", "--limit", "1", "--json").stdout)
    list_id = listed[0]["name"].rpartition("/")[2]
    assert list_id in registering.stdout
    assert list_id in liity("teacher", "class-lists", "register", str(file), *again).stdout
    shown = liity("teacher", "class-lists", "show", list_id, "--follow")
    assert "Waiting" in shown.stdout
    assert liity("teacher", "class-lists", "result", list_id, str(written)).returncode == 0
    assert written.read_text("utf-8-sig") == liity("teacher", "class-lists", "result", list_id).stdout
    assert "in progress" not in written.read_text("utf-8-sig")
    too_late = liity("teacher", "class-lists", "cancel", list_id, "--yes")
    assert too_late.returncode == 1
    assert "CLASS_LIST_HAS_ENDED" in too_late.stderr
    wrong = liity("teacher", "class-lists", "check", str(tmp_path))
    assert wrong.returncode == 2


def test_the_program_saves_the_list_with_its_remarks(liity: Liity, tmp_path: Path) -> None:
    file, remarks = tmp_path / "luokka.xlsx", tmp_path / "huomautukset.xlsx"
    file.write_bytes(xlsx_of([pupil_row(2), changed(pupil_row(3), Kieli="viro")]))
    check_into = ("teacher", "class-lists", "check", str(file), "--annotated")
    wrong = liity(*check_into, str(remarks))
    assert wrong.returncode == 1
    assert "1 waiting for consent (1 mails to guardians)" in " ".join(wrong.stdout.split())
    sheet = openpyxl.load_workbook(remarks).worksheets[0]
    assert str(sheet.cell(3, sheet.max_column).value).startswith("Kieli: ")
    # The list with its remarks is a list like any other.
    again = liity("teacher", "class-lists", "check", str(remarks), "--json")
    assert [error["field"] for error in json.loads(again.stdout)["errors"]] == ["form.language"]
    assert liity(*check_into, str(remarks)).returncode == 2
    assert "must end with .xlsx" in liity(*check_into, str(tmp_path / "huomautukset.csv")).stderr
    file.write_bytes(xlsx_of([changed(pupil_row(2), Etunimet="Aino")]))
    assert "Nothing is written" in liity(*check_into, str(tmp_path / "x.xlsx")).stderr


async def test_a_template_has_the_columns_of_its_unit(api: Api) -> None:
    async def headings(client: ApiClient) -> list[str]:
        request = GetClassListTemplateRequest(parent=client.unit, format=CLASS_LIST_FORMAT_CSV)
        content = (await client.call(client.class_lists.GetClassListTemplate, request)).content
        return content.decode("utf-8-sig").splitlines()[0].split(";")

    assert "Koulun tuki" in await headings(api.teacher)
    assert "Koulun tuki" not in await headings(api.registrar)
