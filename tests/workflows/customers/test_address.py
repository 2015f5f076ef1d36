"""A changed address is confirmed and told (R14); a registrar's own that stays holds the welcome (R27)."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from deploy.demo.polling import eventually
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_CUSTOMERSHIP, LINK_PURPOSE_EMAIL, CheckLinkRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.registration.v1.customer_service_pb2 import ConfirmEmailRequest, UpdateCustomerRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_MAIN_USER
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_REGISTRAR,
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    CustomerForm,
    PaperConsent,
    RelatedPerson,
)
from liity.v1.customer_service_pb2 import (
    EMAIL_STATE_CONFIRMED,
    EMAIL_STATE_UNCONFIRMED,
    EMAIL_STATE_UNDELIVERABLE,
)
from liity.v1.reason_pb2 import REASON_INVALID_EMAIL, REASON_LINK_VOID
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
from liity.workflows.v1.operators_pb2 import WaitsFor
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.rpc.context import set_current_actor
from services.runtime.rpc.errors import FieldViolation, Refusal
from services.runtime.temporal.names import AddressChangeWorkflowNames
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born, child_form

CONFIRM = "Vahvista uusi sähköpostiosoitteesi"
CHANGED = "Sähköpostiosoitteesi on muutettu"
REMINDER = "Muistutus: vaihda asiakkaan sähköpostiosoite"
NOT_CONFIRMED_YET = "Muistutus: vahvista uusi sähköpostiosoitteesi"
UNCONFIRMED = "Asiakkaan uutta sähköpostiosoitetta ei ole vahvistettu"
UNDELIVERABLE = "Viesti ei mennyt perille: tarkista sähköpostiosoite"


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def subjects(world: World, email: str) -> list[str]:
    return [mail["Subject"] for mail in world.mails_to(email)]


async def change(world: World, registration: Registration, email: str, request_id: str = "") -> None:
    """Changes the address, and waits until both are told."""
    request_id = request_id or str(uuid.uuid4())
    await world.change_address(registration, email, request_id=request_id)
    await told(world, request_id)


def run_of(world: World, request_id: str) -> WorkflowHandle[Any, Any]:
    return world.temporal.get_workflow_handle(AddressChangeWorkflowNames.workflow_id(request_id))


async def told(world: World, request_id: str) -> None:
    """Waits until a change has mailed those whom it tells at once."""
    run = run_of(world, request_id)

    async def is_told() -> bool:
        if (await run.describe()).status != WorkflowExecutionStatus.RUNNING:
            return True
        return "is confirmed" in (await run.query("waits_for", result_type=WaitsFor)).details

    await eventually(is_told, bool, 60)


async def follow_link(world: World, email: str, subject: str = CONFIRM) -> None:
    """Confirms an address as the gateway does."""
    (mail,) = [mail for mail in world.mails_to(email) if mail["Subject"] == subject]
    body = mail.get_body(("plain",))
    assert body is not None
    await confirm(world, re.findall(r"/email/([\w.~-]+)", body.get_content())[0])


async def confirm(world: World, token: str) -> None:
    identity, registration = world.gateway["identity"], world.gateway["registration"]
    check = CheckLinkRequest(token=token, purpose=LINK_PURPOSE_EMAIL)
    link = await identity.call(LinkServiceStub(identity.channel).CheckLink, check)
    request = ConfirmEmailRequest(change_request_id=link.issue_request_id)
    await registration.call(CustomerServiceStub(registration.channel).ConfirmEmail, request)


async def customership_link(world: World, email: str) -> bool:
    """Whether the newest of an address's own links works."""
    body = world.mails_to(email)[0].get_body(("plain",))
    assert body is not None
    (token,) = re.findall(r"/customership/([\w.~-]+)", body.get_content())
    identity = world.gateway["identity"]
    check = CheckLinkRequest(token=token, purpose=LINK_PURPOSE_CUSTOMERSHIP)
    try:
        await identity.call(LinkServiceStub(identity.channel).CheckLink, check)
    except Refusal as refusal:
        if refusal.reason != REASON_LINK_VOID:
            raise
        return False
    return True


async def test_the_new_address_confirms_and_the_old_one_is_told(world: World) -> None:
    old, new = address(), address()
    registration, _ = await world.save(adult_form(old), born(40))
    await change(world, registration, new)
    assert subjects(world, new) == [CONFIRM]
    assert subjects(world, old)[-1] == CHANGED
    assert (await world.customer(registration)).email_state == EMAIL_STATE_UNCONFIRMED
    await follow_link(world, new)
    customer = await world.customer(registration)
    assert (customer.form.email, customer.email_state) == (new, EMAIL_STATE_CONFIRMED)


@pytest.mark.parametrize("temporary", [True, False], ids=["temporary", "for good"])
async def test_a_new_address_is_told_whether_the_need_can_be_extended(world: World, temporary: bool) -> None:
    registration, _ = await world.save(adult_form(address(), temporary=temporary), born(40))
    new = address()
    await change(world, registration, new)
    [mail] = world.mails_to(new)
    body = mail.get_body(("plain",))
    assert body is not None
    assert ("Koska tarpeesi on tilapäinen" in " ".join(body.get_content().split())) is temporary


async def test_who_has_not_confirmed_is_reminded_once_and_the_registrar_told_of_the_end(world: World) -> None:
    account = await world.account(world.unit_id)
    registration, run = await world.save(adult_form(address()), born(40))
    await world.skip_to_end(run)
    new, request_id = address(), str(uuid.uuid4())
    registrar = world.registrar.account_id
    world.registrar.account_id = account.account_id
    try:
        await change(world, registration, new, request_id)
    finally:
        world.registrar.account_id = registrar
    change_run = run_of(world, request_id)
    await world.skip(change_run, timedelta(days=6))
    assert subjects(world, new) == [CONFIRM]
    await world.skip(change_run, timedelta(days=2))

    async def newest() -> list[str]:
        return subjects(world, new)

    assert await eventually(newest, lambda found: len(found) > 1, 60) == [CONFIRM, NOT_CONFIRMED_YET]
    assert subjects(world, account.email) == []
    await world.skip_to_end(change_run)
    await change_run.result()
    assert subjects(world, new) == [CONFIRM, NOT_CONFIRMED_YET]
    assert subjects(world, account.email) == [UNCONFIRMED]
    # The link that was mailed twice is one and the same.
    assert (await world.customer(registration)).email_state == EMAIL_STATE_UNCONFIRMED
    await follow_link(world, new, NOT_CONFIRMED_YET)
    customer = await world.customer(registration)
    assert (customer.form.email, customer.email_state) == (new, EMAIL_STATE_CONFIRMED)


async def test_of_a_changed_address_that_is_confirmed_or_changed_again_nobody_hears_more(
    world: World,
) -> None:
    before = subjects(world, REGISTRARS_ADDRESS).count(UNCONFIRMED)
    registration, run = await world.save(adult_form(address()), born(40))
    await world.skip_to_end(run)
    first, second = address(), address()
    requests = [str(uuid.uuid4()) for _ in range(3)]
    # Back to the first one: its first link is dead all the same.
    for request_id, email in zip(requests, (first, second, first), strict=True):
        await change(world, registration, email, request_id)
    body = world.mails_to(first)[-1].get_body(("plain",))
    assert body is not None
    token = re.findall(r"/email/([\w.~-]+)", body.get_content())[0]
    await confirm(world, token)
    for request_id in requests:
        await world.skip_to_end(run_of(world, request_id))
    assert subjects(world, first).count(NOT_CONFIRMED_YET) == 0
    assert subjects(world, second).count(NOT_CONFIRMED_YET) == 0
    assert subjects(world, REGISTRARS_ADDRESS).count(UNCONFIRMED) == before


async def test_the_own_link_of_the_old_address_is_void_and_the_new_one_gets_another(world: World) -> None:
    old, new = address(), address()
    form = adult_form(
        old, kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration, run = await world.save(form, born(40))
    await run.result()
    assert await customership_link(world, old)
    request_id = str(uuid.uuid4())
    for _ in range(2):
        await change(world, registration, new, request_id)
        assert not await customership_link(world, old)
        assert await customership_link(world, new)


async def test_of_a_child_the_guardians_address_is_confirmed_and_told_alike(world: World) -> None:
    old, new = address(), address()
    paper = PaperConsent(guardian_name="Outi Huoltaja", sign_date=to_proto_date(helsinki_day(now())))
    registration, _ = await world.save(child_form(old, paper_consent=paper), born(9))
    customer = await world.customer(registration)
    assert customer.email_state == EMAIL_STATE_UNCONFIRMED
    request_id = str(uuid.uuid4())
    update = UpdateCustomerRequest(
        request_id=request_id,
        customer_id=customer.customer_id,
        unit_id=customer.unit_id,
        etag=customer.etag,
        update_mask=FieldMask(paths=["related_person.email"]),
        form=CustomerForm(related_person=RelatedPerson(email=new)),
    )
    await world.customers.change_address(update, world.registrar.account_id)
    await told(world, request_id)
    assert subjects(world, new) == [CONFIRM]
    assert subjects(world, old)[-1] == CHANGED
    await follow_link(world, new)
    assert (await world.customer(registration)).email_state == EMAIL_STATE_CONFIRMED


async def test_of_a_guardian_beside_the_customers_own_address_the_old_one_is_told(world: World) -> None:
    own, old, new = address(), address(), address()
    form = child_form(old, credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER)
    form.email = own
    registration, _ = await world.save(form, born(16))
    customer = await world.customer(registration)
    request_id = str(uuid.uuid4())
    update = UpdateCustomerRequest(
        request_id=request_id,
        customer_id=customer.customer_id,
        unit_id=customer.unit_id,
        etag=customer.etag,
        update_mask=FieldMask(paths=["related_person.email"]),
        form=CustomerForm(related_person=RelatedPerson(email=new)),
    )
    await world.customers.change_address(update, world.registrar.account_id)
    await told(world, request_id)
    assert subjects(world, old) == [CHANGED]
    assert CHANGED not in subjects(world, own)
    assert CONFIRM not in subjects(world, own)


async def test_a_guardian_is_told_of_no_change_that_is_not_of_their_address(world: World) -> None:
    """A child gets an address of their own; the guardian's stays as it is."""
    guardian, own = address(), address()
    registration, _ = await world.save(child_form(guardian), born(16))
    before = subjects(world, guardian)
    await change(world, registration, own)
    assert subjects(world, own) == [CONFIRM]
    assert subjects(world, guardian) == before


async def test_a_link_confirms_no_address_but_its_own(world: World) -> None:
    first, second = address(), address()
    registration, _ = await world.save(adult_form(address()), born(40))
    await change(world, registration, first)
    await change(world, registration, second)
    with pytest.raises(Refusal) as refusal:
        await follow_link(world, first)
    assert refusal.value.reason == REASON_LINK_VOID
    assert (await world.customer(registration)).email_state == EMAIL_STATE_UNCONFIRMED


async def test_repeating_changes_and_tells_once(world: World) -> None:
    old, new, request_id = address(), address(), str(uuid.uuid4())
    registration, _ = await world.save(adult_form(old), born(40))
    for _ in range(2):
        await change(world, registration, new, request_id)
    assert subjects(world, new) == [CONFIRM]
    assert subjects(world, old).count(CHANGED) == 1
    assert (await world.customer(registration)).etag == "2"


async def test_an_edit_that_leaves_the_address_as_it_is_mails_nobody(world: World) -> None:
    email = address()
    registration, _ = await world.save(adult_form(email), born(40))
    before = subjects(world, email)
    await change(world, registration, email)
    assert subjects(world, email) == before


async def test_a_wrong_address_is_refused_as_in_the_form(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    with pytest.raises(Refusal) as refusal:
        await change(world, registration, "ei-osoite")
    assert refusal.value.violations == (FieldViolation("form.email", REASON_INVALID_EMAIL),)


async def test_who_edits_beside_another_is_told_what_was_changed(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    etag = (await world.customer(registration)).etag
    new = address()
    await change(world, registration, new)
    answer = await world.change_address(registration, address(), etag=etag)
    assert list(answer.changed_meanwhile.paths) == ["email"]
    assert (await world.customer(registration)).form.email == new


async def test_a_new_address_that_fails_is_remembered_and_the_registrar_told(world: World) -> None:
    form = adult_form(
        "", kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration, run = await world.save(form, born(40))
    # Its own mail has gone out before the address changes.
    await run.result()
    before = subjects(world, REGISTRARS_ADDRESS).count(UNDELIVERABLE)
    new = address()
    world.smtp.unknown.add(new)
    await change(world, registration, new)
    assert (await world.customer(registration)).email_state == EMAIL_STATE_UNDELIVERABLE
    assert subjects(world, REGISTRARS_ADDRESS).count(UNDELIVERABLE) == before + 1


async def test_a_registrar_whose_address_stays_is_reminded_and_the_welcome_waits(world: World) -> None:
    account = await world.account(world.unit_id)
    registration, run = await world.save(adult_form(account.email), born(40))
    welcome = (await world.stored(registration)).deadline
    await world.skip(run, timedelta(days=6))
    assert REMINDER not in subjects(world, account.email)
    await world.skip(run, timedelta(days=2))

    async def reminders() -> int:
        return subjects(world, account.email).count(REMINDER)

    # In the background: the run does not wait for it.
    assert await eventually(reminders, bool, 60) == 1
    await world.skip(run, timedelta(days=8))
    stored = await world.stored(registration)
    assert stored.stage == STAGE_CREDENTIALS_SENT
    assert stored.deadline.ToDatetime() - welcome.ToDatetime() == timedelta(days=14)
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    assert len(subjects(world, account.email)) == 3


async def test_a_changed_address_ends_the_wait_at_once(world: World) -> None:
    account = await world.account(world.unit_id)
    registration, run = await world.save(adult_form(account.email), born(40))
    for _ in range(16):
        await world.skip(run, timedelta(days=1))

    async def reminders() -> int:
        return subjects(world, account.email).count(REMINDER)

    # In the background: else it might still go to the next address.
    assert await eventually(reminders, bool, 60) == 1
    assert (await world.stored(registration)).stage == STAGE_CREDENTIALS_SENT
    another = await world.account(world.unit_id)
    # Another registrar's is not the customer's either.
    await change(world, registration, another.email)
    assert (await world.stored(registration)).stage == STAGE_CREDENTIALS_SENT
    email = address()
    await change(world, registration, email)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    assert len(subjects(world, email)) == 2
    assert len(subjects(world, another.email)) == 2


async def test_who_has_no_address_waits_for_one_also_after_customer_service_has_moved_them(
    world: World,
) -> None:
    unit_id = await world.unit()
    main_user = await world.account(unit_id, ROLE_MAIN_USER)
    form = adult_form("", credentials_recipient=CREDENTIALS_RECIPIENT_REGISTRAR)
    registration, run = await world.save(form, born(40))
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="a2", role=ROLE_CUSTOMER_SERVICE))
    await world.move(registration, unit_id, main_user)
    for _ in range(16):
        await world.skip(run, timedelta(days=1))
    assert (await world.stored(registration)).stage == STAGE_CREDENTIALS_SENT

    async def told() -> bool:
        return REMINDER in subjects(world, main_user.email)

    await eventually(told, bool, 60)


async def test_a_customers_own_address_reminds_nobody(world: World) -> None:
    email = address()
    before = subjects(world, REGISTRARS_ADDRESS).count(REMINDER)
    _, run = await world.save(adult_form(email), born(40))
    await world.skip_to_end(run)
    await run.result()
    assert len(subjects(world, email)) == 2
    assert subjects(world, REGISTRARS_ADDRESS).count(REMINDER) == before
