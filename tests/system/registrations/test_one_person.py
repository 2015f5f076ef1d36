"""Who a person is: codes replaced, customers merged, a CD borrower who goes online (R23, R24, R34)."""

import subprocess

import pytest

from deploy.demo.forms import DemoPerson
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    CUSTOMER_KIND_ONLINE,
)
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_RENEWED,
    CODE_OF_MERGED,
    CodeOfAnotherPerson,
    ConvertToOnlineRequest,
    Customer,
    MergeCustomersRequest,
    SetPersonalIdentityCodeRequest,
)
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT
from liity.v1.registration_service_pb2 import STANDING_NOT_REGISTERED, STANDING_REGISTERED_IN_THIS_UNIT
from liity.v1.use_log_service_pb2 import ListUsesRequest
from tests.system.conftest import Api, Liity
from tests.system.customers.test_transfer import check, customer_of, get, refused
from tests.system.support.registering import MailCounter, adult, reaches, save


def code_change(customer: Customer, code: str, request_id: str = "") -> SetPersonalIdentityCodeRequest:
    return SetPersonalIdentityCodeRequest(
        name=customer.name,
        request_id=request_id or new_request_id(),
        personal_identity_code=code,
        change=CODE_CHANGE_RENEWED,
    )


def merge_request(kept: Customer, merged: Customer) -> MergeCustomersRequest:
    return MergeCustomersRequest(name=kept.name, request_id=new_request_id(), merged_customer=merged.name)


async def actions(client: ApiClient, customer: Customer) -> set[str]:
    request = ListUsesRequest(subject_id=customer.name.rpartition("/")[2], page_size=200)
    return {use.action for use in (await client.call(client.uses.ListUses, request)).uses}


def cd_borrower() -> DemoPerson:
    person = adult()
    person.form.kind = CUSTOMER_KIND_CD_BORROWER
    person.form.credentials_recipient = CREDENTIALS_RECIPIENT_UNSPECIFIED
    return person


async def test_a_new_code_leads_to_the_same_customer_and_the_old_one_is_free(stack: Stack, api: Api) -> None:
    person, renewed = adult(), adult()
    await save(api.registrar, person)
    before = await customer_of(api.registrar, person)
    request = code_change(before, renewed.personal_identity_code)
    first = await api.staff.call(api.staff.customers.SetPersonalIdentityCode, request)
    assert await api.staff.call(api.staff.customers.SetPersonalIdentityCode, request) == first
    assert first.customer.form == before.form
    assert (await customer_of(api.registrar, renewed)).name == before.name
    assert (await check(api.registrar, person)).standing == STANDING_NOT_REGISTERED
    await save(api.registrar, person)
    assert (await customer_of(api.registrar, person)).name != before.name
    assert "personal-identity-code:renew" in await actions(api.staff, before)


async def test_only_customer_service_says_who_a_person_is(stack: Stack, api: Api) -> None:
    person = adult()
    await save(api.registrar, person)
    customer = await customer_of(api.registrar, person)
    customers = api.registrar.customers
    for call in (
        api.registrar.call(
            customers.SetPersonalIdentityCode, code_change(customer, person.personal_identity_code)
        ),
        api.registrar.call(customers.MergeCustomers, merge_request(customer, customer)),
        api.registrar.call(
            customers.ConvertToOnline,
            ConvertToOnlineRequest(name=customer.name, request_id=new_request_id()),
        ),
    ):
        assert await refused(call) == "PERMISSION_DENIED PERMISSION_DENIED"


async def test_a_code_that_is_anothers_leads_to_a_merge(stack: Stack, api: Api, mails: MailCounter) -> None:
    person, again = adult(), adult()
    await save(api.registrar, person)
    saved = await save(api.registrar, again)
    kept, merged = await customer_of(api.registrar, person), await customer_of(api.registrar, again)
    with pytest.raises(Refusal) as refusal:
        await api.staff.call(
            api.staff.customers.SetPersonalIdentityCode, code_change(kept, again.personal_identity_code)
        )
    assert reason_name(refusal.value.reason) == "HETU_OF_ANOTHER_PERSON"
    assert refusal.value.detail == CodeOfAnotherPerson(customer=merged.name, registration=saved.name)
    request = merge_request(kept, merged)
    unsaid = api.staff.call(api.staff.customers.MergeCustomers, request)
    assert await refused(unsaid) == "FAILED_PRECONDITION BOTH_HAVE_PERSONAL_IDENTITY_CODES"
    request = merge_request(kept, merged)
    request.personal_identity_code_of = CODE_OF_MERGED
    first = await api.staff.call(api.staff.customers.MergeCustomers, request)
    assert await api.staff.call(api.staff.customers.MergeCustomers, request) == first
    (told,) = first.customer.merged_customers
    assert told.form == merged.form
    assert "first_names" in told.differing.paths
    found = await check(api.registrar, again)
    assert (found.standing, found.customer) == (STANDING_REGISTERED_IN_THIS_UNIT, kept.name)
    # So does the code that was dropped: a Save by it does not make the customer who was merged anew.
    found = await check(api.registrar, person)
    assert (found.standing, found.customer) == (STANDING_REGISTERED_IN_THIS_UNIT, kept.name)
    saved_again = save(api.registrar, person)
    assert await refused(saved_again) == "ALREADY_EXISTS ALREADY_REGISTERED_IN_THIS_UNIT"
    assert await refused(get(api.registrar, merged.name)) == "NOT_FOUND CUSTOMER_NOT_FOUND"
    assert {"customer:merge", "customer:look-up", "registration:create"} <= await actions(api.staff, kept)


async def test_a_cd_borrower_goes_online(stack: Stack, api: Api, mails: MailCounter) -> None:
    person = cd_borrower()
    saved = await save(api.registrar, person)
    customer = await customer_of(api.registrar, person)
    request = ConvertToOnlineRequest(name=customer.name, request_id=new_request_id())
    converted = (await api.staff.call(api.staff.customers.ConvertToOnline, request)).customer
    assert converted.form.kind == CUSTOMER_KIND_ONLINE
    assert (await mails.wait_for(person, "credentials", saved)).recipient == person.email
    waiting = await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)
    assert waiting.kind == CUSTOMER_KIND_ONLINE
    assert waiting.HasField("deadline")
    again = ConvertToOnlineRequest(name=customer.name, request_id=new_request_id())
    call = api.staff.call(api.staff.customers.ConvertToOnline, again)
    assert await refused(call) == "FAILED_PRECONDITION NOT_A_CD_BORROWER"
    await api.staff.call(api.staff.customers.ConvertToOnline, request)
    assert mails.templates(person, saved)["credentials"] == 1


async def test_the_command_does_all_of_it(api: Api, remote_liity: Liity, mails: MailCounter) -> None:
    person, other, renewed = cd_borrower(), adult(), adult()
    saved = await save(api.registrar, person)
    await save(api.registrar, other)
    kept, merged = await customer_of(api.registrar, person), await customer_of(api.registrar, other)

    def liity(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return remote_liity("staff", "customers", *arguments, typed=typed)

    taken = liity("set-code", kept.name, "--change", "corrected", typed=f"{other.personal_identity_code}\n")
    assert taken.returncode == 1
    assert merged.name in taken.stderr
    code = renewed.personal_identity_code
    changed = liity("set-code", kept.name, "--change", "corrected", "--json", typed=f"{code}\n")
    assert kept.name in changed.stdout, changed.stderr
    assert code not in changed.stdout + changed.stderr
    assert "--code-of" in liity("merge", kept.name, merged.name, "--code-of", "both").stderr
    assert liity("merge", kept.name, merged.name, "--code-of", "kept").returncode == 1
    online = liity("to-online", kept.name, "--json")
    assert "CUSTOMER_KIND_ONLINE" in online.stdout, online.stderr
    made = liity("merge", kept.name, merged.name, "--code-of", "kept")
    assert "Merged" in made.stdout, made.stderr
    assert (await mails.wait_for(person, "credentials", saved)).recipient == person.email
