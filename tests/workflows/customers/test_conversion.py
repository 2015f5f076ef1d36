"""A CD borrower becomes an online customer, who gets started as a new one does (R23, R26, R27)."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from deploy.demo.polling import eventually
from liity.registration.v1.customer_service_pb2 import ConvertToOnlineRequest
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_REGISTRAR,
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
)
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_CREDENTIALS_RECIPIENT_WITHOUT_EMAIL,
    REASON_NOT_A_CD_BORROWER,
)
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
from services.runtime.rpc.errors import Refusal
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers.test_transfer import address

BEGUN = "Olet nyt kirjaston asiakas"
CREDENTIALS = "Tunnukset kirjaston palveluun"
WELCOME = "Tervetuloa kirjastoon, tässä muutama kirjavinkki"


async def cd_borrower(world: World) -> Registration:
    form = adult_form(
        "", kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration, run = await world.save(form, born(70))
    await run.result()
    assert registration.stage == STAGE_ACTIVE
    return registration


async def convert(world: World, registration: Registration, **fields: Any) -> None:
    customer = await world.customer(registration)
    request = ConvertToOnlineRequest(
        **{
            "request_id": str(uuid.uuid4()),
            "customer_id": customer.customer_id,
            "unit_id": customer.unit_id,
            "credentials_recipient": CREDENTIALS_RECIPIENT_CUSTOMER,
            **fields,
        }
    )
    await world.customers.convert_to_online(registration.person_id, request)


def run_of(world: World, registration: Registration) -> Any:
    return world.temporal.get_workflow_handle(f"registration/{registration.person_id}")


async def test_credentials_now_and_the_welcome_two_weeks_later(world: World) -> None:
    registration, email, request_id = await cd_borrower(world), address(), str(uuid.uuid4())
    await convert(world, registration, email=email, request_id=request_id)
    await convert(world, registration, email=email, request_id=request_id)
    run = run_of(world, registration)
    await world.skip(run, timedelta(days=1))
    assert (await world.stored(registration)).stage == STAGE_CREDENTIALS_SENT
    assert len(world.mails_to(email)) == 1
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    subjects = [mail["Subject"] for mail in world.mails_to(email)]
    assert len(subjects) == 2
    assert subjects[-1] == WELCOME
    # Repeated when the run is over: nothing is sent once more.
    await convert(world, registration, email=email, request_id=request_id)
    await run_of(world, registration).result()
    assert len(world.mails_to(email)) == 2


async def test_a_changed_address_and_the_registrars_reminder_are_as_for_a_new_one(world: World) -> None:
    registration, email = await cd_borrower(world), address()
    await convert(world, registration, credentials_recipient=CREDENTIALS_RECIPIENT_REGISTRAR)
    run = run_of(world, registration)
    await world.skip(run, timedelta(days=15))
    assert (await world.stored(registration)).stage == STAGE_CREDENTIALS_SENT
    await world.change_address(registration, email)
    await run.result()
    assert WELCOME in [mail["Subject"] for mail in world.mails_to(email)]


async def test_an_online_customer_is_not_converted_and_the_run_goes_on(world: World) -> None:
    email = address()
    registration, run = await world.save(adult_form(email), born(40))
    with pytest.raises(Refusal) as refusal:
        await convert(world, registration)
    assert refusal.value.reason == REASON_NOT_A_CD_BORROWER
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED


async def test_a_mailbox_that_is_full_puts_no_conversion_off(world: World) -> None:
    full, email = address(), address()
    world.smtp.full.add(full)
    form = child_form(
        full, kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration, run = await world.save(form, born(16))
    await convert(world, registration, email=email)

    async def sent() -> list[str]:
        return [mail["Subject"] for mail in world.mails_to(email)]

    assert await eventually(sent, bool, 30) == [CREDENTIALS]
    # Who is online meanwhile is told nothing of discs, however long that is tried.
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    world.smtp.full.remove(full)
    assert BEGUN not in [mail["Subject"] for mail in world.mails_to(full)]


async def test_whoever_saves_a_converted_person_is_told(world: World) -> None:
    registration = await cd_borrower(world)
    with pytest.raises(Refusal) as refusal:
        await convert(world, registration)
    assert [violation.reason for violation in refusal.value.violations] == [
        REASON_CREDENTIALS_RECIPIENT_WITHOUT_EMAIL
    ]
    await convert(world, registration, email=address())
    with pytest.raises(Refusal) as refusal:
        await world.workflows.save(
            world.save_request(registration.person_id, adult_form(address()), born(70))
        )
    assert refusal.value.reason == REASON_ALREADY_REGISTERED_IN_THIS_UNIT
