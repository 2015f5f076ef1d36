"""The catalogue of valid calls, one per public RPC. Tests that cover all RPCs use it."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.type.date_pb2 import Date

from frontends.client import new_request_id
from liity.v1.auth_service_pb2 import (
    ROLE_MAIN_USER,
    ROLE_REGISTRAR,
    AcceptInvitationRequest,
    ChooseAccountPasswordRequest,
    GetInvitationRequest,
    LogInRequest,
    LogOutRequest,
    OrderPasswordRequest,
    RefreshSessionRequest,
)
from liity.v1.book_tips_service_pb2 import (
    BookTip,
    BookTips,
    GetBookTipsRequest,
    UpdateBookTipsRequest,
)
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CancelClassListRequest,
    CheckClassListRequest,
    GetClassListRequest,
    GetClassListResultRequest,
    GetClassListTemplateRequest,
    ListClassListsRequest,
    RegisterClassListRequest,
)
from liity.v1.consent_service_pb2 import (
    AcceptConsentRequest,
    DeclineConsentRequest,
    GetConsentRequestRequest,
    GetConsentStatusRequest,
    ReportWrongRecipientRequest,
    RequestNewConsentLinkRequest,
    TakeBackDeclineRequest,
    WithdrawConsentRequest,
)
from liity.v1.credential_service_pb2 import ChoosePasswordRequest, OrderCustomerPasswordRequest
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    LANGUAGE_FI,
    PRINT_DISABILITY_READING_DIFFICULTY,
    CustomerForm,
    PaperConsent,
)
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_RENEWED,
    CODE_OF_KEPT,
    END_REASON_OWN_WISH,
    PROTECTED_READ_REASON_POSTAL_DELIVERY,
    ConfirmEmailRequest,
    ConvertToOnlineRequest,
    CorrectBirthDateRequest,
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
from liity.v1.customership_link_service_pb2 import (
    EndOwnCustomershipRequest,
    ExtendNeedRequest,
    GetCustomershipLinkRequest,
    GetOwnContactDataRequest,
    ListOwnUsesRequest,
    UpdateOwnContactDataRequest,
)
from liity.v1.disclosure_service_pb2 import CreateDisclosureRequest, GetDisclosureRequest
from liity.v1.feedback_service_pb2 import AnswerFeedbackRequest, GetFeedbackRequest, SendFeedbackRequest
from liity.v1.message_service_pb2 import (
    MESSAGE_STATE_OPEN,
    CloseMessageRequest,
    FindMessageRequest,
    GetMessageRequest,
    ListMessagesRequest,
    SendMessageRequest,
)
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_CREDENTIALS_SENT
from liity.v1.registration_service_pb2 import (
    REGISTRATION_ORDER_DEADLINE,
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
    UNIT_KIND_SCHOOL,
    CloseUnitRequest,
    CreateUnitRequest,
    GetUnitClosingRequest,
    GetUnitRequest,
    GetUnitSummaryRequest,
    InviteRegistrarRequest,
    ListRegistrarsRequest,
    ListUnitsRequest,
    RemoveRegistrarRequest,
    SetRegistrarRoleRequest,
    UpdateUnitRequest,
)
from liity.v1.use_log_service_pb2 import ListSuspicionsRequest, ListUsesRequest
from liity.v1.work_service_pb2 import (
    CLAIM_FILTER_UNCLAIMED,
    WORK_ITEM_KIND_MESSAGE,
    AcknowledgeDissentRequest,
    ClaimWorkItemRequest,
    DismissDuplicateRequest,
    GetFiguresRequest,
    GetWorkItemRequest,
    ListWorkItemsRequest,
    ReleaseWorkItemRequest,
    ReportDeliveryRequest,
)
from tests.support.registration_forms import date_from_today, paper_consent
from tests.system.support import prepared_calls
from tests.system.support.class_lists import csv_of, pupil_row
from tests.system.support.prepared_calls import Called, World
from tests.system.support.public_api import is_for_staff, needs_account
from tests.system.support.public_api_facts import Facts


@dataclass(frozen=True)
class Call:
    """How an RPC is called."""

    right: Callable[[Facts], Message]
    """Makes a new request that is valid in every field. The resources it names need not exist."""
    logged: Callable[[World], Awaitable[Called]] | None = None
    """A successful call and its entries in the log of use (R36), for each RPC that leaves entries."""
    link: str = ""
    """The links of `Facts` whose token authorises the call, if a token in the request does."""
    answers_links_that_are_over: bool = False
    """Whether links that were used, are void or have expired are answered, too."""


def right(path: str, facts: Facts, **changed: str) -> Any:
    """A valid request of an RPC, with some texts replaced."""
    request = CALLS[path].right(facts)
    for field, value in changed.items():
        setattr(request, field, value)
    return request


def caller_of(path: str) -> str:
    """The caller of an RPC: customer service, the teacher, or a guardian or customer without an account."""
    if not needs_account(path):
        return "anybody"
    return "staff" if is_for_staff(path) else "teacher"


def _full_form(facts: Facts) -> CustomerForm:
    """A form with every field filled in."""
    form = CustomerForm()
    form.CopyFrom(facts.new_pupil.form)
    form.email = "lapsi@koti.example"
    form.phone = "040 123 4567"
    form.address.country_code = "FI"
    form.print_disability = PRINT_DISABILITY_READING_DIFFICULTY
    form.disability_storage_allowed = True
    form.temporary = True
    form.expected_end_date.CopyFrom(date_from_today(90))
    form.paper_consent.CopyFrom(paper_consent())
    form.marketing_allowed = True
    form.additional_information = "Lukee mieluiten iltaisin."
    return form


def _save(facts: Facts) -> RegisterCustomerRequest:
    return RegisterCustomerRequest(
        parent=facts.school,
        request_id=new_request_id(),
        personal_identity_code=facts.new_pupil.personal_identity_code,
        form=_full_form(facts),
    )


CALLS: dict[str, Call] = {
    "/liity.v1.AuthService/LogIn": Call(
        lambda _: LogInRequest(email=f"{new_request_id()}@kirjasto.example", password="not the password"),
    ),
    "/liity.v1.AuthService/RefreshSession": Call(
        lambda _: RefreshSessionRequest(refresh_token="none of ours", request_id=new_request_id()),
    ),
    "/liity.v1.AuthService/LogOut": Call(
        lambda _: LogOutRequest(refresh_token="none of ours"),
    ),
    "/liity.v1.AuthService/OrderPassword": Call(
        lambda _: OrderPasswordRequest(
            email=f"{new_request_id()}@kirjasto.example", request_id=new_request_id()
        ),
    ),
    "/liity.v1.AuthService/ChooseAccountPassword": Call(
        lambda facts: ChooseAccountPasswordRequest(
            token=facts.account_password.good, request_id=new_request_id(), password="kolme sanaa riittää"
        ),
        link="account_password",
    ),
    "/liity.v1.ConsentService/GetConsentRequest": Call(
        lambda facts: GetConsentRequestRequest(token=facts.consent.good),
        link="consent",
    ),
    "/liity.v1.ConsentService/GetConsentStatus": Call(
        lambda facts: GetConsentStatusRequest(token=facts.consent.good),
        link="consent",
        answers_links_that_are_over=True,
    ),
    "/liity.v1.ConsentService/RequestNewConsentLink": Call(
        lambda facts: RequestNewConsentLinkRequest(token=facts.consent.good, request_id=new_request_id()),
        link="consent",
        answers_links_that_are_over=True,
    ),
    "/liity.v1.ConsentService/ReportWrongRecipient": Call(
        lambda facts: ReportWrongRecipientRequest(token=facts.consent.good, request_id=new_request_id()),
        link="consent",
    ),
    "/liity.v1.ConsentService/AcceptConsent": Call(
        lambda facts: AcceptConsentRequest(
            token=facts.consent.good,
            request_id=new_request_id(),
            guardian_name="Kerttu Huoltaja",
            wording_version="2026-1",
            language=LANGUAGE_FI,
        ),
        link="consent",
    ),
    "/liity.v1.ConsentService/DeclineConsent": Call(
        lambda facts: DeclineConsentRequest(token=facts.consent.good, request_id=new_request_id()),
        link="consent",
    ),
    "/liity.v1.ConsentService/WithdrawConsent": Call(
        lambda facts: WithdrawConsentRequest(token=facts.consent.good, request_id=new_request_id()),
        link="consent",
        answers_links_that_are_over=True,
    ),
    "/liity.v1.ConsentService/TakeBackDecline": Call(
        lambda facts: TakeBackDeclineRequest(token=facts.consent.good, request_id=new_request_id()),
        link="consent",
    ),
    "/liity.v1.CredentialService/OrderCustomerPassword": Call(
        lambda _: OrderCustomerPasswordRequest(
            user_name_or_email=f"{new_request_id()}@kirjasto.example", request_id=new_request_id()
        ),
    ),
    "/liity.v1.CredentialService/ChoosePassword": Call(
        lambda facts: ChoosePasswordRequest(
            token=facts.password.good, request_id=new_request_id(), password="kolme sanaa riittää"
        ),
        link="password",
    ),
    "/liity.v1.CustomerService/GetCustomer": Call(
        lambda facts: GetCustomerRequest(name=facts.customer.name),
        logged=prepared_calls.get_customer,
    ),
    "/liity.v1.CustomerService/UpdateCustomer": Call(
        lambda facts: UpdateCustomerRequest(
            name=facts.customer.name,
            request_id=new_request_id(),
            etag=facts.customer.etag,
            update_mask=FieldMask(paths=["phone"]),
            form=CustomerForm(phone="+358401234567"),
        ),
        logged=prepared_calls.update_customer,
    ),
    "/liity.v1.CustomerService/SearchCustomers": Call(
        lambda facts: SearchCustomersRequest(
            parent=facts.school,
            query="virt",
            page_size=10,
            need_ends_before_date=date_from_today(30),
            not_welcomed=True,
        ),
        logged=prepared_calls.search_customers,
    ),
    "/liity.v1.RegistrationService/CheckPersonalIdentityCode": Call(
        lambda facts: CheckPersonalIdentityCodeRequest(
            parent=facts.school, personal_identity_code=facts.newcomer.personal_identity_code
        ),
        logged=prepared_calls.check_personal_identity_code,
    ),
    "/liity.v1.RegistrationService/RegisterCustomer": Call(
        _save,
        logged=prepared_calls.register_customer,
    ),
    "/liity.v1.RegistrationService/GetRegistration": Call(
        lambda facts: GetRegistrationRequest(name=facts.waiting.name),
        logged=prepared_calls.get_registration,
    ),
    "/liity.v1.RegistrationService/FindRegistrations": Call(
        lambda facts: FindRegistrationsRequest(reference=facts.waiting.reference),
        logged=prepared_calls.find_registrations,
    ),
    "/liity.v1.RegistrationService/ListRegistrations": Call(
        lambda facts: ListRegistrationsRequest(
            parent=facts.school,
            page_size=10,
            page_token="",
            stages=[STAGE_ACTIVE, STAGE_CREDENTIALS_SENT],
            mine=True,
            due_before_date=date_from_today(365),
            order_by=REGISTRATION_ORDER_DEADLINE,
        ),
        logged=prepared_calls.list_registrations,
    ),
    "/liity.v1.RegistrationService/RecordConsent": Call(
        lambda facts: RecordConsentRequest(
            name=facts.waiting.name,
            request_id=new_request_id(),
            consent=PaperConsent(guardian_name="Kerttu Huoltaja", sign_date=date_from_today(-1)),
        ),
        logged=prepared_calls.record_consent,
    ),
    "/liity.v1.RegistrationService/RemindGuardian": Call(
        lambda facts: RemindGuardianRequest(name=facts.waiting.name, request_id=new_request_id()),
        logged=prepared_calls.remind_guardian,
    ),
    "/liity.v1.RegistrationService/ExplainRegistration": Call(
        lambda facts: ExplainRegistrationRequest(name=facts.waiting.name),
        logged=prepared_calls.explain_registration,
    ),
    "/liity.v1.MessageService/SendMessage": Call(
        lambda facts: SendMessageRequest(
            parent=facts.school,
            request_id=new_request_id(),
            registration=facts.waiting.name,
            text="Huoltaja kysyy,\nmitä suostumus koskee.",
        ),
        logged=prepared_calls.send_message,
    ),
    "/liity.v1.MessageService/GetMessage": Call(
        lambda facts: GetMessageRequest(name=facts.message.name),
        logged=prepared_calls.get_message,
    ),
    "/liity.v1.MessageService/ListMessages": Call(
        lambda facts: ListMessagesRequest(parent=facts.school, state=MESSAGE_STATE_OPEN, page_size=10),
        logged=prepared_calls.list_messages,
    ),
    "/liity.v1.MessageService/FindMessage": Call(
        lambda facts: FindMessageRequest(reference=facts.message.reference),
        logged=prepared_calls.find_message,
    ),
    "/liity.v1.MessageService/CloseMessage": Call(
        lambda facts: CloseMessageRequest(
            name=facts.message.name, request_id=new_request_id(), answer="Suostumus koskee kirjastoa."
        ),
        logged=prepared_calls.close_message,
    ),
    "/liity.v1.FeedbackService/SendFeedback": Call(
        lambda _: SendFeedbackRequest(
            request_id=new_request_id(),
            sender_name="Liisa Lukija",
            sender_email=f"{new_request_id()}@koti.example",
            text="Ruudunlukija ei lue\ntaulukon otsikoita.",
        ),
    ),
    "/liity.v1.FeedbackService/GetFeedback": Call(
        lambda _: GetFeedbackRequest(name="feedback/p7k3m92qf"),
        logged=prepared_calls.get_feedback,
    ),
    "/liity.v1.FeedbackService/AnswerFeedback": Call(
        lambda _: AnswerFeedbackRequest(
            name="feedback/p7k3m92qf", request_id=new_request_id(), answer="Korjaamme\notsikot."
        ),
        logged=prepared_calls.answer_feedback,
    ),
    "/liity.v1.WorkService/ListWorkItems": Call(
        lambda _: ListWorkItemsRequest(
            kinds=[WORK_ITEM_KIND_MESSAGE], claims=CLAIM_FILTER_UNCLAIMED, page_size=10
        ),
        logged=prepared_calls.list_work_items,
    ),
    "/liity.v1.WorkService/GetFigures": Call(
        lambda _: GetFiguresRequest(),
    ),
    "/liity.v1.WorkService/ReportDelivery": Call(
        lambda _: ReportDeliveryRequest(
            request_id=new_request_id(), message_id="<none-of-ours@liity.example>", status="5.1.1"
        ),
    ),
    "/liity.v1.WorkService/GetWorkItem": Call(
        lambda facts: GetWorkItemRequest(name=facts.work_item),
        logged=prepared_calls.get_work_item,
    ),
    "/liity.v1.WorkService/ClaimWorkItem": Call(
        lambda facts: ClaimWorkItemRequest(name=facts.work_item, request_id=new_request_id()),
        logged=prepared_calls.claim_work_item,
    ),
    "/liity.v1.WorkService/ReleaseWorkItem": Call(
        lambda facts: ReleaseWorkItemRequest(name=facts.work_item, request_id=new_request_id()),
        logged=prepared_calls.release_work_item,
    ),
    "/liity.v1.WorkService/DismissDuplicate": Call(
        lambda _: DismissDuplicateRequest(name="workItems/4-none-such", request_id=new_request_id()),
        logged=prepared_calls.dismiss_duplicate,
    ),
    "/liity.v1.WorkService/AcknowledgeDissent": Call(
        lambda _: AcknowledgeDissentRequest(name="workItems/15-nonesuch", request_id=new_request_id()),
        logged=prepared_calls.acknowledge_dissent,
    ),
    "/liity.v1.RegistrationService/UpdateRegistration": Call(
        lambda facts: UpdateRegistrationRequest(
            name=facts.waiting.name,
            request_id=new_request_id(),
            etag="b2Zub3RoaW5n",
            update_mask=FieldMask(paths=["additional_information"]),
            form=CustomerForm(additional_information="Lukee iltaisin."),
        ),
        logged=prepared_calls.update_registration,
    ),
    "/liity.v1.RegistrationService/WithdrawRegistration": Call(
        lambda facts: WithdrawRegistrationRequest(name=facts.waiting.name, request_id=new_request_id()),
        logged=prepared_calls.withdraw_registration,
    ),
    "/liity.v1.RegistrationService/Reactivate": Call(
        lambda facts: ReactivateRequest(name=facts.waiting.name, request_id=new_request_id()),
        logged=prepared_calls.reactivate,
    ),
    "/liity.v1.RegistrationService/VerifyIdentity": Call(
        lambda facts: VerifyIdentityRequest(name=facts.waiting.name, request_id=new_request_id()),
        logged=prepared_calls.verify_identity,
    ),
    "/liity.v1.RegistrationService/LinkToCustomer": Call(
        lambda facts: LinkToCustomerRequest(
            name=facts.waiting.name, request_id=new_request_id(), customer=facts.customer.name
        ),
        logged=prepared_calls.link_to_customer,
    ),
    "/liity.v1.RegistrationService/RejectRegistration": Call(
        lambda facts: RejectRegistrationRequest(
            name=facts.waiting.name, request_id=new_request_id(), note="Sama lomake on tallennettu kahdesti."
        ),
        logged=prepared_calls.reject_registration,
    ),
    "/liity.v1.DisclosureService/CreateDisclosure": Call(
        lambda facts: CreateDisclosureRequest(request_id=new_request_id(), registration=facts.active.name),
        logged=prepared_calls.create_disclosure,
    ),
    "/liity.v1.DisclosureService/GetDisclosure": Call(
        lambda facts: GetDisclosureRequest(name=facts.disclosure),
        logged=prepared_calls.get_disclosure,
    ),
    "/liity.v1.UseLogService/ListUses": Call(
        lambda facts: ListUsesRequest(
            subject_id=facts.waiting.name.rpartition("/")[2],
            account_id="5d0d3f8e6a3c4a1e9a2b7c1d8e9f0a1b",
            unit=facts.school,
            action="registration:read",
            page_size=10,
        ),
        logged=prepared_calls.list_uses,
    ),
    "/liity.v1.UseLogService/ListSuspicions": Call(
        lambda _: ListSuspicionsRequest(),
        logged=prepared_calls.list_suspicions,
    ),
    "/liity.v1.CustomerService/TransferCustomer": Call(
        lambda facts: TransferCustomerRequest(
            parent=facts.school,
            request_id=new_request_id(),
            personal_identity_code=facts.adult.personal_identity_code,
        ),
        logged=prepared_calls.transfer_customer,
    ),
    "/liity.v1.CustomerService/SendCredentials": Call(
        lambda facts: SendCredentialsRequest(
            name=f"{facts.school}/customers/none",
            request_id=new_request_id(),
            recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
        ),
        logged=prepared_calls.send_credentials,
    ),
    "/liity.v1.ClassListService/GetClassListTemplate": Call(
        lambda facts: GetClassListTemplateRequest(parent=facts.school, format=CLASS_LIST_FORMAT_CSV),
    ),
    "/liity.v1.ClassListService/CheckClassList": Call(
        lambda facts: CheckClassListRequest(
            parent=facts.school, content=csv_of([pupil_row(2)]), format=CLASS_LIST_FORMAT_CSV
        ),
        logged=prepared_calls.check_class_list,
    ),
    "/liity.v1.ClassListService/RegisterClassList": Call(
        lambda facts: RegisterClassListRequest(
            parent=facts.school,
            request_id=new_request_id(),
            content=csv_of([pupil_row(2)]),
            format=CLASS_LIST_FORMAT_CSV,
            skip_wrong_rows=True,
        ),
    ),
    "/liity.v1.ClassListService/GetClassList": Call(
        lambda facts: GetClassListRequest(name=f"{facts.school}/classLists/none"),
    ),
    "/liity.v1.ClassListService/ListClassLists": Call(
        lambda facts: ListClassListsRequest(parent=facts.school, page_size=10),
    ),
    "/liity.v1.ClassListService/GetClassListResult": Call(
        lambda facts: GetClassListResultRequest(name=f"{facts.school}/classLists/none"),
        logged=prepared_calls.get_class_list_result,
    ),
    "/liity.v1.ClassListService/CancelClassList": Call(
        lambda facts: CancelClassListRequest(
            name=f"{facts.school}/classLists/none", request_id=new_request_id()
        ),
    ),
    "/liity.v1.CustomerService/ConfirmEmail": Call(
        lambda _: ConfirmEmailRequest(
            token="none of ours",
            request_id=new_request_id(),
        ),
        link="email",
    ),
    "/liity.v1.CustomerService/EndCustomership": Call(
        lambda facts: EndCustomershipRequest(
            name=f"{facts.school}/customers/none",
            request_id=new_request_id(),
            reason=END_REASON_OWN_WISH,
        ),
        logged=prepared_calls.end_customership,
    ),
    "/liity.v1.CustomerService/UndoRemoval": Call(
        lambda facts: UndoRemovalRequest(name=f"{facts.school}/customers/none", request_id=new_request_id()),
        logged=prepared_calls.undo_removal,
    ),
    "/liity.v1.CustomershipLinkService/GetCustomershipLink": Call(
        lambda _: GetCustomershipLinkRequest(token="none of ours"),
        link="customership",
    ),
    "/liity.v1.CustomershipLinkService/ExtendNeed": Call(
        lambda _: ExtendNeedRequest(
            token="none of ours",
            request_id=new_request_id(),
            expected_end_date=date_from_today(90),
        ),
        link="customership",
    ),
    "/liity.v1.CustomershipLinkService/EndOwnCustomership": Call(
        lambda _: EndOwnCustomershipRequest(token="none of ours", request_id=new_request_id()),
        link="customership",
    ),
    "/liity.v1.CustomershipLinkService/GetOwnContactData": Call(
        lambda _: GetOwnContactDataRequest(token="none of ours", birth_date=date_from_today(-9000)),
        link="customership",
    ),
    "/liity.v1.CustomershipLinkService/UpdateOwnContactData": Call(
        lambda _: UpdateOwnContactDataRequest(
            token="none of ours",
            birth_date=date_from_today(-9000),
            request_id=new_request_id(),
            etag="none",
            update_mask=FieldMask(paths=["phone"]),
            form=CustomerForm(phone="+358401234567"),
        ),
        link="customership",
    ),
    "/liity.v1.CustomershipLinkService/ListOwnUses": Call(
        lambda _: ListOwnUsesRequest(token="none of ours", birth_date=date_from_today(-9000)),
        link="customership",
    ),
    "/liity.v1.AuthService/GetInvitation": Call(
        lambda facts: GetInvitationRequest(token=facts.invitation.good),
        link="invitation",
    ),
    "/liity.v1.AuthService/AcceptInvitation": Call(
        lambda facts: AcceptInvitationRequest(
            token=facts.invitation.good,
            request_id=new_request_id(),
            display_name="Ulla Uusi",
            password="kolme sanaa riittää",
        ),
        link="invitation",
    ),
    "/liity.v1.UnitService/CreateUnit": Call(
        lambda _: CreateUnitRequest(
            request_id=new_request_id(), display_name="Uusi koulu", kind=UNIT_KIND_SCHOOL
        ),
        logged=prepared_calls.create_unit,
    ),
    "/liity.v1.UnitService/GetUnit": Call(
        lambda facts: GetUnitRequest(name=facts.school),
        logged=prepared_calls.get_unit,
    ),
    "/liity.v1.UnitService/GetUnitSummary": Call(
        lambda facts: GetUnitSummaryRequest(name=facts.school),
    ),
    "/liity.v1.UnitService/ListUnits": Call(
        lambda _: ListUnitsRequest(query="esimerk", page_size=10),
        logged=prepared_calls.list_units,
    ),
    "/liity.v1.UnitService/UpdateUnit": Call(
        lambda facts: UpdateUnitRequest(
            name=facts.library,
            etag="1",
            update_mask=FieldMask(paths=["display_name", "kind"]),
            display_name="Esimerkkilän kirjasto",
            kind=UNIT_KIND_LIBRARY,
            request_id=new_request_id(),
        ),
        logged=prepared_calls.update_unit,
    ),
    "/liity.v1.UnitService/CloseUnit": Call(
        lambda _: CloseUnitRequest(name="units/none", request_id=new_request_id()),
        logged=prepared_calls.close_unit,
    ),
    "/liity.v1.UnitService/GetUnitClosing": Call(
        lambda facts: GetUnitClosingRequest(name=facts.school),
    ),
    "/liity.v1.UnitService/InviteRegistrar": Call(
        lambda facts: InviteRegistrarRequest(
            parent=facts.school,
            request_id=new_request_id(),
            email=f"{new_request_id()}@koulu.example",
            language=LANGUAGE_FI,
            role=ROLE_REGISTRAR,
        ),
        logged=prepared_calls.invite_registrar,
    ),
    "/liity.v1.UnitService/ListRegistrars": Call(
        lambda facts: ListRegistrarsRequest(parent=facts.school),
        logged=prepared_calls.list_registrars,
    ),
    "/liity.v1.UnitService/SetRegistrarRole": Call(
        lambda facts: SetRegistrarRoleRequest(
            name=f"{facts.school}/registrars/none", request_id=new_request_id(), role=ROLE_MAIN_USER
        ),
        logged=prepared_calls.set_registrar_role,
    ),
    "/liity.v1.UnitService/RemoveRegistrar": Call(
        lambda facts: RemoveRegistrarRequest(
            name=f"{facts.school}/registrars/none", request_id=new_request_id()
        ),
        logged=prepared_calls.remove_registrar,
    ),
    "/liity.v1.CustomerService/SetPersonalIdentityCode": Call(
        lambda facts: SetPersonalIdentityCodeRequest(
            name=f"{facts.school}/customers/none",
            request_id=new_request_id(),
            personal_identity_code=facts.newcomer.personal_identity_code,
            change=CODE_CHANGE_RENEWED,
        ),
        logged=prepared_calls.set_personal_identity_code,
    ),
    "/liity.v1.CustomerService/CorrectBirthDate": Call(
        lambda facts: CorrectBirthDateRequest(
            name=f"{facts.school}/registrations/none",
            request_id=new_request_id(),
            birth_date=Date(year=1985, month=6, day=18),
        ),
        logged=prepared_calls.correct_birth_date,
    ),
    "/liity.v1.CustomerService/MergeCustomers": Call(
        lambda facts: MergeCustomersRequest(
            name=f"{facts.school}/customers/none",
            request_id=new_request_id(),
            merged_customer=f"{facts.school}/customers/none2",
            personal_identity_code_of=CODE_OF_KEPT,
        ),
        logged=prepared_calls.merge_customers,
    ),
    "/liity.v1.CustomerService/MarkProtected": Call(
        lambda facts: MarkProtectedRequest(name=facts.customer.name, request_id=new_request_id()),
        logged=prepared_calls.mark_protected,
    ),
    "/liity.v1.CustomerService/RemoveProtection": Call(
        lambda facts: RemoveProtectionRequest(name=facts.customer.name, request_id=new_request_id()),
        logged=prepared_calls.remove_protection,
    ),
    "/liity.v1.CustomerService/GetProtectedDetails": Call(
        lambda facts: GetProtectedDetailsRequest(
            name=facts.customer.name, reason=PROTECTED_READ_REASON_POSTAL_DELIVERY
        ),
        logged=prepared_calls.get_protected_details,
    ),
    "/liity.v1.CustomerService/UndoMerge": Call(
        lambda facts: UndoMergeRequest(
            name=f"{facts.school}/customers/none",
            request_id=new_request_id(),
            merged_customer=f"{facts.school}/customers/none2",
        ),
        logged=prepared_calls.undo_merge,
    ),
    "/liity.v1.BookTipsService/GetBookTips": Call(
        lambda _: GetBookTipsRequest(name="bookTips/sv"),
    ),
    "/liity.v1.BookTipsService/UpdateBookTips": Call(
        lambda _: UpdateBookTipsRequest(
            request_id=new_request_id(),
            book_tips=BookTips(
                name="bookTips/sv",
                etag="none of theirs",
                tips=[
                    BookTip(
                        title="Sommarboken",
                        author="Tove Jansson",
                        narrator="En uppläsare",
                        url="https://bibliotek.example/sommarboken",
                        text="En flicka och hennes farmor.",
                    )
                ],
            ),
        ),
    ),
    "/liity.v1.CustomerService/ConvertToOnline": Call(
        lambda facts: ConvertToOnlineRequest(
            name=f"{facts.school}/customers/none",
            request_id=new_request_id(),
            email="kuuntelija@koti.example",
            credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
        ),
        logged=prepared_calls.convert_to_online,
    ),
}
"""By RPC path. A new RPC of the contract needs an entry."""

SERVICES = sorted({path.split("/")[1] for path in CALLS})
"""The public services; slow tests cover one at a time."""


def of_service(service: str, paths: Iterable[str]) -> list[str]:
    """The paths that are RPCs of a service."""
    return [path for path in paths if path.startswith(f"/{service}/")]
