"""A lost password of an account: ordered, mailed, chosen anew (R22)."""

import re
from collections.abc import AsyncIterator

import pytest
from temporalio.client import WorkflowExecutionStatus

from deploy.demo.polling import eventually
from deploy.local.mailbox.store import Maildir
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.auth_service_pb2 import (
    ChooseAccountPasswordRequest,
    OrderPasswordRequest,
    OrderPasswordResponse,
    RefreshSessionRequest,
)
from services.identity.settings import IdentitySettings
from services.runtime.temporal.names import PasswordOrderWorkflowNames
from tests.system.support.accounts import TestAccount, new_account
from tests.system.support.public_api import Gateway, Stores, connect_temporal, outcome
from tests.system.support.registering import PATIENCE, settings

ORDER = "/liity.v1.AuthService/OrderPassword"
NEW = "neljä sanaa on riittävästi"


@pytest.fixture
async def account(stack: Stack) -> TestAccount:
    return await new_account(stack)


@pytest.fixture
async def somebody(stack: Stack) -> AsyncIterator[ApiClient]:
    """Whoever logs in, or has lost their password."""
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as client:
        yield client


def links(stack: Stack, email: str) -> list[str]:
    """The tokens that were mailed to an address, oldest first."""
    mails = sorted(Maildir(stack.folder / "mail").sent_to(email), key=lambda mail: mail.id)
    found = [re.search(r"/account-password/([\w.~-]+)", mail.text) for mail in mails]
    return [match[1] for match in found if match]


async def mailed(stack: Stack, email: str, number: int = 1) -> str:
    """The token of the newest mail, once there are so many."""

    async def tokens() -> list[str]:
        return links(stack, email)

    return (await eventually(tokens, lambda found: len(found) >= number, PATIENCE))[-1]


async def order(client: ApiClient, email: str, request_id: str = "") -> OrderPasswordResponse:
    request = OrderPasswordRequest(email=email, request_id=request_id or new_request_id())
    return await client.call(client.auth.OrderPassword, request)


async def choose(client: ApiClient, token: str, password: str = NEW) -> None:
    request = ChooseAccountPasswordRequest(token=token, request_id=new_request_id(), password=password)
    await client.call(client.auth.ChooseAccountPassword, request)


async def finished(stack: Stack, request_id: str) -> None:
    """Waits until an order's run is complete."""
    temporal = await connect_temporal(stack)
    run = temporal.get_workflow_handle(PasswordOrderWorkflowNames.workflow_id(request_id))
    complete = WorkflowExecutionStatus.COMPLETED
    await eventually(run.describe, lambda found: found.status == complete, PATIENCE)


async def refusal_of(client: ApiClient, token: str, password: str = NEW) -> str:
    with pytest.raises(Refusal) as refusal:
        await choose(client, token, password)
    return reason_name(refusal.value.reason)


@pytest.mark.usefixtures("forgiven")
async def test_a_lost_password_is_replaced(stack: Stack, somebody: ApiClient, account: TestAccount) -> None:
    session = await somebody.log_in(account.email, account.password)
    assert await order(somebody, account.email) == OrderPasswordResponse()
    first = await mailed(stack, account.email)
    await order(somebody, account.email.upper())
    second = await mailed(stack, account.email, 2)
    assert second == first
    for weak in ("lyhyt", "salasana1234", account.email):
        assert await refusal_of(somebody, second, weak) == "PASSWORD_TOO_WEAK"
    await choose(somebody, second)
    assert await refusal_of(somebody, second) == "LINK_USED"
    refresh = RefreshSessionRequest(refresh_token=session.refresh_token, request_id=new_request_id())
    with pytest.raises(Refusal, match="SESSION_ENDED"):
        await somebody.call(somebody.auth.RefreshSession, refresh)
    with pytest.raises(Refusal, match="WRONG_CREDENTIALS"):
        await somebody.log_in(account.email, account.password)
    await somebody.log_in(account.email, NEW)


@pytest.mark.usefixtures("forgiven")
async def test_whether_anybody_has_the_address_is_told_to_nobody(
    stack: Stack, somebody: ApiClient, account: TestAccount
) -> None:
    known, unknown = new_request_id(), new_request_id()
    nobody = f"{new_request_id()}@kirjasto.example"
    assert await order(somebody, account.email, known) == await order(somebody, nobody, unknown)
    for request_id in (known, unknown):
        await finished(stack, request_id)
    assert len(links(stack, account.email)) == 1
    assert not links(stack, nobody)


@pytest.mark.usefixtures("forgiven")
async def test_an_order_repeated_is_mailed_once(
    stack: Stack, somebody: ApiClient, account: TestAccount
) -> None:
    request_id = new_request_id()
    for _ in range(3):
        await order(somebody, account.email, request_id)
    await finished(stack, request_id)
    await order(somebody, account.email, request_id.upper())
    assert len(links(stack, account.email)) == 1


@pytest.mark.usefixtures("forgiven")
async def test_orders_of_others_use_up_no_way_out_and_too_many_from_an_address_say_when_to_come_back(
    stack: Stack, somebody: ApiClient, gateway: Gateway, stores: Stores, account: TestAccount
) -> None:
    most: int = IdentitySettings.model_fields["password_orders_per_address"].default
    nobody = f"{new_request_id()}@kirjasto.example"
    last = new_request_id()
    for email in (nobody, account.email):
        for _ in range(most):
            await order(somebody, email)
        beyond = last if email == account.email else ""
        assert await order(somebody, email, beyond) == OrderPasswordResponse()
    token = await mailed(stack, account.email, most)
    await finished(stack, last)
    assert await mailed(stack, account.email, most) == token
    await choose(somebody, token)
    await stores.forget_attempts()
    async with settings(stack, {"LIITY_PASSWORD_ORDERS_PER_CALLER": "1"}, "identity"):
        await order(somebody, nobody)
        request = OrderPasswordRequest(email=account.email, request_id=new_request_id())
        refusal = await gateway.refusal(ORDER, request)
        assert outcome(refusal) == ("RESOURCE_EXHAUSTED", "TOO_MANY_ORDERS")
        assert refusal.retry_after
