"""Successful calls of public RPCs: the data each needs, and whose data each touches (R36)."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.type.date_pb2 import Date

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER, ROLE_REGISTRAR
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CheckClassListRequest,
    GetClassListResultRequest,
)
from liity.v1.consent_service_pb2 import DeclineConsentRequest
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    LANGUAGE_FI,
    CustomerForm,
    PaperConsent,
    RelatedPerson,
)
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_RENEWED,
    CODE_OF_KEPT,
    END_REASON_OWN_WISH,
    PROTECTED_READ_REASON_AUTHORITY,
    ConvertToOnlineRequest,
    CorrectBirthDateRequest,
    Customer,
    EndCustomershipRequest,
    GetCustomerRequest,
    GetProtectedDetailsRequest,
    MarkProtectedRequest,
    MergeCustomersRequest,
    RemoveProtectionRequest,
    SearchCustomersRequest,
    SendCredentialsRequest,
    SetPersonalIdentityCodeRequest,
    TransferCustomerRequest,
    UndoMergeRequest,
    UndoRemovalRequest,
    UpdateCustomerRequest,
)
from liity.v1.disclosure_service_pb2 import CreateDisclosureRequest, GetDisclosureRequest
from liity.v1.feedback_service_pb2 import AnswerFeedbackRequest, GetFeedbackRequest, SendFeedbackRequest
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
    FindRegistrationsRequest,
    GetRegistrationRequest,
    LinkToCustomerRequest,
    ListRegistrationsRequest,
    ReactivateRequest,
    RecordConsentRequest,
    RegisterCustomerRequest,
    RejectRegistrationRequest,
    RemindGuardianRequest,
    UpdateRegistrationRequest,
    VerifyIdentityRequest,
    WithdrawRegistrationRequest,
)
from liity.v1.unit_service_pb2 import (
    UNIT_KIND_LIBRARY,
    CloseUnitRequest,
    CreateUnitRequest,
    GetUnitRequest,
    InviteRegistrarRequest,
    ListRegistrarsRequest,
    ListUnitsRequest,
    Registrar,
    RemoveRegistrarRequest,
    SetRegistrarRoleRequest,
    Unit,
    UpdateUnitRequest,
)
from liity.v1.use_log_service_pb2 import ListSuspicionsRequest, ListUsesRequest
from liity.v1.work_service_pb2 import (
    WORK_ITEM_KIND_MESSAGE,
    AcknowledgeDissentRequest,
    ClaimWorkItemRequest,
    DismissDuplicateRequest,
    GetWorkItemRequest,
    ListWorkItemsRequest,
    ReleaseWorkItemRequest,
)
from tests.support.registration_forms import date_from_today
from tests.system.conftest import Api
from tests.system.customers.test_transfer import customer_of
from tests.system.registrations.test_one_person import cd_borrower
from tests.system.support.class_lists import changed, csv_of, done, pupil_row, register
from tests.system.support.public_api_facts import Facts
from tests.system.support.registering import (
    PATIENCE,
    Copy,
    MailCounter,
    adult,
    database,
    get,
    link_token,
    namesake,
    pupil,
    reaches,
    save,
    save_request,
    workflow_id,
)
from tests.system.support.registering import accept as answer_yes
from tests.system.units.test_units import accept, invite, named, token_mailed_to

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


class Called(NamedTuple):
    """A valid call, and whose data it touches."""

    caller: str
    request: Message
    subjects: Callable[[Any], Awaitable[set[str]]]
    """The persons or registrations touched, once the answer is known."""
    entries: int = 1
    """Number of log entries."""
    action: str = ""
    """The action in the first entry, if it differs from the access table's."""


@dataclass
class World:
    """Data for calls. Data that a call changes permanently is created for that call alone."""

    stack: Stack
    api: Api
    facts: Facts
    waiting: Registration
    """A pupil's registration that waits for consent, for all calls that do not decide it."""
    _message: CustomerServiceMessage | None = None

    async def both(self, registration: Registration) -> set[str]:
        """The IDs of a registration and its person."""
        return {opaque(registration.name), await person_of(self.stack, registration)}

    async def pupil(self) -> Registration:
        """A registration that waits for consent, for one call."""
        return await save(self.api.teacher, pupil())

    async def message(self) -> CustomerServiceMessage:
        """A message about the waiting registration, for all calls that do not close it."""
        if self._message is None:
            self._message = await self.new_message()
        return self._message

    async def new_message(self) -> CustomerServiceMessage:
        """As `message`, for one call."""
        teacher = self.api.teacher
        write = SendMessageRequest(
            parent=self.facts.school,
            request_id=new_request_id(),
            registration=self.waiting.name,
            text="Huoltaja kysyy neuvoa.",
        )
        return (await teacher.call(teacher.messages.SendMessage, write)).message


def these(*subjects: str) -> Callable[[Any], Awaitable[set[str]]]:
    """Subjects known in advance."""

    async def known(_answer: object) -> set[str]:
        return set(subjects)

    return known


async def check_personal_identity_code(world: World) -> Called:
    code = world.facts.adult.personal_identity_code
    request = CheckPersonalIdentityCodeRequest(parent=world.facts.library, personal_identity_code=code)
    customer = opaque(world.facts.active.customer)
    known = await world.both(world.facts.active)

    return Called("registrar", request, these(*known, customer))


async def register_customer(world: World) -> Called:
    request = save_request(world.facts.school, pupil())
    return Called("teacher", request, lambda answer: world.both(answer.registration))


async def get_registration(world: World) -> Called:
    return Called("staff", GetRegistrationRequest(name=world.waiting.name), these(opaque(world.waiting.name)))


async def list_registrations(world: World) -> Called:
    async def listed(answer: Any) -> set[str]:
        assert len(answer.registrations) == 2
        return {opaque(registration.name) for registration in answer.registrations}

    return Called("teacher", ListRegistrationsRequest(parent=world.facts.school, page_size=2), listed)


async def find_registrations(world: World) -> Called:
    request = FindRegistrationsRequest(reference=world.waiting.reference)
    return Called("staff", request, these(opaque(world.waiting.name)))


async def record_consent(world: World) -> Called:
    registration = await world.pupil()
    request = RecordConsentRequest(
        name=registration.name,
        request_id=new_request_id(),
        consent=PaperConsent(guardian_name="Kerttu Huoltaja", sign_date=date_from_today(0)),
    )
    return Called("staff", request, these(*await world.both(registration)))


async def remind_guardian(world: World) -> Called:
    registration = await world.pupil()
    request = RemindGuardianRequest(name=registration.name, request_id=new_request_id())
    return Called("teacher", request, these(opaque(registration.name)))


async def update_registration(world: World) -> Called:
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


async def withdraw_registration(world: World) -> Called:
    registration = await world.pupil()
    request = WithdrawRegistrationRequest(name=registration.name, request_id=new_request_id())
    return Called("teacher", request, these(opaque(registration.name)))


async def _unidentified(world: World) -> Registration:
    """A new registration without a personal identity code."""
    request = RegisterCustomerRequest(
        parent=world.facts.library, request_id=new_request_id(), form=adult().form
    )
    request.missing_personal_identity_code.birth_date.CopyFrom(Date(year=1985, month=6, day=17))
    request.missing_personal_identity_code.reason = MISSING_CODE_REASON_OTHER
    registrar = world.api.registrar
    return (await registrar.call(registrar.registrations.RegisterCustomer, request)).registration


async def reactivate(world: World) -> Called:
    person = adult()
    registrar = world.api.registrar
    begun = await save(registrar, person)
    customer_id = opaque((await reaches(registrar, begun.name, STAGE_CREDENTIALS_SENT)).customer)
    async with database(world.stack, "registration") as connection:
        await connection.execute("UPDATE customers SET state = 2 WHERE customer_id = $1", customer_id)
    again = await save(registrar, person)
    request = ReactivateRequest(name=again.name, request_id=new_request_id())
    return Called("staff", request, these(customer_id, *await world.both(again)))


async def verify_identity(world: World) -> Called:
    saved = await _unidentified(world)
    request = VerifyIdentityRequest(name=saved.name, request_id=new_request_id())

    async def verified(answer: Any) -> set[str]:
        return {opaque(answer.registration.customer), *await world.both(saved)}

    return Called("staff", request, verified)


async def link_to_customer(world: World) -> Called:
    registrar = world.api.registrar
    begun = await save(registrar, adult())
    customer = (await reaches(registrar, begun.name, STAGE_CREDENTIALS_SENT)).customer
    saved = await _unidentified(world)
    whom = {opaque(customer), await person_of(world.stack, begun), *await world.both(saved)}
    request = LinkToCustomerRequest(name=saved.name, request_id=new_request_id(), customer=customer)
    return Called("staff", request, these(*whom))


async def reject_registration(world: World) -> Called:
    saved = await _unidentified(world)
    request = RejectRegistrationRequest(name=saved.name, request_id=new_request_id(), note="Kahdesti.")
    return Called("staff", request, these(opaque(saved.name)))


async def explain_registration(world: World) -> Called:
    request = ExplainRegistrationRequest(name=world.waiting.name)
    return Called("teacher", request, these(opaque(world.waiting.name)))


def _work_item(message: CustomerServiceMessage) -> str:
    return f"workItems/5-{opaque(message.name)}"


async def send_message(world: World) -> Called:
    request = SendMessageRequest(
        parent=world.facts.school,
        request_id=new_request_id(),
        registration=world.waiting.name,
        text="Huoltaja kysyy neuvoa.",
    )

    async def subjects(answer: Any) -> set[str]:
        return {opaque(answer.message.name), *await world.both(world.waiting)}

    return Called("teacher", request, subjects)


async def get_message(world: World) -> Called:
    request = GetMessageRequest(name=(await world.message()).name)
    return Called("teacher", request, these(opaque(world.waiting.name)))


async def list_messages(world: World) -> Called:
    await world.message()
    request = ListMessagesRequest(parent=world.facts.school, page_size=1)
    return Called("teacher", request, these(opaque(world.waiting.name)))


async def find_message(world: World) -> Called:
    request = FindMessageRequest(reference=(await world.message()).reference)

    return Called("staff", request, these(opaque(world.waiting.name)))


async def close_message(world: World) -> Called:
    message = await world.new_message()
    request = CloseMessageRequest(name=message.name, request_id=new_request_id(), answer="Neuvo.")
    return Called("staff", request, these(opaque(message.name), *await world.both(world.waiting)))


async def get_feedback(world: World) -> Called:
    return Called("staff", GetFeedbackRequest(name=await _feedback(world)), these())


async def answer_feedback(world: World) -> Called:
    name = await _feedback(world)
    request = AnswerFeedbackRequest(name=name, request_id=new_request_id(), answer="Korjaamme sen.")
    return Called("staff", request, these(opaque(name)))


async def _feedback(world: World) -> str:
    """New feedback, by its name."""
    teacher = world.api.teacher
    send = SendFeedbackRequest(request_id=new_request_id(), text="Taulukossa ei ole otsikoita.")
    sent = await teacher.call(teacher.feedback.SendFeedback, send)
    return f"feedback/{sent.reference.replace('-', '').lower()}"


async def list_work_items(world: World) -> Called:
    await world.message()

    async def listed(answer: Any) -> set[str]:
        subjects = [subject.name for item in answer.work_items for subject in item.subjects]
        return {opaque(name) for name in subjects if "/messages/" not in name}

    return Called("staff", ListWorkItemsRequest(kinds=[WORK_ITEM_KIND_MESSAGE], page_size=2), listed)


async def get_work_item(world: World) -> Called:
    request = GetWorkItemRequest(name=_work_item(await world.message()))
    return Called("staff", request, these(opaque(world.waiting.name)))


async def claim_work_item(world: World) -> Called:
    message = await world.new_message()
    request = ClaimWorkItemRequest(name=_work_item(message), request_id=new_request_id())
    return Called("staff", request, these(opaque(message.name), opaque(world.waiting.name)))


async def release_work_item(world: World) -> Called:
    message, staff = await world.new_message(), world.api.staff
    claim = ClaimWorkItemRequest(name=_work_item(message), request_id=new_request_id())
    await staff.call(staff.work.ClaimWorkItem, claim)
    request = ReleaseWorkItemRequest(name=_work_item(message), request_id=new_request_id())
    return Called("staff", request, these(opaque(message.name)))


async def dismiss_duplicate(world: World) -> Called:
    one = adult()
    other = namesake(one)
    ids = sorted([opaque((await save(world.api.registrar, person)).customer) for person in (one, other)])
    name = f"workItems/4-{'-'.join(ids)}"
    request = DismissDuplicateRequest(name=name, request_id=new_request_id())
    return Called("staff", request, these(*ids))


async def acknowledge_dissent(world: World) -> Called:
    child, other_address = pupil(), f"{uuid.uuid4().hex}@posti.example"
    child.form.other_guardian.CopyFrom(RelatedPerson(full_name="Ismo Huoltaja", email=other_address))
    registration = await save(world.api.teacher, child)
    mails, guardian = MailCounter(world.stack), world.api.anybody

    async def asked() -> dict[str, Copy]:
        requests = [copy for copy in mails.copies(child) if copy.template == "consent_request"]
        return {copy.recipient: copy for copy in requests}

    found = await eventually(asked, lambda copies: len(copies) > 1, PATIENCE)
    await answer_yes(guardian, link_token(found[child.email]), child)
    dissent = DeclineConsentRequest(token=link_token(found[other_address]), request_id=new_request_id())
    await guardian.call(guardian.consents.DeclineConsent, dissent)
    begun = await get(world.api.teacher, registration.name)
    name = f"workItems/15-{opaque(registration.name)}"
    request = AcknowledgeDissentRequest(name=name, request_id=new_request_id())
    return Called("staff", request, these(opaque(begun.customer)))


async def list_uses(world: World) -> Called:
    person_id = await person_of(world.stack, world.waiting)
    return Called("staff", ListUsesRequest(subject_id=person_id), these(person_id))


async def list_suspicions(_world: World) -> Called:
    return Called("staff", ListSuspicionsRequest(), these())


async def create_disclosure(world: World) -> Called:
    registration = await world.pupil()
    request = CreateDisclosureRequest(request_id=new_request_id(), registration=registration.name)
    return Called("staff", request, these(await person_of(world.stack, registration)))


async def get_disclosure(world: World) -> Called:
    staff, registration = world.api.staff, await world.pupil()
    create = CreateDisclosureRequest(request_id=new_request_id(), registration=registration.name)
    begun = await staff.call(staff.disclosures.CreateDisclosure, create)
    person_id = await person_of(world.stack, registration)
    return Called("staff", GetDisclosureRequest(name=begun.disclosure.name), these(person_id))


async def _pupils_customer(world: World) -> set[str]:
    """The IDs in the log entry of a change of the facts' customer."""
    return {opaque(world.facts.customer.name), await person_of(world.stack, world.facts.given)}


async def get_customer(world: World) -> Called:
    customer = world.facts.customer
    named = these(opaque(customer.name), opaque(customer.registration))
    return Called("teacher", GetCustomerRequest(name=customer.name), named)


async def update_customer(world: World) -> Called:
    registrar, person = world.api.registrar, adult()
    begun = await save(registrar, person)
    # From here, only this call changes the customer.
    await reaches(registrar, begun.name, STAGE_CREDENTIALS_SENT)
    customer = await customer_of(registrar, person)
    request = UpdateCustomerRequest(
        name=customer.name,
        request_id=new_request_id(),
        etag=customer.etag,
        update_mask=FieldMask(paths=["additional_information"]),
        form=CustomerForm(additional_information="Lukee iltaisin."),
    )
    return Called("registrar", request, these(*await _subjects(world, customer)))


async def search_customers(world: World) -> Called:
    async def found(answer: Any) -> set[str]:
        assert answer.customers
        return {opaque(customer.name) for customer in answer.customers}

    query = world.facts.customer.form.last_name
    request = SearchCustomersRequest(parent=world.facts.school, query=query, page_size=2)
    return Called("teacher", request, found)


async def transfer_customer(world: World) -> Called:
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


async def send_credentials(world: World) -> Called:
    request = SendCredentialsRequest(
        name=world.facts.customer.name,
        request_id=new_request_id(),
        recipient=CREDENTIALS_RECIPIENT_RELATED_PERSON,
    )
    return Called("teacher", request, these(*await _pupils_customer(world)))


async def check_class_list(world: World) -> Called:
    row = changed(pupil_row(2), Henkilötunnus=world.facts.child.personal_identity_code)
    request = CheckClassListRequest(
        parent=world.facts.school, content=csv_of([row]), format=CLASS_LIST_FORMAT_CSV
    )

    waiting = world.facts.waiting
    return Called("teacher", request, these(await person_of(world.stack, waiting), opaque(waiting.name)))


async def get_class_list_result(world: World) -> Called:
    answer = await register(world.api.teacher, csv_of([pupil_row(2)]))
    name = (await done(world.api.teacher, answer.class_list.name)).name

    async def listed(answer: Any) -> set[str]:
        return {opaque(answer.content.decode().rstrip())}

    return Called("teacher", GetClassListResultRequest(name=name), listed)


async def _saved(world: World, person: DemoPerson) -> Customer:
    """A new customer of the library."""
    await save(world.api.registrar, person)
    return await customer_of(world.api.registrar, person)


async def _subjects(world: World, customer: Customer, *, with_registration: bool = False) -> set[str]:
    person = await person_of(world.stack, Registration(name=customer.registration))
    registration = {opaque(customer.registration)} if with_registration else set[str]()
    return {opaque(customer.name), person} | registration


async def end_customership(world: World) -> Called:
    customer = await _saved(world, adult())
    request = EndCustomershipRequest(
        name=customer.name, request_id=new_request_id(), reason=END_REASON_OWN_WISH
    )
    return Called("registrar", request, these(*await _subjects(world, customer)))


async def undo_removal(world: World) -> Called:
    customer = await _saved(world, adult())
    subjects = these(*await _subjects(world, customer))
    end = EndCustomershipRequest(name=customer.name, request_id=new_request_id(), reason=END_REASON_OWN_WISH)
    await world.api.registrar.call(world.api.registrar.customers.EndCustomership, end)
    request = UndoRemovalRequest(name=customer.name, request_id=new_request_id())
    return Called("staff", request, subjects, entries=2)


async def set_personal_identity_code(world: World) -> Called:
    customer = await _saved(world, adult())
    request = SetPersonalIdentityCodeRequest(
        name=customer.name,
        request_id=new_request_id(),
        personal_identity_code=adult().personal_identity_code,
        change=CODE_CHANGE_RENEWED,
    )
    subjects = these(*await _subjects(world, customer))
    # The action in the log names the kind of change.
    return Called("staff", request, subjects, entries=2, action="personal-identity-code:renew")


async def correct_birth_date(world: World) -> Called:
    saved = await _unidentified(world)
    request = CorrectBirthDateRequest(
        name=saved.name, request_id=new_request_id(), birth_date=Date(year=1985, month=7, day=16)
    )
    return Called("staff", request, these(*await world.both(saved)))


async def merge_customers(world: World) -> Called:
    person = adult()
    kept, merged = await _saved(world, person), await _saved(world, namesake(person))
    subjects = {
        *await _subjects(world, kept),
        *await _subjects(world, merged, with_registration=True),
    }
    request = MergeCustomersRequest(
        name=kept.name,
        request_id=new_request_id(),
        merged_customer=merged.name,
        personal_identity_code_of=CODE_OF_KEPT,
    )
    return Called("staff", request, these(*subjects), entries=2)


async def undo_merge(world: World) -> Called:
    merged = await merge_customers(world)
    subjects = merged.subjects
    await world.api.staff.call(world.api.staff.customers.MergeCustomers, merged.request)
    request = UndoMergeRequest(
        name=merged.request.name,
        request_id=new_request_id(),
        merged_customer=merged.request.merged_customer,
    )
    return Called("staff", request, subjects, entries=3)


async def mark_protected(world: World) -> Called:
    customer = await _saved(world, adult())
    request = MarkProtectedRequest(name=customer.name, request_id=new_request_id())
    return Called("staff", request, these(*await _subjects(world, customer)))


async def remove_protection(world: World) -> Called:
    marked = await mark_protected(world)
    await world.api.staff.call(world.api.staff.customers.MarkProtected, marked.request)
    request = RemoveProtectionRequest(name=marked.request.name, request_id=new_request_id())
    return Called("staff", request, marked.subjects)


async def get_protected_details(world: World) -> Called:
    customer = await _saved(world, adult())
    subjects = these(*await _subjects(world, customer, with_registration=True))
    mark = MarkProtectedRequest(name=customer.name, request_id=new_request_id())
    await world.api.staff.call(world.api.staff.customers.MarkProtected, mark)
    request = GetProtectedDetailsRequest(name=customer.name, reason=PROTECTED_READ_REASON_AUTHORITY)
    # The action in the log is the reason.
    return Called("staff", request, subjects, action="protected:authority")


async def convert_to_online(world: World) -> Called:
    customer = await _saved(world, cd_borrower())
    request = ConvertToOnlineRequest(name=customer.name, request_id=new_request_id())
    subjects = these(*await _subjects(world, customer, with_registration=True))
    return Called("staff", request, subjects, entries=2)


async def _new_unit(world: World) -> Unit:
    request = CreateUnitRequest(
        request_id=new_request_id(), display_name="Kirjattava kirjasto", kind=UNIT_KIND_LIBRARY
    )
    return (await world.api.staff.call(world.api.staff.units.CreateUnit, request)).unit


def _invitation(unit: str) -> InviteRegistrarRequest:
    return InviteRegistrarRequest(
        parent=unit,
        request_id=new_request_id(),
        email=f"{uuid.uuid4().hex}@kirjasto.example",
        language=LANGUAGE_FI,
        role=ROLE_REGISTRAR,
    )


async def _invited(world: World) -> Registrar:
    """An open invitation to a new unit."""
    invitation = _invitation((await _new_unit(world)).name)
    return (await world.api.staff.call(world.api.staff.units.InviteRegistrar, invitation)).registrar


async def _named_registrars(answer: Any) -> set[str]:
    return {opaque(registrar.name) for registrar in answer.registrars}


async def _named_registrar(answer: Any) -> set[str]:
    return {opaque(answer.registrar.name)}


async def create_unit(_world: World) -> Called:
    request = CreateUnitRequest(
        request_id=new_request_id(), display_name="Kirjattava kirjasto", kind=UNIT_KIND_LIBRARY
    )
    return Called("staff", request, these())


async def get_unit(world: World) -> Called:
    return Called("teacher", GetUnitRequest(name=world.facts.school), these())


async def list_units(_world: World) -> Called:
    return Called("staff", ListUnitsRequest(page_size=2), these())


async def update_unit(world: World) -> Called:
    unit = await _new_unit(world)
    request = UpdateUnitRequest(
        name=unit.name,
        request_id=new_request_id(),
        etag=unit.etag,
        update_mask=FieldMask(paths=["display_name"]),
        display_name="Toinen nimi",
    )
    return Called("staff", request, these())


async def close_unit(world: World) -> Called:
    unit = await _new_unit(world)
    return Called("staff", CloseUnitRequest(name=unit.name, request_id=new_request_id()), these())


async def invite_registrar(world: World) -> Called:
    return Called("staff", _invitation((await _new_unit(world)).name), _named_registrar)


async def list_registrars(world: World) -> Called:
    request = ListRegistrarsRequest(parent=world.facts.school)
    return Called("staff", request, _named_registrars)


async def remove_registrar(world: World) -> Called:
    registrar = await _invited(world)
    request = RemoveRegistrarRequest(name=registrar.name, request_id=new_request_id())
    return Called("staff", request, these(opaque(registrar.name)))


async def set_registrar_role(world: World) -> Called:
    unit, email = (await _new_unit(world)).name, f"{uuid.uuid4().hex}@kirjasto.example"
    await invite(world.api.staff, unit, email)
    await accept(world.api.anybody, await token_mailed_to(world.stack, email))
    request = SetRegistrarRoleRequest(
        name=await named(world.api.staff, unit, email), request_id=new_request_id(), role=ROLE_MAIN_USER
    )
    return Called("staff", request, _named_registrar)
