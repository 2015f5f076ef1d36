"""CreateRegistration: what a Save stores, once and for one person."""

import asyncio
import secrets
import uuid
from datetime import UTC, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.unit_service_pb2 import (
    Unit,
)
from liity.v1 import customer_form_pb2 as form_pb
from liity.v1 import registration_pb2 as life
from services.runtime.clock import from_proto_date, helsinki_day, now, to_proto_date
from services.runtime.rpc.errors import Refusal, reason_name
from tests.support.registration_forms import adult_form, child_form, paper_consent
from tests.support.registration_service import (
    BIRTH_OF_ADULT,
    DEADLINE,
    REGISTRAR,
    Service,
    birth_of_child,
    refusal,
    violations,
)


async def test_an_adult_becomes_a_customer_at_once(service: Service, unit: Unit) -> None:
    person_id = secrets.token_hex(16)
    form = adult_form()
    form.first_names = "  Aino   Orvokki "
    form.phone = "040 1234567"
    before = now()
    response = await service.create(unit.unit_id, form, person_id=person_id)
    registration = response.registration
    assert not response.HasField("consent_outgrown_date")
    assert registration.stage == life.STAGE_ACTIVE
    assert registration.consent_state == life.CONSENT_STATE_NOT_NEEDED
    assert registration.kind == form_pb.CUSTOMER_KIND_ONLINE
    assert registration.customer_display_name == "Aino Orvokki Mallikas"
    assert (registration.unit_id, registration.person_id) == (unit.unit_id, person_id)
    assert (registration.registrar_account_id, registration.registrar_display_name) == (
        REGISTRAR.account_id,
        REGISTRAR.display_name,
    )
    assert not registration.HasField("deadline")
    assert before <= registration.create_time.ToDatetime(UTC) <= now()
    assert registration.update_time == registration.create_time
    assert await service.get(registration.registration_id) == registration
    [customer] = await service.rows("SELECT * FROM customers WHERE person_id = :p", p=person_id)
    assert customer["first_names"] == "Aino Orvokki"
    assert customer["email"] == "aino.mallikas@koti.example"
    assert customer["profile"]["phone"] == "+358401234567"
    assert customer["profile"]["address"]["municipality"] == "Espoo"
    [stored] = await service.rows(
        "SELECT form, customer_id FROM registrations WHERE registration_id = :r",
        r=registration.registration_id,
    )
    assert (stored["form"], stored["customer_id"]) == (None, customer["customer_id"])
    assert not await service.rows("SELECT 1 FROM consents WHERE customer_id = :c", c=customer["customer_id"])


async def test_a_child_waits_for_consent(service: Service, unit: Unit) -> None:
    person_id = secrets.token_hex(16)
    birth_date = birth_of_child()
    response = await service.create(unit.unit_id, child_form(), person_id=person_id, birth_date=birth_date)
    registration = response.registration
    assert registration.stage == life.STAGE_WAITING_FOR_CONSENT
    assert registration.consent_state == life.CONSENT_STATE_AWAITED
    assert registration.deadline.ToDatetime(UTC) == DEADLINE
    assert response.consent_outgrown_date == Date(
        year=birth_date.year + 15, month=birth_date.month, day=birth_date.day
    )
    assert await service.get(registration.registration_id) == registration
    assert not await service.rows("SELECT 1 FROM customers WHERE person_id = :p", p=person_id)


async def test_a_consent_on_paper_is_kept_as_evidence(service: Service, unit: Unit) -> None:
    form = child_form()
    form.paper_consent.CopyFrom(paper_consent(days_ago=3))
    response = await service.create(unit.unit_id, form, birth_date=birth_of_child())
    assert not response.HasField("consent_outgrown_date")
    assert response.registration.stage == life.STAGE_ACTIVE
    assert response.registration.consent_state == life.CONSENT_STATE_GIVEN
    [evidence] = await service.rows(
        "SELECT * FROM consents WHERE registration_id = :r", r=response.registration.registration_id
    )
    assert evidence["method"] == pb.ConsentEvidence.METHOD_PAPER
    assert evidence["guardian_name"] == "Kerttu Huoltaja"
    assert evidence["sign_date"] == from_proto_date(form.paper_consent.sign_date)
    assert (evidence["wording_version"], evidence["recorded_by"]) == ("", REGISTRAR.account_id)


async def test_the_fifteenth_birthday_decides_in_helsinki(service: Service, unit: Unit) -> None:
    today = helsinki_day(now())
    # Nobody was born on 29 February fifteen years before one.
    some_day = today - timedelta(days=1) if (today.month, today.day) == (2, 29) else today
    born = some_day.replace(year=today.year - 15)
    for birth_date, stage in (
        (born - timedelta(days=1), life.STAGE_ACTIVE),
        (born, life.STAGE_ACTIVE),
        (born + timedelta(days=2), life.STAGE_WAITING_FOR_CONSENT),
    ):
        answer = await service.create(unit.unit_id, child_form(), birth_date=to_proto_date(birth_date))
        assert answer.registration.stage == stage


async def test_a_repeated_save_answers_the_same(service: Service, unit: Unit) -> None:
    fields = {"request_id": str(uuid.uuid4()), "person_id": secrets.token_hex(16)}
    answers = await asyncio.gather(*(service.create(unit.unit_id, adult_form(), **fields) for _ in range(20)))
    assert all(answer.registration == answers[0].registration for answer in answers)
    assert sum(answer.HasField("mailing_details") for answer in answers) == 1
    assert len((await service.page(unit.unit_id)).registrations) == 1
    assert await service.prepare(unit.unit_id, adult_form(), **fields) == answers[0].registration
    child = {"request_id": str(uuid.uuid4()), "person_id": secrets.token_hex(16)}
    waits = [
        await service.create(unit.unit_id, child_form(), birth_date=birth_of_child(), **child)
        for _ in range(2)
    ]
    assert waits[0].registration == waits[1].registration
    assert waits[0].consent_outgrown_date == waits[1].consent_outgrown_date
    assert waits[0].HasField("consent_outgrown_date")


async def test_a_repeated_save_is_answered_after_the_registration_has_ended(
    service: Service, unit: Unit
) -> None:
    fields = {"request_id": str(uuid.uuid4()), "person_id": secrets.token_hex(16)}
    registration = await service.waiting(unit.unit_id, **fields)
    ended = await service.end(registration.registration_id, life.STAGE_WITHDRAWN)
    assert await service.prepare(unit.unit_id, child_form(), **fields) == ended
    again = await service.create(unit.unit_id, child_form(), birth_date=birth_of_child(), **fields)
    assert again.registration == ended
    assert not again.HasField("consent_outgrown_date")


async def test_a_request_id_belongs_to_one_save(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")
    fields = {"request_id": str(uuid.uuid4()), "person_id": secrets.token_hex(16)}
    await service.create(unit.unit_id, adult_form(), **fields)
    reused = ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    stranger = pb.Registrar(account_id="ac1", display_name="Joku Muu")
    someone_else = fields | {"person_id": secrets.token_hex(16)}
    for attempt in (
        service.create(other.unit_id, adult_form(), **fields),
        service.create(unit.unit_id, adult_form(), **fields, registrar=stranger),
        service.create(unit.unit_id, adult_form(), **someone_else),
        service.prepare(other.unit_id, adult_form(), **fields),
        service.prepare(unit.unit_id, adult_form(), **fields, account_id="ac1"),
        service.prepare(unit.unit_id, adult_form(), **someone_else),
    ):
        assert await refusal(attempt) == reused


async def test_fifty_racing_saves_make_one_customer(service: Service) -> None:
    units = [await service.unit(f"Kirjasto {number}") for number in range(5)]
    person_id = secrets.token_hex(16)
    answers = await asyncio.gather(
        *(
            service.create(units[number % 5].unit_id, adult_form(), person_id=person_id)
            for number in range(50)
        ),
        return_exceptions=True,
    )
    [made] = [answer for answer in answers if isinstance(answer, pb.CreateRegistrationResponse)]
    for number, answer in enumerate(answers):
        if answer is made:
            continue
        assert isinstance(answer, Refusal)
        own = units[number % 5].unit_id == made.registration.unit_id
        place = "THIS_UNIT" if own else "ANOTHER_UNIT"
        assert (answer.code.name, reason_name(answer.reason)) == (
            "ALREADY_EXISTS",
            f"ALREADY_REGISTERED_IN_{place}",
        )
    assert len(await service.rows("SELECT 1 FROM customers WHERE person_id = :p", p=person_id)) == 1
    assert len(await service.rows("SELECT 1 FROM registrations WHERE person_id = :p", p=person_id)) == 1


async def test_racing_saves_with_and_without_paper_make_one_registration(
    service: Service, unit: Unit
) -> None:
    with_paper = child_form()
    with_paper.paper_consent.CopyFrom(paper_consent())
    for _ in range(10):
        person_id = secrets.token_hex(16)
        answers = await asyncio.gather(
            *(
                service.create(unit.unit_id, form, person_id=person_id, birth_date=birth_of_child())
                for form in (child_form(), with_paper) * 4
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, pb.CreateRegistrationResponse) for answer in answers) == 1
        assert all(
            answer.code is grpc.StatusCode.ALREADY_EXISTS for answer in answers if isinstance(answer, Refusal)
        )
        assert len(await service.rows("SELECT 1 FROM registrations WHERE person_id = :p", p=person_id)) == 1


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": "x"}, {"request_id": "INVALID_FORMAT"}),
        ({"person_id": ""}, {"person_id": "INVALID_FORMAT"}),
        ({"birth_date": None}, {"birth_date": "REQUIRED"}),
        ({"birth_date": Date(year=2020, month=13, day=1)}, {"birth_date": "INVALID_DATE"}),
        ({"birth_date": Date(year=9999, month=12, day=31)}, {"birth_date": "DATE_IN_FUTURE"}),
        ({"registrar": None}, {"registrar": "REQUIRED"}),
        (
            {"registrar": pb.Registrar(account_id="a", display_name="\x00")},
            {"registrar.display_name": "FORBIDDEN_CHARACTERS"},
        ),
        ({"consent_deadline": None}, {"consent_deadline": "REQUIRED"}),
        ({"consent_deadline": Timestamp(seconds=10**15)}, {"consent_deadline": "INVALID_FORMAT"}),
    ],
)
async def test_a_malformed_creation_is_refused(
    service: Service, unit: Unit, fields: dict[str, Any], wrong: dict[str, str]
) -> None:
    good = {"birth_date": birth_of_child()}
    assert await violations(service.create(unit.unit_id, child_form(), **(good | fields))) == wrong
    assert not (await service.page(unit.unit_id)).registrations


async def test_a_creation_without_a_unit_or_a_form_stores_nothing(service: Service, unit: Unit) -> None:
    person_id = secrets.token_hex(16)
    for form, birth_date in ((adult_form(), BIRTH_OF_ADULT), (child_form(), birth_of_child())):
        missing = service.create("nosuchunit", form, person_id=person_id, birth_date=birth_date)
        assert await refusal(missing) == ("NOT_FOUND", "UNIT_NOT_FOUND")
    form = adult_form()
    form.kind = 99_999
    form.last_name = "a\x00"
    assert await violations(service.create(unit.unit_id, form, person_id=person_id)) == {
        "form.last_name": "FORBIDDEN_CHARACTERS",
        "form.kind": "UNKNOWN_VALUE",
    }
    form = child_form()
    form.paper_consent.CopyFrom(form_pb.PaperConsent(guardian_name="K", sign_date=Date(year=1)))
    wrong = service.create(unit.unit_id, form, person_id=person_id, birth_date=birth_of_child())
    assert await violations(wrong) == {"form.paper_consent.sign_date": "INVALID_DATE"}
    assert person_id not in await service.everything_stored()
