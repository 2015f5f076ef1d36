"""Saves a registration: gets a person ID for the personal identity code, and starts the workflow."""

import uuid
from collections.abc import Sequence

from grpc import StatusCode

from liity.identity.v1.person_service_pb2 import (
    EnsurePersonRequest,
    EnsurePersonResponse,
    EnsurePersonWithoutCodeRequest,
    ReleasePersonRequest,
)
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.registration_service_pb2 import (
    CreateRegistrationRequest,
    PrepareRegistrationRequest,
    PrepareRegistrationResponse,
    Registrar,
)
from liity.registration.v1.registration_service_pb2 import Registration as StoredRegistration
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.customer_form_pb2 import APPLICANT_GUARDIAN
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_PERSON_NOT_FOUND,
)
from liity.v1.registration_service_pb2 import RegisterCustomerRequest
from services.gateway.resource_names import UNIT
from services.gateway.temporal.registrations import RegistrationWorkflows
from services.gateway.use_cases.callers_address import CallersAddress
from services.gateway.use_cases.similar_codes import SimilarCodeReports
from services.gateway.use_recording import UseRecorder
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import FieldViolation, Refusal, invalid, reason_name, unavailable
from services.runtime.rpc.peer import Peer

_ATTEMPTS = 3

_TELLS_OF_A_PERSON = frozenset(
    {
        REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
        REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
        REASON_BEING_REGISTERED,
    }
)
"""Refusals of a Save that reveal something about the person."""


class Saving:
    """Saves registrations (R11)."""

    def __init__(
        self, identity: Peer, registration: Peer, workflows: RegistrationWorkflows, uses: UseRecorder
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._persons = PersonServiceStub(identity.channel)
        self._own_address = CallersAddress(identity)
        self._similar_codes = SimilarCodeReports(registration)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._workflows = workflows
        self._uses = uses

    async def save(self, request: RegisterCustomerRequest) -> StoredRegistration:
        """Saves, and returns the registration once its outcome is decided; empty if only to be validated."""
        for _ in range(_ATTEMPTS):
            try:
                return await self._register(request)
            except Refusal as refusal:
                if refusal.reason in _TELLS_OF_A_PERSON:
                    # A Save refused for one of these reasons is a look-up by personal identity code (R36).
                    outcome = reason_name(refusal.reason)
                    await self._uses.record("customer:look-up", current_request(), None, outcome)
                # The person was erased with an earlier registration, or became known: try again.
                if refusal.reason != REASON_PERSON_NOT_FOUND:
                    raise
        raise unavailable()

    async def _register(self, request: RegisterCustomerRequest) -> StoredRegistration:
        unit_id = UNIT.parse_id(request.parent, "parent")
        caller = current_request().caller
        prepare = PrepareRegistrationRequest(
            request_id=request.request_id,
            unit_id=unit_id,
            form=request.form,
            account_id=caller.account_id,
            registrars_email=await self._registrars_email(request),
            guardian_email_confirmed=request.guardian_email_confirmed,
        )
        violations: list[FieldViolation] = []
        others: Sequence[str] = ()
        if request.HasField("missing_personal_identity_code"):
            missing = request.missing_personal_identity_code
            prepare.person_id = await self._ensure_person_without_code(request.request_id, unit_id)
            prepare.missing_personal_identity_code.CopyFrom(missing)
            birth_date = missing.birth_date
        else:
            try:
                person = await self._ensure_person(request.personal_identity_code)
            except Refusal as refusal:
                violations += _violations(refusal)
            else:
                prepare.person_id = person.person_id
                prepare.birth_date.CopyFrom(person.birth_date)
                others = person.other_sign_person_ids
            birth_date = prepare.birth_date
        if prepare.person_id:
            current_request().subjects.add(prepare.person_id)
        try:
            prepared = await self._prepare(prepare, violations)
        except Refusal:
            await self._release_person(prepare.person_id)
            raise
        if request.validate_only:
            await self._release_person(prepare.person_id)
            return StoredRegistration()
        create = CreateRegistrationRequest(
            request_id=request.request_id,
            person_id=prepare.person_id,
            unit_id=unit_id,
            form=request.form,
            birth_date=birth_date,
            registrar=Registrar(account_id=caller.account_id, display_name=caller.display_name),
            missing_code_reason=prepare.missing_personal_identity_code.reason,
        )
        if prepared.HasField("registration"):
            await self._release_person(prepare.person_id)
            if prepared.unfinished:
                await self._make_known(create)
            return prepared.registration
        if prepared.returning:
            await self._workflows.make_way(prepare.person_id, request.request_id)
        saved = await self._workflows.save(create)
        await self._similar_codes.report([(prepare.person_id, others)])
        return saved

    async def _registrars_email(self, request: RegisterCustomerRequest) -> str:
        """The registrar's address, if a guardian's may be it and that is not confirmed (R40)."""
        form = request.form
        asks_guardian = form.applicant == APPLICANT_GUARDIAN and not form.HasField("paper_consent")
        if request.guardian_email_confirmed or not asks_guardian:
            return ""
        return await self._own_address.read_for(form)

    async def _make_known(self, create: CreateRegistrationRequest) -> None:
        """Repeats the update for a registration that this Save stored before: the first may have been lost.

        A run that has it answers as before. UNAVAILABLE if no run can be reached.
        """
        try:
            await self._workflows.save(create)
        except Refusal as refusal:
            # A run that learned of it otherwise, for example by a conversion, refuses a Save.
            if refusal.code is StatusCode.UNAVAILABLE:
                raise

    async def _prepare(
        self, prepare: PrepareRegistrationRequest, violations: list[FieldViolation]
    ) -> PrepareRegistrationResponse:
        """Checks the form; raises its violations together with those of the code."""
        prepared = PrepareRegistrationResponse()
        try:
            prepared = await self._registration.call(self._registrations.PrepareRegistration, prepare)
        except Refusal as refusal:
            violations += _violations(refusal)
        if violations:
            raise invalid(violations)
        return prepared

    async def _ensure_person(self, code: str) -> EnsurePersonResponse:
        # With the first call of identity the session is checked, too: nothing happens before.
        session_id = current_request().caller.session_id
        request = EnsurePersonRequest(personal_identity_code=code, session_id=session_id)
        return await self._identity.call(self._persons.EnsurePerson, request)

    async def _ensure_person_without_code(self, request_id: str, unit_id: str) -> str:
        # Unit-specific: else the same request ID in another unit would get this unit's person.
        own = uuid.uuid5(uuid.UUID(request_id), unit_id)
        session_id = current_request().caller.session_id
        request = EnsurePersonWithoutCodeRequest(request_id=str(own), session_id=session_id)
        return (await self._identity.call(self._persons.EnsurePersonWithoutCode, request)).person_id

    async def _release_person(self, person_id: str) -> None:
        """Releases a person; identity deletes them if they were made for this Save alone."""
        if person_id:
            request = ReleasePersonRequest(person_id=person_id)
            await self._identity.call(self._persons.ReleasePerson, request)


def _violations(refusal: Refusal) -> list[FieldViolation]:
    """The violations of a refusal, to be reported together. A refusal without any is raised at once."""
    if not refusal.violations:
        raise refusal
    return list(refusal.violations)
