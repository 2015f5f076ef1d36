"""A person moves to another unit (R16); what the log of both units shows; where mail goes from then on."""

import asyncio
import secrets
import uuid
from typing import Any

import pytest

from liity.registration.v1 import customer_service_pb2 as pb
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import Registrar
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.registration_pb2 import (
    STAGE_CREDENTIALS_SENT,
    STAGE_LAPSED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
    Stage,
)
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_NOT_REGISTERED,
    STANDING_REGISTERED_IN_ANOTHER_UNIT,
    STANDING_REGISTERED_IN_THIS_UNIT,
)
from services.runtime.rpc.context import set_current_actor
from tests.support.registration_forms import adult_form
from tests.support.registration_service import REGISTRAR, Service, refusal

MOVER = Registrar(account_id="ac1", display_name="Siiri Siirtäjä")


@pytest.fixture
async def other(service: Service) -> Unit:
    return await service.unit("Toinen kirjasto")


def asked(person_id: str, unit: Unit, **fields: Any) -> pb.TransferCustomerRequest:
    request = {"request_id": str(uuid.uuid4()), "registrar": MOVER, **fields}
    return pb.TransferCustomerRequest(person_id=person_id, unit_id=unit.unit_id, **request)


async def check(service: Service, request: pb.TransferCustomerRequest) -> None:
    """Asks whether a transfer would be refused."""
    asked = pb.CheckTransferRequest(
        request_id=request.request_id, person_id=request.person_id, unit_id=request.unit_id
    )
    await service.gateway.call(service.customers.CheckTransfer, asked)


async def move(service: Service, request: pb.TransferCustomerRequest) -> pb.TransferCustomerResponse:
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id=MOVER.account_id, unit_id=request.unit_id))
    return await service.worker.call(CustomerServiceStub(service.worker.channel).TransferCustomer, request)


async def customer(service: Service, customer_id: str) -> pb.Customer:
    request = pb.GetCustomerRequest(customer_id=customer_id)
    stub = CustomerServiceStub(service.gateway.channel)
    return (await service.gateway.call(stub.GetCustomer, request)).customer


async def found(service: Service, unit: Unit, query: str) -> list[str]:
    request = pb.SearchCustomersRequest(unit_id=unit.unit_id, query=query, page_size=50)
    stub = CustomerServiceStub(service.gateway.channel)
    response = await service.gateway.call(stub.SearchCustomers, request)
    return [summary.name.rpartition("/")[2] for summary in response.customers]


async def end(service: Service, customer_id: str) -> None:
    async with service.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE customers SET state = 2 WHERE customer_id = $1", (customer_id,)
        )


async def test_a_customer_and_the_registration_move_together(
    service: Service, unit: Unit, other: Unit
) -> None:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    moved = await move(service, asked(saved.person_id, other))
    assert moved.registration_id == saved.registration_id
    assert moved.previous_unit_id == unit.unit_id
    assert moved.previous_registrar_account_id == REGISTRAR.account_id
    registration = await service.get(saved.registration_id)
    assert registration.unit_id == other.unit_id
    # Who saved it, and so declared the entitlement, stays; the mover is told from now on.
    assert registration.registrar_account_id == REGISTRAR.account_id
    assert registration.registrar_display_name == REGISTRAR.display_name
    assert registration.told_account_id == MOVER.account_id
    assert registration.stage == saved.stage
    stored = await customer(service, moved.customer_id)
    assert stored.unit_id == other.unit_id
    assert stored.etag == "2"
    assert await found(service, other, "mallikas") == [moved.customer_id]
    assert await found(service, unit, "mallikas") == []


async def test_a_registration_that_waits_moves_before_there_is_a_customer(
    service: Service, unit: Unit, other: Unit
) -> None:
    waiting = await service.waiting(unit.unit_id)
    moved = await move(service, asked(waiting.person_id, other))
    assert not moved.customer_id
    details = (await service.mailing(waiting.registration_id)).mailing_details
    assert details.unit_display_name == "Toinen kirjasto"
    assert details.registrar_account_id == MOVER.account_id
    await service.activate(waiting.registration_id, None)
    standing = (await service.look_up(waiting.person_id, other.unit_id)).standing
    assert standing == STANDING_REGISTERED_IN_THIS_UNIT


async def test_who_saved_a_registration_that_is_complete_stays_its_registrar(
    service: Service, unit: Unit, other: Unit
) -> None:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    for stage in (STAGE_CREDENTIALS_SENT, STAGE_WELCOMED):
        await service.advance(saved.registration_id, stage)
    await move(service, asked(saved.person_id, other))
    registration = await service.get(saved.registration_id)
    assert registration.unit_id == other.unit_id
    assert registration.registrar_account_id == REGISTRAR.account_id


async def test_customer_service_moves_for_the_units_own_people(
    service: Service, unit: Unit, other: Unit
) -> None:
    waiting = await service.waiting(unit.unit_id)
    request = asked(waiting.person_id, other)
    officer = Actor(
        kind=ACTOR_KIND_ACCOUNT,
        account_id=MOVER.account_id,
        role=ROLE_CUSTOMER_SERVICE,
        unit_id=other.unit_id,
    )
    set_current_actor(officer)
    stub = CustomerServiceStub(service.worker.channel)
    await service.worker.call(stub.TransferCustomer, request)
    details = (await service.mailing(waiting.registration_id)).mailing_details
    assert (details.unit_id, details.registrar_account_id) == (other.unit_id, "")


@pytest.mark.parametrize("stage", [STAGE_REJECTED, STAGE_LAPSED, STAGE_WITHDRAWN])
async def test_a_return_that_came_to_nothing_is_no_part_of_a_transfer(
    service: Service, unit: Unit, other: Unit, stage: Stage.ValueType
) -> None:
    third = await service.unit("Kolmas kirjasto")
    saved = (await service.create(unit.unit_id, adult_form())).registration
    customer_id = (await service.look_up(saved.person_id, unit.unit_id)).customer_id
    await service.mark(customer_id)
    tried = (await service.create(other.unit_id, adult_form(), person_id=saved.person_id)).registration
    assert tried.stage == STAGE_WAITING_FOR_REACTIVATION
    await service.end(tried.registration_id, stage)
    async with service.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE customers SET state = 1 WHERE customer_id = $1", (customer_id,)
        )
    # Neither is the unit that tried it theirs already, nor is it the one that is told.
    moved = await move(service, asked(saved.person_id, third))
    assert (moved.previous_unit_id, moved.registration_id) == (unit.unit_id, saved.registration_id)
    assert (await service.get(tried.registration_id)).unit_id == other.unit_id
    assert (await move(service, asked(saved.person_id, other))).previous_unit_id == third.unit_id


async def test_repeating_answers_the_same_and_moves_nothing_more(
    service: Service, unit: Unit, other: Unit
) -> None:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    request = asked(saved.person_id, other)
    first, second = await asyncio.gather(move(service, request), move(service, request))
    assert first == second
    assert (await customer(service, first.customer_id)).etag == "2"
    rows = await service.rows("SELECT * FROM use_entries WHERE call_id = ''")
    moves = [row for row in rows if saved.person_id in row["subject_ids"] and "transfer" in row["action"]]
    assert len(moves) == 2


async def test_a_repetition_answers_what_was_moved_though_the_person_was_moved_on(
    service: Service, unit: Unit, other: Unit
) -> None:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    request = asked(saved.person_id, other)
    await check(service, request)
    made = await move(service, request)
    await move(service, asked(saved.person_id, unit))
    await check(service, request)
    assert await move(service, request) == made
    assert (await service.get(saved.registration_id)).unit_id == unit.unit_id


async def test_a_request_id_moves_one_person_to_one_unit(service: Service, unit: Unit, other: Unit) -> None:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    another = (await service.create(unit.unit_id, adult_form())).registration
    request = asked(saved.person_id, other)
    await move(service, request)
    for reused in (
        asked(saved.person_id, unit, request_id=request.request_id),
        asked(another.person_id, other, request_id=request.request_id),
    ):
        assert await refusal(move(service, reused)) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
        assert await refusal(check(service, reused)) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_the_log_of_both_units_shows_it(service: Service, unit: Unit, other: Unit) -> None:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    moved = await move(service, asked(saved.person_id, other))
    rows = await service.rows(
        "SELECT action, for_unit_id, account_id, subject_ids FROM use_entries"
        " WHERE action LIKE 'customer:transfer%' AND subject_ids @> ARRAY[:person]::varchar[]",
        person=saved.person_id,
    )
    assert {(row["action"], row["for_unit_id"]) for row in rows} == {
        ("customer:transfer", other.unit_id),
        ("customer:transfer-away", unit.unit_id),
    }
    named = {saved.person_id, saved.registration_id, moved.customer_id, unit.unit_id, other.unit_id}
    assert all(set(row["subject_ids"]) == named for row in rows)
    assert {row["account_id"] for row in rows} == {MOVER.account_id}


async def test_what_cannot_be_moved_says_why(service: Service, unit: Unit, other: Unit) -> None:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    waiting = await service.waiting(unit.unit_id)
    ended = (await service.create(unit.unit_id, adult_form())).registration
    ended_id = (await service.look_up(ended.person_id, unit.unit_id)).customer_id
    await end(service, ended_id)
    nowhere = Unit(unit_id="nowhere")
    for request, expected in (
        (asked(secrets.token_hex(16), other), ("NOT_FOUND", "NOT_REGISTERED")),
        (asked(saved.person_id, unit), ("ALREADY_EXISTS", "ALREADY_REGISTERED_IN_THIS_UNIT")),
        (asked(waiting.person_id, unit), ("ALREADY_EXISTS", "BEING_REGISTERED")),
        (asked(ended.person_id, other), ("FAILED_PRECONDITION", "CUSTOMER_HAS_ENDED")),
        (asked(saved.person_id, nowhere), ("NOT_FOUND", "UNIT_NOT_FOUND")),
    ):
        assert await refusal(check(service, request)) == expected
        assert await refusal(move(service, request)) == expected
    assert (await service.get(saved.registration_id)).unit_id == unit.unit_id


async def test_moving_and_activating_at_once_end_in_one_unit(
    service: Service, unit: Unit, other: Unit
) -> None:
    for _ in range(5):
        waiting = await service.waiting(unit.unit_id)
        await asyncio.gather(
            move(service, asked(waiting.person_id, other)), service.activate(waiting.registration_id, None)
        )
        known = await service.look_up(waiting.person_id, other.unit_id)
        assert known.standing == STANDING_REGISTERED_IN_THIS_UNIT
        assert known.registration.unit_id == other.unit_id
        assert (await customer(service, known.customer_id)).unit_id == other.unit_id


async def test_a_look_up_tells_initials_and_the_unit(service: Service, unit: Unit, other: Unit) -> None:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    known = await service.look_up(saved.person_id, other.unit_id)
    assert known.standing == STANDING_REGISTERED_IN_ANOTHER_UNIT
    assert (known.initials, known.unit_display_name) == ("A. M.", "Esimerkkikirjasto")
    waiting = await service.waiting(unit.unit_id)
    known = await service.look_up(waiting.person_id, other.unit_id)
    assert known.standing == STANDING_BEING_REGISTERED
    assert (known.initials, known.customer_id) == ("E. M.", "")
    known = await service.look_up(secrets.token_hex(16), other.unit_id)
    assert (known.standing, known.initials) == (STANDING_NOT_REGISTERED, "")
