"""What people of services like this one report, tried with their inputs through the public API."""

import asyncio
import uuid
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from deploy.demo.artificial_hetu import artificial_hetu
from deploy.demo.polling import eventually
from deploy.local.mailbox.store import Maildir, StoredMail
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.customer_form_pb2 import CustomerForm, RelatedPerson
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_CORRECTED,
    CODE_OF_KEPT,
    ConfirmEmailRequest,
    GetCustomerRequest,
    MergeCustomersRequest,
    SearchCustomersRequest,
    SetPersonalIdentityCodeRequest,
)
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT
from liity.v1.registration_service_pb2 import (
    ExplainedEvent,
    GetRegistrationRequest,
    GetRegistrationResponse,
    UpdateRegistrationRequest,
    UpdateRegistrationResponse,
)
from liity.v1.work_service_pb2 import (
    DELIVERY_REPORT_OUTCOME_NOTHING,
    DELIVERY_REPORT_OUTCOME_UNDELIVERABLE,
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE,
    WORK_ITEM_KIND_UNDELIVERABLE_MAIL,
    DeliveryReportOutcome,
    DismissDuplicateRequest,
    ListWorkItemsRequest,
    ReportDeliveryRequest,
    WorkItem,
)
from tests.support.mail_reports import delivery_report, holiday_answer
from tests.system.conftest import Api
from tests.system.customers.test_transfer import customer_of, refused, set_email
from tests.system.support import class_lists
from tests.system.support.class_lists import changed, csv_of, done, pupil_row, register
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import (
    PATIENCE,
    Copy,
    MailCounter,
    accept,
    adult,
    link_token,
    namesake,
    pupil,
    reaches,
    save,
    save_request,
    template_of_subject,
)
from tests.system.units.test_units import PASSWORD, invite, token_mailed_to
from tests.system.units.test_units import accept as accept_invitation
from tests.system.worklist.test_work import explain


def mails_to(stack: Stack, address: str, template: str) -> list[StoredMail]:
    """The mails of a template to an address, in their order."""
    mails = reversed(Maildir(stack.folder / "mail").sent_to(address))
    return [mail for mail in mails if template_of_subject(mail.subject) == template]


async def violations(call: Awaitable[Any]) -> set[tuple[str, str]]:
    """Field and reason of each error of a refused call."""
    with pytest.raises(Refusal) as refusal:
        await call
    return {(field, reason_name(reason)) for field, reason, _ in refusal.value.violations}


async def read(client: ApiClient, name: str) -> GetRegistrationResponse:
    """A registration with its form and version."""
    return await client.call(client.registrations.GetRegistration, GetRegistrationRequest(name=name))


async def correct_guardians_address(
    client: ApiClient, registration: GetRegistrationResponse, email: str
) -> UpdateRegistrationResponse:
    request = UpdateRegistrationRequest(
        name=registration.registration.name,
        request_id=new_request_id(),
        etag=registration.etag,
        update_mask=FieldMask(paths=["related_person.email"]),
        form=CustomerForm(related_person=RelatedPerson(email=email)),
    )
    return await client.call(client.registrations.UpdateRegistration, request)


async def test_mail_that_bounces_is_told_like_an_address_that_is_refused(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    """Case 5: a relay has taken the mail, and reports its failure minutes later."""
    child = pupil()
    saved = await save(api.teacher, child)
    asked = await mails.wait_for(child, "consent_request")
    mail = uuid.UUID(asked.message_id.strip("<>").partition("@")[0])

    async def report(content: bytes) -> DeliveryReportOutcome.ValueType:
        request = ReportDeliveryRequest(request_id=new_request_id(), raw_report=content)
        return (await api.staff.call(api.staff.work.ReportDelivery, request)).outcome

    to = "bounces@liity.example"
    for unimportant in (delivery_report(mail, to, action="delayed", status="4.4.1"), holiday_answer(to)):
        assert await report(unimportant) == DELIVERY_REPORT_OUTCOME_NOTHING
    assert await report(delivery_report(mail, to)) == DELIVERY_REPORT_OUTCOME_UNDELIVERABLE
    await (await connect_temporal(stack)).get_schedule_handle("reconciliation").trigger()

    async def told() -> list[Copy]:
        return [copy for copy in mails.copies(child, saved) if copy.template == "address_undeliverable"]

    (copy,) = await eventually(told, bool, PATIENCE)
    assert copy.recipient != child.form.related_person.email
    assert child.form.first_names in copy.text
    items = await api.staff.call(api.staff.work.ListWorkItems, ListWorkItemsRequest(page_size=500))
    about = [item for item in items.work_items if saved.name in {each.name for each in item.subjects}]
    assert [item.kind for item in about] == [WORK_ITEM_KIND_UNDELIVERABLE_MAIL]
    events = (await explain(api.teacher, saved.name)).events
    undelivered = [event.mail for event in events if event.kind == ExplainedEvent.KIND_MAIL_UNDELIVERABLE]
    assert undelivered == ["consent_request"]


async def test_three_requests_to_one_guardian_are_told_apart_before_opening(stack: Stack, api: Api) -> None:
    """Case 13: mail programs put one sender's mails of one subject into one conversation."""
    guardian = f"sisarukset-{new_request_id()}@posti.example"
    rows = [changed(pupil_row(number), **{"Huoltajan sähköposti": guardian}) for number in range(3)]
    list_name = (await register(api.teacher, csv_of(rows))).class_list.name
    await done(api.teacher, list_name)

    async def asked() -> list[StoredMail]:
        return mails_to(stack, guardian, "consent_request")

    found = await eventually(asked, lambda found: len(found) == len(rows), PATIENCE)
    assert len({mail.subject for mail in found}) == len(rows)
    assert not any("Oppilas" in mail.subject or "Luettelo" in mail.subject for mail in found)
    references = {dict(mail.headers)["X-Entity-Ref-ID"] for mail in found}
    assert references == {mail.message_id.strip("<>").partition("@")[0] for mail in found}


async def test_of_twelve_edits_at_once_one_counts(api: Api) -> None:
    """Case 14: the others are told, and the guardian is asked once."""
    saved = await save(api.teacher, pupil())
    etag = (await read(api.teacher, saved.name)).etag

    async def edit(number: int) -> str:
        request = UpdateRegistrationRequest(
            name=saved.name,
            request_id=new_request_id(),
            etag=etag,
            update_mask=FieldMask(paths=["phone"]),
            form=CustomerForm(phone=f"+3584012345{10 + number}"),
        )
        try:
            await api.teacher.call(api.teacher.registrations.UpdateRegistration, request)
        except Refusal as refusal:
            return reason_name(refusal.reason)
        return ""

    outcomes = sorted(await asyncio.gather(*(edit(number) for number in range(12))))
    assert outcomes == ["", *["CHANGED_MEANWHILE"] * 11]


async def test_a_plus_typed_for_a_minus_is_asked_about_wherever_a_code_is_given(api: Api) -> None:
    """Case 23: the check character does not cover the sign."""
    typed = artificial_hetu(date(1850, 1, 1), 903)
    person = adult()
    saved = await save(api.registrar, person)
    person.form.first_names = adult().form.first_names
    request = save_request(api.registrar.unit, person)
    request.personal_identity_code = typed
    expected = {("personal_identity_code", "HETU_TOO_OLD")}
    assert (
        await violations(api.registrar.call(api.registrar.registrations.RegisterCustomer, request))
        == expected
    )
    change = SetPersonalIdentityCodeRequest(
        name=saved.customer,
        request_id=new_request_id(),
        personal_identity_code=typed,
        change=CODE_CHANGE_CORRECTED,
    )
    assert await violations(api.staff.call(api.staff.customers.SetPersonalIdentityCode, change)) == expected
    report = await class_lists.check(
        api.registrar, csv_of([changed(class_lists.adult_row(1), Henkilötunnus=typed)])
    )
    assert [(error.row, reason_name(error.reason)) for error in report.errors] == [(2, "HETU_TOO_OLD")]


async def test_signs_of_one_century_tell_two_people_apart_and_letters_of_case_do_not(api: Api) -> None:
    """Case 24, in one list."""
    sign_b, sign_a = (artificial_hetu(date(2016, 5, 1), 904, sign=sign) for sign in "BA")
    twice = artificial_hetu(date(2016, 5, 2), 903, sign="B")
    codes = (sign_b, sign_a, twice, twice.lower())
    rows = [changed(pupil_row(number), Henkilötunnus=each) for number, each in enumerate(codes)]
    report = await class_lists.check(api.teacher, csv_of(rows))
    assert [(error.row, reason_name(error.reason)) for error in report.errors] == [(5, "TWICE_IN_CLASS_LIST")]


async def test_an_address_of_an_international_domain_is_one_account_in_both_spellings(
    stack: Stack, api: Api
) -> None:
    """Case 26: people read and type letters, mail servers may write them in ASCII."""
    local = f"opettaja-{new_request_id()}"
    read, ascii_only = f"{local}@åland.example", f"{local}@xn--land-poa.example"
    invited = await invite(api.staff, api.registrar.unit, ascii_only)
    assert invited.email == read
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as somebody:
        await accept_invitation(somebody, await token_mailed_to(stack, ascii_only))
        for spelling in (read, ascii_only, read.upper()):
            await somebody.log_in(spelling, PASSWORD)
    person = adult()
    person.form.email = ascii_only
    await save(api.registrar, person)
    customer = await customer_of(api.registrar, person)
    assert customer.form.email == read
    await set_email(api.registrar, customer, f"uusi-{read}")

    async def told() -> list[StoredMail]:
        return mails_to(stack, ascii_only, "email_changed")

    (mail,) = await eventually(told, bool, PATIENCE)
    assert "xn--" not in mail.text


async def test_two_of_one_name_birthday_and_class_stay_two(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    """Case 34: both have codes; each keeps a guardian of their own, and a pair told apart stays so."""
    one, other = pupil(), pupil()
    other.form.first_names, other.form.last_name = one.form.first_names, one.form.last_name
    own = one.personal_identity_code
    birth_date = datetime.strptime(own[:4] + "20" + own[4:6], "%d%m%Y").replace(tzinfo=UTC).date()
    other = replace(
        other, personal_identity_code=artificial_hetu(birth_date, 900 + (int(own[7:10]) + 1) % 100)
    )
    customers = set()
    for each in (one, other):
        name = (await save(api.teacher, each)).name
        guardian = each.form.related_person.email

        async def asked(address: str = guardian) -> list[StoredMail]:
            return mails_to(stack, address, "consent_request")

        (mail,) = await eventually(asked, bool, PATIENCE)
        await accept(api.anybody, link_token(mail), each)
        consented = await reaches(api.teacher, name, STAGE_CREDENTIALS_SENT)
        customer = await api.teacher.call(
            api.teacher.customers.GetCustomer, GetCustomerRequest(name=consented.customer)
        )
        assert customer.customer.form.related_person.email == guardian
        customers.add(consented.customer)

    async def pairs() -> list[WorkItem]:
        listed = await api.staff.call(
            api.staff.work.ListWorkItems,
            ListWorkItemsRequest(kinds=[WORK_ITEM_KIND_POSSIBLE_DUPLICATE], page_size=500),
        )
        return [item for item in listed.work_items if customers & {each.name for each in item.subjects}]

    (pair,) = await pairs()
    assert {each.name for each in pair.subjects} == customers
    dismiss = DismissDuplicateRequest(name=pair.name, request_id=new_request_id())
    await api.staff.call(api.staff.work.DismissDuplicate, dismiss)
    rows = [
        changed(pupil_row(number), Henkilötunnus=each.personal_identity_code, Etunimet=each.form.first_names)
        for number, each in enumerate((one, other))
    ]
    report = await class_lists.check(api.teacher, csv_of(rows))
    assert [reason_name(error.reason) for error in report.errors] == []
    assert await pairs() == []


async def test_links_of_both_who_become_one_work_or_say_why_not(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    """Case 38: both have a new address that is not confirmed yet."""
    person = adult()
    tokens = []
    customers = []
    for each in (person, namesake(person)):
        await save(api.registrar, each)
        customer = await customer_of(api.registrar, each)
        address = f"uusi-{new_request_id()}@posti.example"
        customers.append(await set_email(api.registrar, customer, address))

        async def asked(address: str = address) -> list[StoredMail]:
            return mails_to(stack, address, "email_confirmation")

        tokens.append(link_token((await eventually(asked, bool, PATIENCE))[0]))
    kept, merged = customers
    merge = MergeCustomersRequest(
        name=kept.name,
        request_id=new_request_id(),
        merged_customer=merged.name,
        personal_identity_code_of=CODE_OF_KEPT,
    )
    await api.staff.call(api.staff.customers.MergeCustomers, merge)

    def confirm(token: str) -> Awaitable[Any]:
        request = ConfirmEmailRequest(token=token, request_id=new_request_id())
        return api.anybody.call(api.anybody.customers.ConfirmEmail, request)

    assert await refused(confirm(tokens[1])) == "FAILED_PRECONDITION LINK_VOID"
    await confirm(tokens[0])


async def test_an_address_corrected_for_one_is_offered_for_the_siblings_who_wait(api: Api) -> None:
    """Case 40: nothing is changed for them unasked."""
    children = [pupil() for _ in range(3)]
    wrong = f"huoltaja-{new_request_id()}@posti.example"
    for child in children:
        child.form.related_person.email = wrong
    saved = [await save(api.teacher, child) for child in children]
    first = await read(api.teacher, saved[0].name)
    answer = await correct_guardians_address(api.teacher, first, f"oikea-{wrong}")
    assert {other.name for other in answer.same_address} == {each.name for each in saved[1:]}
    for each in saved[1:]:
        assert (await read(api.teacher, each.name)).form.related_person.email == wrong


@pytest.mark.parametrize("last_name", ["", "-", ".", "\u2013"])
async def test_one_name_is_enough_and_a_dummy_is_none(api: Api, last_name: str) -> None:
    """Case 43: it is neither shown nor sorted by."""
    person = adult()
    person.form.last_name = last_name
    await save(api.registrar, person)
    customer = await customer_of(api.registrar, person)
    assert (customer.form.first_names, customer.form.last_name) == (person.form.first_names, "")
    search = SearchCustomersRequest(parent=api.registrar.unit, query=person.form.first_names)
    (found,) = (await api.registrar.call(api.registrar.customers.SearchCustomers, search)).customers
    assert (found.first_names, found.last_name) == (person.form.first_names, "")
