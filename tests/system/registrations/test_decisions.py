"""What waits for customer service, on the real stack: somebody without a code, or marked for deletion."""

import subprocess

import pytest
from google.type.date_pb2 import Date

from deploy.demo.forms import DemoPerson
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    Customer,
    GetCustomerRequest,
    SearchCustomersRequest,
)
from liity.v1.registration_pb2 import (
    ACTION_ASK_CUSTOMER_SERVICE,
    ACTION_EDIT,
    ACTION_LINK_TO_CUSTOMER,
    ACTION_REGISTER,
    ACTION_REJECT,
    ACTION_UNDO_REMOVAL,
    ACTION_VERIFY_IDENTITY,
    ACTION_WITHDRAW,
    MISSING_CODE_REASON_NOT_YET_GIVEN,
    PARTY_CUSTOMER_SERVICE,
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_LINKED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    Registration,
)
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_MARKED_FOR_DELETION,
    STANDING_REGISTERED_IN_THIS_UNIT,
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
    GetRegistrationRequest,
    GetRegistrationResponse,
    LinkToCustomerRequest,
    MissingPersonalIdentityCode,
    ReactivateRequest,
    RegisterCustomerRequest,
    RejectRegistrationRequest,
    VerifyIdentityRequest,
)
from liity.v1.work_service_pb2 import ClaimWorkItemRequest
from tests.system.conftest import Api, Liity
from tests.system.support.accounts import new_account
from tests.system.support.registering import (
    MailCounter,
    accept,
    adult,
    database,
    link_token,
    pupil,
    reaches,
    save,
    save_request,
)

BORN = Date(year=1985, month=6, day=17)
BORN_AS_A_CHILD = Date(year=2019, month=6, day=17)


def without_code(
    client: ApiClient, person: DemoPerson, birth_date: Date | None = BORN, request_id: str = ""
) -> RegisterCustomerRequest:
    missing = MissingPersonalIdentityCode(birth_date=birth_date, reason=MISSING_CODE_REASON_NOT_YET_GIVEN)
    request = RegisterCustomerRequest(
        parent=client.unit, request_id=request_id or new_request_id(), form=person.form
    )
    request.missing_personal_identity_code.CopyFrom(missing)
    return request


async def register(client: ApiClient, request: RegisterCustomerRequest) -> Registration:
    return (await client.call(client.registrations.RegisterCustomer, request)).registration


async def check(client: ApiClient, person: DemoPerson) -> CheckPersonalIdentityCodeResponse:
    request = CheckPersonalIdentityCodeRequest(
        parent=client.unit, personal_identity_code=person.personal_identity_code
    )
    return await client.call(client.registrations.CheckPersonalIdentityCode, request)


async def read(client: ApiClient, name: str) -> GetRegistrationResponse:
    return await client.call(client.registrations.GetRegistration, GetRegistrationRequest(name=name))


async def customer(client: ApiClient, name: str) -> Customer:
    return (await client.call(client.customers.GetCustomer, GetCustomerRequest(name=name))).customer


async def mark_for_deletion(stack: Stack, name: str) -> None:
    """Ends a customership in its table, whatever else an end means."""
    async with database(stack, "registration") as connection:
        await connection.execute(
            "UPDATE customers SET state = $1, ended_at = now() WHERE customer_id = $2",
            CUSTOMER_STATE_MARKED_FOR_DELETION,
            name.rpartition("/")[2],
        )


async def refused(client: ApiClient, request: RegisterCustomerRequest) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        await register(client, request)
    return refusal.value


async def test_a_person_without_a_code_is_checked_and_registered(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person, request_id = adult(), new_request_id()
    request = without_code(api.registrar, person, request_id=request_id)
    saved = await register(api.registrar, request)
    assert saved.stage == STAGE_WAITING_FOR_IDENTITY_CHECK
    assert list(saved.waiting_for) == [PARTY_CUSTOMER_SERVICE]
    assert [available.action for available in saved.available_actions] == [
        ACTION_VERIFY_IDENTITY,
        ACTION_LINK_TO_CUSTOMER,
        ACTION_REJECT,
        ACTION_EDIT,
        ACTION_WITHDRAW,
    ]
    assert saved.missing_code_reason == MISSING_CODE_REASON_NOT_YET_GIVEN
    assert await register(api.registrar, request) == saved
    asked = await mails.wait_for(person, "identity_check_asked", saved)
    assert asked.recipient == "customer-service@liity.example"
    assert person.form.last_name not in asked.text
    assert not (await read(api.staff, saved.name)).possible_duplicates
    verify = VerifyIdentityRequest(name=saved.name, request_id=new_request_id())
    verified = await api.staff.call(api.staff.registrations.VerifyIdentity, verify)
    assert verified.registration.customer
    assert await api.staff.call(api.staff.registrations.VerifyIdentity, verify) is not None
    done = await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)
    assert not done.missing_code_reason
    assert (await customer(api.registrar, done.customer)).form.email == person.email
    assert (await mails.wait_for(person, "credentials")).recipient == person.email
    told = await mails.wait_for(person, "identity_check_done", saved)
    assert told.recipient == "rekisteroija@kirjasto.example"
    async with database(stack, "registration") as connection:
        uses = await connection.fetch(
            "SELECT action, for_unit_id FROM use_entries WHERE subject_ids @> ARRAY[$1::varchar]",
            saved.name.rpartition("/")[2],
        )
    unit = saved.name.split("/")[1]
    assert {("registration:create", unit), ("registration:verify-identity", unit)} <= {
        (use["action"], use["for_unit_id"]) for use in uses
    }


async def test_a_child_without_a_code_waits_for_customer_service_and_then_for_the_guardian(
    api: Api, mails: MailCounter
) -> None:
    child = pupil()
    saved = await register(api.teacher, without_code(api.teacher, child, BORN_AS_A_CHILD))
    verify = VerifyIdentityRequest(name=saved.name, request_id=new_request_id())
    verified = await api.staff.call(api.staff.registrations.VerifyIdentity, verify)
    assert verified.registration.stage == STAGE_WAITING_FOR_CONSENT
    asked = await mails.wait_for(child, "consent_request")
    await accept(api.anybody, link_token(asked), child)
    await reaches(api.teacher, saved.name, STAGE_CREDENTIALS_SENT)


async def test_customer_service_finds_the_customer_that_the_person_is(api: Api, mails: MailCounter) -> None:
    person = adult()
    there = await register(api.registrar, without_code(api.registrar, person))
    verify = VerifyIdentityRequest(name=there.name, request_id=new_request_id())
    known = (await api.staff.call(api.staff.registrations.VerifyIdentity, verify)).registration
    twin = adult()
    # The same person, as another unit writes them.
    twin.form.first_names = f"{person.form.first_names.upper()} Inkeri"
    twin.form.last_name = person.form.last_name
    twin.form.school_support = 3
    saved = await register(api.teacher, without_code(api.teacher, twin))
    seen = await read(api.staff, saved.name)
    (duplicate,) = seen.possible_duplicates
    assert (duplicate.customer, duplicate.birth_date) == (known.customer, BORN)
    assert duplicate.unit_display_name == "Esimerkkilän kirjasto"
    assert not (await read(api.teacher, saved.name)).possible_duplicates
    link = LinkToCustomerRequest(name=saved.name, request_id=new_request_id(), customer=duplicate.customer)
    linked = (await api.staff.call(api.staff.registrations.LinkToCustomer, link)).registration
    assert linked.stage == STAGE_LINKED
    assert (await api.staff.call(api.staff.registrations.LinkToCustomer, link)).registration == linked
    moved = await customer(api.teacher, linked.customer)
    assert moved.form.first_names == person.form.first_names
    told = await mails.wait_for(person, "moved_to_another_unit", there)
    assert told.recipient == "rekisteroija@kirjasto.example"
    assert (await mails.wait_for(twin, "identity_check_done", saved)).recipient == "opettaja@koulu.example"


async def test_everything_wrong_with_a_save_without_a_code_is_told_at_once(api: Api) -> None:
    person = adult()
    person.form.first_names = person.form.last_name = ""
    request = without_code(api.registrar, person, birth_date=None)
    request.missing_personal_identity_code.ClearField("reason")
    refusal = await refused(api.registrar, request)
    assert {field: reason_name(reason) for field, reason, _ in refusal.violations} == {
        "missing_personal_identity_code.birth_date": "REQUIRED",
        "missing_personal_identity_code.reason": "REQUIRED",
        "form.first_names": "REQUIRED",
        "form.last_name": "REQUIRED",
    }
    for birth_date, reason in (
        (Date(year=2019, month=2, day=29), "INVALID_DATE"),
        (Date(year=2199, month=1, day=1), "DATE_IN_FUTURE"),
        (Date(year=1850, month=1, day=1), "BIRTH_DATE_TOO_EARLY"),
    ):
        refusal = await refused(api.registrar, without_code(api.registrar, adult(), birth_date))
        assert [(field, reason_name(why)) for field, why, _ in refusal.violations] == [
            ("missing_personal_identity_code.birth_date", reason)
        ]
    # The rules of age go by the date that is given.
    refusal = await refused(api.registrar, without_code(api.registrar, adult(), BORN_AS_A_CHILD))
    assert ("form.applicant", "GUARDIAN_REQUIRED") in [
        (field, reason_name(why)) for field, why, _ in refusal.violations
    ]
    dummy = save_request(api.registrar.unit, adult())
    dummy.personal_identity_code = "22222222222"
    refusal = await refused(api.registrar, dummy)
    assert [reason_name(why) for _, why, _ in refusal.violations] == ["HETU_DUMMY"]


async def test_a_declined_registration_tells_the_unit_why_and_nobody_else(
    api: Api, mails: MailCounter
) -> None:
    person = adult()
    saved = await register(api.registrar, without_code(api.registrar, person))
    reject = RejectRegistrationRequest(
        name=saved.name, request_id=new_request_id(), note="Tunnus on 010594Y9032."
    )
    with pytest.raises(Refusal) as refusal:
        await api.staff.call(api.staff.registrations.RejectRegistration, reject)
    assert [reason_name(why) for _, why, _ in refusal.value.violations] == ["HETU_IN_TEXT"]
    reject.note = "Lomake on tallennettu kahdesti."
    rejected = (await api.staff.call(api.staff.registrations.RejectRegistration, reject)).registration
    assert (rejected.stage, rejected.customer_display_name) == (STAGE_REJECTED, "")
    assert (await read(api.registrar, saved.name)).registration.rejection_note == reject.note
    told = await mails.wait_for(person, "identity_check_declined", saved)
    assert told.recipient == "rekisteroija@kirjasto.example"
    assert "kahdesti" not in told.text
    again = RejectRegistrationRequest(name=saved.name, request_id=new_request_id(), note="Toinen.")
    with pytest.raises(Refusal, match="NOT_WAITING_FOR_DECISION"):
        await api.staff.call(api.staff.registrations.RejectRegistration, again)


async def test_one_who_is_marked_for_deletion_comes_back_through_customer_service(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person = adult()
    saved = await save(api.registrar, person)
    await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT, STAGE_ACTIVE)
    before = (await check(api.registrar, person)).customer
    await mark_for_deletion(stack, before)
    own, other = await check(api.registrar, person), await check(api.teacher, person)
    for seen in (own, other):
        assert seen.standing == STANDING_MARKED_FOR_DELETION
        assert [available.action for available in seen.available_actions] == [
            ACTION_REGISTER,
            ACTION_ASK_CUSTOMER_SERVICE,
            ACTION_UNDO_REMOVAL,
        ]
        assert not seen.customer
        assert not seen.registration
    # No search finds the customer: customer service, who can undo the removal, is told who it is.
    request = CheckPersonalIdentityCodeRequest(
        parent=api.registrar.unit, personal_identity_code=person.personal_identity_code
    )
    seen_by_staff = await api.staff.call(api.staff.registrations.CheckPersonalIdentityCode, request)
    assert seen_by_staff.customer == before
    assert not own.recognition
    assert other.recognition.endswith("Esimerkkilän kirjasto")
    search = SearchCustomersRequest(parent=api.registrar.unit, query=person.form.first_names)
    assert not (await api.registrar.call(api.registrar.customers.SearchCustomers, search)).customers
    person.form.school_support = 3
    person.form.phone = "+358409998877"
    again = await save(api.teacher, person)
    assert again.stage == STAGE_WAITING_FOR_REACTIVATION
    asked = await mails.wait_for(person, "reactivation_asked", again)
    assert asked.recipient == "customer-service@liity.example"
    waits = await check(api.registrar, person)
    assert (waits.standing, waits.stage) == (STANDING_BEING_REGISTERED, STAGE_WAITING_FOR_REACTIVATION)
    assert [available.action for available in waits.available_actions] == [ACTION_ASK_CUSTOMER_SERVICE]
    beside = await refused(api.registrar, _as_library(person, api.registrar.unit))
    assert reason_name(beside.reason) == "BEING_REGISTERED"
    reactivate = ReactivateRequest(name=again.name, request_id=new_request_id())
    active = (await api.staff.call(api.staff.registrations.Reactivate, reactivate)).registration
    assert active.customer.rpartition("/")[2] == before.rpartition("/")[2]
    done = await reaches(api.teacher, again.name, STAGE_CREDENTIALS_SENT)
    assert (await customer(api.teacher, done.customer)).form.phone == "+358409998877"
    assert (await check(api.teacher, person)).standing == STANDING_REGISTERED_IN_THIS_UNIT
    assert (await mails.wait_for(person, "reactivation_done", again)).recipient == "opettaja@koulu.example"
    moved = await mails.wait_for(person, "moved_to_another_unit", saved)
    assert moved.recipient == "rekisteroija@kirjasto.example"


def _as_library(person: DemoPerson, unit: str) -> RegisterCustomerRequest:
    request = save_request(unit, person)
    request.form.ClearField("school_support")
    return request


async def test_customer_service_decides_on_the_command_line(api: Api, remote_liity: Liity) -> None:
    def liity(account: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return remote_liity(account, "registrations", *arguments, typed=typed)

    person = adult()
    saved = await register(api.registrar, without_code(api.registrar, person))
    shown = liity("staff", "show", saved.name)
    assert "WAITING_FOR_IDENTITY_CHECK" in shown.stdout
    assert "NOT_YET_GIVEN" in shown.stdout
    assert "(PERMISSION_DENIED)" in liity("registrar", "verify", saved.name).stderr
    nobody = f"{api.registrar.unit}/customers/none"
    assert "(CUSTOMER_NOT_FOUND)" in liity("staff", "link", saved.name, "--customer", nobody).stderr
    verified = liity("staff", "verify", saved.name)
    assert verified.returncode == 0, verified.stderr
    rejected = liity("staff", "reject", saved.name, "--note", "Myöhässä.", "--yes")
    assert "(NOT_WAITING_FOR_DECISION)" in rejected.stderr


async def test_what_one_officer_has_claimed_no_other_decides(stack: Stack, api: Api) -> None:
    waiting = await register(api.registrar, without_code(api.registrar, adult()))
    account = await new_account(stack, ROLE_CUSTOMER_SERVICE)
    item = f"workItems/2-{waiting.name.rpartition('/')[2]}"
    await api.staff.call(
        api.staff.work.ClaimWorkItem, ClaimWorkItemRequest(name=item, request_id=new_request_id())
    )
    verify = VerifyIdentityRequest(name=waiting.name, request_id=new_request_id())
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as other:
        await other.log_in(account.email, account.password)
        with pytest.raises(Refusal) as told:
            await other.call(other.registrations.VerifyIdentity, verify)
    assert reason_name(told.value.reason) == "CLAIMED_BY_ANOTHER"
    assert (await read(api.staff, waiting.name)).registration.stage == STAGE_WAITING_FOR_IDENTITY_CHECK
    await api.staff.call(api.staff.registrations.VerifyIdentity, verify)
