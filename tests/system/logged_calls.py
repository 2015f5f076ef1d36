"""A right call of every public RPC that is to be in the log of use, and whose data it touches."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from deploy.api_client import new_request_id
from deploy.stack import Stack
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CheckClassListRequest,
    GetClassListResultRequest,
)
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_RELATED_PERSON, CustomerForm, PaperConsent
from liity.v1.customer_service_pb2 import (
    GetCustomerRequest,
    SearchCustomersRequest,
    SendCredentialsRequest,
    TransferCustomerRequest,
    UpdateCustomerRequest,
)
from liity.v1.disclosure_service_pb2 import CreateDisclosureRequest, GetDisclosureRequest
from liity.v1.message_service_pb2 import (
    CloseMessageRequest,
    CustomerServiceMessage,
    FindMessageRequest,
    GetMessageRequest,
    ListMessagesRequest,
    SendMessageRequest,
)
from liity.v1.registration_pb2 import MISSING_CODE_REASON_OTHER, STAGE_CREDENTIALS_SENT, Registration
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    ExplainRegistrationRequest,
    GetRegistrationRequest,
    LinkToCustomerRequest,
    ListRegistrationsRequest,
    ReactivateRequest,
    RecordConsentRequest,
    RegisterCustomerRequest,
    RejectRegistrationRequest,
    UpdateRegistrationRequest,
    VerifyIdentityRequest,
    WithdrawRegistrationRequest,
)
from liity.v1.use_log_service_pb2 import ListSuspicionsRequest, ListUsesRequest
from liity.v1.work_service_pb2 import (
    WORK_ITEM_KIND_MESSAGE,
    ClaimWorkItemRequest,
    DismissDuplicateRequest,
    GetWorkItemRequest,
    ListWorkItemsRequest,
    ReleaseWorkItemRequest,
)
from tests.registration_forms import date_from_today
from tests.system.class_lists import changed, csv_of, done, pupil_row, register
from tests.system.conftest import Api
from tests.system.public_api_facts import Facts
from tests.system.registering import (
    adult,
    database,
    namesake,
    pupil,
    reaches,
    save,
    save_request,
    workflow_id,
)

CLASS_LISTS = "/liity.v1.ClassListService"
CUSTOMERS = "/liity.v1.CustomerService"
REGISTRATIONS = "/liity.v1.RegistrationService"
USES = "/liity.v1.UseLogService"
MESSAGES = "/liity.v1.MessageService"
WORK = "/liity.v1.WorkService"
DISCLOSURES = "/liity.v1.DisclosureService"


def opaque(name: str) -> str:
    """The ID at the end of a resource name."""
    return name.rpartition("/")[2]


async def person_of(stack: Stack, registration: Registration) -> str:
    return opaque(await workflow_id(stack, registration))


def _make_wrong(request: Any) -> None:
    """Makes one field wrong that nearly every request has."""
    fields = ("request_id", "page_token", "name")
    setattr(request, next(field for field in fields if hasattr(request, field)), "x")


class Called(NamedTuple):
    """A call that is right, and whose data it touches."""

    caller: str
    request: Message
    subjects: Callable[[Any], Awaitable[set[str]]]
    """Whose, once the answer is known."""
    wrong: Callable[[Any], None] = _make_wrong
    """Makes the request wrong in its form."""
    entries: int = 1
    """How many entries it leaves."""
    action: str = ""
    """What the first one calls it, if not as the access table does."""


class World(NamedTuple):
    """What a call may be about."""

    stack: Stack
    api: Api
    facts: Facts
    waiting: Registration
    """Of the test's own."""

    async def both(self, registration: Registration) -> set[str]:
        """The IDs of a registration and its person."""
        return {opaque(registration.name), await person_of(self.stack, registration)}


def these(*subjects: str) -> Callable[[Any], Awaitable[set[str]]]:
    """Known beforehand."""

    async def known(_answer: object) -> set[str]:
        return set(subjects)

    return known


async def _look_up(world: World) -> Called:
    code = world.facts.adult.personal_identity_code
    request = CheckPersonalIdentityCodeRequest(parent=world.facts.library, personal_identity_code=code)
    customer = opaque(world.facts.active.customer)
    known = await world.both(world.facts.active)

    def wrong(request: Any) -> None:
        request.personal_identity_code = "010594Y903A"

    return Called("registrar", request, these(*known, customer), wrong)


async def _register(world: World) -> Called:
    request = save_request(world.facts.school, pupil())
    return Called("teacher", request, lambda answer: world.both(answer.registration))


async def _get(world: World) -> Called:
    return Called("staff", GetRegistrationRequest(name=world.waiting.name), these(opaque(world.waiting.name)))


async def _list(world: World) -> Called:
    async def listed(answer: Any) -> set[str]:
        assert len(answer.registrations) == 2
        return {opaque(registration.name) for registration in answer.registrations}

    return Called("teacher", ListRegistrationsRequest(parent=world.facts.school, page_size=2), listed)


async def _record_consent(world: World) -> Called:
    request = RecordConsentRequest(
        name=world.waiting.name,
        request_id=new_request_id(),
        consent=PaperConsent(guardian_name="Kerttu Huoltaja", sign_date=date_from_today(0)),
    )
    return Called("staff", request, these(*await world.both(world.waiting)))


async def _update_registration(world: World) -> Called:
    teacher = world.api.teacher
    get = GetRegistrationRequest(name=world.waiting.name)
    etag = (await teacher.call(teacher.registrations.GetRegistration, get)).etag
    request = UpdateRegistrationRequest(
        name=world.waiting.name,
        request_id=new_request_id(),
        etag=etag,
        update_mask=FieldMask(paths=["additional_information"]),
        form=CustomerForm(additional_information=f"Lukee iltaisin. {etag[:8]}"),
    )
    subjects = these(opaque(world.waiting.name), await person_of(world.stack, world.waiting))
    return Called("teacher", request, subjects)


async def _withdraw(world: World) -> Called:
    request = WithdrawRegistrationRequest(name=world.waiting.name, request_id=new_request_id())
    return Called("teacher", request, these(opaque(world.waiting.name)))


async def _unidentified(world: World) -> Registration:
    """A registration without a personal identity code, of the test's own."""
    request = RegisterCustomerRequest(
        parent=world.facts.library, request_id=new_request_id(), form=adult().form
    )
    request.missing_personal_identity_code.birth_date.CopyFrom(Date(year=1985, month=6, day=17))
    request.missing_personal_identity_code.reason = MISSING_CODE_REASON_OTHER
    registrar = world.api.registrar
    return (await registrar.call(registrar.registrations.RegisterCustomer, request)).registration


async def _reactivate(world: World) -> Called:
    person = adult()
    registrar = world.api.registrar
    begun = await save(registrar, person)
    customer_id = opaque((await reaches(registrar, begun.name, STAGE_CREDENTIALS_SENT)).customer)
    async with database(world.stack, "registration") as connection:
        await connection.execute("UPDATE customers SET state = 2 WHERE customer_id = $1", customer_id)
    again = await save(registrar, person)
    request = ReactivateRequest(name=again.name, request_id=new_request_id())
    return Called("staff", request, these(customer_id, *await world.both(again)))


async def _verify_identity(world: World) -> Called:
    saved = await _unidentified(world)
    request = VerifyIdentityRequest(name=saved.name, request_id=new_request_id())

    async def verified(answer: Any) -> set[str]:
        return {opaque(answer.registration.customer), *await world.both(saved)}

    return Called("staff", request, verified)


async def _link_to_customer(world: World) -> Called:
    registrar = world.api.registrar
    begun = await save(registrar, adult())
    customer = (await reaches(registrar, begun.name, STAGE_CREDENTIALS_SENT)).customer
    saved = await _unidentified(world)
    whom = {opaque(customer), await person_of(world.stack, begun), *await world.both(saved)}
    request = LinkToCustomerRequest(name=saved.name, request_id=new_request_id(), customer=customer)
    return Called("staff", request, these(*whom))


async def _reject(world: World) -> Called:
    saved = await _unidentified(world)
    request = RejectRegistrationRequest(name=saved.name, request_id=new_request_id(), note="Kahdesti.")
    return Called("staff", request, these(opaque(saved.name)))


async def _explain(world: World) -> Called:
    request = ExplainRegistrationRequest(name=world.waiting.name)
    return Called("teacher", request, these(opaque(world.waiting.name)))


async def _message(world: World) -> CustomerServiceMessage:
    """A message about the test's own registration."""
    teacher = world.api.teacher
    write = SendMessageRequest(
        parent=world.facts.school,
        request_id=new_request_id(),
        registration=world.waiting.name,
        text="Huoltaja kysyy neuvoa.",
    )
    return (await teacher.call(teacher.messages.SendMessage, write)).message


def _work_item(message: CustomerServiceMessage) -> str:
    return f"workItems/5-{opaque(message.name)}"


async def _send_message(world: World) -> Called:
    request = SendMessageRequest(
        parent=world.facts.school,
        request_id=new_request_id(),
        registration=world.waiting.name,
        text="Huoltaja kysyy neuvoa.",
    )

    async def subjects(answer: Any) -> set[str]:
        return {opaque(answer.message.name), *await world.both(world.waiting)}

    return Called("teacher", request, subjects)


async def _get_message(world: World) -> Called:
    request = GetMessageRequest(name=(await _message(world)).name)
    return Called("teacher", request, these(opaque(world.waiting.name)))


async def _list_messages(world: World) -> Called:
    await _message(world)
    request = ListMessagesRequest(parent=world.facts.school, page_size=1)
    return Called("teacher", request, these(opaque(world.waiting.name)))


async def _find_message(world: World) -> Called:
    request = FindMessageRequest(reference=(await _message(world)).reference)

    def wrong(request: Any) -> None:
        request.reference = ""

    return Called("staff", request, these(opaque(world.waiting.name)), wrong)


async def _close_message(world: World) -> Called:
    message = await _message(world)
    request = CloseMessageRequest(name=message.name, request_id=new_request_id(), answer="Neuvo.")
    return Called("staff", request, these(opaque(message.name), *await world.both(world.waiting)))


async def _list_work(world: World) -> Called:
    await _message(world)

    async def listed(answer: Any) -> set[str]:
        subjects = [subject.name for item in answer.work_items for subject in item.subjects]
        return {opaque(name) for name in subjects if "/messages/" not in name}

    return Called("staff", ListWorkItemsRequest(kinds=[WORK_ITEM_KIND_MESSAGE], page_size=2), listed)


async def _get_work(world: World) -> Called:
    request = GetWorkItemRequest(name=_work_item(await _message(world)))
    return Called("staff", request, these(opaque(world.waiting.name)))


async def _claim_work(world: World) -> Called:
    message = await _message(world)
    request = ClaimWorkItemRequest(name=_work_item(message), request_id=new_request_id())
    return Called("staff", request, these(opaque(message.name), opaque(world.waiting.name)))


async def _release_work(world: World) -> Called:
    message, staff = await _message(world), world.api.staff
    claim = ClaimWorkItemRequest(name=_work_item(message), request_id=new_request_id())
    await staff.call(staff.work.ClaimWorkItem, claim)
    request = ReleaseWorkItemRequest(name=_work_item(message), request_id=new_request_id())
    return Called("staff", request, these(opaque(message.name)))


async def _dismiss(world: World) -> Called:
    one = adult()
    other = namesake(one)
    ids = sorted([opaque((await save(world.api.registrar, person)).customer) for person in (one, other)])
    name = f"workItems/4-{'-'.join(ids)}"
    request = DismissDuplicateRequest(name=name, request_id=new_request_id())
    return Called("staff", request, these(*ids))


async def _list_uses(world: World) -> Called:
    person_id = await person_of(world.stack, world.waiting)
    return Called("staff", ListUsesRequest(subject_id=person_id), these(person_id))


async def _list_suspicions(_world: World) -> Called:
    def wrong(request: Any) -> None:
        request.start_time.CopyFrom(Timestamp(seconds=10**12))

    return Called("staff", ListSuspicionsRequest(), these(), wrong)


def create_disclosure_request(world: World) -> CreateDisclosureRequest:
    """An order of the data of the person whose registration waits."""
    return CreateDisclosureRequest(request_id=new_request_id(), registration=world.waiting.name)


async def _create_disclosure(world: World) -> Called:
    person_id = await person_of(world.stack, world.waiting)
    return Called("staff", create_disclosure_request(world), these(person_id))


async def _get_disclosure(world: World) -> Called:
    staff = world.api.staff
    begun = await staff.call(staff.disclosures.CreateDisclosure, create_disclosure_request(world))
    person_id = await person_of(world.stack, world.waiting)
    return Called("staff", GetDisclosureRequest(name=begun.disclosure.name), these(person_id))


async def _pupils_customer(world: World) -> set[str]:
    """The IDs that a change of the facts' customer names."""
    return {opaque(world.facts.customer.name), await person_of(world.stack, world.facts.given)}


async def _get_customer(world: World) -> Called:
    customer = world.facts.customer
    named = these(opaque(customer.name), opaque(customer.registration))
    return Called("teacher", GetCustomerRequest(name=customer.name), named)


async def _update_customer(world: World) -> Called:
    teacher = world.api.teacher
    get = GetCustomerRequest(name=world.facts.customer.name)
    customer = (await teacher.call(teacher.customers.GetCustomer, get)).customer
    request = UpdateCustomerRequest(
        name=customer.name,
        request_id=new_request_id(),
        etag=customer.etag,
        update_mask=FieldMask(paths=["additional_information"]),
        form=CustomerForm(additional_information=f"Lukee iltaisin. {customer.etag}"),
    )
    return Called("teacher", request, these(*await _pupils_customer(world)))


async def _search_customers(world: World) -> Called:
    async def found(answer: Any) -> set[str]:
        assert answer.customers
        return {opaque(customer.name) for customer in answer.customers}

    query = world.facts.customer.form.last_name
    request = SearchCustomersRequest(parent=world.facts.school, query=query, page_size=2)
    return Called("teacher", request, found)


async def _transfer_customer(world: World) -> Called:
    person = adult()
    saved = await save(world.api.registrar, person)
    units = {opaque(world.facts.library), opaque(world.facts.school)}
    known = await world.both(saved)

    async def moved(answer: Any) -> set[str]:
        return units | known | {opaque(answer.customer.name)}

    request = TransferCustomerRequest(
        parent=world.facts.school,
        request_id=new_request_id(),
        personal_identity_code=person.personal_identity_code,
    )
    return Called("staff", request, moved, entries=3)


async def _send_credentials(world: World) -> Called:
    request = SendCredentialsRequest(
        name=world.facts.customer.name,
        request_id=new_request_id(),
        recipient=CREDENTIALS_RECIPIENT_RELATED_PERSON,
    )
    return Called("teacher", request, these(*await _pupils_customer(world)))


async def _check_class_list(world: World) -> Called:
    row = changed(pupil_row(2), Henkilötunnus=world.facts.child.personal_identity_code)
    request = CheckClassListRequest(
        parent=world.facts.school, content=csv_of([row]), format=CLASS_LIST_FORMAT_CSV
    )

    def wrong(request: Any) -> None:
        request.content = b"\x81"

    return Called("teacher", request, these(await person_of(world.stack, world.facts.waiting)), wrong)


async def _get_class_list_result(world: World) -> Called:
    answer = await register(world.api.teacher, csv_of([pupil_row(2)]))
    name = (await done(world.api.teacher, answer.class_list.name)).name

    async def listed(answer: Any) -> set[str]:
        return {opaque(answer.content.decode().rstrip())}

    return Called("teacher", GetClassListResultRequest(name=name), listed)


CALLS: dict[str, Callable[[World], Awaitable[Called]]] = {
    f"{REGISTRATIONS}/CheckPersonalIdentityCode": _look_up,
    f"{REGISTRATIONS}/RegisterCustomer": _register,
    f"{REGISTRATIONS}/GetRegistration": _get,
    f"{REGISTRATIONS}/ListRegistrations": _list,
    f"{REGISTRATIONS}/RecordConsent": _record_consent,
    f"{REGISTRATIONS}/UpdateRegistration": _update_registration,
    f"{REGISTRATIONS}/WithdrawRegistration": _withdraw,
    f"{REGISTRATIONS}/Reactivate": _reactivate,
    f"{REGISTRATIONS}/VerifyIdentity": _verify_identity,
    f"{REGISTRATIONS}/LinkToCustomer": _link_to_customer,
    f"{REGISTRATIONS}/RejectRegistration": _reject,
    f"{CUSTOMERS}/GetCustomer": _get_customer,
    f"{CUSTOMERS}/UpdateCustomer": _update_customer,
    f"{CUSTOMERS}/SearchCustomers": _search_customers,
    f"{CUSTOMERS}/TransferCustomer": _transfer_customer,
    f"{CUSTOMERS}/SendCredentials": _send_credentials,
    f"{REGISTRATIONS}/ExplainRegistration": _explain,
    f"{MESSAGES}/SendMessage": _send_message,
    f"{MESSAGES}/GetMessage": _get_message,
    f"{MESSAGES}/ListMessages": _list_messages,
    f"{MESSAGES}/FindMessage": _find_message,
    f"{MESSAGES}/CloseMessage": _close_message,
    f"{WORK}/ListWorkItems": _list_work,
    f"{WORK}/GetWorkItem": _get_work,
    f"{WORK}/ClaimWorkItem": _claim_work,
    f"{WORK}/ReleaseWorkItem": _release_work,
    f"{WORK}/DismissDuplicate": _dismiss,
    f"{USES}/ListUses": _list_uses,
    f"{USES}/ListSuspicions": _list_suspicions,
    f"{CLASS_LISTS}/CheckClassList": _check_class_list,
    f"{CLASS_LISTS}/GetClassListResult": _get_class_list_result,
    f"{DISCLOSURES}/CreateDisclosure": _create_disclosure,
    f"{DISCLOSURES}/GetDisclosure": _get_disclosure,
}
"""By path. An RPC that is added to the access table needs one."""

WITH_THEIR_ROWS = frozenset({f"{CLASS_LISTS}/RegisterClassList", f"{CLASS_LISTS}/CancelClassList"})
"""RPCs that leave entries beside those of a list's rows: `test_class_lists.py` sees to them."""
