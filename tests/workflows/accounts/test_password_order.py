"""An order of a new password: one mail, or none; its run looks the same (R22)."""

import re
import secrets
import uuid
from datetime import UTC, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from deploy.demo.polling import eventually
from liity.identity.v1.account_service_pb2 import (
    Account,
    ChooseAccountPasswordRequest,
    CreateAccountRequest,
    IssuePasswordLinkRequest,
    LogInRequest,
)
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.v1.customer_form_pb2 import LANGUAGE_EN
from liity.v1.reason_pb2 import REASON_TOO_MANY_MAILS
from liity.workflows.v1.password_order_workflow_pb2 import PasswordOrderWorkflowInput
from services.gateway.temporal.password_resets import PasswordOrderWorkflows
from services.notification.models import limits
from services.notification.settings import MailSettings
from services.runtime.clock import helsinki_day, helsinki_moment, now
from services.runtime.data.rate_limits import Limit, Limiter
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.temporal.codec import EncryptionCodec
from services.runtime.temporal.names import PasswordOrderWorkflowNames
from tests.replay.histories import payloads_in
from tests.workflows.conftest import World

NEW = "neljä sanaa on riittävästi"


@pytest.fixture
async def account(world: World) -> Account:
    """An account of the test's own."""
    request = CreateAccountRequest(
        request_id=str(uuid.uuid4()),
        email=f"{uuid.uuid4().hex}@kirjasto.example",
        display_name="Riikka Rekisteröijä",
        password=secrets.token_urlsafe(16),
        language=LANGUAGE_EN,
    )
    stub = AccountServiceStub(world.seed["identity"].channel)
    return (await world.seed["identity"].call(stub.CreateAccount, request)).account


async def order(world: World, email: str, request_id: str | None = None) -> WorkflowHandle[Any, Any]:
    """Orders a password as the gateway does; gives the run."""
    request_id = request_id or str(uuid.uuid4())
    await PasswordOrderWorkflows(world.temporal).start(
        PasswordOrderWorkflowInput(request_id=request_id, email=email)
    )
    return world.temporal.get_workflow_handle(PasswordOrderWorkflowNames.workflow_id(request_id))


def token_in(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    found = re.search(r"/account-password/([\w.~-]+)", body.get_content())
    assert found is not None
    return found[1]


async def events(run: WorkflowHandle[Any, Any]) -> list[str]:
    return [EventType.Name(event.event_type) async for event in run.fetch_history_events()]


async def test_whoever_has_the_address_gets_a_link(world: World, account: Account) -> None:
    run = await order(world, account.email.upper())
    await run.result()
    (mail,) = world.mails_to(account.email)
    assert mail["Subject"] == "A new password for customer management"
    identity = world.gateway["identity"]
    stub = AccountServiceStub(identity.channel)
    choose = ChooseAccountPasswordRequest(
        request_id=str(uuid.uuid4()), link_token=token_in(mail), password=NEW
    )
    await identity.call(stub.ChooseAccountPassword, choose)
    await identity.call(
        stub.LogIn, LogInRequest(email=account.email, password=NEW, caller_address="192.0.2.9")
    )


async def test_nobody_has_the_address_and_the_run_looks_the_same(world: World, account: Account) -> None:
    unknown = f"{uuid.uuid4().hex}@kirjasto.example"
    mailed, silent = await order(world, account.email), await order(world, unknown)
    assert await mailed.result() == await silent.result()
    assert len(world.mails_to(account.email)) == 1
    assert not world.mails_to(unknown)
    assert await events(mailed) == await events(silent)


async def test_an_order_repeated_is_one_order(world: World, account: Account) -> None:
    request_id = str(uuid.uuid4())
    first = await order(world, account.email, request_id)
    second = await order(world, account.email, request_id)
    assert (await first.describe()).run_id == (await second.describe()).run_id
    await first.result()
    # Also when it is over; and nobody is told so.
    await order(world, account.email, request_id)
    assert len(world.mails_to(account.email)) == 1


async def test_the_history_holds_no_link_and_the_address_encrypted(
    world: World, account: Account, keys_dir: Path
) -> None:
    run = await order(world, account.email)
    await run.result()
    (mail,) = world.mails_to(account.email)
    history = [event async for event in run.fetch_history_events()]
    raw = b"".join(event.SerializeToString() for event in history)
    assert account.email.encode() not in raw
    codec = EncryptionCodec(load_keyset(keys_dir, KeysetPurpose.PAYLOADS))
    payloads = [payload for event in history for payload in payloads_in(event)]
    plain = b"".join(payload.data for payload in await codec.decode(payloads))
    assert account.email.encode() in plain
    assert account.account_id.encode() not in plain
    assert token_in(mail).encode() not in plain


async def test_a_link_that_is_over_is_mailed_with_its_whole_life(world: World, account: Account) -> None:
    """The mail server was away for longer than the link works: its hour counts from the mail."""
    request_id = str(uuid.uuid4())
    worker = world.worker["identity"]
    issue = IssuePasswordLinkRequest(request_id=request_id, email=account.email)
    await worker.call(AccountServiceStub(worker.channel).IssuePasswordLink, issue)
    async with world.engines["identity"].begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE links SET expires_at = now() WHERE subject = $1", (account.account_id,)
        )
    await (await order(world, account.email, request_id)).result()
    (mail,) = world.mails_to(account.email)
    issued = await worker.call(AccountServiceStub(worker.channel).IssuePasswordLink, issue)
    assert issued.link_token == token_in(mail)
    assert now() + timedelta(minutes=59) < issued.expire_time.ToDatetime(UTC) <= now() + timedelta(hours=1)


async def test_a_link_is_not_mailed_once_the_password_is_chosen(world: World, account: Account) -> None:
    """The mail server was away while two were ordered: both mails would bring the same link."""
    first = str(uuid.uuid4())
    worker, gateway = world.worker["identity"], world.gateway["identity"]
    issue = IssuePasswordLinkRequest(request_id=first, email=account.email)
    issued = await worker.call(AccountServiceStub(worker.channel).IssuePasswordLink, issue)
    await (await order(world, account.email)).result()
    (mail,) = world.mails_to(account.email)
    assert token_in(mail) == issued.link_token
    choose = ChooseAccountPasswordRequest(
        request_id=str(uuid.uuid4()), link_token=token_in(mail), password=NEW
    )
    await gateway.call(AccountServiceStub(gateway.channel).ChooseAccountPassword, choose)
    await (await order(world, account.email, first)).result()
    assert len(world.mails_to(account.email)) == 1


async def test_a_mail_too_many_waits_for_tomorrow(world: World, account: Account) -> None:
    """The step is tried again when the notification service said, not every minute."""
    most: int = MailSettings.model_fields["mails_per_address"].default
    today = helsinki_day(now())
    midnight = helsinki_moment(today + timedelta(days=1))
    share = Limit(f"mail:{today}:{account.email}", most, midnight)
    limiter = Limiter(world.engines["notification"], limits, REASON_TOO_MANY_MAILS)
    for _ in range(most):
        await limiter.admit(share)
    run = await order(world, account.email)

    async def refused_step() -> Any:
        pending = (await run.describe()).raw_description.pending_activities
        return pending[0] if pending and pending[0].HasField("last_failure") else None

    step = await eventually(refused_step, lambda found: found is not None, 60)
    assert step.last_failure.application_failure_info.type == "TOO_MANY_MAILS"
    wait = step.current_retry_interval.ToTimedelta()
    assert abs(now() + wait - midnight) < timedelta(minutes=5)
    assert not world.mails_to(account.email)
    await limiter.forget(share.key)
    await world.environment.fast_forward(run)
    await run.result()
    assert len(world.mails_to(account.email)) == 1
