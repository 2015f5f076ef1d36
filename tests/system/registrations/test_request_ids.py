"""A `request_id` is one account's: it is the same however it is written, and another account's is another."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_CUSTOMER
from liity.v1.customer_service_pb2 import (
    CODE_OF_KEPT,
    Customer,
    MergeCustomersRequest,
    SendCredentialsRequest,
    TransferCustomerRequest,
    TransferCustomerResponse,
    UndoMergeRequest,
)
from tests.system.conftest import Api
from tests.system.customers.test_transfer import customer_of, set_email
from tests.system.support.accounts import new_account
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    adult,
    database,
    namesake,
    pupil,
    save,
)


@pytest.fixture
async def officers(stack: Stack, api: Api) -> AsyncIterator[tuple[ApiClient, ApiClient]]:
    """Two accounts of customer service."""
    account = await new_account(stack, ROLE_CUSTOMER_SERVICE)
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as other:
        await other.log_in(account.email, account.password)
        yield api.staff, other


async def customer(api: Api, person: DemoPerson) -> Customer:
    """A new customer of the library."""
    await save(api.registrar, person)
    return await customer_of(api.registrar, person)


async def move(client: ApiClient, person: DemoPerson, unit: str, request_id: str) -> TransferCustomerResponse:
    request = TransferCustomerRequest(
        parent=unit, request_id=request_id, personal_identity_code=person.personal_identity_code
    )
    return await client.call(client.customers.TransferCustomer, request)


async def test_two_accounts_with_one_id_transfer_two_persons(api: Api) -> None:
    first, second, request_id = adult(), adult(), new_request_id()
    for person in (first, second):
        await save(api.registrar, person)
    moved = await move(api.teacher, first, api.teacher.unit, request_id)
    other = await move(api.staff, second, api.teacher.unit, request_id)
    assert moved.customer.form.email == first.form.email
    assert other.customer.form.email == second.form.email


async def test_two_accounts_with_one_id_send_credentials_to_two_customers(
    api: Api, mails: MailCounter, officers: tuple[ApiClient, ApiClient]
) -> None:
    request_id, persons = new_request_id(), (adult(), adult())
    customers = [await customer(api, person) for person in persons]
    for person in persons:
        await mails.wait_for(person, "credentials")
    for officer, sent in zip(officers, customers, strict=True):
        request = SendCredentialsRequest(
            name=sent.name, request_id=request_id, recipient=CREDENTIALS_RECIPIENT_CUSTOMER
        )
        await officer.call(officer.customers.SendCredentials, request)

    async def numbers() -> list[int]:
        return [mails.templates(person)["credentials"] for person in persons]

    assert await eventually(numbers, lambda found: found == [2, 2], PATIENCE) == [2, 2]


async def test_two_accounts_with_one_id_change_two_addresses(
    api: Api, officers: tuple[ApiClient, ApiClient]
) -> None:
    request_id, persons = new_request_id(), (adult(), adult())
    customers = [await customer(api, person) for person in persons]
    for officer, person, changed in zip(officers, persons, customers, strict=True):
        new = f"uusi.{person.email}"
        assert (await set_email(officer, changed, new, request_id)).form.email == new
        assert (await customer_of(api.registrar, person)).form.email == new


async def test_two_accounts_with_one_id_merge_two_pairs_and_take_both_back(
    api: Api, officers: tuple[ApiClient, ApiClient]
) -> None:
    request_id, persons = new_request_id(), (adult(), adult())
    pairs = []
    for person in persons:
        kept = await customer(api, person)
        pairs.append((kept, await customer(api, namesake(person))))

    async def merge(officer: ApiClient, kept: Customer, merged: Customer) -> None:
        request = MergeCustomersRequest(
            name=kept.name,
            request_id=request_id,
            merged_customer=merged.name,
            personal_identity_code_of=CODE_OF_KEPT,
        )
        await officer.call(officer.customers.MergeCustomers, request)

    async def undo(officer: ApiClient, kept: Customer, merged: Customer) -> str:
        request = UndoMergeRequest(name=kept.name, request_id=request_id, merged_customer=merged.name)
        return (await officer.call(officer.customers.UndoMerge, request)).restored.name

    calls = [(officer, *pair) for officer, pair in zip(officers, pairs, strict=True)]
    # At once: a run that was shared would still be open.
    await asyncio.gather(*(merge(*call) for call in calls))
    restored = await asyncio.gather(*(undo(*call) for call in calls))
    assert restored == [merged.name for _, merged in pairs]


async def test_a_save_that_is_repeated_in_capitals_meanwhile_is_the_same(stack: Stack, api: Api) -> None:
    child, request_id = pupil(), new_request_id()
    async with database(stack, "registration") as connection, connection.transaction():
        await connection.execute("LOCK TABLE registrations IN SHARE ROW EXCLUSIVE MODE")
        first = asyncio.create_task(save(api.teacher, child, request_id))
        again = asyncio.create_task(save(api.teacher, child, request_id.upper()))
        # Neither can end before the table is free again, unless one of them is refused.
        await asyncio.wait({first, again}, timeout=3, return_when=asyncio.FIRST_COMPLETED)
    assert await first == await again
