"""Two customers become one: what runs for the one ends, what runs for the other goes on (R24, R34)."""

import uuid
from email.message import EmailMessage

import pytest
from temporalio.client import WorkflowHandle

from deploy.demo.polling import eventually
from liity.identity.v1.person_service_pb2 import FindPersonRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.customer_service_pb2 import Customer, MergeCustomersRequest
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_service_pb2 import CODE_OF_MERGED, CODE_OF_UNSPECIFIED, CodeOf
from liity.v1.reason_pb2 import (
    REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_SAME_CUSTOMER,
)
from liity.v1.registration_pb2 import STAGE_LINKED, STAGE_WELCOMED
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import MergeWorkflowNames
from services.runtime.temporal.search_attributes import STAGE
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born
from tests.workflows.customers.test_transfer import address, told

WELCOME = "Tervetuloa kirjastoon, tässä muutama kirjavinkki"


async def merge(
    world: World,
    kept: Customer,
    merged: Customer,
    code_of: CodeOf.ValueType = CODE_OF_UNSPECIFIED,
    request_id: str = "",
) -> str:
    """Merges two customers; gives the call's ID, once all of it is done."""
    request = MergeCustomersRequest(
        request_id=request_id or str(uuid.uuid4()),
        customer_id=kept.customer_id,
        unit_id=kept.unit_id,
        merged_customer_id=merged.customer_id,
        merged_unit_id=merged.unit_id,
        merger=world.registrar,
    )
    await world.customers.merge(request, code_of)
    await world.temporal.get_workflow_handle(MergeWorkflowNames.workflow_id(request.request_id)).result()
    return request.request_id


async def saved(world: World, email: str) -> tuple[Registration, WorkflowHandle[object, object], Customer]:
    registration, run = await world.save(adult_form(email), born(40))
    return registration, run, await world.customer(registration)


async def person_of(world: World, code: str) -> str:
    stub = PersonServiceStub(world.gateway["identity"].channel)
    request = FindPersonRequest(personal_identity_code=code)
    return (await world.gateway["identity"].call(stub.FindPerson, request)).person_id


async def test_the_merged_run_mails_nothing_more_and_the_other_goes_on(world: World) -> None:
    mail_of_kept, mail_of_merged = address(), address()
    kept_registration, kept_run, kept = await saved(world, mail_of_kept)
    merged_registration, merged_run, merged = await saved(world, mail_of_merged)
    request_id = await merge(world, kept, merged, CODE_OF_MERGED)
    # A repetition finds all done.
    assert await merge(world, kept, merged, CODE_OF_MERGED, request_id) == request_id
    await merged_run.result()
    assert (await world.stored(merged_registration)).stage == STAGE_LINKED
    assert (await merged_run.describe()).typed_search_attributes[STAGE] == "LINKED"
    await world.environment.fast_forward(kept_run)
    await kept_run.result()
    assert (await world.stored(kept_registration)).stage == STAGE_WELCOMED
    assert [mail["Subject"] for mail in world.mails_to(mail_of_kept)].count(WELCOME) == 1
    assert WELCOME not in [mail["Subject"] for mail in world.mails_to(mail_of_merged)]
    # Of one unit: nobody has lost sight of anybody.
    assert not told(world, REGISTRARS_ADDRESS, merged_registration.registration_id)


async def test_who_logged_in_as_the_merged_one_gets_the_credentials_that_stay(world: World) -> None:
    mail_of_kept = address()
    _, _, kept = await saved(world, mail_of_kept)
    _, _, merged = await saved(world, address())

    async def mails() -> list[EmailMessage]:
        return list(world.mails_to(mail_of_kept))

    sent = len(await eventually(mails, bool, 60))
    request_id = await merge(world, kept, merged, CODE_OF_MERGED)
    await world.temporal.get_workflow_handle(MergeWorkflowNames.workflow_id(request_id)).result()
    (anew,) = world.mails_to(mail_of_kept)[sent:]
    assert anew["Subject"] == "Tunnukset kirjaston palveluun"


async def test_the_unit_of_the_merged_customer_is_told(world: World) -> None:
    _, _, kept = await saved(world, address())
    registration, _, _ = await saved(world, address())
    unit_id = await world.unit()
    registrar = await world.account(unit_id)
    await world.move(registration, unit_id, registrar)
    await merge(world, kept, await world.customer(registration), CODE_OF_MERGED)
    (text,) = told(world, registrar.email, registration.registration_id)
    assert "Aino" not in text


async def test_the_code_that_counts_leads_to_the_customer_who_stays(world: World) -> None:
    _, _, kept = await saved(world, address())
    code_of_kept = world.seen[-1]
    _, _, merged = await saved(world, address())
    code_of_merged = world.seen[-1]
    with pytest.raises(Refusal) as refusal:
        await merge(world, kept, merged)
    assert refusal.value.reason == REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES
    assert await person_of(world, code_of_merged) == merged.person_id
    await merge(world, kept, merged, CODE_OF_MERGED)
    # So does the code that was dropped: a Save by it finds the customer, too.
    assert await person_of(world, code_of_merged) == kept.person_id
    assert await person_of(world, code_of_kept) == kept.person_id
    rows = await world.rows(
        "identity", "SELECT 1 FROM credentials WHERE person_id = :person", person=merged.person_id
    )
    assert not rows


async def test_what_cannot_be_merged_is_told_and_changes_nothing(world: World) -> None:
    _, run, kept = await saved(world, address())
    for other, reason in (
        (kept, REASON_SAME_CUSTOMER),
        (Customer(customer_id="none", unit_id=world.unit_id), REASON_CUSTOMER_NOT_FOUND),
    ):
        with pytest.raises(Refusal) as refusal:
            await merge(world, kept, other)
        assert refusal.value.reason == reason
    assert (await run.describe()).status is not None
