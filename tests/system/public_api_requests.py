"""A request of each public RPC that is right in every field, to be made wrong in one."""

from collections.abc import Callable

from google.protobuf.message import Message

from deploy.api_client import new_request_id
from liity.v1.auth_service_pb2 import (
    ChooseAccountPasswordRequest,
    LogInRequest,
    LogOutRequest,
    OrderPasswordRequest,
    RefreshSessionRequest,
)
from liity.v1.consent_service_pb2 import (
    AcceptConsentRequest,
    DeclineConsentRequest,
    GetConsentRequestRequest,
)
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.v1.customer_form_pb2 import (
    LANGUAGE_FI,
    PRINT_DISABILITY_READING_DIFFICULTY,
    CustomerForm,
    PaperConsent,
)
from liity.v1.disclosure_service_pb2 import CreateDisclosureRequest, GetDisclosureRequest
from liity.v1.registration_pb2 import STAGE_ACTIVE
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    GetRegistrationRequest,
    ListRegistrationsRequest,
    RecordConsentRequest,
    RegisterCustomerRequest,
    WithdrawRegistrationRequest,
)
from liity.v1.use_log_service_pb2 import ListSuspicionsRequest, ListUsesRequest
from tests.registration_forms import date_from_today, paper_consent
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
    "/liity.v1.RegistrationService/WithdrawRegistration": lambda facts: WithdrawRegistrationRequest(
        name=facts.waiting.name, request_id=new_request_id()
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
}
"""By the RPC's path."""
