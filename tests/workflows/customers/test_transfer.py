"""A person moves to another unit: what goes on, who is told, and who no longer is (R16)."""

import uuid
from datetime import timedelta
from email.message import EmailMessage

import pytest

from deploy.demo.polling import eventually
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_UNSPECIFIED, CUSTOMER_KIND_CD_BORROWER
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_NOT_REGISTERED,
)
from liity.v1.registration_pb2 import STAGE_LAPSED, STAGE_WAITING_FOR_CONSENT, STAGE_WELCOMED
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import TransferWorkflowNames
from services.runtime.temporal.search_attributes import UNIT
from services.runtime.text.references import of_registration
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born, child_form

MOVED = "Asiakas on siirretty toiseen yksikköön"
CUSTOMER_SERVICE = "customer-service@liity.example"
LAPSES_SOON = "Huoltajan suostumus puuttuu vielä: rekisteröinti raukeaa pian"
LAPSED = "Rekisteröinti raukesi: huoltajalta ei tullut vastausta"


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def about(world: World, email: str, registration_id: str) -> list[str]:
    """The subjects of the mails to an address that name a registration."""
    return [
        mail["Subject"] for mail in world.mails_to(email) if of_registration(registration_id) in text_of(mail)
    ]


def told(world: World, email: str, registration_id: str) -> list[str]:
    """The texts of the mails to an address that tell of a registration's transfer."""
    mails = [mail for mail in world.mails_to(email) if mail["Subject"] == MOVED]
    return [text for text in map(text_of, mails) if of_registration(registration_id) in text]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    text: str = body.get_content()
    return text


async def finished(world: World, request_id: str) -> None:
    """The run of a transfer, at its end."""
    await world.temporal.get_workflow_handle(TransferWorkflowNames.workflow_id(request_id)).result()


async def test_a_welcome_to_come_goes_on_and_the_previous_registrar_is_told(world: World) -> None:
    email = address()
    registration, run = await world.save(adult_form(email), born(40))
    unit_id, request_id = await world.unit(), str(uuid.uuid4())
    mover = await world.account(unit_id)
    moved = await world.move(registration, unit_id, mover, request_id)
    assert (await world.customer(registration)).unit_id == unit_id
    assert moved.registration_id == registration.registration_id
    await finished(world, request_id)
    (text,) = told(world, REGISTRARS_ADDRESS, registration.registration_id)
    assert "Aino" not in text
    assert "Esimerkkilän kirjasto" in text
    assert (await run.describe()).typed_search_attributes[UNIT] == unit_id
    await world.skip_to_end(run)
    await run.result()
    stored = await world.stored(registration)
    assert (stored.stage, stored.unit_id) == (STAGE_WELCOMED, unit_id)
    assert len(world.mails_to(email)) == 2


async def test_a_consent_wait_goes_on_and_speaks_of_the_new_unit(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(hours=1))
    unit_id = await world.unit("Metsälän kirjasto")
    mover = await world.account(unit_id)
    moved = await world.move(registration, unit_id, mover)
    assert not moved.customer_id
    stored = await world.stored(registration)
    assert (stored.stage, stored.unit_id) == (STAGE_WAITING_FOR_CONSENT, unit_id)
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_LAPSED
    texts = [text_of(mail) for mail in world.mails_to(guardian)]
    assert "Esimerkkilän kirjasto" in texts[0]
    assert all("Metsälän kirjasto" in text for text in texts[1:])
    assert [mail["Subject"] for mail in world.mails_to(mover.email)] == [LAPSES_SOON, LAPSED]
    # Whoever has lost sight of the child is told of the transfer, and of nothing after it.
    assert about(world, REGISTRARS_ADDRESS, registration.registration_id) == [MOVED]


async def test_a_save_during_the_run_is_told_of_the_unit_of_now(world: World) -> None:
    registration, run = await world.save(adult_form(address()), born(40))
    unit_id, request_id = await world.unit(), str(uuid.uuid4())
    await world.move(registration, unit_id, await world.account(unit_id), request_id)
    await finished(world, request_id)
    again = world.save_request(registration.person_id, adult_form(address()), born(40))
    with pytest.raises(Refusal) as refusal:
        await world.workflows.save(again)
    assert refusal.value.reason == REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT
    again.unit_id = unit_id
    with pytest.raises(Refusal) as refusal:
        await world.workflows.save(again)
    assert refusal.value.reason == REASON_ALREADY_REGISTERED_IN_THIS_UNIT
    assert (await run.describe()).typed_search_attributes[UNIT] == unit_id


async def test_main_users_are_told_if_the_registrar_has_left_and_registrars_if_there_are_none(
    world: World,
) -> None:
    form = adult_form(
        address(), kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration, run = await world.save(form, born(40))
    await run.result()
    between, last = await world.unit(), await world.unit()
    # Who moves the person here belongs to another unit, as customer service would.
    stranger = await world.account(last)
    await world.move(registration, between, stranger)
    registrar = await world.account(between)
    request_id = str(uuid.uuid4())
    await world.move(registration, last, stranger, request_id)
    await finished(world, request_id)
    assert len(told(world, registrar.email, registration.registration_id)) == 1
    await world.move(registration, between, stranger)
    main_user = await world.account(between, ROLE_MAIN_USER)
    request_id = str(uuid.uuid4())
    await world.move(registration, last, stranger, request_id)
    await finished(world, request_id)
    assert len(told(world, main_user.email, registration.registration_id)) == 1
    assert len(told(world, registrar.email, registration.registration_id)) == 1


async def test_repeating_tells_nobody_twice(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    unit_id, request_id = await world.unit(), str(uuid.uuid4())
    mover = await world.account(unit_id)
    first = await world.move(registration, unit_id, mover, request_id)
    await finished(world, request_id)
    assert await world.move(registration, unit_id, mover, request_id.upper()) == first
    await finished(world, request_id)
    assert len(told(world, REGISTRARS_ADDRESS, registration.registration_id)) == 1


async def test_a_refused_transfer_moves_nothing_and_its_run_ends(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    mover = await world.account(world.unit_id)
    request_id = str(uuid.uuid4())
    with pytest.raises(Refusal) as refusal:
        await world.move(registration, world.unit_id, mover, request_id)
    assert refusal.value.reason == REASON_ALREADY_REGISTERED_IN_THIS_UNIT
    await finished(world, request_id)
    registration.person_id = uuid.uuid4().hex
    with pytest.raises(Refusal) as refusal:
        await world.move(registration, world.unit_id, mover)
    assert refusal.value.reason == REASON_NOT_REGISTERED


async def test_the_transfer_waits_for_no_mail_server(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    world.smtp.on_mail += ["451 4.3.0 Try again later"] * 2
    unit_id = await world.unit()
    await world.move(registration, unit_id, await world.account(unit_id))

    async def texts() -> list[str]:
        return told(world, REGISTRARS_ADDRESS, registration.registration_id)

    assert len(await eventually(texts, bool, 60)) == 1


@pytest.mark.parametrize("closed", [False, True])
async def test_customer_service_is_told_for_an_open_unit_that_has_nobody(world: World, closed: bool) -> None:
    """Whoever moves the customers of a closed unit knows it: then nobody is told."""
    registration, _ = await world.save(adult_form(address()), born(40))
    stranger = await world.account(world.unit_id)
    deserted = await world.unit("Autio kirjasto")
    await world.move(registration, deserted, stranger)
    if closed:
        statement = "UPDATE units SET closed_at = now() WHERE unit_id = :unit"
        await world.change("registration", statement, unit=deserted)
    request_id = str(uuid.uuid4())
    await world.move(registration, await world.unit(), stranger, request_id)
    await finished(world, request_id)
    of_the_deserted = [
        text
        for text in told(world, CUSTOMER_SERVICE, registration.registration_id)
        if "Autio kirjasto" in text
    ]
    assert len(of_the_deserted) == (0 if closed else 1)
