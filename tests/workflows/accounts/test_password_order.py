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
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, LANGUAGE_EN
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
from tests.workflows.conftest import World, adult_form, born, child_form

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


async def order(
    world: World, email: str, request_id: str | None = None, **fields: bool
) -> WorkflowHandle[Any, Any]:
    """Orders a password as the gateway does; gives the run."""
    request_id = request_id or str(uuid.uuid4())
    await PasswordOrderWorkflows(world.temporal).start(
        PasswordOrderWorkflowInput(request_id=request_id, email=email, **fields)
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
    await world.skip_to_end(run)
    await run.result()
    assert len(world.mails_to(account.email)) == 1


# Customers


async def mailed_tokens(world: World, email: str, number: int) -> list[str]:
    """The tokens in the credentials mails to an address, once there are so many."""

    async def found() -> list[str]:
        mails = [mail for mail in world.mails_to(email) if mail["Subject"] == "Tunnukset kirjaston palveluun"]
        bodies = [mail.get_body(("plain",)) for mail in mails]
        return [re.findall(r"/password/([\w.~-]+)", body.get_content())[0] for body in bodies if body]

    return await eventually(found, lambda tokens: len(tokens) >= number, 60)


async def user_name_of(world: World, registration: Registration) -> str:
    rows = await world.rows(
        "identity", "SELECT user_name FROM credentials WHERE person_id = :id", id=registration.person_id
    )
    return str(rows[0]["user_name"])


async def test_a_customer_orders_a_link_by_user_name_or_address(world: World) -> None:
    email = f"Outi.{uuid.uuid4().hex}@posti.example"
    adult, _ = await world.save(adult_form(email), born(40))
    sibling, _ = await world.save(child_form(email), born(16))
    await mailed_tokens(world, email, 2)
    await (await order(world, f" {email.lower()} ", for_customer=True)).result()
    # One each, with the links of the last hour: nobody else's order makes them void.
    tokens = await mailed_tokens(world, email, 4)
    assert sorted(tokens[2:]) == sorted(tokens[:2])
    await world.change(
        "identity",
        "UPDATE links SET created_at = created_at - interval '61 minutes' WHERE subject = :id",
        id=adult.person_id,
    )
    name = await user_name_of(world, adult)
    await (await order(world, name.upper(), for_customer=True)).result()
    assert (await mailed_tokens(world, email, 5))[4] not in tokens
    customer = (await world.customer(sibling)).customer_id
    uses = "SELECT actor_kind FROM use_entries WHERE action = 'credentials:send' AND :id = ANY(subject_ids)"
    assert len(await world.rows("registration", uses, id=customer)) == 1


async def test_an_order_for_a_customer_beyond_the_limit_is_mailed_only_if_there_is_no_new_link(
    world: World,
) -> None:
    email = f"{uuid.uuid4().hex}@posti.example"
    registration, _ = await world.save(adult_form(email), born(40))
    await mailed_tokens(world, email, 1)
    beyond = {"for_customer": True, "only_without_link": True}
    await (await order(world, email, **beyond)).result()
    assert len(await mailed_tokens(world, email, 1)) == 1
    await world.change(
        "identity",
        "UPDATE links SET voided_at = now() WHERE subject = :id",
        id=registration.person_id,
    )
    await (await order(world, email, **beyond)).result()
    await mailed_tokens(world, email, 2)


async def test_whether_a_customer_has_the_name_or_address_is_told_to_nobody(world: World) -> None:
    email, borrowers = (f"{uuid.uuid4().hex}@posti.example" for _ in range(2))
    await world.save(adult_form(email), born(40))
    await mailed_tokens(world, email, 1)
    on_disc = adult_form(borrowers, kind=CUSTOMER_KIND_CD_BORROWER)
    on_disc.ClearField("credentials_recipient")
    await world.save(on_disc, born(50))
    unknown = ("liity-bbbbbbbb", "nobody", f"{uuid.uuid4().hex}@posti.example", "a\0b@c", borrowers)
    runs = [await order(world, name, for_customer=True) for name in (email, *unknown)]
    assert len({(await run.result()).SerializeToString() for run in runs}) == 1
    known, *others = [await events(run) for run in runs]
    assert others == [known] * len(unknown)
    assert await mailed_tokens(world, borrowers, 0) == []
