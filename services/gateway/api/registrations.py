"""`liity.v1.RegistrationService`: operations on registrations by registrars and customer service."""

from collections.abc import Mapping

import grpc
from typing_extensions import override

from liity.identity.v1.person_service_pb2 import (
    FindPersonRequest,
    FindPersonResponse,
)
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1 import registration_service_pb2 as registration_pb2
from liity.registration.v1.customer_service_pb2 import GetCustomerRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import (
    CheckConsentRequest,
    ConsentEvidence,
    ListPossibleDuplicatesRequest,
    LookUpPersonRequest,
)
from liity.registration.v1.registration_service_pb2 import Registration as StoredRegistration
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CredentialsRecipient,
    CustomerForm,
)
from liity.v1.customer_service_pb2 import ChangedMeanwhile
from liity.v1.getting_started_pb2 import GettingStartedStep
from liity.v1.reason_pb2 import (
    REASON_HETU_IN_TEXT,
    REASON_NOT_WAITING,
    REASON_NOT_WAITING_FOR_CONSENT,
    REASON_NOT_WAITING_FOR_DECISION,
    REASON_REGISTRATION_NOT_FOUND,
    REASON_UNIT_NOT_FOUND,
)
from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WITHDRAWN,
    Stage,
)
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
    ExplainRegistrationRequest,
    ExplainRegistrationResponse,
    FindRegistrationsRequest,
    FindRegistrationsResponse,
    GetRegistrationRequest,
    GetRegistrationResponse,
    LinkToCustomerRequest,
    LinkToCustomerResponse,
    ListRegistrationsRequest,
    ListRegistrationsResponse,
    ReactivateRequest,
    ReactivateResponse,
    RecordConsentRequest,
    RecordConsentResponse,
    RegisterCustomerRequest,
    RegisterCustomerResponse,
    RejectRegistrationRequest,
    RejectRegistrationResponse,
    RemindGuardianRequest,
    RemindGuardianResponse,
    UpdateRegistrationRequest,
    UpdateRegistrationResponse,
    VerifyIdentityRequest,
    VerifyIdentityResponse,
    WithdrawRegistrationRequest,
    WithdrawRegistrationResponse,
)
from liity.v1.registration_service_pb2_grpc import RegistrationServiceServicer
from liity.v1.work_service_pb2 import (
    WORK_ITEM_KIND_IDENTITY_CHECK,
    WORK_ITEM_KIND_REACTIVATION,
    WORK_ITEM_KIND_UNDELIVERABLE_MAIL,
    WorkItemKind,
)
from liity.workflows.v1 import registration_workflow_pb2 as workflow_pb2
from services.gateway.api.worklist import Claims
from services.gateway.presentation.address_suggestions import address_suggestions
from services.gateway.presentation.form_notices import form_notices
from services.gateway.presentation.next_steps import getting_started
from services.gateway.presentation.person_lookup import standing_of
from services.gateway.resource_names import CUSTOMER, REGISTRATION, UNIT
from services.gateway.temporal.registrations import RegistrationWorkflows
from services.gateway.use_cases.callers_address import CallersAddress
from services.gateway.use_cases.explain import Explaining
from services.gateway.use_cases.save import Saving
from services.gateway.use_cases.siblings import Siblings, corrects_guardian
from services.gateway.views import DEFAULT_PAGE, LARGEST_PAGE, to_public
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import (
    FieldViolation,
    Refusal,
    changed_meanwhile,
    failed_precondition,
    invalid,
    not_found,
)
from services.runtime.rpc.peer import Peer
from services.runtime.security.hetu_detector import looks_like_hetu

_Decision = ReactivateRequest | VerifyIdentityRequest | LinkToCustomerRequest | RejectRegistrationRequest

_WORK: Mapping[Stage.ValueType, WorkItemKind.ValueType] = {
    # If the guardian's address does not work.
    STAGE_WAITING_FOR_CONSENT: WORK_ITEM_KIND_UNDELIVERABLE_MAIL,
    STAGE_WAITING_FOR_REACTIVATION: WORK_ITEM_KIND_REACTIVATION,
    STAGE_WAITING_FOR_IDENTITY_CHECK: WORK_ITEM_KIND_IDENTITY_CHECK,
}
"""The kind of work item that a waiting registration may have, by its stage."""


class RegistrationService(RegistrationServiceServicer):
    """Reads registrations, and passes decisions to their workflows."""

    def __init__(
        self,
        identity: Peer,
        registration: Peer,
        workflows: RegistrationWorkflows,
        saving: Saving,
        explaining: Explaining,
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._persons = PersonServiceStub(identity.channel)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)
        self._customers = CustomerServiceStub(registration.channel)
        self._workflows = workflows
        self._claims = Claims(registration)
        self._saving = saving
        self._explaining = explaining
        self._own_address = CallersAddress(identity)
        self._siblings = Siblings(registration)

    @override
    async def CheckPersonalIdentityCode(
        self,
        request: CheckPersonalIdentityCodeRequest,
        context: grpc.ServicerContext,
    ) -> CheckPersonalIdentityCodeResponse:
        """Looks up a person's status by personal identity code (R10)."""
        unit_id = UNIT.parse_id(request.parent, "parent")
        await self._require_unit(unit_id)
        found = await self._find_person(request.personal_identity_code)
        if found.person_id:
            current_request().subjects.add(found.person_id)
        # An unknown person is looked up too: it counts against the limit, and takes the same time.
        look_up = LookUpPersonRequest(
            person_id=found.person_id,
            unit_id=unit_id,
            other_sign_person_ids=found.other_sign_person_ids,
            birth_date=found.birth_date,
        )
        known = await self._registration.call(self._registrations.LookUpPerson, look_up)
        for_staff = ROLE_CUSTOMER_SERVICE in current_request().caller.roles
        answer = standing_of(known, unit_id, for_staff=for_staff)
        answer.other_sign_customers.extend(
            CUSTOMER.format(unit_id, each) for each in known.other_sign_customer_ids
        )
        answer.other_sign_registrations.extend(
            REGISTRATION.format(unit_id, each) for each in known.other_sign_registration_ids
        )
        return answer

    @override
    async def RegisterCustomer(
        self,
        request: RegisterCustomerRequest,
        context: grpc.ServicerContext,
    ) -> RegisterCustomerResponse:
        """Saves a new customer (R11)."""
        stored = await self._saving.save(request)
        meant, notices = address_suggestions(request.form), form_notices(request.form, current_request())
        if request.validate_only:
            return RegisterCustomerResponse(address_suggestions=meant, notices=notices)
        return RegisterCustomerResponse(
            address_suggestions=meant,
            notices=notices,
            registration=to_public(stored),
            getting_started=self._getting_started(stored, request.form.credentials_recipient),
        )

    @override
    async def GetRegistration(
        self,
        request: GetRegistrationRequest,
        context: grpc.ServicerContext,
    ) -> GetRegistrationResponse:
        """Reads a registration."""
        registration = await self._get(request.name)
        response = GetRegistrationResponse(
            registration=to_public(registration),
            getting_started=self._getting_started(
                registration, await self._credentials_recipient(registration)
            ),
        )
        await self._add_form(registration, response)
        if registration.stage == STAGE_WAITING_FOR_CONSENT:
            await self._add_wording(registration, response)
        checks = ROLE_CUSTOMER_SERVICE in current_request().caller.roles
        if checks and registration.stage == STAGE_WAITING_FOR_IDENTITY_CHECK:
            search = ListPossibleDuplicatesRequest(registration_id=registration.registration_id)
            found = await self._registration.call(self._registrations.ListPossibleDuplicates, search)
            response.possible_duplicates.extend(found.possible_duplicates)
        return response

    @override
    async def FindRegistrations(
        self,
        request: FindRegistrationsRequest,
        context: grpc.ServicerContext,
    ) -> FindRegistrationsResponse:
        """Finds the registrations of a reference."""
        asked = registration_pb2.FindRegistrationsRequest(reference=request.reference)
        found = await self._registration.call(self._registrations.FindRegistrations, asked)
        return FindRegistrationsResponse(registrations=map(to_public, found.registrations))

    @override
    async def UpdateRegistration(
        self,
        request: UpdateRegistrationRequest,
        context: grpc.ServicerContext,
    ) -> UpdateRegistrationResponse:
        """Corrects the form of a waiting registration (R14)."""
        registration = await self._get(request.name)
        if not registration.person_id:
            raise failed_precondition(REASON_NOT_WAITING)
        await self._require_unclaimed_by_others(registration)
        update = registration_pb2.UpdateFormRequest(
            registration_id=registration.registration_id,
            unit_id=registration.unit_id,
            etag=request.etag,
            update_mask=request.update_mask,
            form=request.form,
            registrars_email=""
            if request.guardian_email_confirmed
            else await self._own_address.read_for(request.form),
            guardian_email_confirmed=request.guardian_email_confirmed,
        )
        before = CustomerForm()
        if corrects_guardian(request.update_mask):
            read = registration_pb2.GetFormRequest(registration_id=registration.registration_id)
            before = (await self._registration.call(self._registrations.GetForm, read)).form
        edit = workflow_pb2.EditRequest(request_id=request.request_id, update=update)
        updated = (await self._workflows.edit(registration.person_id, edit)).updated
        if updated.HasField("changed_meanwhile"):
            raise changed_meanwhile(ChangedMeanwhile(changed=updated.changed_meanwhile))
        return UpdateRegistrationResponse(
            registration=to_public(updated.registration),
            address_suggestions=address_suggestions(request.form),
            same_address=await self._siblings.with_address_of(
                before, request.form, registration.unit_id, registration.registration_id
            ),
            notices=form_notices(request.form, current_request(), request.update_mask.paths),
        )

    @override
    async def ListRegistrations(
        self,
        request: ListRegistrationsRequest,
        context: grpc.ServicerContext,
    ) -> ListRegistrationsResponse:
        """Lists a unit's registrations."""
        unit_id = UNIT.parse_id(request.parent, "parent")
        await self._require_unit(unit_id)
        page = registration_pb2.ListRegistrationsRequest(
            unit_id=unit_id,
            stages=[*request.stages, *([request.stage] if request.stage else [])],
            registrar_account_id=current_request().caller.account_id if request.mine else "",
            due_before_date=request.due_before_date if request.HasField("due_before_date") else None,
            undeliverable=request.undeliverable,
            order_by=request.order_by,
            page_size=min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE),
            page_token=request.page_token,
        )
        response = await self._registration.call(self._registrations.ListRegistrations, page)
        return ListRegistrationsResponse(
            registrations=[to_public(registration) for registration in response.registrations],
            next_page_token=response.next_page_token,
        )

    @override
    async def RecordConsent(
        self,
        request: RecordConsentRequest,
        context: grpc.ServicerContext,
    ) -> RecordConsentResponse:
        """Records a consent given otherwise than by the link (R29)."""
        registration = await self._get(request.name)
        await self._require_unclaimed_by_others(registration)
        check = CheckConsentRequest(consent=request.consent, registration_id=registration.registration_id)
        checked = await self._registration.call(self._registrations.CheckConsent, check)
        evidence = ConsentEvidence(
            method=ConsentEvidence.METHOD_RECORDED,
            guardian_name=request.consent.guardian_name,
            sign_date=request.consent.sign_date,
            recorded_by=current_request().caller.account_id,
        )
        consent = workflow_pb2.RecordConsentRequest(
            request_id=request.request_id, evidence=evidence, guardian=checked.guardian
        )
        recorded = await self._workflows.record_consent(registration.person_id, consent)
        return RecordConsentResponse(registration=to_public(recorded))

    @override
    async def RemindGuardian(
        self,
        request: RemindGuardianRequest,
        context: grpc.ServicerContext,
    ) -> RemindGuardianResponse:
        """Mails the guardian the consent request once more (R29)."""
        registration = await self._get(request.name)
        if registration.stage != STAGE_WAITING_FOR_CONSENT:
            raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)
        await self._require_unclaimed_by_others(registration)
        remind = workflow_pb2.RemindGuardianRequest(request_id=request.request_id)
        reminded = await self._workflows.remind_guardian(registration.person_id, remind)
        return RemindGuardianResponse(
            registration=to_public(reminded.registration), guardian_mail_time=reminded.mail_time
        )

    @override
    async def WithdrawRegistration(
        self,
        request: WithdrawRegistrationRequest,
        context: grpc.ServicerContext,
    ) -> WithdrawRegistrationResponse:
        """Withdraws a waiting registration (R30)."""
        registration = await self._get(request.name)
        if registration.stage == STAGE_WITHDRAWN:
            return WithdrawRegistrationResponse(registration=to_public(registration))
        await self._require_unclaimed_by_others(registration)
        withdraw = workflow_pb2.WithdrawRequest(request_id=request.request_id)
        withdrawn = await self._workflows.withdraw(registration.person_id, withdraw)
        return WithdrawRegistrationResponse(registration=to_public(withdrawn))

    @override
    async def Reactivate(
        self,
        request: ReactivateRequest,
        context: grpc.ServicerContext,
    ) -> ReactivateResponse:
        """Activates a customer marked for deletion (R19)."""
        registration, decided = await self._to_decide(request)
        if not decided:
            reactivate = workflow_pb2.ReactivateRequest(request_id=request.request_id)
            registration = await self._workflows.reactivate(registration.person_id, reactivate)
        return ReactivateResponse(registration=to_public(registration))

    @override
    async def VerifyIdentity(
        self,
        request: VerifyIdentityRequest,
        context: grpc.ServicerContext,
    ) -> VerifyIdentityResponse:
        """Confirms the identity of a person without a personal identity code (R24)."""
        registration, decided = await self._to_decide(request)
        if not decided:
            verify = workflow_pb2.VerifyIdentityRequest(request_id=request.request_id)
            registration = await self._workflows.verify_identity(registration.person_id, verify)
        return VerifyIdentityResponse(registration=to_public(registration))

    @override
    async def LinkToCustomer(
        self,
        request: LinkToCustomerRequest,
        context: grpc.ServicerContext,
    ) -> LinkToCustomerResponse:
        """Links a registration without a personal identity code to an existing customer (R24)."""
        unit_id, customer_id = CUSTOMER.parse(request.customer)
        registration, decided = await self._to_decide(request)
        if not decided:
            link = workflow_pb2.LinkToCustomerRequest(
                request_id=request.request_id, customer_id=customer_id, unit_id=unit_id
            )
            registration = await self._workflows.link_to_customer(registration.person_id, link)
        return LinkToCustomerResponse(registration=to_public(registration))

    @override
    async def RejectRegistration(
        self,
        request: RejectRegistrationRequest,
        context: grpc.ServicerContext,
    ) -> RejectRegistrationResponse:
        """Rejects a registration that waits for customer service (R19, R24)."""
        if looks_like_hetu(request.note):
            raise invalid([FieldViolation("note", REASON_HETU_IN_TEXT)])
        registration, decided = await self._to_decide(request)
        if not decided:
            reject = workflow_pb2.RejectRequest(request_id=request.request_id, note=request.note)
            registration = await self._workflows.reject(registration.person_id, reject)
        return RejectRegistrationResponse(registration=to_public(registration))

    async def _add_form(self, registration: StoredRegistration, response: GetRegistrationResponse) -> None:
        """Adds the form of a waiting registration; later, the data is the customer's."""
        request = registration_pb2.GetFormRequest(registration_id=registration.registration_id)
        stored = await self._registration.call(self._registrations.GetForm, request)
        if stored.HasField("form"):
            response.form.CopyFrom(stored.form)
            response.etag = stored.etag
            response.address_suggestions.extend(address_suggestions(stored.form))
        if stored.HasField("birth_date"):
            response.birth_date.CopyFrom(stored.birth_date)

    async def _add_wording(self, registration: StoredRegistration, response: GetRegistrationResponse) -> None:
        """Adds the text that the guardian is asked to consent to, unless they have just answered."""
        request = registration_pb2.GetConsentRequestRequest(
            registration_id=registration.registration_id, language=current_request().language
        )
        try:
            asked = await self._registration.call(self._registrations.GetConsentRequest, request)
        except Refusal as refusal:
            if refusal.reason not in {REASON_NOT_WAITING_FOR_CONSENT, REASON_REGISTRATION_NOT_FOUND}:
                raise
        else:
            response.consent_wording.CopyFrom(asked.wording)

    async def _to_decide(self, request: _Decision) -> tuple[StoredRegistration, bool]:
        """The registration to decide, and whether this call has decided it before."""
        registration = await self._get(request.name)
        if registration.decision_request_id == request.request_id:
            return registration, True
        if not registration.person_id:
            raise failed_precondition(REASON_NOT_WAITING_FOR_DECISION)
        await self._require_unclaimed_by_others(registration)
        return registration, False

    async def _require_unclaimed_by_others(self, registration: StoredRegistration) -> None:
        """FAILED_PRECONDITION if another officer has claimed the item. Claims do not bind registrars."""
        kind = _WORK.get(registration.stage)
        if kind is not None and ROLE_CUSTOMER_SERVICE in current_request().caller.roles:
            await self._claims.require_unclaimed_by_others(kind, registration.registration_id)

    @override
    async def ExplainRegistration(
        self,
        request: ExplainRegistrationRequest,
        context: grpc.ServicerContext,
    ) -> ExplainRegistrationResponse:
        """Explains the state of a registration or a customer."""
        return await self._explaining.explain(request.name)

    @staticmethod
    def _getting_started(
        stored: StoredRegistration, recipient: CredentialsRecipient.ValueType
    ) -> list[GettingStartedStep]:
        return getting_started(stored, recipient, current_request().language)

    async def _credentials_recipient(self, stored: StoredRegistration) -> CredentialsRecipient.ValueType:
        """The recipient of the credentials, as now stored, once the customership has begun."""
        if stored.stage not in {STAGE_ACTIVE, STAGE_CREDENTIALS_SENT} or not stored.customer_id:
            return CREDENTIALS_RECIPIENT_UNSPECIFIED
        request = GetCustomerRequest(customer_id=stored.customer_id)
        answer = await self._registration.call(self._customers.GetCustomer, request)
        return answer.customer.form.credentials_recipient

    async def _find_person(self, code: str) -> FindPersonResponse:
        return await self._identity.call(
            self._persons.FindPerson, FindPersonRequest(personal_identity_code=code)
        )

    async def _require_unit(self, unit_id: str) -> None:
        """NOT_FOUND if there is no such unit. Registrars' units exist: only staff can name another."""
        if unit_id in (current_request().caller.units or {}):
            return
        request = BatchGetUnitsRequest(unit_ids=[unit_id])
        if not (await self._registration.call(self._units.BatchGetUnits, request)).units:
            raise not_found(REASON_UNIT_NOT_FOUND)

    async def _get(self, name: str) -> StoredRegistration:
        unit_id, registration_id = REGISTRATION.parse(name)
        request = registration_pb2.GetRegistrationRequest(registration_id=registration_id)
        response = await self._registration.call(self._registrations.GetRegistration, request)
        if response.registration.unit_id != unit_id:
            raise not_found(REASON_REGISTRATION_NOT_FOUND)
        return response.registration
