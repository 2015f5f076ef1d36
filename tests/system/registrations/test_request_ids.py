"""A `request_id` is one account's: it is the same however it is written, and another account's is another."""

import asyncio

from deploy.demo.forms import DemoPerson
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from liity.v1.customer_service_pb2 import TransferCustomerRequest, TransferCustomerResponse
from tests.system.conftest import Api
from tests.system.support.registering import adult, database, pupil, save


async def move(client: ApiClient, person: DemoPerson, unit: str, request_id: str) -> TransferCustomerResponse:
    request = TransferCustomerRequest(
        parent=unit, request_id=request_id, personal_identity_code=person.personal_identity_code
    )
    return await client.call(client.customers.TransferCustomer, request)


async def test_two_accounts_with_one_id_do_two_things(api: Api) -> None:
    first, second, request_id = adult(), adult(), new_request_id()
    for person in (first, second):
        await save(api.registrar, person)
    moved = await move(api.teacher, first, api.teacher.unit, request_id)
    other = await move(api.staff, second, api.teacher.unit, request_id)
    assert moved.customer.form.email == first.form.email
    assert other.customer.form.email == second.form.email


async def test_a_save_that_is_repeated_in_capitals_meanwhile_is_the_same(stack: Stack, api: Api) -> None:
    child, request_id = pupil(), new_request_id()
    async with database(stack, "registration") as connection, connection.transaction():
        await connection.execute("LOCK TABLE registrations IN SHARE ROW EXCLUSIVE MODE")
        first = asyncio.create_task(save(api.teacher, child, request_id))
        again = asyncio.create_task(save(api.teacher, child, request_id.upper()))
        # Neither can end before the table is free again, unless one of them is refused.
        await asyncio.wait({first, again}, timeout=3, return_when=asyncio.FIRST_COMPLETED)
    assert await first == await again
