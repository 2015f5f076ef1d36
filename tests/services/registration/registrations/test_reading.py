"""What is told about registrations and persons."""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import pytest
from google.type.date_pb2 import Date
from sqlalchemy import text

from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.unit_service_pb2 import (
    Unit,
)
from liity.v1 import customer_form_pb2 as form_pb
from liity.v1 import registration_pb2 as life
from liity.v1.registration_service_pb2 import REGISTRATION_ORDER_DEADLINE, Standing
from services.runtime.clock import helsinki_moment
from services.runtime.text.references import of_registration
from tests.support.registration_forms import adult_form, changed, child_form
from tests.support.registration_service import (
    REGISTRAR,
    Service,
    birth_of_child,
    refusal,
    timestamp,
    violations,
)


async def test_a_registration_that_is_not_there(service: Service) -> None:
    missing = ("NOT_FOUND", "REGISTRATION_NOT_FOUND")
    consent_request = service.gateway.call(
        service.reads.GetConsentRequest, pb.GetConsentRequestRequest(registration_id="nosuch")
    )
    for call in (
        service.get("nosuch"),
        service.mailing("nosuch"),
        consent_request,
        service.activate("nosuch", None),
        service.advance("nosuch", life.STAGE_WELCOMED),
        service.end("nosuch", life.STAGE_LAPSED),
    ):
        assert await refusal(call) == missing


async def test_registrations_are_found_by_their_reference(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    reference = of_registration(waiting.registration_id)
    for quoted in (reference, reference.lower().replace("-", " "), waiting.registration_id):
        assert await service.find(quoted) == [waiting]
    last = waiting.registration_id[-1]
    shares = waiting.registration_id[:-1] + ("0" if last != "0" else "1")
    async with service.engine.begin() as connection:
        copy = text(
            "INSERT INTO registrations SELECT (jsonb_populate_record(r, jsonb_build_object("
            "'registration_id', CAST(:shares AS text), 'person_id', CAST(:shares AS text),"
            "'request_id', gen_random_uuid(), 'created_at', r.created_at + interval '1 s'))).*"
            " FROM registrations r WHERE registration_id = :id"
        )
        await connection.execute(copy, {"shares": shares, "id": waiting.registration_id})
    assert [found.registration_id for found in await service.find(reference)] == [
        shares,
        waiting.registration_id,
    ]
    assert await service.find(waiting.registration_id) == [waiting]


@pytest.mark.parametrize("quoted", ["", "R-2222-2222", "L-7K3M-92QF", "%", "\x00", "0" * 32])
async def test_what_is_no_reference_finds_nothing(service: Service, quoted: str) -> None:
    assert await refusal(service.find(quoted)) == ("NOT_FOUND", "REGISTRATION_NOT_FOUND")


@pytest.mark.parametrize("registration_id", ["", "\x00", "A" * 33, "x' OR '1'='1"])
async def test_a_malformed_registration_id(service: Service, registration_id: str) -> None:
    wrong = {"registration_id": "INVALID_FORMAT"}
    calls: list[Callable[[str], Awaitable[object]]] = [
        service.get,
        service.mailing,
        lambda id_: service.activate(id_, None),
        lambda id_: service.advance(id_, life.STAGE_WELCOMED),
        lambda id_: service.end(id_, life.STAGE_LAPSED),
    ]
    for call in calls:
        assert await violations(call(registration_id)) == wrong


async def test_where_a_person_stands(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")
    person_id = secrets.token_hex(16)

    async def standing(unit_id: str) -> str:
        return Standing.Name((await service.look_up(person_id, unit_id)).standing)

    unknown = await service.look_up(person_id, unit.unit_id)
    assert Standing.Name(unknown.standing) == "STANDING_NOT_REGISTERED"
    assert not unknown.HasField("registration")
    first = await service.waiting(unit.unit_id, person_id=person_id)
    for unit_id in (unit.unit_id, other.unit_id):
        assert await standing(unit_id) == "STANDING_BEING_REGISTERED"
    assert (await service.look_up(person_id, other.unit_id)).registration == first
    await service.end(first.registration_id, life.STAGE_WITHDRAWN)
    assert await service.look_up(person_id, unit.unit_id) == unknown
    await service.erase(person_id)
    await service.forget(person_id)
    second = await service.waiting(unit.unit_id, person_id=person_id)
    active = await service.activate(second.registration_id, None)
    assert (await service.look_up(person_id, unit.unit_id)).registration == active
    assert await standing(unit.unit_id) == "STANDING_REGISTERED_IN_THIS_UNIT"
    assert await standing(other.unit_id) == "STANDING_REGISTERED_IN_ANOTHER_UNIT"
    welcomed = await service.advance(second.registration_id, life.STAGE_WELCOMED)
    assert (await service.look_up(person_id, unit.unit_id)).registration == welcomed
    assert await service.look_up("", unit.unit_id) == unknown
    malformed = service.look_up("?", unit.unit_id)
    assert await violations(malformed) == {"person_id": "INVALID_FORMAT"}


async def test_pages_are_complete_and_stable_while_others_save(service: Service, unit: Unit) -> None:
    made = [
        (await service.create(unit.unit_id, adult_form())).registration.registration_id for _ in range(11)
    ]
    elsewhere = await service.unit("Toinen kirjasto")
    await service.create(elsewhere.unit_id, adult_form())
    seen: list[str] = []
    token = ""
    sizes = []
    while True:
        page = await service.page(unit.unit_id, page_size=4, page_token=token)
        sizes.append(len(page.registrations))
        seen += [registration.registration_id for registration in page.registrations]
        await service.create(unit.unit_id, adult_form())
        token = page.next_page_token
        if not token:
            break
    assert sizes == [4, 4, 3]
    assert seen == made[::-1]


async def test_registrations_saved_at_one_moment_are_all_listed(service: Service, unit: Unit) -> None:
    made = {(await service.create(unit.unit_id, adult_form())).registration.registration_id for _ in range(7)}
    async with service.engine.begin() as connection:
        await connection.execute(
            text("UPDATE registrations SET created_at = now() WHERE unit_id = :u"), {"u": unit.unit_id}
        )
    seen: list[str] = []
    token = ""
    while len(seen) < 7:
        page = await service.page(unit.unit_id, page_size=2, page_token=token)
        seen += [registration.registration_id for registration in page.registrations]
        token = page.next_page_token
    assert not token
    assert set(seen) == made
    assert len(seen) == 7


async def test_a_page_that_ends_with_the_list_gives_no_token(service: Service, unit: Unit) -> None:
    for _ in range(2):
        await service.create(unit.unit_id, adult_form())
    page = await service.page(unit.unit_id, page_size=2)
    assert (len(page.registrations), page.next_page_token) == (2, "")
    assert not (await service.page("nosuchunit")).registrations


async def test_registrations_of_one_stage(service: Service, unit: Unit) -> None:
    await service.create(unit.unit_id, adult_form())
    waiting = [await service.waiting(unit.unit_id) for _ in range(3)]
    ended = await service.end((await service.waiting(unit.unit_id)).registration_id, life.STAGE_DECLINED)
    stage = life.STAGE_WAITING_FOR_CONSENT
    first = await service.page(unit.unit_id, stage=stage, page_size=2)
    rest = await service.page(unit.unit_id, stage=stage, page_size=2, page_token=first.next_page_token)
    assert [*first.registrations, *rest.registrations] == waiting[::-1]
    assert not rest.next_page_token
    assert list((await service.page(unit.unit_id, stage=life.STAGE_DECLINED)).registrations) == [ended]
    assert not (await service.page(unit.unit_id, stage=life.STAGE_LAPSED)).registrations
    assert len((await service.page(unit.unit_id)).registrations) == 5


async def test_registrations_of_several_stages_come_newest_first(service: Service, unit: Unit) -> None:
    made = []
    for number in range(6):
        one = await service.waiting(unit.unit_id)
        if number % 3 == 1:
            one = await service.end(one.registration_id, life.STAGE_DECLINED)
        if number % 3 == 2:
            one = await service.end(one.registration_id, life.STAGE_LAPSED)
        made.append(one)
    asked: dict[str, Any] = {"stages": [life.STAGE_WAITING_FOR_CONSENT, life.STAGE_LAPSED], "page_size": 3}
    first = await service.page(unit.unit_id, **asked)
    rest = await service.page(unit.unit_id, **asked, page_token=first.next_page_token)
    assert [*first.registrations, *rest.registrations] == [made[5], made[3], made[2], made[0]]
    assert not rest.next_page_token


async def test_registrations_of_one_registrar(service: Service, unit: Unit) -> None:
    other = pb.Registrar(account_id="ac1", display_name="Toinen Rekisteröijä")
    waiting = await service.waiting(unit.unit_id, registrar=other)
    await service.waiting(unit.unit_id)
    active = (await service.create(unit.unit_id, adult_form(), registrar=other)).registration
    mine = await service.page(unit.unit_id, registrar_account_id="ac1")
    assert list(mine.registrations) == [active, waiting]
    stages = [life.STAGE_WAITING_FOR_CONSENT]
    assert list(
        (await service.page(unit.unit_id, registrar_account_id="ac1", stages=stages)).registrations
    ) == [waiting]


async def test_registrations_in_the_order_of_their_deadlines(service: Service, unit: Unit) -> None:
    noon = helsinki_moment(date(2031, 5, 6), 12)
    by_day = {
        days: await service.waiting(unit.unit_id, consent_deadline=timestamp(noon + timedelta(days=days)))
        for days in (3, 1, 2, 0)
    }
    await service.create(unit.unit_id, adult_form())
    await service.end((await service.waiting(unit.unit_id)).registration_id, life.STAGE_DECLINED)
    asked: dict[str, Any] = {"order_by": REGISTRATION_ORDER_DEADLINE, "page_size": 2}
    first = await service.page(unit.unit_id, **asked)
    rest = await service.page(unit.unit_id, **asked, page_token=first.next_page_token)
    assert [*first.registrations, *rest.registrations] == [by_day[days] for days in range(4)]
    assert not rest.next_page_token
    # The day itself is not before it.
    before = await service.page(unit.unit_id, due_before_date=Date(year=2031, month=5, day=8))
    assert list(before.registrations) == [by_day[0], by_day[1]]
    nobody = await service.page(
        unit.unit_id, due_before_date=Date(year=2031, month=5, day=8), stages=[life.STAGE_ACTIVE]
    )
    assert not nobody.registrations


async def test_registrations_whose_guardians_address_failed(service: Service, unit: Unit) -> None:
    failed, corrected = [await service.waiting(unit.unit_id) for _ in range(2)]
    await service.waiting(unit.unit_id)
    async with service.engine.begin() as connection:
        for one in (failed, corrected):
            await connection.execute(
                text("UPDATE registrations SET undeliverable_since = now() WHERE registration_id = :id"),
                {"id": one.registration_id},
            )
    await service.activate(corrected.registration_id, None)
    page = await service.page(unit.unit_id, undeliverable=True)
    assert [one.registration_id for one in page.registrations] == [failed.registration_id]
    none = await service.page(unit.unit_id, undeliverable=True, stages=[life.STAGE_ACTIVE])
    assert not none.registrations


def token_of(fields: object) -> str:
    return urlsafe_b64encode(json.dumps(fields).encode()).decode()


@pytest.mark.parametrize(
    "page_token",
    [
        "x",
        "ääkkösiä",
        "!!!!",
        "e30=",
        token_of([]),
        token_of([1, 2]),
        token_of(["1", "0" * 32]),
        token_of([1, "0" * 32, 3]),
        token_of([10**30, "0" * 32]),
        token_of([1.5, "0" * 32]),
        token_of([1, "0" * 31 + "\x00"]),
        urlsafe_b64encode(b"[" * 140).decode(),
        urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
async def test_a_page_token_of_ones_own_making(service: Service, unit: Unit, page_token: str) -> None:
    found = await violations(service.page(unit.unit_id, page_token=page_token))
    assert found == {"page_token": "INVALID_PAGE_TOKEN"}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"page_size": 0}, {"page_size": "INVALID_FORMAT"}),
        ({"page_size": 201}, {"page_size": "INVALID_FORMAT"}),
        ({"stage": 77}, {"stage": "UNKNOWN_VALUE"}),
        ({"stages": [77]}, {"stages": "UNKNOWN_VALUE"}),
        ({"order_by": 77}, {"order_by": "UNKNOWN_VALUE"}),
        ({"due_before_date": Date(year=2026, month=2, day=30)}, {"due_before_date": "INVALID_DATE"}),
        ({"due_before_date": Date(year=1, month=1, day=1)}, {"due_before_date": "INVALID_DATE"}),
        ({"unit_id": ""}, {"unit_id": "INVALID_FORMAT"}),
        ({"page_token": "x" * 201}, {"page_token": "TOO_LONG"}),
    ],
)
async def test_a_malformed_list_is_refused(
    service: Service, unit: Unit, fields: dict[str, Any], wrong: dict[str, str]
) -> None:
    assert await violations(service.page(**({"unit_id": unit.unit_id} | fields))) == wrong


async def test_mail_of_a_child_goes_to_the_guardian(service: Service, unit: Unit) -> None:
    address = f"{secrets.token_hex(6)}@koti.example"
    form = changed(child_form(), related_person__email=address)
    waiting, sibling = [
        (await service.create(unit.unit_id, form, birth_date=birth_of_child())).registration for _ in range(2)
    ]
    details = pb.MailingDetails(
        first_names="Eetu Ilmari",
        language=form_pb.LANGUAGE_FI,
        customer_email=address,
        related_person_email=address,
        credentials_recipient=form_pb.CREDENTIALS_RECIPIENT_RELATED_PERSON,
        unit_display_name=unit.display_name,
        registrar_account_id=REGISTRAR.account_id,
        unit_id=unit.unit_id,
        kind=form_pb.CUSTOMER_KIND_ONLINE,
    )
    expected = pb.GetMailingDetailsResponse(mailing_details=details)
    for number, registration in enumerate((waiting, sibling), 1):
        # What waits for a consent from the same address is numbered.
        found = (await service.mailing(registration.registration_id)).mailing_details
        assert (found.request_number, found.request_count) == (number, 2)
        found.ClearField("request_number")
        found.ClearField("request_count")
        assert found == details
    await service.activate(waiting.registration_id, None)
    assert await service.mailing(waiting.registration_id) == expected
    await service.advance(waiting.registration_id, life.STAGE_WELCOMED)
    assert await service.mailing(waiting.registration_id) == expected


async def test_siblings_are_recognised_however_the_address_is_written(service: Service, unit: Unit) -> None:
    """Cases 13 and 40: their requests are numbered, of two units, too; one corrected offers the others."""
    name = secrets.token_hex(6)
    written = (f"{name}@Posti.Example", f"{name.upper()}@posti.example", f"{name}+eetu@posti.example")
    forms = [
        changed(child_form(), first_names=first, related_person__email=address)
        for first, address in zip(("Aino", "Bertta", "Cecilia"), written, strict=True)
    ]
    made = [
        (await service.create(unit.unit_id, form, birth_date=birth_of_child())).registration for form in forms
    ]
    other_unit = (await service.unit("Toinen koulu")).unit_id
    elsewhere = (await service.create(other_unit, forms[0], birth_date=birth_of_child())).registration
    for number, registration in enumerate((*made, elsewhere), 1):
        details = (await service.mailing(registration.registration_id)).mailing_details
        assert (details.request_number, details.request_count) == (number, 4)
    await service.activate(made[1].registration_id, None)
    request = pb.ListSameGuardianRequest(unit_id=unit.unit_id, email=f"{name}+x@posti.example")
    found = await service.gateway.call(service.reads.ListSameGuardian, request)
    assert [(each.display_name.split()[0], bool(each.customer_id)) for each in found.others] == [
        ("Aino", False),
        ("Bertta", True),
        ("Cecilia", False),
    ]


async def test_mail_of_a_customer_goes_to_the_address_now_on_file(service: Service, unit: Unit) -> None:
    answer = await service.create(unit.unit_id, adult_form())
    made = answer.registration
    details = (await service.mailing(made.registration_id)).mailing_details
    assert details == answer.mailing_details
    assert details.customer_email == "aino.mallikas@koti.example"
    assert details.related_person_email == ""
    async with service.engine.begin() as connection:
        await connection.execute(
            text("UPDATE customers SET profile = profile || CAST(:change AS jsonb) WHERE person_id = :p"),
            {"change": '{"email": "uusi@koti.example", "language": "LANGUAGE_SV"}', "p": made.person_id},
        )
    details = (await service.mailing(made.registration_id)).mailing_details
    assert (details.customer_email, details.language) == ("uusi@koti.example", form_pb.LANGUAGE_SV)


async def test_no_mail_where_nobody_stands(service: Service, unit: Unit) -> None:
    gone = pb.GetMailingDetailsResponse()
    ended = await service.waiting(unit.unit_id)
    await service.end(ended.registration_id, life.STAGE_DECLINED)
    assert await service.mailing(ended.registration_id) == gone
    made = (await service.create(unit.unit_id, adult_form())).registration
    async with service.engine.begin() as connection:
        await connection.execute(text("DELETE FROM customers WHERE person_id = :p"), {"p": made.person_id})
    assert await service.mailing(made.registration_id) == gone


async def test_a_person_whose_customership_was_erased_may_be_registered_again(
    service: Service, unit: Unit
) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    await service.advance(made.registration_id, life.STAGE_WELCOMED)
    await service.erase(made.person_id)
    answer = await service.look_up(made.person_id, unit.unit_id)
    assert Standing.Name(answer.standing) == "STANDING_NOT_REGISTERED"
    await service.forget(made.person_id)
    assert await service.prepare(unit.unit_id, adult_form(), person_id=made.person_id) is None
    again = (await service.create(unit.unit_id, adult_form(), person_id=made.person_id)).registration
    assert (await service.look_up(made.person_id, unit.unit_id)).registration == again
