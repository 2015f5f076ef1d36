"""What the library's webinar teaches registrars, done on the whole stack: the bullets no other test does."""

import random
import uuid
from datetime import UTC, datetime

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from deploy.demo import forms
from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1.book_tips_service_pb2 import GetBookTipsRequest
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_REGISTRAR,
    CustomerForm,
    RelatedPerson,
)
from liity.v1.customer_service_pb2 import (
    Customer,
    GetCustomerRequest,
    SearchCustomersRequest,
    UpdateCustomerRequest,
)
from liity.v1.getting_started_pb2 import (
    NEXT_STEP_ASK_GUARDIAN,
    NEXT_STEP_CHANGE_ADDRESS,
    NEXT_STEP_CREDENTIALS_TO_CUSTOMER,
    NEXT_STEP_SHOW_BOOK_TIPS,
    NextStep,
)
from liity.v1.registration_pb2 import (
    CONSENT_STATE_GIVEN,
    CONSENT_STATE_NOT_NEEDED,
    STAGE_CREDENTIALS_SENT,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
)
from liity.v1.registration_service_pb2 import (
    GetRegistrationRequest,
    ListRegistrationsRequest,
    UpdateRegistrationRequest,
)
from services.runtime.clock import helsinki_day
from tests.system.conftest import Api
from tests.system.support.public_api import Gateway, outcome
from tests.system.support.public_api_facts import Facts
from tests.system.support.registering import (
    PATIENCE,
    Copy,
    MailCounter,
    accept,
    adult,
    link_token,
    pupil,
    reaches,
    save,
    save_request,
    settings,
)

_SOON = {
    "LIITY_WORKFLOWS_ADDRESS_REMINDER": "PT1S",
    "LIITY_WORKFLOWS_WELCOME_DELAY": "PT3S",
    "LIITY_WORKFLOWS_ADDRESS_PATIENCE": "PT5M",
}
"""A week and two weeks, in seconds."""


def sixteen_year_old() -> DemoPerson:
    """A pupil who joins alone."""
    today = helsinki_day(datetime.now(UTC))
    return forms.young_adult(today, random.Random())  # noqa: S311 - nobody's secret


async def next_steps(client: ApiClient, person: DemoPerson) -> list[NextStep.ValueType]:
    """What the answer to a Save tells to do next."""
    request = save_request(client.unit, person)
    answer = await client.call(client.registrations.RegisterCustomer, request)
    assert all(step.text for step in answer.getting_started)
    return [step.step for step in answer.getting_started]


async def customer_of(client: ApiClient, name: str) -> Customer:
    """A customer as they now stand."""
    request = GetCustomerRequest(name=name)
    return (await client.call(client.customers.GetCustomer, request)).customer


async def found_by(client: ApiClient, unit: str, query: str) -> set[str]:
    """The names of the customers whom a search finds."""
    request = SearchCustomersRequest(parent=unit, query=query)
    answer = await client.call(client.customers.SearchCustomers, request)
    return {customer.name for customer in answer.customers}


async def test_a_child_waits_for_the_guardian_and_begins_with_the_consent(
    api: Api, mails: MailCounter
) -> None:
    child = pupil()
    saved = await save(api.teacher, child)
    assert saved.stage == STAGE_WAITING_FOR_CONSENT
    await accept(api.anybody, link_token(await mails.wait_for(child, "consent_request")), child)
    begun = await reaches(api.teacher, saved.name, STAGE_CREDENTIALS_SENT)
    assert begun.consent_state == CONSENT_STATE_GIVEN


async def test_a_guardian_s_address_is_corrected_while_consent_is_awaited(
    api: Api, mails: MailCounter
) -> None:
    child = pupil()
    saved = await save(api.teacher, child)
    await mails.wait_for(child, "consent_request")
    read = await api.teacher.call(
        api.teacher.registrations.GetRegistration, GetRegistrationRequest(name=saved.name)
    )
    assert read.form.related_person.email == child.form.related_person.email
    right = f"{uuid.uuid4().hex}@koti.example"
    request = UpdateRegistrationRequest(
        name=saved.name,
        request_id=new_request_id(),
        etag=read.etag,
        update_mask=FieldMask(paths=["related_person.email"]),
        form=CustomerForm(related_person=RelatedPerson(email=right)),
    )
    await api.teacher.call(api.teacher.registrations.UpdateRegistration, request)

    async def asked_anew() -> list[Copy]:
        return [copy for copy in mails.copies(child) if copy.recipient == right]

    (asked,) = await eventually(asked_anew, bool, PATIENCE)
    await accept(api.anybody, link_token(asked), child)
    await reaches(api.teacher, saved.name, STAGE_CREDENTIALS_SENT)
    request.request_id = new_request_id()
    with pytest.raises(Refusal) as refused:
        await api.teacher.call(api.teacher.registrations.UpdateRegistration, request)
    assert "NOT_WAITING" in refused.value.summary


async def test_who_is_sixteen_joins_alone(api: Api) -> None:
    saved = await save(api.teacher, sixteen_year_old())
    begun = await reaches(api.teacher, saved.name, STAGE_CREDENTIALS_SENT)
    assert begun.consent_state == CONSENT_STATE_NOT_NEEDED


async def test_a_registrar_logs_in_with_an_account_of_their_own(
    stack: Stack, accounts: dict[str, DemoAccount]
) -> None:
    teacher = accounts["teacher"]
    own = ListRegistrationsRequest(parent=teacher.unit)
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as client:
        with pytest.raises(Refusal) as refused:
            await client.call(client.registrations.ListRegistrations, own)
        assert refused.value.summary.startswith("UNAUTHENTICATED")
        session = await client.log_in(teacher.email, teacher.password)
        assert [membership.unit for membership in session.memberships] == [teacher.unit]
        await client.call(client.registrations.ListRegistrations, own)


async def test_a_unit_finds_its_own_by_the_beginning_of_any_name(api: Api) -> None:
    person = adult()
    person.form.last_name = f"Öhmanin{uuid.uuid4().hex[:8]}"
    saved = await save(api.registrar, person)
    begun = await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)
    for query in (person.form.last_name[:12], person.form.last_name.upper(), f"o{person.form.last_name[1:]}"):
        assert begun.customer in await found_by(api.registrar, api.registrar.unit, query)
    assert not await found_by(api.teacher, api.teacher.unit, person.form.last_name)
    with pytest.raises(Refusal) as refused:
        await found_by(api.teacher, api.registrar.unit, person.form.last_name)
    assert "UNIT_NOT_FOUND" in refused.value.summary


async def test_a_save_tells_what_to_do_next(api: Api) -> None:
    to_registrar = adult()
    to_registrar.form.credentials_recipient = CREDENTIALS_RECIPIENT_REGISTRAR
    assert NEXT_STEP_CREDENTIALS_TO_CUSTOMER in await next_steps(api.registrar, adult())
    assert NEXT_STEP_CHANGE_ADDRESS in await next_steps(api.registrar, to_registrar)
    assert NEXT_STEP_ASK_GUARDIAN in await next_steps(api.teacher, pupil())
    assert NEXT_STEP_SHOW_BOOK_TIPS in await next_steps(api.registrar, adult())


async def test_a_registrars_own_address_is_changed_and_the_welcome_with_book_tips_waits_for_it(
    stack: Stack, api: Api, accounts: dict[str, DemoAccount], mails: MailCounter
) -> None:
    person = adult()
    own, person.form.email = person.form.email, accounts["registrar"].email
    person.form.credentials_recipient = CREDENTIALS_RECIPIENT_CUSTOMER
    async with settings(stack, _SOON, "worker"):
        saved = await save(api.registrar, person)
        await mails.wait_for(person, "change_address_reminder", saved)
        begun = await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)
        customer = await customer_of(api.registrar, begun.customer)
        change = UpdateCustomerRequest(
            name=customer.name,
            request_id=new_request_id(),
            etag=customer.etag,
            update_mask=FieldMask(paths=["email"]),
            form=CustomerForm(email=own),
        )
        await api.registrar.call(api.registrar.customers.UpdateCustomer, change)
        await reaches(api.registrar, saved.name, STAGE_WELCOMED)
    welcome = await mails.wait_for(person, "welcome", saved)
    assert welcome.recipient == own
    read = GetBookTipsRequest(name="bookTips/fi")
    tips = (await api.registrar.call(api.registrar.book_tips.GetBookTips, read)).book_tips
    assert all(tip.title in welcome.text for tip in tips.tips)


async def test_contacts_come_with_what_one_cannot_solve_alone(gateway: Gateway, facts: Facts) -> None:
    request = save_request(facts.library, facts.adult)
    refusal = await gateway.refusal("/liity.v1.RegistrationService/RegisterCustomer", request, "registrar")
    # Sees to the contacts of customer service, too (R25).
    assert outcome(refusal) == ("ALREADY_EXISTS", "ALREADY_REGISTERED_IN_THIS_UNIT")
