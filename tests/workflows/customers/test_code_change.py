"""A code is changed in both services or in none, and no run sees it (R24, R34)."""

import asyncio
import uuid
from datetime import date

import pytest

from liity.identity.v1.person_service_pb2 import CommitCodeChangeRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.customer_service_pb2 import Customer
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.reason_pb2 import REASON_PERSON_NOT_FOUND
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import CodeChangeWorkflowNames
from tests.workflows.conftest import World, adult_form, born
from tests.workflows.customers.code_changes import make, person_of, prepared


async def saved(world: World) -> Customer:
    registration, _ = await world.save(adult_form(f"{uuid.uuid4().hex}@example.org"), born(40))
    return await world.customer(registration)


async def recorded(world: World, customer: Customer) -> tuple[date, int]:
    """The birth date on file, and how many changes of the code the log tells of."""
    (row,) = await world.rows(
        "registration",
        "SELECT birth_date, (SELECT count(*) FROM use_entries WHERE :id = ANY(subject_ids)"
        " AND action = 'personal-identity-code:correct') AS uses FROM customers WHERE customer_id = :id",
        id=customer.customer_id,
    )
    return row["birth_date"], row["uses"]


async def test_the_birth_date_follows_the_code_once(world: World) -> None:
    customer, code = await saved(world), world.new_code(born(41))
    record = await prepared(world, customer, code)
    for _ in range(2):
        assert await make(world, customer, record) == ""
    assert await person_of(world, code) == customer.person_id
    assert await recorded(world, customer) == (born(41), 1)
    run = world.temporal.get_workflow_handle(CodeChangeWorkflowNames.workflow_id(customer.person_id))
    await run.result()
    assert code.encode() not in (await run.fetch_history()).to_json().encode()


async def test_a_customer_who_ends_meanwhile_is_followed_too(world: World) -> None:
    customer, code = await saved(world), world.new_code(born(41))
    record = await prepared(world, customer, code)
    await world.change(
        "registration",
        "UPDATE customers SET state = :state, ended_at = now(), unit_id = :unit WHERE customer_id = :id",
        state=CUSTOMER_STATE_MARKED_FOR_DELETION,
        unit=await world.unit(),
        id=customer.customer_id,
    )
    assert await make(world, customer, record) == ""
    assert await person_of(world, code) == customer.person_id
    assert await recorded(world, customer) == (born(41), 1)


async def test_a_step_that_broke_off_in_the_middle_is_brought_to_its_end(world: World) -> None:
    customer, code = await saved(world), world.new_code(born(41))
    record = await prepared(world, customer, code)
    identity = world.worker["identity"]
    commit = CommitCodeChangeRequest(request_id=record.request_id)
    await identity.call(PersonServiceStub(identity.channel).CommitCodeChange, commit)
    assert await make(world, customer, record) == ""
    assert await recorded(world, customer) == (born(41), 1)


async def test_of_two_changes_at_once_both_services_have_the_same_one(world: World) -> None:
    customer = await saved(world)
    codes = {world.new_code(born(age)): born(age) for age in (42, 43, 44, 45)}
    records = [await prepared(world, customer, code) for code in codes]
    await asyncio.gather(*(make(world, customer, record) for record in records))
    (now_theirs,) = [code for code in codes if await person_of(world, code) == customer.person_id]
    assert await recorded(world, customer) == (codes[now_theirs], len(codes))


async def test_what_identity_refuses_is_not_recorded(world: World) -> None:
    customer, code = await saved(world), world.new_code(born(41))
    record = await prepared(world, customer, code)
    await world.change("identity", "DELETE FROM code_changes WHERE request_id = :id", id=record.request_id)
    with pytest.raises(Refusal) as refusal:
        await make(world, customer, record)
    assert refusal.value.reason == REASON_PERSON_NOT_FOUND
    assert await recorded(world, customer) == (born(40), 0)


async def test_a_code_that_has_become_anothers_is_theirs(world: World) -> None:
    customer, code = await saved(world), world.new_code(born(41))
    record = await prepared(world, customer, code)
    await prepared_and_made(world, code)
    other = await person_of(world, code)
    assert await make(world, customer, record) == other
    assert await recorded(world, customer) == (born(40), 0)


async def prepared_and_made(world: World, code: str) -> None:
    """Somebody else is given the code."""
    other = await saved(world)
    assert await make(world, other, await prepared(world, other, code)) == ""
