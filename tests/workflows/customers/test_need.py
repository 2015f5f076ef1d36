"""A temporary need: asked about when its expected end comes, extended, ended, or told of (R21)."""

import uuid
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from deploy.demo.polling import eventually
from liity.registration.v1.customer_service_pb2 import Customer, UpdateCustomerRequest
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    CustomerForm,
)
from liity.v1.customer_service_pb2 import (
    CODE_OF_MERGED,
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    EMAIL_STATE_UNDELIVERABLE,
)
from liity.v1.reason_pb2 import REASON_NEED_NOT_TEMPORARY
from liity.workflows.v1.need_workflow_pb2 import ExtendRequest
from services.runtime.clock import from_proto_date, helsinki_day, helsinki_moment, now, to_proto_date
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import NeedWorkflowNames
from services.runtime.temporal.search_attributes import DEADLINE, STAGE
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born, child_form
from tests.workflows.customers.test_merge import merge
from tests.workflows.removal.test_removal import address, end, mailed, removal, subjects
from workflows.support.spread import own_share

QUESTION = "Tarvitsetko kirjastoa yhä?"
REMINDER = "Muistutus: tarvitsetko kirjastoa yhä?"
UNDELIVERABLE = "Viesti ei mennyt perille: tarkista sähköpostiosoite"
UNANSWERED = "Tilapäinen asiakas ei ole vastannut"
DAY = timedelta(days=1)

Run = WorkflowHandle[Any, Any]


def in_days(days: int) -> date:
    return helsinki_day(now()) + timedelta(days=days)


def temporary_form(email: str, days: int, **changes: Any) -> CustomerForm:
    return adult_form(email, temporary=True, expected_end_date=to_proto_date(in_days(days)), **changes)


async def watched(world: World, registration: Registration) -> tuple[Customer, Run]:
    """A customer, and the run that watches the need."""
    customer = await world.customer(registration)
    run = world.temporal.get_workflow_handle(NeedWorkflowNames.workflow_id(customer.customer_id))

    async def stage() -> str | None:
        try:
            return (await run.describe()).typed_search_attributes.get(STAGE)
        except RPCError:
            # It is yet to be started.
            return None

    await eventually(stage, bool, 60)
    return customer, run


async def edit(world: World, registration: Registration, form: CustomerForm, *paths: str) -> None:
    customer = await world.customer(registration)
    update = UpdateCustomerRequest(
        request_id=str(uuid.uuid4()),
        customer_id=customer.customer_id,
        unit_id=customer.unit_id,
        etag=customer.etag,
        update_mask=FieldMask(paths=paths),
        form=form,
    )
    await world.customers.change_address(update, world.registrar.account_id)


async def extend(world: World, customer: Customer, days: int = 0, request_id: str = "") -> date:
    request = ExtendRequest(request_id=request_id or str(uuid.uuid4()), customer_id=customer.customer_id)
    if days:
        request.expected_end_date.CopyFrom(to_proto_date(in_days(days)))
    return from_proto_date(await world.removals.extend_need(request, customer.unit_id))


async def reaches(run: Run, stage: str) -> None:
    async def current() -> str | None:
        return (await run.describe()).typed_search_attributes.get(STAGE)

    await eventually(current, lambda found: found == stage, 60)


def morning(customer: Customer, days: int) -> datetime:
    """When a customer is asked on the morning of that day: each at a moment of their own."""
    return helsinki_moment(in_days(days), 9) + own_share(timedelta(hours=1), customer.customer_id)


async def deadline(run: Run) -> datetime | None:
    return (await run.describe()).typed_search_attributes.get(DEADLINE)


async def test_it_is_asked_twice_and_then_the_registrar_is_told(world: World) -> None:
    email = address()
    registration, _ = await world.save(temporary_form(email, 30), born(40))
    customer, run = await watched(world, registration)
    assert await deadline(run) == morning(customer, 30)
    told = subjects(world, REGISTRARS_ADDRESS).count(UNANSWERED)
    await world.skip(run, 29 * DAY)
    assert QUESTION not in subjects(world, email)
    await world.skip(run, 2 * DAY)
    await mailed(world, email, QUESTION)
    await world.skip(run, 14 * DAY)
    await mailed(world, email, REMINDER)
    assert subjects(world, REGISTRARS_ADDRESS).count(UNANSWERED) == told
    await world.skip_to_end(run)
    await run.result()
    assert subjects(world, REGISTRARS_ADDRESS).count(UNANSWERED) == told + 1
    assert (subjects(world, email).count(QUESTION), subjects(world, email).count(REMINDER)) == (1, 1)


async def test_who_still_needs_it_is_asked_again_later(world: World) -> None:
    email = address()
    registration, _ = await world.save(temporary_form(email, 5), born(40))
    customer, run = await watched(world, registration)
    await world.skip(run, 6 * DAY)
    await reaches(run, "WAITING_FOR_ANSWER")
    request_id = str(uuid.uuid4())
    assert await extend(world, customer, 100, request_id) == in_days(100)
    assert await extend(world, customer, 100, request_id) == in_days(100)
    await reaches(run, "WAITING_FOR_EXPECTED_END")
    assert await deadline(run) == morning(customer, 100)
    # Without a day, for some months.
    assert await extend(world, customer) == in_days(183)
    await world.skip(run, 180 * DAY)
    await mailed(world, email, QUESTION, 2)
    await run.terminate()


async def test_an_answer_after_the_last_word_still_counts(world: World) -> None:
    email = address()
    registration, _ = await world.save(temporary_form(email, 5), born(40))
    customer, run = await watched(world, registration)
    await world.skip_to_end(run)
    await run.result()
    await extend(world, customer, 50)
    _, again = await watched(world, registration)
    await reaches(again, "WAITING_FOR_EXPECTED_END")
    await again.terminate()
    assert (subjects(world, email).count(QUESTION), subjects(world, email).count(REMINDER)) == (1, 1)


async def test_an_answer_that_is_refused_asks_nobody_anew(world: World) -> None:
    email = address()
    registration, _ = await world.save(temporary_form(email, 5), born(40))
    customer, run = await watched(world, registration)
    await world.skip_to_end(run)
    await run.result()
    with pytest.raises(Refusal):
        await extend(world, customer, -1)
    await run.result()
    assert (subjects(world, email).count(QUESTION), subjects(world, email).count(REMINDER)) == (1, 1)


async def test_the_merged_customer_is_asked_no_more(world: World) -> None:
    merged_registration, _ = await world.save(temporary_form(address(), 5), born(40))
    merged, run = await watched(world, merged_registration)
    kept_registration, _ = await world.save(adult_form(address()), born(40))
    await merge(world, await world.customer(kept_registration), merged, CODE_OF_MERGED)
    await run.result()
    assert (await run.describe()).typed_search_attributes[STAGE] == "ENDED"


async def test_nobody_is_asked_who_is_gone_by_then(world: World) -> None:
    email = address()
    registration, _ = await world.save(temporary_form(email, 5), born(40))
    _, run = await watched(world, registration)
    # As if the signal had not come.
    await world.change(
        "registration",
        "UPDATE customers SET state = :s, ended_at = now() WHERE person_id = :p",
        s=CUSTOMER_STATE_MARKED_FOR_DELETION,
        p=registration.person_id,
    )
    await world.skip_to_end(run)
    await run.result()
    assert QUESTION not in subjects(world, email)
    assert (await run.describe()).typed_search_attributes[STAGE] == "ENDED"


async def test_who_cannot_be_asked_for_days_is_told_to_the_registrar(world: World) -> None:
    email = address()
    registration, _ = await world.save(temporary_form(email, 5), born(40))
    _, run = await watched(world, registration)
    world.smtp.full.add(email)
    told = subjects(world, REGISTRARS_ADDRESS).count(UNDELIVERABLE)
    asked = "subject_id = :s AND template = 'need_question'"

    async def tried() -> list[Any]:
        found = f"SELECT 1 FROM messages WHERE {asked}"  # noqa: S608 # a text of this test
        return await world.rows("notification", found, s=registration.registration_id)

    async with world.skipping(run, 6 * DAY):
        await eventually(tried, bool, 60)
        older = f"UPDATE messages SET create_time = create_time - interval '5 days' WHERE {asked}"  # noqa: S608
        await world.change("notification", older, s=registration.registration_id)
        await mailed(world, REGISTRARS_ADDRESS, UNDELIVERABLE, told + 1)
    customer = await world.customer(registration)
    assert customer.email_state == EMAIL_STATE_UNDELIVERABLE
    await run.terminate()


async def test_whoever_ends_the_customership_ends_the_questions(world: World) -> None:
    email = address()
    registration, _ = await world.save(temporary_form(email, 5), born(40))
    customer, run = await watched(world, registration)
    await world.skip(run, 6 * DAY)
    await end(world, customer)
    await run.result()
    assert REMINDER not in subjects(world, email)
    await removal(world, customer).terminate()


async def test_an_undone_end_has_the_need_watched_again(world: World) -> None:
    registration, _ = await world.save(temporary_form(address(), 50), born(40))
    customer, run = await watched(world, registration)
    await end(world, customer)
    await run.result()
    await world.removals.undo(customer.customer_id, customer.unit_id, str(uuid.uuid4()))
    await reaches(run, "WAITING_FOR_EXPECTED_END")
    await run.terminate()


async def test_an_edit_brings_moves_and_takes_away_the_question(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    await edit(world, registration, temporary_form("", 20), "temporary", "expected_end_date")
    customer, run = await watched(world, registration)
    assert await deadline(run) == morning(customer, 20)
    await edit(world, registration, temporary_form("", 40), "expected_end_date")

    async def moved() -> datetime | None:
        return await deadline(run)

    await eventually(moved, lambda found: found == morning(customer, 40), 60)
    await edit(world, registration, CustomerForm(), "temporary", "expected_end_date")
    await run.result()


async def test_a_child_is_watched_once_the_guardian_has_consented(world: World) -> None:
    form = child_form(address(), temporary=True, expected_end_date=to_proto_date(in_days(60)))
    registration, consent = await world.save(form, born(9))
    await consent.signal("record_consent", {})

    async def begun() -> str:
        return (await world.stored(registration)).customer_id

    await eventually(begun, bool, 60)
    customer, run = await watched(world, registration)
    assert await deadline(run) == morning(customer, 60)
    await run.terminate()


async def test_without_an_address_the_registrar_is_told_at_once(world: World) -> None:
    form = temporary_form(
        "",
        5,
        kind=CUSTOMER_KIND_CD_BORROWER,
        credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED,
    )
    registration, _ = await world.save(form, born(40))
    _, run = await watched(world, registration)
    told = subjects(world, REGISTRARS_ADDRESS).count(UNANSWERED)
    await world.skip_to_end(run)
    await run.result()
    assert subjects(world, REGISTRARS_ADDRESS).count(UNANSWERED) == told + 1


async def test_a_long_need_goes_on_in_a_new_run(world: World) -> None:
    registration, _ = await world.save(temporary_form(address(), 400), born(40))
    _, run = await watched(world, registration)
    first = await run.describe()
    handle = world.temporal.get_workflow_handle(run.id, run_id=first.run_id)
    await world.skip_to_end(handle)
    assert (await handle.describe()).status == WorkflowExecutionStatus.CONTINUED_AS_NEW
    await run.terminate()


async def test_a_need_that_is_not_temporary_cannot_be_extended(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    customer = await world.customer(registration)
    with pytest.raises(Refusal) as refusal:
        await extend(world, customer, 50)
    assert refusal.value.reason == REASON_NEED_NOT_TEMPORARY
    run = world.temporal.get_workflow_handle(NeedWorkflowNames.workflow_id(customer.customer_id))
    await run.result()
