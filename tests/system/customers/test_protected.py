"""A protected person (R37): only customer service, for a reason, is told address, telephone and unit."""

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from deploy.demo.forms import DemoPerson
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CheckClassListRequest,
    GetClassListResultRequest,
)
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_RELATED_PERSON, CustomerForm
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_RENEWED,
    PROTECTED_READ_REASON_TRANSFER,
    Customer,
    GetCustomerRequest,
    GetProtectedDetailsRequest,
    MarkProtectedRequest,
    RemoveProtectionRequest,
    SearchCustomersRequest,
    SendCredentialsRequest,
    SetPersonalIdentityCodeRequest,
    TransferCustomerRequest,
    UpdateCustomerRequest,
)
from liity.v1.message_service_pb2 import ListMessagesRequest
from liity.v1.registration_pb2 import ACTION_ASK_CUSTOMER_SERVICE, PARTY_REGISTRAR
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    ExplainRegistrationRequest,
    GetRegistrationRequest,
    ListRegistrationsRequest,
)
from liity.v1.work_service_pb2 import WORK_ITEM_KIND_MESSAGE, ListWorkItemsRequest
from tests.system.conftest import Api
from tests.system.customers.test_transfer import customer_of, get, move, refused
from tests.system.support.calls import CALLS
from tests.system.support.class_lists import HEADINGS, csv_of, done, pupil_row, register
from tests.system.support.marked import marked_pupil
from tests.system.support.public_api import METHODS
from tests.system.support.registering import adult, save

_SECRET = ("street_address", "municipality", "phone", "unit_display_name")
"""Fields that may tell where a person is."""

_WITHOUT_PERSON = {
    # Sessions, invitations, and lists of units: no person of the library stands in them.
    "AuthService/LogIn",
    "AuthService/RefreshSession",
    "AuthService/GetInvitation",
    "AuthService/AcceptInvitation",
}
_TRIED_ELSEWHERE = {
    # By a guardian's or customer's link, and acts that end or merge: the answers are made of the same stored
    # data, from which what is withheld is missing (test_protection).
    "ConsentService/GetConsentRequest",
    "CustomershipLinkService/GetOwnContactData",
    "CustomershipLinkService/ListOwnUses",
    "CustomerService/UndoRemoval",
    "CustomerService/MergeCustomers",
    "CustomerService/UndoMerge",
    "CustomerService/ConvertToOnline",
    "WorkService/GetWorkItem",
    "WorkService/ClaimWorkItem",
    "CustomerService/GetProtectedDetails",
}

_NOT_ALLOWED = "PERMISSION_DENIED PERMISSION_DENIED"


def _may_tell(answer: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    return any(
        field.name in _SECRET
        or (
            field.message_type is not None
            and field.message_type.full_name not in seen
            and _may_tell(field.message_type, seen | {answer.full_name})
        )
        for field in answer.fields
    )


def _secrets(form: CustomerForm, unit_name: str) -> tuple[str, ...]:
    address = form.address
    return (
        *(address.street_address, address.postcode, address.post_office, address.municipality),
        *(form.phone[4:], form.related_person.phone[4:], form.additional_information, unit_name),
    )


async def _tells(call: Awaitable[Any], secrets: tuple[str, ...]) -> list[str]:
    """The secrets in an answer, or in a refusal's details."""
    try:
        told = str(await call)
    except Refusal as refusal:
        told = f"{refusal.text} {refusal.detail} {refusal.violations}"
    return [secret for secret in secrets if secret in told]


def _reads(client: ApiClient, customer: Customer, person: DemoPerson) -> Iterator[tuple[str, Message]]:
    """Calls that can answer with something of the person."""
    name, registration = customer.name, customer.registration
    units = [each.unit for each in client.session.memberships]
    unit = units[0] if units else "/".join(name.split("/")[:2])
    code = person.personal_identity_code
    yield "CustomerService/GetCustomer", GetCustomerRequest(name=name)
    for path, form in (
        ("marketing_allowed", CustomerForm()),
        ("email", CustomerForm(email=person.form.email)),
    ):
        yield (
            "CustomerService/UpdateCustomer",
            UpdateCustomerRequest(
                name=name,
                request_id=new_request_id(),
                etag="1",
                update_mask=FieldMask(paths=[path]),
                form=form,
            ),
        )
    yield "CustomerService/SearchCustomers", SearchCustomersRequest(parent=unit, page_size=200)
    yield (
        "CustomerService/SendCredentials",
        SendCredentialsRequest(
            name=name, request_id=new_request_id(), recipient=CREDENTIALS_RECIPIENT_RELATED_PERSON
        ),
    )
    yield "RegistrationService/GetRegistration", GetRegistrationRequest(name=registration)
    yield "RegistrationService/ListRegistrations", ListRegistrationsRequest(parent=unit, page_size=200)
    yield "RegistrationService/ExplainRegistration", ExplainRegistrationRequest(name=name)
    yield (
        "RegistrationService/CheckPersonalIdentityCode",
        CheckPersonalIdentityCodeRequest(parent=unit, personal_identity_code=code),
    )
    yield "MessageService/ListMessages", ListMessagesRequest(parent=unit)
    yield "WorkService/ListWorkItems", ListWorkItemsRequest(page_size=200)
    yield (
        "CustomerService/SetPersonalIdentityCode",
        SetPersonalIdentityCodeRequest(
            name=name, request_id=new_request_id(), personal_identity_code=code, change=CODE_CHANGE_RENEWED
        ),
    )
    row = pupil_row(1)
    row[HEADINGS.index("Henkilötunnus")] = code
    yield (
        "ClassListService/CheckClassList",
        CheckClassListRequest(parent=unit, content=csv_of([row]), format=CLASS_LIST_FORMAT_CSV),
    )


async def test_nobody_is_told_where_a_protected_person_is(api: Api) -> None:
    person = marked_pupil(with_consent=True)
    await save(api.teacher, person)
    before = await customer_of(api.teacher, person)
    secrets = _secrets(before.form, "Esimerkkilän koulu")
    assert len(await _tells(get(api.staff, before.name), secrets)) == len(secrets) - 1
    mark = MarkProtectedRequest(name=before.name, request_id=new_request_id())
    by_registrar = api.teacher.call(api.teacher.customers.MarkProtected, mark)
    assert await refused(by_registrar) == _NOT_ALLOWED
    await api.staff.call(api.staff.customers.MarkProtected, mark)

    wish = TransferCustomerRequest(
        parent=api.registrar.unit,
        request_id=new_request_id(),
        personal_identity_code=person.personal_identity_code,
    )
    tried = {"CustomerService/TransferCustomer"}
    by_customer_service = "FAILED_PRECONDITION TRANSFER_BY_CUSTOMER_SERVICE"
    assert await refused(move(api.registrar, person, wish.request_id)) == by_customer_service
    assert await refused(move(api.registrar, person)) == by_customer_service

    # The unit's own registrar, another unit's, and customer service without a reason.
    found = []
    for client in (api.teacher, api.registrar, api.staff):
        for path, request in _reads(client, before, person):
            tried.add(path)
            call = client.ask(METHODS[f"/liity.v1.{path}"], request)
            # The work list names the school for its other pupils.
            told_of_unit = path != "WorkService/ListWorkItems"
            kept = secrets[: None if told_of_unit and client is not api.teacher else -1]
            found += [(path, client.session.display_name, secret) for secret in await _tells(call, kept)]
    assert found == []
    missing = (
        {path.removeprefix("/liity.v1.") for path in CALLS if _may_tell(METHODS[path].output_type)}
        - tried
        - _TRIED_ELSEWHERE
        - _WITHOUT_PERSON
    )
    assert missing == set()


async def test_a_unit_wishes_for_a_protected_person_and_customer_service_moves_them(api: Api) -> None:
    person = adult()
    person.form.last_name = "Turvanen"
    person.form.protected_person = True
    person.form.ClearField("address")
    await save(api.registrar, person)
    school = api.teacher.unit
    check = CheckPersonalIdentityCodeRequest(
        parent=school, personal_identity_code=person.personal_identity_code
    )
    answer = await api.teacher.call(api.teacher.registrations.CheckPersonalIdentityCode, check)
    assert not answer.recognition
    assert [each.action for each in answer.available_actions if PARTY_REGISTRAR in each.parties] == [
        ACTION_ASK_CUSTOMER_SERVICE
    ]
    # By the code, and from a list.
    row = pupil_row(7)
    row[HEADINGS.index("Henkilötunnus")] = person.personal_identity_code
    listed = await register(api.teacher, csv_of([row]), transfer_rows=[2], skip_wrong_rows=True)
    await done(api.teacher, listed.class_list.name)
    result = GetClassListResultRequest(name=listed.class_list.name)
    content = (await api.teacher.call(api.teacher.class_lists.GetClassListResult, result)).content.decode()
    assert "Esimerkkilän kirjasto" not in content
    assert "asiakaspalvelu" in content.lower() or "customer service" in content.lower()
    refusal = "FAILED_PRECONDITION TRANSFER_BY_CUSTOMER_SERVICE"
    assert await refused(move(api.teacher, person)) == refusal
    asked = ListMessagesRequest(parent=school)
    (message,) = [
        each
        for each in (await api.teacher.call(api.teacher.messages.ListMessages, asked)).messages
        if each.context == 23 and not each.close_time.seconds and not each.subject
    ][:1]
    listing = ListWorkItemsRequest(kinds=[WORK_ITEM_KIND_MESSAGE], page_size=200)
    items = (await api.staff.call(api.staff.work.ListWorkItems, listing)).work_items
    assert message.name in {subject.name for item in items for subject in item.subjects}

    # The registrar may not read it, nor move the person by the message.
    read = GetProtectedDetailsRequest(name=message.name, reason=PROTECTED_READ_REASON_TRANSFER)
    by_registrar = api.teacher.call(api.teacher.customers.GetProtectedDetails, read)
    assert await refused(by_registrar) == _NOT_ALLOWED
    transfer = TransferCustomerRequest(parent=school, request_id=new_request_id(), message=message.name)
    assert await refused(api.teacher.call(api.teacher.customers.TransferCustomer, transfer)) == (
        "NOT_FOUND MESSAGE_NOT_FOUND"
    )
    details = (await api.staff.call(api.staff.customers.GetProtectedDetails, read)).details
    assert details.unit_display_name == "Esimerkkilän kirjasto"
    by_code = GetProtectedDetailsRequest(
        personal_identity_code=person.personal_identity_code, reason=PROTECTED_READ_REASON_TRANSFER
    )
    assert (await api.staff.call(api.staff.customers.GetProtectedDetails, by_code)).details == details
    moved = (await api.staff.call(api.staff.customers.TransferCustomer, transfer)).customer
    assert moved.name.startswith(f"{school}/")
    assert (await customer_of(api.teacher, person)).form.protected_person

    remove = RemoveProtectionRequest(name=moved.name, request_id=new_request_id())
    by_registrar = api.teacher.call(api.teacher.customers.RemoveProtection, remove)
    assert await refused(by_registrar) == _NOT_ALLOWED
    await asyncio.gather(*(api.staff.call(api.staff.customers.RemoveProtection, remove) for _ in range(2)))
    assert (await customer_of(api.teacher, person)).form.phone == "+358401234567"
