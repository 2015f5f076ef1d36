"""Who of a unit is told: never somebody who has left it, and never nobody (R16, R35)."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from liity.identity.v1.account_service_pb2 import Account
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registrar, Registration
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_REGISTRAR, CustomerForm
from liity.v1.registration_pb2 import STAGE_WELCOMED
from liity.workflows.v1.registration_workflow_pb2 import RecordConsentRequest
from services.runtime.temporal.names import RegistrationWorkflowNames
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers.test_need import UNANSWERED, temporary_form, watched
from tests.workflows.registration.test_registration import address

CONSENTED = "Huoltajan suostumus on saatu"
LAPSED = "Rekisteröinti raukesi: huoltajalta ei tullut vastausta"
CREDENTIALS = "Tunnukset kirjaston palveluun"
CHANGE_ADDRESS = "Muistutus: vaihda asiakkaan sähköpostiosoite"
CUSTOMER_SERVICE = "customer-service@liity.example"

Run = WorkflowHandle[Any, Any]


def subjects(world: World, email: str) -> list[str]:
    return [mail["Subject"] for mail in world.mails_to(email)]


async def saved_by(
    world: World, registrar: Account, unit_id: str, form: CustomerForm, age: int
) -> tuple[Registration, Run]:
    """A new person whom a registrar of a unit has saved, and the run."""
    person_id = await world.person(born(age))
    request = world.save_request(person_id, form, born(age))
    request.unit_id = unit_id
    request.registrar.CopyFrom(
        Registrar(account_id=registrar.account_id, display_name=registrar.display_name)
    )
    registration = await world.workflows.save(request)
    run = world.temporal.get_workflow_handle(RegistrationWorkflowNames.workflow_id(person_id))
    return registration, run


async def consents(world: World, run: Run) -> None:
    request = RecordConsentRequest(
        request_id=str(uuid.uuid4()),
        evidence=ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja"),
    )
    await world.workflows.record_consent(run.id.rpartition("/")[2], request)


async def test_when_the_registrar_has_left_the_main_user_is_told_and_takes_over(world: World) -> None:
    unit_id = await world.unit()
    registrar, main_user = await world.account(unit_id), await world.account(unit_id, ROLE_MAIN_USER)
    form = child_form(address(), credentials_recipient=CREDENTIALS_RECIPIENT_REGISTRAR)
    _, run = await saved_by(world, registrar, unit_id, form, 9)
    await world.leave(registrar, unit_id)
    await consents(world, run)
    await world.skip(run, timedelta(hours=1))
    assert subjects(world, registrar.email) == []
    assert sorted(subjects(world, main_user.email)) == sorted([CONSENTED, CREDENTIALS])


async def test_where_nobody_is_left_customer_service_is_told(world: World) -> None:
    unit_id = await world.unit()
    registrar = await world.account(unit_id)
    _, run = await saved_by(world, registrar, unit_id, child_form(address()), 9)
    await world.leave(registrar, unit_id)
    told = subjects(world, CUSTOMER_SERVICE).count(LAPSED)
    await world.skip_to_end(run)
    await run.result()
    assert subjects(world, registrar.email) == []
    assert subjects(world, CUSTOMER_SERVICE).count(LAPSED) == told + 1


async def test_where_nobody_can_be_mailed_customer_service_is_told(world: World) -> None:
    unit_id = await world.unit()
    registrar = await world.account(unit_id)
    world.smtp.unknown.add(registrar.email)
    _, run = await saved_by(world, registrar, unit_id, child_form(address()), 9)
    told = subjects(world, CUSTOMER_SERVICE).count(LAPSED)
    await world.skip_to_end(run)
    await run.result()
    assert subjects(world, CUSTOMER_SERVICE).count(LAPSED) == told + 1


async def test_credentials_go_to_nobody_who_is_no_registrar_any_more(world: World) -> None:
    unit_id = await world.unit()
    registrar = await world.account(unit_id)
    form = child_form(address(), credentials_recipient=CREDENTIALS_RECIPIENT_REGISTRAR)
    _, run = await saved_by(world, registrar, unit_id, form, 9)
    await world.leave(registrar, unit_id)
    await consents(world, run)
    await world.skip(run, timedelta(hours=1))
    assert subjects(world, registrar.email) == []
    assert CREDENTIALS not in subjects(world, CUSTOMER_SERVICE)


@pytest.mark.parametrize("left", [False, True])
async def test_of_a_need_the_unit_hears_that_the_customer_belongs_to(world: World, left: bool) -> None:
    before, after = await world.unit(), await world.unit()
    registrar, mover = await world.account(before), await world.account(after)
    main_user = await world.account(after, ROLE_MAIN_USER)
    registration, _ = await saved_by(world, registrar, before, temporary_form(address(), 30), 40)
    _, need = await watched(world, registration)
    await world.move(registration, after, mover)
    if left:
        await world.leave(mover, after)
    await world.skip_to_end(need)
    await need.result()
    assert UNANSWERED not in subjects(world, registrar.email)
    assert UNANSWERED in subjects(world, main_user.email if left else mover.email)


async def test_of_an_address_the_unit_is_reminded_that_can_change_it(world: World) -> None:
    before, after = await world.unit(), await world.unit()
    registrar, mover = await world.account(before), await world.account(after)
    registration, run = await saved_by(world, registrar, before, adult_form(registrar.email), 40)
    await world.move(registration, after, mover)
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    assert CHANGE_ADDRESS not in subjects(world, registrar.email)
    assert subjects(world, mover.email).count(CHANGE_ADDRESS) == 1
