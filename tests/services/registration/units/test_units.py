"""Units, and the tables behind everything."""

import asyncio
import uuid
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from liity.registration.v1.unit_service_pb2 import (
    UNIT_KIND_LIBRARY,
    UNIT_KIND_SCHOOL,
    BatchGetUnitsRequest,
    CloseUnitRequest,
    CreateUnitRequest,
)
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from services.registration.db.models import Base
from tests.support.registration_service import (
    Service,
    refusal,
    violations,
)


async def test_models_and_migrations_agree(service: Service) -> None:
    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    async with service.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


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


async def test_a_name_that_an_open_unit_has_is_asked_about(service: Service) -> None:
    create = UnitServiceStub(service.seed.channel).CreateUnit

    def request(name: str, *, must_be_new: bool) -> CreateUnitRequest:
        return CreateUnitRequest(
            request_id=str(uuid.uuid4()),
            display_name=name,
            kind=UNIT_KIND_SCHOOL,
            name_must_be_new=must_be_new,
        )

    name = f"Åbo skola {uuid.uuid4().hex}"
    first = request(name, must_be_new=True)
    unit = (await service.seed.call(create, first)).unit
    assert (await service.seed.call(create, first)).unit == unit, "a repetition asks nothing"
    again = request(name.upper(), must_be_new=True)
    assert await refusal(service.seed.call(create, again)) == ("ALREADY_EXISTS", "UNIT_NAME_IN_USE")
    again.name_must_be_new = False
    other = (await service.seed.call(create, again)).unit
    assert other.unit_id != unit.unit_id
    closing = UnitServiceStub(service.worker.channel).CloseUnit
    for each in (unit, other):
        await service.worker.call(closing, CloseUnitRequest(unit_id=each.unit_id))
    await service.seed.call(create, request(name, must_be_new=True))


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
