"""A request of each public RPC that is right in every field, to be made wrong in one."""

from collections.abc import Callable

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from deploy.api_client import new_request_id
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
)
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
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
    ConfirmEmailRequest,
    ConvertToOnlineRequest,
    EndCustomershipRequest,
    GetCustomerRequest,
    MergeCustomersRequest,
    SearchCustomersRequest,
    SendCredentialsRequest,
    SetPersonalIdentityCodeRequest,
    TransferCustomerRequest,
    UndoRemovalRequest,
    UpdateCustomerRequest,
)
from liity.v1.customership_link_service_pb2 import (
    EndOwnCustomershipRequest,
    ExtendNeedRequest,
    GetCustomershipLinkRequest,
)
from liity.v1.disclosure_service_pb2 import CreateDisclosureRequest, GetDisclosureRequest
from liity.v1.message_service_pb2 import (
    MESSAGE_STATE_OPEN,
    CloseMessageRequest,
    FindMessageRequest,
    GetMessageRequest,
    ListMessagesRequest,
    SendMessageRequest,
)
from liity.v1.registration_pb2 import STAGE_ACTIVE
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
from liity.v1.unit_service_pb2 import (
    UNIT_KIND_LIBRARY,
    UNIT_KIND_SCHOOL,
    CloseUnitRequest,
    CreateUnitRequest,
    GetUnitRequest,
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
    ClaimWorkItemRequest,
    DismissDuplicateRequest,
    GetWorkItemRequest,
    ListWorkItemsRequest,
    ReleaseWorkItemRequest,
)
from tests.registration_forms import date_from_today, paper_consent
from tests.system.class_lists import csv_of, pupil_row
from tests.system.public_api_facts import Facts


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


VALID: dict[str, Callable[[Facts], Message]] = {
    "/liity.v1.AuthService/LogIn": lambda _: LogInRequest(
        email=f"{new_request_id()}@kirjasto.example", password="not the password"
    ),
    "/liity.v1.AuthService/RefreshSession": lambda _: RefreshSessionRequest(
        refresh_token="none of ours", request_id=new_request_id()
    ),
    "/liity.v1.AuthService/LogOut": lambda _: LogOutRequest(refresh_token="none of ours"),
    "/liity.v1.AuthService/OrderPassword": lambda _: OrderPasswordRequest(
        email=f"{new_request_id()}@kirjasto.example", request_id=new_request_id()
    ),
    "/liity.v1.AuthService/ChooseAccountPassword": lambda facts: ChooseAccountPasswordRequest(
        token=facts.account_password.good, request_id=new_request_id(), password="kolme sanaa riittää"
    ),
    "/liity.v1.ConsentService/GetConsentRequest": lambda facts: GetConsentRequestRequest(
        token=facts.consent.good
    ),
    "/liity.v1.ConsentService/AcceptConsent": lambda facts: AcceptConsentRequest(
        token=facts.consent.good,
        request_id=new_request_id(),
        guardian_name="Kerttu Huoltaja",
        wording_version="2026-1",
        language=LANGUAGE_FI,
    ),
    "/liity.v1.ConsentService/DeclineConsent": lambda facts: DeclineConsentRequest(
        token=facts.consent.good, request_id=new_request_id()
    ),
    "/liity.v1.CredentialService/ChoosePassword": lambda facts: ChoosePasswordRequest(
        token=facts.password.good, request_id=new_request_id(), password="kolme sanaa riittää"
    ),
    "/liity.v1.CustomerService/GetCustomer": lambda facts: GetCustomerRequest(name=facts.customer.name),
    "/liity.v1.CustomerService/UpdateCustomer": lambda facts: UpdateCustomerRequest(
        name=facts.customer.name,
        request_id=new_request_id(),
        etag=facts.customer.etag,
        update_mask=FieldMask(paths=["phone"]),
        form=CustomerForm(phone="+358401234567"),
    ),
    "/liity.v1.CustomerService/SearchCustomers": lambda facts: SearchCustomersRequest(
        parent=facts.school, query="virt", page_size=10
    ),
    "/liity.v1.RegistrationService/CheckPersonalIdentityCode": lambda facts: CheckPersonalIdentityCodeRequest(
        parent=facts.school, personal_identity_code=facts.newcomer.personal_identity_code
    ),
    "/liity.v1.RegistrationService/RegisterCustomer": _save,
    "/liity.v1.RegistrationService/GetRegistration": lambda facts: GetRegistrationRequest(
        name=facts.waiting.name
    ),
    "/liity.v1.RegistrationService/ListRegistrations": lambda facts: ListRegistrationsRequest(
        parent=facts.school, page_size=10, page_token="", stage=STAGE_ACTIVE
    ),
    "/liity.v1.RegistrationService/RecordConsent": lambda facts: RecordConsentRequest(
        name=facts.waiting.name,
        request_id=new_request_id(),
        consent=PaperConsent(guardian_name="Kerttu Huoltaja", sign_date=date_from_today(-1)),
    ),
    "/liity.v1.RegistrationService/ExplainRegistration": lambda facts: ExplainRegistrationRequest(
        name=facts.waiting.name
    ),
    "/liity.v1.MessageService/SendMessage": lambda facts: SendMessageRequest(
        parent=facts.school,
        request_id=new_request_id(),
        registration=facts.waiting.name,
        text="Huoltaja kysyy,\nmitä suostumus koskee.",
    ),
    "/liity.v1.MessageService/GetMessage": lambda facts: GetMessageRequest(name=facts.message.name),
    "/liity.v1.MessageService/ListMessages": lambda facts: ListMessagesRequest(
        parent=facts.school, state=MESSAGE_STATE_OPEN, page_size=10
    ),
    "/liity.v1.MessageService/FindMessage": lambda facts: FindMessageRequest(
        reference=facts.message.reference
    ),
    "/liity.v1.MessageService/CloseMessage": lambda facts: CloseMessageRequest(
        name=facts.message.name, request_id=new_request_id(), answer="Suostumus koskee kirjastoa."
    ),
    "/liity.v1.WorkService/ListWorkItems": lambda _: ListWorkItemsRequest(
        kinds=[WORK_ITEM_KIND_MESSAGE], claims=CLAIM_FILTER_UNCLAIMED, page_size=10
    ),
    "/liity.v1.WorkService/GetWorkItem": lambda facts: GetWorkItemRequest(name=facts.work_item),
    "/liity.v1.WorkService/ClaimWorkItem": lambda facts: ClaimWorkItemRequest(
        name=facts.work_item, request_id=new_request_id()
    ),
    "/liity.v1.WorkService/ReleaseWorkItem": lambda facts: ReleaseWorkItemRequest(
        name=facts.work_item, request_id=new_request_id()
    ),
    "/liity.v1.WorkService/DismissDuplicate": lambda _: DismissDuplicateRequest(
        name="workItems/4-none-such", request_id=new_request_id()
    ),
    "/liity.v1.RegistrationService/UpdateRegistration": lambda facts: UpdateRegistrationRequest(
        name=facts.waiting.name,
        request_id=new_request_id(),
        etag="b2Zub3RoaW5n",
        update_mask=FieldMask(paths=["additional_information"]),
        form=CustomerForm(additional_information="Lukee iltaisin."),
    ),
    "/liity.v1.RegistrationService/WithdrawRegistration": lambda facts: WithdrawRegistrationRequest(
        name=facts.waiting.name, request_id=new_request_id()
    ),
    "/liity.v1.RegistrationService/Reactivate": lambda facts: ReactivateRequest(
        name=facts.waiting.name, request_id=new_request_id()
    ),
    "/liity.v1.RegistrationService/VerifyIdentity": lambda facts: VerifyIdentityRequest(
        name=facts.waiting.name, request_id=new_request_id()
    ),
    "/liity.v1.RegistrationService/LinkToCustomer": lambda facts: LinkToCustomerRequest(
        name=facts.waiting.name, request_id=new_request_id(), customer=facts.customer.name
    ),
    "/liity.v1.RegistrationService/RejectRegistration": lambda facts: RejectRegistrationRequest(
        name=facts.waiting.name, request_id=new_request_id(), note="Sama lomake on tallennettu kahdesti."
    ),
    "/liity.v1.DisclosureService/CreateDisclosure": lambda facts: CreateDisclosureRequest(
        request_id=new_request_id(), registration=facts.active.name
    ),
    "/liity.v1.DisclosureService/GetDisclosure": lambda facts: GetDisclosureRequest(name=facts.disclosure),
    "/liity.v1.UseLogService/ListUses": lambda facts: ListUsesRequest(
        subject_id=facts.waiting.name.rpartition("/")[2],
        account_id="5d0d3f8e6a3c4a1e9a2b7c1d8e9f0a1b",
        unit=facts.school,
        action="registration:read",
        page_size=10,
    ),
    "/liity.v1.UseLogService/ListSuspicions": lambda _: ListSuspicionsRequest(),
    "/liity.v1.CustomerService/TransferCustomer": lambda facts: TransferCustomerRequest(
        parent=facts.school,
        request_id=new_request_id(),
        personal_identity_code=facts.adult.personal_identity_code,
    ),
    "/liity.v1.CustomerService/SendCredentials": lambda facts: SendCredentialsRequest(
        name=f"{facts.school}/customers/none",
        request_id=new_request_id(),
        recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
    ),
    "/liity.v1.ClassListService/GetClassListTemplate": lambda facts: GetClassListTemplateRequest(
        parent=facts.school, format=CLASS_LIST_FORMAT_CSV
    ),
    "/liity.v1.ClassListService/CheckClassList": lambda facts: CheckClassListRequest(
        parent=facts.school, content=csv_of([pupil_row(2)]), format=CLASS_LIST_FORMAT_CSV
    ),
    "/liity.v1.ClassListService/RegisterClassList": lambda facts: RegisterClassListRequest(
        parent=facts.school,
        request_id=new_request_id(),
        content=csv_of([pupil_row(2)]),
        format=CLASS_LIST_FORMAT_CSV,
        skip_wrong_rows=True,
    ),
    "/liity.v1.ClassListService/GetClassList": lambda facts: GetClassListRequest(
        name=f"{facts.school}/classLists/none"
    ),
    "/liity.v1.ClassListService/ListClassLists": lambda facts: ListClassListsRequest(
        parent=facts.school, page_size=10
    ),
    "/liity.v1.ClassListService/GetClassListResult": lambda facts: GetClassListResultRequest(
        name=f"{facts.school}/classLists/none"
    ),
    "/liity.v1.ClassListService/CancelClassList": lambda facts: CancelClassListRequest(
        name=f"{facts.school}/classLists/none", request_id=new_request_id()
    ),
    "/liity.v1.CustomerService/ConfirmEmail": lambda _: ConfirmEmailRequest(
        token="none of ours",
        request_id=new_request_id(),
    ),
    "/liity.v1.CustomerService/EndCustomership": lambda facts: EndCustomershipRequest(
        name=f"{facts.school}/customers/none",
        request_id=new_request_id(),
        reason=END_REASON_OWN_WISH,
    ),
    "/liity.v1.CustomerService/UndoRemoval": lambda facts: UndoRemovalRequest(
        name=f"{facts.school}/customers/none", request_id=new_request_id()
    ),
    "/liity.v1.CustomershipLinkService/GetCustomershipLink": lambda _: GetCustomershipLinkRequest(
        token="none of ours"
    ),
    "/liity.v1.CustomershipLinkService/ExtendNeed": lambda _: ExtendNeedRequest(
        token="none of ours",
        request_id=new_request_id(),
        expected_end_date=date_from_today(90),
    ),
    "/liity.v1.CustomershipLinkService/EndOwnCustomership": lambda _: EndOwnCustomershipRequest(
        token="none of ours", request_id=new_request_id()
    ),
    "/liity.v1.AuthService/GetInvitation": lambda facts: GetInvitationRequest(token=facts.invitation.good),
    "/liity.v1.AuthService/AcceptInvitation": lambda facts: AcceptInvitationRequest(
        token=facts.invitation.good,
        request_id=new_request_id(),
        display_name="Ulla Uusi",
        password="kolme sanaa riittää",
    ),
    "/liity.v1.UnitService/CreateUnit": lambda _: CreateUnitRequest(
        request_id=new_request_id(), display_name="Uusi koulu", kind=UNIT_KIND_SCHOOL
    ),
    "/liity.v1.UnitService/GetUnit": lambda facts: GetUnitRequest(name=facts.school),
    "/liity.v1.UnitService/ListUnits": lambda _: ListUnitsRequest(query="esimerk", page_size=10),
    "/liity.v1.UnitService/UpdateUnit": lambda facts: UpdateUnitRequest(
        name=facts.library,
        etag="1",
        update_mask=FieldMask(paths=["display_name", "kind"]),
        display_name="Esimerkkilän kirjasto",
        kind=UNIT_KIND_LIBRARY,
        request_id=new_request_id(),
    ),
    "/liity.v1.UnitService/CloseUnit": lambda _: CloseUnitRequest(
        name="units/none", request_id=new_request_id()
    ),
    "/liity.v1.UnitService/InviteRegistrar": lambda facts: InviteRegistrarRequest(
        parent=facts.school,
        request_id=new_request_id(),
        email=f"{new_request_id()}@koulu.example",
        language=LANGUAGE_FI,
        role=ROLE_REGISTRAR,
    ),
    "/liity.v1.UnitService/ListRegistrars": lambda facts: ListRegistrarsRequest(parent=facts.school),
    "/liity.v1.UnitService/SetRegistrarRole": lambda facts: SetRegistrarRoleRequest(
        name=f"{facts.school}/registrars/none", request_id=new_request_id(), role=ROLE_MAIN_USER
    ),
    "/liity.v1.UnitService/RemoveRegistrar": lambda facts: RemoveRegistrarRequest(
        name=f"{facts.school}/registrars/none", request_id=new_request_id()
    ),
    "/liity.v1.CustomerService/SetPersonalIdentityCode": lambda facts: SetPersonalIdentityCodeRequest(
        name=f"{facts.school}/customers/none",
        request_id=new_request_id(),
        personal_identity_code=facts.newcomer.personal_identity_code,
        change=CODE_CHANGE_RENEWED,
    ),
    "/liity.v1.CustomerService/MergeCustomers": lambda facts: MergeCustomersRequest(
        name=f"{facts.school}/customers/none",
        request_id=new_request_id(),
        merged_customer=f"{facts.school}/customers/none2",
        personal_identity_code_of=CODE_OF_KEPT,
    ),
    "/liity.v1.BookTipsService/GetBookTips": lambda _: GetBookTipsRequest(name="bookTips/sv"),
    "/liity.v1.BookTipsService/UpdateBookTips": lambda _: UpdateBookTipsRequest(
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
    "/liity.v1.CustomerService/ConvertToOnline": lambda facts: ConvertToOnlineRequest(
        name=f"{facts.school}/customers/none",
        request_id=new_request_id(),
        email="kuuntelija@koti.example",
        credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
    ),
}
"""By the RPC's path."""
