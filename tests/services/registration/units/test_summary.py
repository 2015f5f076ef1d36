"""A unit in figures: each counts what its list shows."""

import uuid
from datetime import date, timedelta

from sqlalchemy import text

from liity.registration.v1.unit_service_pb2 import GetUnitSummaryRequest, Unit
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.class_list_service_pb2 import CLASS_LIST_STATE_DONE, CLASS_LIST_STATE_RUNNING
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION, EMAIL_STATE_UNDELIVERABLE
from liity.v1.message_service_pb2 import MESSAGE_STATE_CLOSED, MESSAGE_STATE_OPEN
from liity.v1.registration_pb2 import STAGE_DECLINED, STAGE_WAITING_FOR_CONSENT
from liity.v1.unit_service_pb2 import GetUnitSummaryResponse
from services.runtime.clock import helsinki_day, helsinki_moment, now, to_proto_date
from tests.support.registration_forms import adult_form
from tests.support.registration_service import Service, refusal

_TODAY = helsinki_day(now())
_BEFORE = to_proto_date(_TODAY + timedelta(days=31))


async def summary(service: Service, unit_id: str) -> GetUnitSummaryResponse:
    stub = UnitServiceStub(service.gateway.channel)
    request = GetUnitSummaryRequest(unit_id=unit_id)
    return (await service.gateway.call(stub.GetUnitSummary, request)).summary


async def change(service: Service, statement: str, **parameters: object) -> None:
    async with service.engine.begin() as connection:
        await connection.execute(text(statement), parameters)


async def test_a_unit_without_anything_has_no_figures(service: Service, unit: Unit) -> None:
    assert await summary(service, unit.unit_id) == GetUnitSummaryResponse(need_ends_before_date=_BEFORE)
    assert await refusal(summary(service, "nosuch")) == ("NOT_FOUND", "UNIT_NOT_FOUND")


async def test_registrations_are_counted(service: Service, unit: Unit) -> None:
    failed, checked, declined, _ = [await service.waiting(unit.unit_id) for _ in range(4)]
    of_last_year = (await service.create(unit.unit_id, adult_form())).registration
    await service.create(unit.unit_id, adult_form())
    await service.waiting((await service.unit("Toinen kirjasto")).unit_id)
    await change(
        service,
        "UPDATE registrations SET undeliverable_since = now() WHERE registration_id = :id",
        id=failed.registration_id,
    )
    await change(
        service, "UPDATE registrations SET stage = 9 WHERE registration_id = :id", id=checked.registration_id
    )
    await service.end(declined.registration_id, STAGE_DECLINED)
    new_year = helsinki_moment(date(_TODAY.year, 1, 1))
    await change(
        service,
        "UPDATE registrations SET created_at = :moment WHERE registration_id = :id",
        id=of_last_year.registration_id,
        moment=new_year - timedelta(seconds=1),
    )
    found = await summary(service, unit.unit_id)
    assert found == GetUnitSummaryResponse(
        waiting_for_consent=2,
        waiting_for_customer_service=1,
        undeliverable_guardians=1,
        registered_this_year=1,
        need_ends_before_date=_BEFORE,
    )
    waiting = await service.page(unit.unit_id, stages=[STAGE_WAITING_FOR_CONSENT])
    assert len(waiting.registrations) == found.waiting_for_consent
    undeliverable = await service.page(unit.unit_id, undeliverable=True)
    assert len(undeliverable.registrations) == found.undeliverable_guardians


async def test_customers_are_counted(service: Service, unit: Unit) -> None:
    for days in (5, 30, 31):
        end = to_proto_date(_TODAY + timedelta(days=days))
        await service.customer(unit.unit_id, temporary=True, expected_end_date=end)
    failed, ended = [await service.customer(unit.unit_id) for _ in range(2)]
    for one in (failed, ended):
        await change(
            service,
            f"UPDATE customers SET email_state = {EMAIL_STATE_UNDELIVERABLE} WHERE customer_id = :id",  # noqa: S608
            id=one.customer_id,
        )
    await change(
        service,
        f"UPDATE customers SET state = {CUSTOMER_STATE_MARKED_FOR_DELETION} WHERE customer_id = :id",  # noqa: S608
        id=ended.customer_id,
    )
    found = await summary(service, unit.unit_id)
    assert (found.temporary_needs_ending, found.undeliverable_customers) == (2, 1)
    ending = await service.search(unit.unit_id, need_ends_before_date=found.need_ends_before_date)
    assert len(ending.customers) == found.temporary_needs_ending
    undeliverable = await service.search(unit.unit_id, undeliverable=True)
    assert len(undeliverable.customers) == found.undeliverable_customers


async def test_class_lists_and_messages_are_counted(service: Service, unit: Unit) -> None:
    for state in (CLASS_LIST_STATE_RUNNING, CLASS_LIST_STATE_DONE):
        await change(
            service,
            "INSERT INTO class_lists (class_list_id, unit_id, registrar_account_id, registrar_display_name,"
            " state, created_at, expires_at) VALUES (:id, :unit, 'ac0', 'Riikka', :state, now(), now())",
            id=uuid.uuid4().hex,
            unit=unit.unit_id,
            state=state,
        )
    for state in (MESSAGE_STATE_OPEN, MESSAGE_STATE_OPEN, MESSAGE_STATE_CLOSED):
        await change(
            service,
            "INSERT INTO messages (message_id, request_id, reference, unit_id, sender_account_id,"
            " sender_display_name, context, state, text, created_at, deadline)"
            " VALUES (:id, gen_random_uuid(), :id, :unit, 'ac0', 'Riikka', 0, :state, 'Hei', now(), now())",
            id=uuid.uuid4().hex,
            unit=unit.unit_id,
            state=state,
        )
    found = await summary(service, unit.unit_id)
    assert (found.class_lists_under_way, found.open_messages) == (1, 2)
