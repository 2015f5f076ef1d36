"""Two registrars of two units: a customer is found, moved, edited, and given credentials anew."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_REGISTRAR, CustomerForm
from liity.v1.customer_service_pb2 import (
    EMAIL_STATE_CONFIRMED,
    EMAIL_STATE_UNCONFIRMED,
    ConfirmEmailRequest,
    Customer,
    GetCustomerRequest,
    SearchCustomersRequest,
    SendCredentialsRequest,
    TransferCustomerRequest,
    TransferCustomerResponse,
    UpdateCustomerRequest,
)
from liity.v1.registration_pb2 import (
    ACTION_OPEN,
    ACTION_REGISTER,
    ACTION_TRANSFER,
    PARTY_CUSTOMER_SERVICE,
    PARTY_REGISTRAR,
    STAGE_WAITING_FOR_CONSENT,
    Registration,
)
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_NOT_REGISTERED,
    STANDING_REGISTERED_IN_ANOTHER_UNIT,
    STANDING_REGISTERED_IN_THIS_UNIT,
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
    GetRegistrationRequest,
    WithdrawRegistrationRequest,
)
from tests.system.conftest import Api, Liity
from tests.system.support.registering import PATIENCE, MailCounter, adult, database, link_token, pupil, save


async def check(client: ApiClient, person: DemoPerson) -> CheckPersonalIdentityCodeResponse:
    request = CheckPersonalIdentityCodeRequest(
        parent=client.unit, personal_identity_code=person.personal_identity_code
    )
    return await client.call(client.registrations.CheckPersonalIdentityCode, request)


async def move(
    client: ApiClient, person: DemoPerson, request_id: str = "", unit: str = ""
) -> TransferCustomerResponse:
    request = TransferCustomerRequest(
        parent=unit or client.unit,
        request_id=request_id or new_request_id(),
        personal_identity_code=person.personal_identity_code,
    )
    return await client.call(client.customers.TransferCustomer, request)


async def get(client: ApiClient, name: str) -> Customer:
    return (await client.call(client.customers.GetCustomer, GetCustomerRequest(name=name))).customer


async def set_email(client: ApiClient, customer: Customer, email: str, request_id: str = "") -> Customer:
    request = UpdateCustomerRequest(
        name=customer.name,
        request_id=request_id or new_request_id(),
        etag=customer.etag,
        update_mask=FieldMask(paths=["email"]),
        form=CustomerForm(email=email),
    )
    return (await client.call(client.customers.UpdateCustomer, request)).customer


async def refused(call: Awaitable[Any]) -> str:
    with pytest.raises(Refusal) as refusal:
        await call
    return f"{refusal.value.code.name} {reason_name(refusal.value.reason)}"


async def customer_of(client: ApiClient, person: DemoPerson) -> Customer:
    return await get(client, (await check(client, person)).customer)


def _with_a_name_of_no_place() -> DemoPerson:
    """Somebody whose last name stands in no unit's."""
    person = adult()
    person.form.last_name = "Hiidenkirnu"
    return person


async def withdraw(client: ApiClient, name: str) -> Registration:
    request = WithdrawRegistrationRequest(name=name, request_id=new_request_id())
    return (await client.call(client.registrations.WithdrawRegistration, request)).registration


async def test_the_check_tells_what_may_be_done_and_no_more_than_is_needed(stack: Stack, api: Api) -> None:
    person = _with_a_name_of_no_place()
    unknown = await check(api.teacher, person)
    assert unknown.standing == STANDING_NOT_REGISTERED
    assert [available.action for available in unknown.available_actions] == [ACTION_REGISTER]
    saved = await save(api.registrar, person)
    own = await check(api.registrar, person)
    assert own.standing == STANDING_REGISTERED_IN_THIS_UNIT
    assert own.registration == saved.name
    assert (await get(api.registrar, own.customer)).registration == saved.name
    assert [available.action for available in own.available_actions] == [ACTION_OPEN]
    assert not own.recognition
    other = await check(api.teacher, person)
    assert other.standing == STANDING_REGISTERED_IN_ANOTHER_UNIT
    form = person.form
    assert other.recognition == f"{form.first_names[0]}. {form.last_name[0]}., Esimerkkilän kirjasto"
    (available,) = other.available_actions
    assert available.action == ACTION_TRANSFER
    assert set(available.parties) == {PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE}
    told = str(other)
    assert not other.customer
    assert not other.registration
    assert form.first_names not in told
    assert form.last_name not in told


async def test_one_who_is_being_registered_elsewhere_may_be_moved(stack: Stack, api: Api) -> None:
    child = pupil()
    await save(api.teacher, child)
    seen = await check(api.registrar, child)
    assert (seen.standing, seen.stage) == (STANDING_BEING_REGISTERED, STAGE_WAITING_FOR_CONSENT)
    assert [available.action for available in seen.available_actions] == [ACTION_TRANSFER]
    own = await check(api.teacher, child)
    assert [available.action for available in own.available_actions] == [ACTION_OPEN]


async def test_a_customer_moves_and_the_unit_before_loses_sight_at_once(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person = _with_a_name_of_no_place()
    saved = await save(api.registrar, person)
    before = await customer_of(api.registrar, person)
    moved = await move(api.teacher, person)
    assert moved.customer.form == before.form
    assert moved.customer.etag != before.etag
    assert moved.customer.name.startswith(api.teacher.unit)
    assert moved.customer.registration == moved.registration
    gone = [
        api.registrar.call(api.registrar.customers.GetCustomer, GetCustomerRequest(name=before.name)),
        set_email(api.registrar, before, "toinen@koti.example"),
        api.registrar.call(
            api.registrar.registrations.GetRegistration, GetRegistrationRequest(name=saved.name)
        ),
    ]
    assert [await refused(call) for call in gone] == [
        "NOT_FOUND CUSTOMER_NOT_FOUND",
        "NOT_FOUND CUSTOMER_NOT_FOUND",
        "NOT_FOUND REGISTRATION_NOT_FOUND",
    ]
    for client, found in ((api.registrar, 0), (api.teacher, 1)):
        search = SearchCustomersRequest(parent=client.unit, query=person.form.first_names)
        assert len((await client.call(client.customers.SearchCustomers, search)).customers) == found
    assert (await check(api.registrar, person)).standing == STANDING_REGISTERED_IN_ANOTHER_UNIT
    mail = await mails.wait_for(person, "moved_to_another_unit", saved)
    assert mail.recipient == "rekisteroija@kirjasto.example"
    assert person.form.first_names not in mail.text
    assert person.form.last_name not in mail.text
    assert "Esimerkkilän koulu" not in mail.text


async def test_a_child_who_waits_moves_and_the_new_unit_decides(stack: Stack, api: Api) -> None:
    child = pupil()
    child.form.ClearField("school_support")
    saved = await save(api.registrar, child)
    moved = await move(api.teacher, child)
    assert not moved.HasField("customer")
    assert await refused(withdraw(api.registrar, saved.name)) == "NOT_FOUND REGISTRATION_NOT_FOUND"
    assert (await withdraw(api.teacher, moved.registration)).name == moved.registration


async def test_the_log_of_both_units_shows_the_move(stack: Stack, api: Api) -> None:
    person = adult()
    await save(api.registrar, person)
    moved = await move(api.teacher, person)
    async with database(stack, "registration") as connection:
        rows = await connection.fetch(
            "SELECT for_unit_id, action, account_id FROM use_entries"
            " WHERE subject_ids @> ARRAY[$1::varchar] AND action LIKE 'customer:transfer%'",
            moved.customer.name.rpartition("/")[2],
        )
    assert {(f"units/{row['for_unit_id']}", row["action"]) for row in rows} == {
        (api.registrar.unit, "customer:transfer-away"),
        (api.teacher.unit, "customer:transfer"),
    }
    assert len({row["account_id"] for row in rows} - {""}) == 1


async def test_what_cannot_be_moved_says_why(stack: Stack, api: Api) -> None:
    nobody, person, child = adult(), adult(), pupil()
    await save(api.registrar, person)
    await save(api.teacher, child)
    assert await refused(move(api.registrar, nobody)) == "NOT_FOUND NOT_REGISTERED"
    assert await refused(move(api.registrar, person)) == "ALREADY_EXISTS ALREADY_REGISTERED_IN_THIS_UNIT"
    assert await refused(move(api.teacher, child)) == "ALREADY_EXISTS BEING_REGISTERED"
    assert await refused(move(api.staff, person, unit="units/nowhere")) == "NOT_FOUND UNIT_NOT_FOUND"
    assert await refused(move(api.registrar, child, unit=api.teacher.unit)) == "NOT_FOUND UNIT_NOT_FOUND"
    wrong = TransferCustomerRequest(
        parent=api.registrar.unit, request_id=new_request_id(), personal_identity_code="010594Y9033"
    )
    call = api.registrar.call(api.registrar.customers.TransferCustomer, wrong)
    assert await refused(call) == "INVALID_ARGUMENT HETU_CHECK_CHARACTER"


async def test_customer_service_moves_between_units_and_repeats_safely(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person, request_id = adult(), new_request_id()
    saved = await save(api.registrar, person)
    first = await move(api.staff, person, request_id, api.teacher.unit)
    await mails.wait_for(person, "moved_to_another_unit", saved)
    assert await move(api.staff, person, request_id.upper(), api.teacher.unit) == first
    assert mails.templates(person, saved)["moved_to_another_unit"] == 1


async def test_of_two_transfers_the_first_answers_what_it_did_and_shows_nothing_more(
    stack: Stack, api: Api
) -> None:
    """The answer of the first is on its way when the second is made: so is that of its repetition."""
    person = adult()
    await save(api.registrar, person)
    first = new_request_id()
    made = await move(api.teacher, person, first)
    await move(api.registrar, person)
    answered = await move(api.teacher, person, first)
    assert answered == TransferCustomerResponse(registration=made.registration)
    assert await refused(get(api.teacher, made.customer.name)) == "NOT_FOUND CUSTOMER_NOT_FOUND"


async def test_transfers_at_once_are_each_answered_what_they_did(stack: Stack, api: Api) -> None:
    """Away and back: the first is always made, the other one if it comes after it."""
    for _ in range(4):
        person = adult()
        await save(api.registrar, person)
        away, back = await asyncio.gather(
            move(api.teacher, person), move(api.registrar, person), return_exceptions=True
        )
        assert isinstance(away, TransferCustomerResponse)
        assert away.registration
        if isinstance(back, Refusal):
            assert reason_name(back.reason) == "ALREADY_REGISTERED_IN_THIS_UNIT"
        else:
            assert isinstance(back, TransferCustomerResponse)


async def test_a_changed_address_is_confirmed_there_and_told_to_the_old_one(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person = adult()
    saved = await save(api.registrar, person)
    customer = await customer_of(api.registrar, person)
    new = f"uusi.{person.email}"
    changed = await set_email(api.registrar, customer, new)
    assert (changed.form.email, changed.email_state) == (new, EMAIL_STATE_UNCONFIRMED)
    confirmation = await mails.wait_for(person, "email_confirmation", saved)
    assert confirmation.recipient == new
    assert (await mails.wait_for(person, "email_changed", saved)).recipient == person.email
    token = link_token(confirmation)
    request = ConfirmEmailRequest(token=token, request_id=new_request_id())
    for _ in range(2):
        await api.anybody.call(api.anybody.customers.ConfirmEmail, request)
    assert (await get(api.registrar, customer.name)).email_state == EMAIL_STATE_CONFIRMED
    again = ConfirmEmailRequest(token=token, request_id=new_request_id())
    answer = await refused(api.anybody.call(api.anybody.customers.ConfirmEmail, again))
    assert answer == "FAILED_PRECONDITION LINK_USED"


async def test_of_two_who_change_an_address_the_later_is_told(stack: Stack, api: Api) -> None:
    person = adult()
    await save(api.registrar, person)
    customer = await customer_of(api.registrar, person)
    await set_email(api.registrar, customer, f"toinen.{person.email}")
    with pytest.raises(Refusal) as refusal:
        await set_email(api.staff, customer, f"kolmas.{person.email}")
    assert reason_name(refusal.value.reason) == "CHANGED_MEANWHILE"
    assert (await get(api.staff, customer.name)).form.email == f"toinen.{person.email}"


async def test_a_changed_address_survives_a_worker_that_is_killed(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person, request_id = adult(), new_request_id()
    saved = await save(api.registrar, person)
    customer = await customer_of(api.registrar, person)
    await stack.stop_component("mailbox")
    new = f"uusi.{person.email}"
    await set_email(api.registrar, customer, new, request_id)
    await stack.kill_component("worker")
    await stack.start_component("mailbox")
    await stack.start_component("worker")
    assert (await mails.wait_for(person, "email_confirmation", saved)).recipient == new
    await mails.wait_for(person, "email_changed", saved)
    repeated = await set_email(api.registrar, customer, new, request_id)
    assert repeated.form.email == new
    assert mails.templates(person, saved)["email_confirmation"] == 1


async def test_credentials_go_out_anew(stack: Stack, api: Api, mails: MailCounter) -> None:
    person = adult()
    await save(api.registrar, person)
    await mails.wait_for(person, "credentials")
    customer = await customer_of(api.registrar, person)
    request = SendCredentialsRequest(
        name=customer.name, request_id=new_request_id(), recipient=CREDENTIALS_RECIPIENT_REGISTRAR
    )
    await api.registrar.call(api.registrar.customers.SendCredentials, request)

    async def recipients() -> set[str]:
        return {copy.recipient for copy in mails.copies(person) if copy.template == "credentials"}

    both = {person.email, "rekisteroija@kirjasto.example"}
    assert await eventually(recipients, lambda found: found == both, PATIENCE) == both
    assert (
        await refused(api.teacher.call(api.teacher.customers.SendCredentials, request))
        == "NOT_FOUND UNIT_NOT_FOUND"
    )


async def test_the_command_does_all_of_it(api: Api, remote_liity: Liity, mails: MailCounter) -> None:
    person = adult()
    saved = await save(api.registrar, person)

    def liity(account: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return remote_liity(account, "customers", *arguments, typed=typed)

    customer_id = (await customer_of(api.registrar, person)).name.rpartition("/")[2]
    assert customer_id[:12] in liity("registrar", "search", person.form.first_names).stdout
    etag = json.loads(liity("registrar", "show", customer_id, "--json").stdout)["etag"]
    assert etag in liity("registrar", "show", customer_id).stdout
    edited = liity("registrar", "edit", customer_id, "--etag", etag, "--set", "phone=0401234567", "--json")
    assert '"phone": "+358401234567"' in edited.stdout, edited.stderr
    # Somebody has edited the customer since it was shown: nothing is overwritten in silence (R14).
    late = liity("registrar", "edit", customer_id, "--etag", etag, "--set", "phone=0407654321")
    assert late.returncode == 1
    assert "Changed since: phone" in late.stderr
    assert "(CHANGED_MEANWHILE)" in late.stderr
    assert "+358401234567" in liity("registrar", "show", customer_id).stdout
    blind = liity("registrar", "edit", customer_id, "--set", "phone=0407654321")
    assert blind.returncode == 2
    assert "--etag" in blind.stderr
    wrong = liity("registrar", "edit", customer_id, "--etag", etag, "--set", "shoe_size=44")
    assert wrong.returncode == 2
    assert "shoe_size is no field" in wrong.stderr
    sent = liity("registrar", "send-credentials", customer_id, "--to", "registrar")
    assert "on their way" in sent.stdout, sent.stderr
    moved = liity("teacher", "transfer", "--json", typed=person.personal_identity_code + "\n")
    assert customer_id in moved.stdout, moved.stderr
    assert person.personal_identity_code not in moved.stdout
    await mails.wait_for(person, "moved_to_another_unit", saved)
    gone = liity("registrar", "show", customer_id)
    assert gone.returncode == 1
    assert "not found in this unit" in gone.stderr
    assert person.form.last_name in liity("teacher", "show", customer_id).stdout
