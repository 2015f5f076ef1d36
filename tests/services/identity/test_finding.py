"""Accounts found for the worker: those of a unit, and the one of an address."""

from uuid import uuid4

from liity.identity.v1.account_service_pb2 import (
    Account,
    AccountMembership,
    CreateAccountRequest,
    FindAccountRequest,
    ListAccountsRequest,
)
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER, ROLE_REGISTRAR, Role
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from tests.services.conftest import Component


async def account(identity: Component, **units: Role.ValueType) -> Account:
    request = CreateAccountRequest(
        request_id=str(uuid4()),
        email=f"{uuid4().hex}@kirjasto.example",
        display_name="Riikka Rekisteröijä",
        password="oikea hevonen akku",
        language=LANGUAGE_FI,
        memberships=[AccountMembership(unit_id=unit, role=role) for unit, role in units.items()],
    )
    made: Account = (await identity(request)).account
    return made


async def test_the_accounts_of_a_unit_are_those_that_belong_to_it(identity: Component) -> None:
    unit, other = uuid4().hex, uuid4().hex
    both = await account(identity, **{unit: ROLE_REGISTRAR, other: ROLE_MAIN_USER})
    main_user = await account(identity, **{unit: ROLE_MAIN_USER})
    await account(identity, **{other: ROLE_REGISTRAR})
    found = (await identity(ListAccountsRequest(unit_id=unit))).accounts
    assert list(found) == sorted((both, main_user), key=lambda made: made.account_id)


async def test_a_unit_in_which_nobody_works_has_none(identity: Component) -> None:
    assert not (await identity(ListAccountsRequest(unit_id=uuid4().hex))).accounts


async def test_an_address_tells_whose_it_is_however_it_is_written(identity: Component) -> None:
    made = await account(identity)
    for written in (made.email, made.email.upper(), f" {made.email} "):
        assert (await identity(FindAccountRequest(email=written))).account_id == made.account_id


async def test_an_address_of_nobody_with_an_account_tells_nothing(identity: Component) -> None:
    found = await identity(FindAccountRequest(email=f"{uuid4().hex}@koti.example"))
    assert not found.account_id
