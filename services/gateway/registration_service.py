"""`liity.v1.RegistrationService`: what registrars and customer service do with registrations."""

import grpc

from liity.identity.v1.person_service_pb2 import (
    EnsurePersonRequest,
    EnsurePersonResponse,
    FindPersonRequest,
    FindPersonResponse,
    ReleasePersonRequest,
)
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1 import registration_service_pb2 as registration_pb2
from liity.registration.v1.registration_service_pb2 import (
    CheckConsentRequest,
    ConsentEvidence,
    CreateRegistrationRequest,
    LookUpPersonRequest,
    PrepareRegistrationRequest,
    PrepareRegistrationResponse,
    Registrar,
)
from liity.registration.v1.registration_service_pb2 import Registration as StoredRegistration
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_PERSON_NOT_FOUND,
    REASON_REGISTRATION_NOT_FOUND,
    REASON_UNIT_NOT_FOUND,
)
from liity.v1.registration_pb2 import STAGE_WITHDRAWN
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
    GetRegistrationRequest,
    GetRegistrationResponse,
    ListRegistrationsRequest,
    ListRegistrationsResponse,
    RecordConsentRequest,
    RecordConsentResponse,
    RegisterCustomerRequest,
    RegisterCustomerResponse,
    WithdrawRegistrationRequest,
    WithdrawRegistrationResponse,
)
from liity.v1.registration_service_pb2_grpc import RegistrationServiceServicer
from liity.workflows.v1 import registration_workflow_pb2 as workflow_pb2
from services.gateway.resources import (
    DEFAULT_PAGE,
    LARGEST_PAGE,
    parse_registration_name,
    parse_unit_name,
    registration_name,
    to_public,
)
from services.gateway.use_log import UseRecorder
from services.gateway.workflows import RegistrationWorkflows
from services.runtime.errors import FieldViolation, Refusal, invalid, not_found, reason_name, unavailable
from services.runtime.peer import Peer
from services.runtime.requests import current_request

_ATTEMPTS = 3

_TELLS_OF_A_PERSON = frozenset(
    {
        REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
        REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
        REASON_BEING_REGISTERED,
    }
)
"""Refusals by which a Save tells what is known of the person."""


class RegistrationService(RegistrationServiceServicer):
    """Trades the personal identity code for a person, and lets the workflow do the rest."""

    def __init__(
        self, identity: Peer, registration: Peer, workflows: RegistrationWorkflows, uses: UseRecorder
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._persons = PersonServiceStub(identity.channel)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)
        self._workflows = workflows
        self._uses = uses

    async def CheckPersonalIdentityCode(  # noqa: N802
        self,
        request: CheckPersonalIdentityCodeRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> CheckPersonalIdentityCodeResponse:
        """Where a person stands (R10)."""
        unit_id = parse_unit_name(request.parent)
        await self._require_unit(unit_id)
        found = await self._find_person(request.personal_identity_code)
        if found.person_id:
            current_request().subjects.add(found.person_id)
        # Somebody unknown is looked up too: it counts, and takes the same time.
        look_up = LookUpPersonRequest(person_id=found.person_id, unit_id=unit_id)
        known = await self._registration.call(self._registrations.LookUpPerson, look_up)
        response = CheckPersonalIdentityCodeResponse(standing=known.standing)
        if known.standing == STANDING_BEING_REGISTERED:
            response.stage = known.registration.stage
        if known.registration.unit_id == unit_id:
            response.registration = registration_name(unit_id, known.registration.registration_id)
        return response

    async def RegisterCustomer(  # noqa: N802
        self,
        request: RegisterCustomerRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> RegisterCustomerResponse:
        """Saves a new customer (R11)."""
        for _ in range(_ATTEMPTS):
            try:
                return RegisterCustomerResponse(registration=to_public(await self._register(request)))
            except Refusal as refusal:
                if refusal.reason in _TELLS_OF_A_PERSON:
                    # A Save that is refused for this is a look-up by personal identity code (R36).
                    outcome = reason_name(refusal.reason)
                    await self._uses.record("customer:look-up", current_request(), None, outcome)
                # The person was erased with an earlier registration, or became known: start anew.
                if refusal.reason != REASON_PERSON_NOT_FOUND:
                    raise
        raise unavailable()

    async def GetRegistration(  # noqa: N802
        self,
        request: GetRegistrationRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> GetRegistrationResponse:
        """One registration."""
        return GetRegistrationResponse(registration=to_public(await self._get(request.name)))

    async def ListRegistrations(  # noqa: N802
        self,
        request: ListRegistrationsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> ListRegistrationsResponse:
        """The registrations of a unit."""
        unit_id = parse_unit_name(request.parent)
        await self._require_unit(unit_id)
        page = registration_pb2.ListRegistrationsRequest(
            unit_id=unit_id,
            stage=request.stage,
            page_size=min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE),
            page_token=request.page_token,
        )
        response = await self._registration.call(self._registrations.ListRegistrations, page)
        return ListRegistrationsResponse(
            registrations=[to_public(registration) for registration in response.registrations],
            next_page_token=response.next_page_token,
        )

    async def RecordConsent(  # noqa: N802
        self,
        request: RecordConsentRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> RecordConsentResponse:
        """Records a consent that came another way than by the link (R29)."""
        registration = await self._get(request.name)
        check = CheckConsentRequest(consent=request.consent)
        await self._registration.call(self._registrations.CheckConsent, check)
        evidence = ConsentEvidence(
            method=ConsentEvidence.METHOD_RECORDED,
            guardian_name=request.consent.guardian_name,
            sign_date=request.consent.sign_date,
            recorded_by=current_request().caller.account_id,
        )
        consent = workflow_pb2.RecordConsentRequest(request_id=request.request_id, evidence=evidence)
        recorded = await self._workflows.record_consent(registration.person_id, consent)
        return RecordConsentResponse(registration=to_public(recorded))

    async def WithdrawRegistration(  # noqa: N802
        self,
        request: WithdrawRegistrationRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> WithdrawRegistrationResponse:
        """Withdraws a registration that waits (R30)."""
        registration = await self._get(request.name)
        if registration.stage == STAGE_WITHDRAWN:
            return WithdrawRegistrationResponse(registration=to_public(registration))
        withdraw = workflow_pb2.WithdrawRequest(request_id=request.request_id)
        withdrawn = await self._workflows.withdraw(registration.person_id, withdraw)
        return WithdrawRegistrationResponse(registration=to_public(withdrawn))

    async def _register(self, request: RegisterCustomerRequest) -> StoredRegistration:
        unit_id = parse_unit_name(request.parent)
        caller = current_request().caller
        prepare = PrepareRegistrationRequest(
            request_id=request.request_id, unit_id=unit_id, form=request.form, account_id=caller.account_id
        )
        violations = []
        try:
            person = await self._ensure_person(request.personal_identity_code)
        except Refusal as refusal:
            violations += _violations(refusal)
        else:
            prepare.person_id = person.person_id
            current_request().subjects.add(person.person_id)
            prepare.birth_date.CopyFrom(person.birth_date)
        try:
            prepared = await self._prepare(prepare, violations)
        except Refusal:
            await self._release_person(prepare.person_id)
            raise
        if prepared.HasField("registration"):
            await self._release_person(prepare.person_id)
            return prepared.registration
        return await self._workflows.save(
            CreateRegistrationRequest(
                request_id=request.request_id,
                person_id=prepare.person_id,
                unit_id=unit_id,
                form=request.form,
                birth_date=prepare.birth_date,
                registrar=Registrar(account_id=caller.account_id, display_name=caller.display_name),
            )
        )

    async def _prepare(
        self, prepare: PrepareRegistrationRequest, violations: list[FieldViolation]
    ) -> PrepareRegistrationResponse:
        """Checks the form; raises what is wrong with it together with what was wrong with the code."""
        prepared = PrepareRegistrationResponse()
        try:
            prepared = await self._registration.call(self._registrations.PrepareRegistration, prepare)
        except Refusal as refusal:
            violations += _violations(refusal)
        if violations:
            raise invalid(violations)
        return prepared

    async def _find_person(self, code: str) -> FindPersonResponse:
        return await self._identity.call(
            self._persons.FindPerson, FindPersonRequest(personal_identity_code=code)
        )

    async def _ensure_person(self, code: str) -> EnsurePersonResponse:
        request = EnsurePersonRequest(personal_identity_code=code)
        return await self._identity.call(self._persons.EnsurePerson, request)

    async def _release_person(self, person_id: str) -> None:
        """Nothing came of the Save: a person made for it alone is forgotten."""
        if person_id:
            request = ReleasePersonRequest(person_id=person_id)
            await self._identity.call(self._persons.ReleasePerson, request)

    async def _require_unit(self, unit_id: str) -> None:
        """NOT_FOUND for a unit that is not there. Only staff can name one: all others' are their own."""
        if unit_id in (current_request().caller.units or {}):
            return
        request = BatchGetUnitsRequest(unit_ids=[unit_id])
        if not (await self._registration.call(self._units.BatchGetUnits, request)).units:
            raise not_found(REASON_UNIT_NOT_FOUND)

    async def _get(self, name: str) -> StoredRegistration:
        unit_id, registration_id = parse_registration_name(name)
        request = registration_pb2.GetRegistrationRequest(registration_id=registration_id)
        response = await self._registration.call(self._registrations.GetRegistration, request)
        if response.registration.unit_id != unit_id:
            raise not_found(REASON_REGISTRATION_NOT_FOUND)
        return response.registration


def _violations(refusal: Refusal) -> list[FieldViolation]:
    """The wrong fields of a form: gathered, to be told together. Any other refusal is one at once."""
    if not refusal.violations:
        raise refusal
    return list(refusal.violations)
