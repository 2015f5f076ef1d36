"""Credentials are sent anew: to whom, what becomes of earlier links, and what if the address fails (R17)."""

import re
import uuid
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from deploy.demo.polling import eventually
from liity.identity.v1.credential_service_pb2 import ChoosePasswordRequest, IssueCredentialsRequest
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.registration.v1.customer_service_pb2 import OrderCredentialsRequest
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_REGISTRAR,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    CredentialsRecipient,
)
from liity.v1.customer_service_pb2 import EMAIL_STATE_UNCONFIRMED, EMAIL_STATE_UNDELIVERABLE
from liity.v1.reason_pb2 import REASON_CUSTOMER_HAS_ENDED
from liity.workflows.v1.registration_workflow_pb2 import RegistrationStep
from services.runtime.rpc.errors import Refusal, reason_name
from services.runtime.temporal.names import CredentialsWorkflowNames
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born, child_form
from workflows.mail.notifier import Mailing, key

CREDENTIALS = "Tunnukset kirjaston palveluun"
UNDELIVERABLE = "Viesti ei mennyt perille: tarkista sähköpostiosoite"


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def tokens(world: World, email: str) -> list[str]:
    """The tokens of the links in the credentials that were mailed to an address."""
    mails = [mail for mail in world.mails_to(email) if mail["Subject"] == CREDENTIALS]
    bodies = [mail.get_body(("plain",)) for mail in mails]
    return [re.findall(r"/password/([\w.~-]+)", body.get_content())[0] for body in bodies if body is not None]


async def send(
    world: World,
    registration: Registration,
    recipient: CredentialsRecipient.ValueType = CREDENTIALS_RECIPIENT_CUSTOMER,
    request_id: str = "",
) -> None:
    """Orders credentials as the world's registrar, and waits for the end of their run."""
    request_id = request_id or str(uuid.uuid4())
    customer = await world.customer(registration)
    order = OrderCredentialsRequest(
        request_id=request_id,
        customer_id=customer.customer_id,
        unit_id=registration.unit_id,
        recipient=recipient,
    )
    await world.customers.send_credentials(order, world.registrar.account_id)
    await world.temporal.get_workflow_handle(CredentialsWorkflowNames.workflow_id(request_id)).result()


async def choose(world: World, token: str) -> str:
    identity = world.gateway["identity"]
    request = ChoosePasswordRequest(
        request_id=str(uuid.uuid4()), link_token=token, password="korkea-hiekka-7"
    )
    stub = CredentialServiceStub(identity.channel)
    return (await identity.call(stub.ChoosePassword, request)).user_name


async def refused(call: Awaitable[object]) -> tuple[str, dict[str, str]]:
    with pytest.raises(Refusal) as refusal:
        await call
    fields = {field: reason_name(reason) for field, reason in refusal.value.violations}
    return reason_name(refusal.value.reason), fields


async def test_they_go_to_the_address_on_file_and_earlier_links_are_void(world: World) -> None:
    email = address()
    registration, _ = await world.save(adult_form(email), born(40))
    await send(world, registration)
    first, second = tokens(world, email)
    assert await refused(choose(world, first)) == ("LINK_VOID", {})
    assert (await choose(world, second)).startswith("liity-")


async def test_they_go_to_the_registrar_who_orders_them(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    before = len(tokens(world, REGISTRARS_ADDRESS))
    await send(world, registration, CREDENTIALS_RECIPIENT_REGISTRAR)
    assert len(tokens(world, REGISTRARS_ADDRESS)) == before + 1


async def test_those_that_a_registrar_has_are_void_once_the_customer_moves(world: World) -> None:
    email = address()
    to_registrar, _ = await world.save(adult_form(address()), born(40))
    to_customer, _ = await world.save(adult_form(email), born(40))
    before = len(tokens(world, REGISTRARS_ADDRESS))
    await send(world, to_registrar, CREDENTIALS_RECIPIENT_REGISTRAR)
    registrars = tokens(world, REGISTRARS_ADDRESS)[before:]

    async def customers() -> list[str]:
        return tokens(world, email)

    await eventually(customers, lambda found: len(found) == 1, 60)
    unit_id = await world.unit()
    mover = await world.account(unit_id)
    for registration in (to_registrar, to_customer):
        await world.move(registration, unit_id, mover)
    assert [await refused(choose(world, token)) for token in registrars] == [("LINK_VOID", {})]
    assert (await choose(world, tokens(world, email)[0])).startswith("liity-")


async def test_repeating_sends_them_once(world: World) -> None:
    email, request_id = address(), str(uuid.uuid4())
    registration, _ = await world.save(adult_form(email), born(40))
    await send(world, registration, request_id=request_id)
    await send(world, registration, request_id=request_id)
    assert len(tokens(world, email)) == 2


async def test_those_that_a_later_order_has_made_void_are_not_mailed(world: World) -> None:
    """The mail server was away while two were ordered: one mail goes out, with the link that works."""
    email, first = address(), str(uuid.uuid4())
    registration, _ = await world.save(adult_form(email), born(40))
    worker = world.worker["identity"]
    issue = IssueCredentialsRequest(request_id=key(first, "issue"), person_id=registration.person_id)
    await worker.call(CredentialServiceStub(worker.channel).IssueCredentials, issue)
    await send(world, registration)
    await send(world, registration, request_id=first)
    assert len(tokens(world, email)) == 2
    assert (await choose(world, tokens(world, email)[-1])).startswith("liity-")


async def test_a_recipient_without_an_address_is_refused(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    assert await refused(send(world, registration, CREDENTIALS_RECIPIENT_RELATED_PERSON)) == (
        "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL",
        {"recipient": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"},
    )


async def test_a_cd_borrower_gets_none(world: World) -> None:
    form = adult_form(
        address(), kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration, _ = await world.save(form, born(40))
    reason, _ = await refused(send(world, registration))
    assert reason == "CREDENTIALS_NOT_FOR_CD_BORROWER"


async def test_an_address_that_fails_is_remembered_and_the_registrar_is_told(world: World) -> None:
    email = address()
    registration, _ = await world.save(adult_form(email), born(40))
    assert (await world.customer(registration)).email_state == EMAIL_STATE_UNCONFIRMED
    before = [mail["Subject"] for mail in world.mails_to(REGISTRARS_ADDRESS)].count(UNDELIVERABLE)
    world.smtp.unknown.add(email)
    await send(world, registration)
    assert (await world.customer(registration)).email_state == EMAIL_STATE_UNDELIVERABLE
    told = [mail["Subject"] for mail in world.mails_to(REGISTRARS_ADDRESS)].count(UNDELIVERABLE)
    assert told == before + 1


async def test_an_address_that_works_again_is_forgiven(world: World) -> None:
    email = address()
    registration, _ = await world.save(adult_form(email), born(40))
    world.smtp.unknown.add(email)
    await send(world, registration)
    world.smtp.unknown.remove(email)
    await send(world, registration)
    assert (await world.customer(registration)).email_state == EMAIL_STATE_UNCONFIRMED


async def test_a_guardian_who_cannot_be_mailed_is_remembered_until_they_can(world: World) -> None:
    guardian = address()
    world.smtp.unknown.add(guardian)
    registration, run = await world.save(child_form(guardian), born(9))

    async def refused() -> bool:
        (row,) = await world.rows(
            "registration",
            "SELECT undeliverable_since FROM registrations WHERE registration_id = :id",
            id=registration.registration_id,
        )
        return row["undeliverable_since"] is not None

    assert await eventually(refused, lambda found: found, 30)
    world.smtp.unknown.remove(guardian)
    # The first reminder.
    await world.skip(run, timedelta(days=8))
    assert not await eventually(refused, lambda found: not found, 30)


async def test_the_first_credentials_that_fail_mark_the_address_too(world: World) -> None:
    email = address()
    world.smtp.unknown.add(email)
    registration, run = await world.save(adult_form(email), born(40))
    await world.skip_to_end(run)
    await run.result()
    assert (await world.customer(registration)).email_state == EMAIL_STATE_UNDELIVERABLE


async def test_an_order_is_refused_if_the_customership_ends_before_the_mail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends between the order, which was right, and the mail, which then does not go out."""
    email = address()
    registration, _ = await world.save(adult_form(email), born(40))
    mails, details_now = len(world.mails_to(email)), Mailing.details

    async def details_after_the_end(mailing: Mailing, step: RegistrationStep, **terms: bool) -> object:
        if step.event_id == order.request_id:
            statement = "UPDATE customers SET state = 2 WHERE person_id = :person"
            await world.change("registration", statement, person=registration.person_id)
        return await details_now(mailing, step, **terms)

    customer = await world.customer(registration)
    monkeypatch.setattr(Mailing, "details", details_after_the_end)
    order = OrderCredentialsRequest(
        request_id=str(uuid.uuid4()),
        customer_id=customer.customer_id,
        unit_id=customer.unit_id,
        recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
    )
    for _ in range(2):
        with pytest.raises(Refusal) as refusal:
            await world.customers.send_credentials(order, world.registrar.account_id)
        assert refusal.value.reason == REASON_CUSTOMER_HAS_ENDED
    assert len(world.mails_to(email)) == mails
