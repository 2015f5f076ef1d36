"""The RPCs of the registration service, on a real PostgreSQL and over gRPC."""

import asyncio
import json
import secrets
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.postgres import EmbeddedPostgres
from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.registration_service_pb2_grpc import (
    RegistrationServiceStub,
    add_RegistrationServiceServicer_to_server,
)
from liity.registration.v1.unit_service_pb2 import (
    UNIT_KIND_LIBRARY,
    UNIT_KIND_SCHOOL,
    BatchGetUnitsRequest,
    CreateUnitRequest,
    Unit,
    UnitKind,
)
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub, add_UnitServiceServicer_to_server
from liity.v1 import customer_form_pb2 as form_pb
from liity.v1 import registration_pb2 as life
from liity.v1.registration_service_pb2 import Standing
from services.registration.models import Base
from services.registration.registration_service import RegistrationServicer
from services.registration.unit_service import UnitServicer
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.errors import Refusal, reason_name
from services.runtime.peer import Peer
from tests.registration_forms import adult_form, child_form, date_from_today, paper_consent
from tests.services.conftest import migrated_engine, peer, serving

BIRTH_OF_ADULT = Date(year=1990, month=1, day=1)
REGISTRAR = pb.Registrar(account_id="ac0", display_name="Riikka Rekisteröijä")
DEADLINE = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


def birth_of_child() -> Date:
    """The birth date of somebody who is eight or nine years old."""
    return Date(year=helsinki_day(now()).year - 9, month=7, day=1)


def timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


@dataclass
class Service:
    """The registration service, as the gateway, the worker and the seed call it."""

    engine: AsyncEngine
    gateway: Peer
    worker: Peer
    seed: Peer

    def __post_init__(self) -> None:
        self.reads = RegistrationServiceStub(self.gateway.channel)
        self.changes = RegistrationServiceStub(self.worker.channel)

    async def unit(
        self, name: str = "Esimerkkikirjasto", kind: UnitKind.ValueType = UNIT_KIND_LIBRARY
    ) -> Unit:
        request = CreateUnitRequest(request_id=str(uuid.uuid4()), display_name=name, kind=kind)
        return (await self.seed.call(UnitServiceStub(self.seed.channel).CreateUnit, request)).unit

    async def prepare(
        self, unit_id: str, form: form_pb.CustomerForm, **fields: Any
    ) -> pb.Registration | None:
        request = pb.PrepareRegistrationRequest(
            **{
                "request_id": str(uuid.uuid4()),
                "unit_id": unit_id,
                "birth_date": BIRTH_OF_ADULT,
                "account_id": REGISTRAR.account_id,
                **fields,
            },
            form=form,
        )
        response = await self.gateway.call(self.reads.PrepareRegistration, request)
        return response.registration if response.HasField("registration") else None

    async def create(
        self, unit_id: str, form: form_pb.CustomerForm, **fields: Any
    ) -> pb.CreateRegistrationResponse:
        request = pb.CreateRegistrationRequest(
            **{
                "request_id": str(uuid.uuid4()),
                "person_id": secrets.token_hex(16),
                "unit_id": unit_id,
                "birth_date": BIRTH_OF_ADULT,
                "registrar": REGISTRAR,
                "consent_deadline": timestamp(DEADLINE),
                **fields,
            },
            form=form,
        )
        return await self.worker.call(self.changes.CreateRegistration, request)

    async def waiting(self, unit_id: str, **fields: Any) -> pb.Registration:
        """The registration of a child that waits for consent."""
        response = await self.create(unit_id, child_form(), birth_date=birth_of_child(), **fields)
        assert response.registration.stage == life.STAGE_WAITING_FOR_CONSENT
        return response.registration

    async def get(self, registration_id: str) -> pb.Registration:
        request = pb.GetRegistrationRequest(registration_id=registration_id)
        return (await self.gateway.call(self.reads.GetRegistration, request)).registration

    async def page(self, unit_id: str, **fields: Any) -> pb.ListRegistrationsResponse:
        request = pb.ListRegistrationsRequest(**{"unit_id": unit_id, "page_size": 50, **fields})
        return await self.gateway.call(self.reads.ListRegistrations, request)

    async def look_up(self, person_id: str, unit_id: str) -> pb.LookUpPersonResponse:
        request = pb.LookUpPersonRequest(person_id=person_id, unit_id=unit_id)
        return await self.gateway.call(self.reads.LookUpPerson, request)

    async def mailing(self, registration_id: str) -> pb.GetMailingDetailsResponse:
        request = pb.GetMailingDetailsRequest(registration_id=registration_id)
        return await self.worker.call(self.changes.GetMailingDetails, request)

    async def activate(self, registration_id: str, consent: pb.ConsentEvidence | None) -> pb.Registration:
        request = pb.ActivateRegistrationRequest(registration_id=registration_id, consent=consent)
        return (await self.worker.call(self.changes.ActivateRegistration, request)).registration

    async def advance(
        self, registration_id: str, stage: life.Stage.ValueType, deadline: datetime | None = None
    ) -> pb.Registration:
        request = pb.AdvanceRegistrationRequest(
            registration_id=registration_id, stage=stage, deadline=timestamp(deadline) if deadline else None
        )
        return (await self.worker.call(self.changes.AdvanceRegistration, request)).registration

    async def end(self, registration_id: str, stage: life.Stage.ValueType) -> pb.Registration:
        request = pb.EndRegistrationRequest(registration_id=registration_id, stage=stage)
        return (await self.worker.call(self.changes.EndRegistration, request)).registration

    async def rows(self, statement: str, **parameters: object) -> list[Any]:
        async with self.engine.connect() as connection:
            return list((await connection.execute(text(statement), parameters)).mappings())

    async def everything_stored(self) -> str:
        """Every row of every table, as text."""
        rows = [
            row["stored"]
            for table in Base.metadata.sorted_tables
            for row in await self.rows(f"SELECT t::text AS stored FROM {table.name} t")  # noqa: S608
        ]
        return "\n".join(rows)


@pytest.fixture(scope="module")
async def service(postgres: EmbeddedPostgres, keys_dir: Path) -> AsyncIterator[Service]:
    async with migrated_engine(postgres, "registration", keys_dir) as engine:

        def add_services(server: grpc.aio.Server) -> None:
            add_UnitServiceServicer_to_server(UnitServicer(engine), server)
            add_RegistrationServiceServicer_to_server(RegistrationServicer(engine), server)

        async with (
            serving("registration", add_services, keys_dir) as target,
            peer("registration", target, keys_dir, "gateway") as gateway,
            peer("registration", target, keys_dir, "worker") as worker,
            peer("registration", target, keys_dir, "seed") as seed,
        ):
            yield Service(engine, gateway, worker, seed)


@pytest.fixture
async def unit(service: Service) -> Unit:
    return await service.unit()


async def refusal(call: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value.code.name, reason_name(caught.value.reason)


async def violations(call: Awaitable[object]) -> dict[str, str]:
    with pytest.raises(Refusal) as caught:
        await call
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    return {field: reason_name(reason) for field, reason in caught.value.violations}


async def test_models_and_migrations_agree(service: Service) -> None:
    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    async with service.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


# Units


async def test_a_unit_is_made_once_per_request(service: Service) -> None:
    request = CreateUnitRequest(
        request_id=str(uuid.uuid4()), display_name="Esimerkkikoulu", kind=UNIT_KIND_SCHOOL
    )
    create = UnitServiceStub(service.seed.channel).CreateUnit
    answers = await asyncio.gather(*(service.seed.call(create, request) for _ in range(10)))
    assert len({answer.unit.unit_id for answer in answers}) == 1
    assert (answers[0].unit.display_name, answers[0].unit.kind) == ("Esimerkkikoulu", UNIT_KIND_SCHOOL)
    request.kind = UNIT_KIND_LIBRARY
    assert await refusal(service.seed.call(create, request)) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"display_name": ""}, {"display_name": "REQUIRED"}),
        ({"display_name": "x" * 201}, {"display_name": "TOO_LONG"}),
        ({"display_name": "a\x00b"}, {"display_name": "FORBIDDEN_CHARACTERS"}),
        ({"kind": 0}, {"kind": "REQUIRED"}),
        ({"kind": 99}, {"kind": "UNKNOWN_VALUE"}),
        ({"request_id": "1"}, {"request_id": "INVALID_FORMAT"}),
    ],
)
async def test_a_wrong_unit_is_refused(
    service: Service, fields: dict[str, Any], wrong: dict[str, str]
) -> None:
    good = {"request_id": str(uuid.uuid4()), "display_name": "Koulu", "kind": UNIT_KIND_SCHOOL}
    create = UnitServiceStub(service.seed.channel).CreateUnit
    assert await violations(service.seed.call(create, CreateUnitRequest(**(good | fields)))) == wrong


async def test_units_by_their_ids(service: Service) -> None:
    units = [await service.unit(name) for name in ("Yksikkö B", "Yksikkö A")]
    get = UnitServiceStub(service.gateway.channel).BatchGetUnits
    ids = [unit.unit_id for unit in units]
    answer = await service.gateway.call(get, BatchGetUnitsRequest(unit_ids=[*ids, ids[0], "unknown"]))
    assert list(answer.units) == [units[1], units[0]]
    assert not (await service.gateway.call(get, BatchGetUnitsRequest())).units
    wrong = service.gateway.call(get, BatchGetUnitsRequest(unit_ids=["\x00"]))
    assert await violations(wrong) == {"unit_ids": "INVALID_FORMAT"}


# Who may call


async def test_each_component_calls_only_what_is_its_own(service: Service) -> None:
    denied = ("PERMISSION_DENIED", "PERMISSION_DENIED")
    create = RegistrationServiceStub(service.gateway.channel).CreateRegistration
    assert await refusal(service.gateway.call(create, pb.CreateRegistrationRequest())) == denied
    prepare = RegistrationServiceStub(service.worker.channel).PrepareRegistration
    assert await refusal(service.worker.call(prepare, pb.PrepareRegistrationRequest())) == denied
    stranger = service.changes.CreateRegistration(pb.CreateRegistrationRequest())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stranger
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


# Prepare


async def test_a_good_form_may_be_saved_and_nothing_is_stored(service: Service, unit: Unit) -> None:
    assert await service.prepare(unit.unit_id, adult_form(), person_id=secrets.token_hex(16)) is None
    assert await service.prepare(unit.unit_id, adult_form()) is None
    assert not (await service.page(unit.unit_id)).registrations


async def test_all_errors_of_a_form_come_in_one_answer(service: Service) -> None:
    school = await service.unit("Esimerkkikoulu", UNIT_KIND_SCHOOL)
    form = child_form()
    form.last_name = " "
    form.address.postcode = "1"
    form.applicant = form_pb.APPLICANT_SELF
    form.related_person.email = ""
    assert await violations(service.prepare(school.unit_id, form, birth_date=birth_of_child())) == {
        "form.last_name": "REQUIRED",
        "form.address.postcode": "INVALID_POSTCODE",
        "form.school_support": "SCHOOL_SUPPORT_REQUIRED",
        "form.applicant": "GUARDIAN_REQUIRED",
        "form.related_person.email": "REQUIRED",
    }


async def test_without_a_birth_date_the_rest_of_the_form_is_checked(service: Service, unit: Unit) -> None:
    form = child_form()
    assert await service.prepare(unit.unit_id, form, birth_date=None) is None
    form.terms_accepted = False
    wrong = service.prepare(unit.unit_id, form, birth_date=None)
    assert await violations(wrong) == {"form.terms_accepted": "TERMS_NOT_ACCEPTED"}


async def test_a_missing_form_and_a_missing_unit(service: Service, unit: Unit) -> None:
    found = await violations(service.prepare(unit.unit_id, None))
    assert found["form.first_names"] == "REQUIRED"
    missing = service.prepare("nosuchunit", adult_form())
    assert await refusal(missing) == ("NOT_FOUND", "UNIT_NOT_FOUND")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": ""}, {"request_id": "INVALID_FORMAT"}),
        ({"unit_id": "../x"}, {"unit_id": "INVALID_FORMAT"}),
        ({"person_id": "\x00"}, {"person_id": "INVALID_FORMAT"}),
        ({"account_id": ""}, {"account_id": "INVALID_FORMAT"}),
        ({"birth_date": Date(year=2001, month=2, day=29)}, {"birth_date": "INVALID_DATE"}),
        ({"birth_date": Date()}, {"birth_date": "INVALID_DATE"}),
        ({"birth_date": Date(year=9999, month=1, day=1)}, {"birth_date": "DATE_IN_FUTURE"}),
    ],
)
async def test_a_malformed_preparation_is_refused(
    service: Service, unit: Unit, fields: dict[str, Any], wrong: dict[str, str]
) -> None:
    good = {"unit_id": unit.unit_id}
    assert await violations(service.prepare(form=adult_form(), **(good | fields))) == wrong


async def test_a_known_person_is_not_registered_anew(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")
    customer, child = secrets.token_hex(16), secrets.token_hex(16)
    await service.create(unit.unit_id, adult_form(), person_id=customer)
    await service.waiting(unit.unit_id, person_id=child)
    for attempt in (
        lambda unit_id, person_id: service.prepare(unit_id, adult_form(), person_id=person_id),
        lambda unit_id, person_id: service.create(unit_id, adult_form(), person_id=person_id),
        lambda unit_id, person_id: service.waiting(unit_id, person_id=person_id),
    ):
        assert await refusal(attempt(unit.unit_id, customer)) == (
            "ALREADY_EXISTS",
            "ALREADY_REGISTERED_IN_THIS_UNIT",
        )
        assert await refusal(attempt(other.unit_id, customer)) == (
            "ALREADY_EXISTS",
            "ALREADY_REGISTERED_IN_ANOTHER_UNIT",
        )
        for unit_id in (unit.unit_id, other.unit_id):
            assert await refusal(attempt(unit_id, child)) == ("ALREADY_EXISTS", "BEING_REGISTERED")


async def test_errors_of_the_form_come_before_what_is_known_of_the_person(
    service: Service, unit: Unit
) -> None:
    person_id = secrets.token_hex(16)
    await service.create(unit.unit_id, adult_form(), person_id=person_id)
    form = adult_form()
    form.terms_accepted = False
    wrong = service.prepare(unit.unit_id, form, person_id=person_id)
    assert await violations(wrong) == {"form.terms_accepted": "TERMS_NOT_ACCEPTED"}


# Create


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
    assert evidence["sign_date"] == helsinki_day(now()) - timedelta(days=3)
    assert (evidence["wording_version"], evidence["recorded_by"]) == ("", REGISTRAR.account_id)


async def test_the_fifteenth_birthday_decides_in_helsinki(service: Service, unit: Unit) -> None:
    today = helsinki_day(now())
    # On 29 February nobody has a birthday fifteen years on, or ago.
    born = date(today.year - 15, today.month, min(today.day, 28))
    for birth_date, stage in (
        (born - timedelta(days=1), life.STAGE_ACTIVE),
        (born, life.STAGE_ACTIVE),
        (born + timedelta(days=3), life.STAGE_WAITING_FOR_CONSENT),
    ):
        answer = await service.create(unit.unit_id, child_form(), birth_date=to_proto_date(birth_date))
        assert answer.registration.stage == stage


async def test_a_repeated_save_answers_the_same(service: Service, unit: Unit) -> None:
    fields = {"request_id": str(uuid.uuid4()), "person_id": secrets.token_hex(16)}
    answers = await asyncio.gather(*(service.create(unit.unit_id, adult_form(), **fields) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert len((await service.page(unit.unit_id)).registrations) == 1
    assert await service.prepare(unit.unit_id, adult_form(), **fields) == answers[0].registration
    child = {"request_id": str(uuid.uuid4()), "person_id": secrets.token_hex(16)}
    waits = [
        await service.create(unit.unit_id, child_form(), birth_date=birth_of_child(), **child)
        for _ in range(2)
    ]
    assert waits[0] == waits[1]
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


# Reading


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
    second = await service.waiting(unit.unit_id, person_id=person_id)
    active = await service.activate(second.registration_id, None)
    assert (await service.look_up(person_id, unit.unit_id)).registration == active
    assert await standing(unit.unit_id) == "STANDING_REGISTERED_IN_THIS_UNIT"
    assert await standing(other.unit_id) == "STANDING_REGISTERED_IN_ANOTHER_UNIT"
    welcomed = await service.advance(second.registration_id, life.STAGE_WELCOMED)
    assert (await service.look_up(person_id, unit.unit_id)).registration == welcomed
    malformed = service.look_up("", unit.unit_id)
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
        ({"unit_id": ""}, {"unit_id": "INVALID_FORMAT"}),
        ({"page_token": "x" * 201}, {"page_token": "TOO_LONG"}),
    ],
)
async def test_a_malformed_list_is_refused(
    service: Service, unit: Unit, fields: dict[str, Any], wrong: dict[str, str]
) -> None:
    assert await violations(service.page(**({"unit_id": unit.unit_id} | fields))) == wrong


# Consent


async def test_what_a_guardian_is_asked(service: Service, unit: Unit) -> None:
    registration = await service.waiting(unit.unit_id)
    texts = {}
    for language in (form_pb.LANGUAGE_FI, form_pb.LANGUAGE_SV, form_pb.LANGUAGE_EN, 0):
        request = pb.GetConsentRequestRequest(registration_id=registration.registration_id, language=language)
        answer = await service.gateway.call(service.reads.GetConsentRequest, request)
        assert answer.child_first_names == "Eetu Ilmari"
        assert answer.unit_display_name == unit.display_name
        assert answer.deadline.ToDatetime(UTC) == DEADLINE
        assert answer.wording.version == "2026-1"
        assert answer.wording.language == (language or form_pb.LANGUAGE_FI)
        texts[language] = answer.wording.text
    assert texts[0] == texts[form_pb.LANGUAGE_FI]
    assert len(set(texts.values())) == 3
    assert all(len(wording) > 100 for wording in texts.values())
    await service.activate(registration.registration_id, None)
    request = pb.GetConsentRequestRequest(registration_id=registration.registration_id)
    asked_late = service.gateway.call(service.reads.GetConsentRequest, request)
    assert await refusal(asked_late) == ("FAILED_PRECONDITION", "NOT_WAITING_FOR_CONSENT")
    request.language = 55
    unknown = service.gateway.call(service.reads.GetConsentRequest, request)
    assert await violations(unknown) == {"language": "UNKNOWN_VALUE"}


async def test_a_consent_on_paper_is_checked(service: Service) -> None:
    async def check(consent: form_pb.PaperConsent | None) -> None:
        request = pb.CheckConsentRequest(consent=consent)
        await service.gateway.call(service.reads.CheckConsent, request)

    await check(paper_consent(days_ago=0))
    missing = {"consent.guardian_name": "REQUIRED", "consent.sign_date": "REQUIRED"}
    assert await violations(check(None)) == missing
    too_old = form_pb.PaperConsent(guardian_name=" ", sign_date=date_from_today(-100))
    assert await violations(check(too_old)) == {
        "consent.guardian_name": "REQUIRED",
        "consent.sign_date": "CONSENT_TOO_OLD",
    }


async def test_a_given_consent_begins_the_customership_and_is_kept(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    evidence = pb.ConsentEvidence(
        method=pb.ConsentEvidence.METHOD_LINK,
        guardian_name=" Kerttu  Toinen-Nimi ",
        wording_version="2026-1",
        wording_language=form_pb.LANGUAGE_SV,
    )
    active = await service.activate(waiting.registration_id, evidence)
    assert active.stage == life.STAGE_ACTIVE
    assert active.consent_state == life.CONSENT_STATE_GIVEN
    assert active.customer_display_name == "Eetu Ilmari Mallikas"
    assert not active.HasField("deadline")
    assert active.create_time == waiting.create_time
    assert active.update_time.ToDatetime() > waiting.update_time.ToDatetime()
    [kept] = await service.rows(
        "SELECT consents.*, customers.person_id FROM consents JOIN customers USING (customer_id) "
        "WHERE registration_id = :r",
        r=waiting.registration_id,
    )
    assert kept["person_id"] == waiting.person_id
    assert kept["method"] == pb.ConsentEvidence.METHOD_LINK
    assert kept["guardian_name"] == "Kerttu Toinen-Nimi"
    assert kept["sign_date"] == helsinki_day(kept["recorded_at"])
    assert (kept["wording_version"], kept["wording_language"]) == ("2026-1", form_pb.LANGUAGE_SV)
    [stored] = await service.rows(
        "SELECT form FROM registrations WHERE registration_id = :r", r=waiting.registration_id
    )
    assert stored["form"] is None


async def test_evidence_without_a_name_is_of_the_guardian_on_the_form(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    evidence = pb.ConsentEvidence(
        method=pb.ConsentEvidence.METHOD_RECORDED, sign_date=date_from_today(-4), recorded_by="ac7"
    )
    await service.activate(waiting.registration_id, evidence)
    [kept] = await service.rows(
        "SELECT * FROM consents WHERE registration_id = :r", r=waiting.registration_id
    )
    assert (kept["guardian_name"], kept["recorded_by"]) == ("Kerttu Huoltaja", "ac7")
    assert kept["sign_date"] == helsinki_day(now()) - timedelta(days=4)


async def test_an_outgrown_consent_leaves_no_evidence(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    active = await service.activate(waiting.registration_id, None)
    assert active.consent_state == life.CONSENT_STATE_OUTGROWN
    assert not await service.rows(
        "SELECT 1 FROM consents WHERE registration_id = :r", r=waiting.registration_id
    )


async def test_activating_again_changes_nothing(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    evidence = pb.ConsentEvidence(method=pb.ConsentEvidence.METHOD_OPERATOR)
    answers = await asyncio.gather(*(service.activate(waiting.registration_id, evidence) for _ in range(10)))
    assert all(answer == answers[0] for answer in answers)
    assert await service.activate(waiting.registration_id, None) == answers[0]
    [count] = await service.rows(
        "SELECT count(*) AS n FROM customers WHERE person_id = :p", p=waiting.person_id
    )
    assert count["n"] == 1


@pytest.mark.parametrize(
    ("evidence", "wrong"),
    [
        (pb.ConsentEvidence(), {"consent.method": "REQUIRED"}),
        (pb.ConsentEvidence(method=1, sign_date=Date(year=5)), {"consent.sign_date": "INVALID_DATE"}),
        (
            pb.ConsentEvidence(method=1, guardian_name="\x00"),
            {"consent.guardian_name": "FORBIDDEN_CHARACTERS"},
        ),
        (
            pb.ConsentEvidence(method=1, wording_version="\x00"),
            {"consent.wording_version": "FORBIDDEN_CHARACTERS"},
        ),
        (
            pb.ConsentEvidence(method=1, wording_language=99_999),
            {"consent.wording_language": "UNKNOWN_VALUE"},
        ),
        (pb.ConsentEvidence(method=1, recorded_by="Ä"), {"consent.recorded_by": "INVALID_FORMAT"}),
    ],
)
async def test_malformed_evidence_is_refused(
    service: Service, unit: Unit, evidence: pb.ConsentEvidence, wrong: dict[str, str]
) -> None:
    waiting = await service.waiting(unit.unit_id)
    assert await violations(service.activate(waiting.registration_id, evidence)) == wrong
    assert await service.get(waiting.registration_id) == waiting


# Stages


async def test_stages_go_forward_only(service: Service, unit: Unit) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    sent = await service.advance(made.registration_id, life.STAGE_CREDENTIALS_SENT, DEADLINE)
    assert sent.stage == life.STAGE_CREDENTIALS_SENT
    assert sent.deadline.ToDatetime(UTC) == DEADLINE
    assert sent.update_time.ToDatetime() > made.update_time.ToDatetime()
    assert sent.customer_display_name == made.customer_display_name
    moved = await service.advance(
        made.registration_id, life.STAGE_CREDENTIALS_SENT, DEADLINE + timedelta(days=1)
    )
    assert moved.deadline.ToDatetime(UTC) == DEADLINE + timedelta(days=1)
    assert moved.update_time == sent.update_time
    welcomed = await service.advance(made.registration_id, life.STAGE_WELCOMED)
    assert (welcomed.stage, welcomed.HasField("deadline")) == (life.STAGE_WELCOMED, False)
    late = await service.advance(made.registration_id, life.STAGE_CREDENTIALS_SENT, DEADLINE)
    assert late == welcomed == await service.get(made.registration_id)


async def test_no_stage_before_the_customership_or_after_the_end(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    refused = ("FAILED_PRECONDITION", "NOT_WAITING")
    early = service.advance(waiting.registration_id, life.STAGE_CREDENTIALS_SENT)
    assert await refusal(early) == refused
    await service.end(waiting.registration_id, life.STAGE_LAPSED)
    assert await refusal(service.advance(waiting.registration_id, life.STAGE_WELCOMED)) == refused


@pytest.mark.parametrize("stage", [life.STAGE_UNSPECIFIED, life.STAGE_ACTIVE, life.STAGE_DECLINED, 99])
async def test_a_stage_that_is_not_advanced_to(
    service: Service, unit: Unit, stage: life.Stage.ValueType
) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    wrong = service.advance(made.registration_id, stage)
    assert await violations(wrong) == {"stage": "UNKNOWN_VALUE"}
    request = pb.AdvanceRegistrationRequest(
        registration_id=made.registration_id,
        stage=life.STAGE_WELCOMED,
        deadline=Timestamp(seconds=10**15),
    )
    wrong_deadline = service.worker.call(service.changes.AdvanceRegistration, request)
    assert await violations(wrong_deadline) == {"deadline": "INVALID_FORMAT"}


# Mailing details


async def test_mail_of_a_child_goes_to_the_guardian(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    expected = pb.GetMailingDetailsResponse(
        standing=True,
        first_names="Eetu Ilmari",
        language=form_pb.LANGUAGE_FI,
        customer_email="kerttu.huoltaja@koti.example",
        related_person_email="kerttu.huoltaja@koti.example",
        credentials_recipient=form_pb.CREDENTIALS_RECIPIENT_RELATED_PERSON,
        unit_display_name=unit.display_name,
    )
    assert await service.mailing(waiting.registration_id) == expected
    await service.activate(waiting.registration_id, None)
    assert await service.mailing(waiting.registration_id) == expected
    await service.advance(waiting.registration_id, life.STAGE_WELCOMED)
    assert await service.mailing(waiting.registration_id) == expected


async def test_mail_of_a_customer_goes_to_the_address_now_on_file(service: Service, unit: Unit) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    details = await service.mailing(made.registration_id)
    assert details.customer_email == "aino.mallikas@koti.example"
    assert details.related_person_email == ""
    async with service.engine.begin() as connection:
        await connection.execute(
            text("UPDATE customers SET profile = profile || CAST(:change AS jsonb) WHERE person_id = :p"),
            {"change": '{"email": "uusi@koti.example", "language": "LANGUAGE_SV"}', "p": made.person_id},
        )
    details = await service.mailing(made.registration_id)
    assert (details.customer_email, details.language) == ("uusi@koti.example", form_pb.LANGUAGE_SV)


async def test_no_mail_where_nobody_stands(service: Service, unit: Unit) -> None:
    gone = pb.GetMailingDetailsResponse(standing=False)
    ended = await service.waiting(unit.unit_id)
    await service.end(ended.registration_id, life.STAGE_DECLINED)
    assert await service.mailing(ended.registration_id) == gone
    made = (await service.create(unit.unit_id, adult_form())).registration
    async with service.engine.begin() as connection:
        await connection.execute(text("DELETE FROM customers WHERE person_id = :p"), {"p": made.person_id})
    assert await service.mailing(made.registration_id) == gone


# The end


@pytest.mark.parametrize("stage", [life.STAGE_DECLINED, life.STAGE_LAPSED, life.STAGE_WITHDRAWN])
async def test_an_ended_registration_keeps_nothing_personal(
    service: Service, unit: Unit, stage: life.Stage.ValueType
) -> None:
    mark = secrets.token_hex(6)
    form = child_form()
    form.first_names = f"Etunimi{mark}"
    form.last_name = f"Sukunimi{mark}"
    form.address.street_address = f"Katu{mark}"
    form.email = f"lapsi{mark}@koti.example"
    form.related_person.full_name = f"Huoltaja{mark}"
    form.related_person.email = f"huoltaja{mark}@koti.example"
    form.additional_information = f"Tieto{mark}"
    person_id = secrets.token_hex(16)
    waiting = (
        await service.create(unit.unit_id, form, person_id=person_id, birth_date=birth_of_child())
    ).registration
    stored = await service.everything_stored()
    assert stored.count(mark) == 7
    assert person_id in stored

    ended = await service.end(waiting.registration_id, stage)

    stored = await service.everything_stored()
    assert mark not in stored
    assert person_id not in stored
    assert ended == pb.Registration(
        registration_id=waiting.registration_id,
        unit_id=unit.unit_id,
        registrar_account_id=REGISTRAR.account_id,
        registrar_display_name=REGISTRAR.display_name,
        stage=stage,
        kind=waiting.kind,
        consent_state=life.CONSENT_STATE_NOT_GIVEN,
        create_time=waiting.create_time,
        update_time=ended.update_time,
    )
    assert ended.update_time.ToDatetime() > waiting.update_time.ToDatetime()
    assert await service.get(waiting.registration_id) == ended
    assert await service.end(waiting.registration_id, stage) == ended


async def test_only_a_waiting_registration_ends(service: Service, unit: Unit) -> None:
    refused = ("FAILED_PRECONDITION", "NOT_WAITING")
    active = (await service.create(unit.unit_id, adult_form())).registration
    assert await refusal(service.end(active.registration_id, life.STAGE_WITHDRAWN)) == refused
    assert await service.get(active.registration_id) == active
    waiting = await service.waiting(unit.unit_id)
    await service.end(waiting.registration_id, life.STAGE_DECLINED)
    assert await refusal(service.end(waiting.registration_id, life.STAGE_LAPSED)) == refused
    consented = service.activate(
        waiting.registration_id, pb.ConsentEvidence(method=pb.ConsentEvidence.METHOD_LINK)
    )
    assert await refusal(consented) == ("FAILED_PRECONDITION", "NOT_WAITING_FOR_CONSENT")
    wrong = service.end(waiting.registration_id, life.STAGE_ACTIVE)
    assert await violations(wrong) == {"stage": "UNKNOWN_VALUE"}


async def test_a_race_of_consent_and_withdrawal_has_one_winner(service: Service, unit: Unit) -> None:
    for _ in range(10):
        waiting = await service.waiting(unit.unit_id)
        evidence = pb.ConsentEvidence(method=pb.ConsentEvidence.METHOD_LINK)
        answers = await asyncio.gather(
            service.activate(waiting.registration_id, evidence),
            service.end(waiting.registration_id, life.STAGE_WITHDRAWN),
            return_exceptions=True,
        )
        [winner] = [answer for answer in answers if isinstance(answer, pb.Registration)]
        [loser] = [answer for answer in answers if isinstance(answer, Refusal)]
        assert loser.code is grpc.StatusCode.FAILED_PRECONDITION
        assert await service.get(waiting.registration_id) == winner
        customers = await service.rows("SELECT 1 FROM customers WHERE person_id = :p", p=waiting.person_id)
        assert len(customers) == (winner.stage == life.STAGE_ACTIVE)


async def test_a_person_may_be_registered_again_after_a_withdrawal(service: Service, unit: Unit) -> None:
    person_id = secrets.token_hex(16)
    first = await service.waiting(unit.unit_id, person_id=person_id)
    await service.end(first.registration_id, life.STAGE_WITHDRAWN)
    assert await service.prepare(unit.unit_id, adult_form(), person_id=person_id) is None
    second = await service.waiting(unit.unit_id, person_id=person_id)
    assert second.registration_id != first.registration_id
