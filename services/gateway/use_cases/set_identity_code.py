"""Gives a person a personal identity code, or finds that another person has it (R24, R34)."""

import grpc

from liity.identity.v1.person_service_pb2 import FindPersonRequest, PrepareCodeChangeRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.customer_service_pb2 import Customer, GetCustomerRequest, RecordCodeChangeRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import LookUpPersonRequest, LookUpPersonResponse
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.customer_service_pb2 import CodeOfAnotherPerson, SetPersonalIdentityCodeRequest
from liity.v1.reason_pb2 import REASON_HETU_OF_ANOTHER_PERSON
from liity.v1.registration_service_pb2 import STANDING_NOT_REGISTERED
from services.gateway.resource_names import CUSTOMER, REGISTRATION
from services.gateway.temporal.customers import CustomerWorkflows
from services.gateway.use_cases.similar_codes import SimilarCodeReports
from services.gateway.use_recording import UseRecorder
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import Refusal, reason_name
from services.runtime.rpc.peer import Peer


class CodeChanges:
    """Changes codes: identity stores the code; a run, which never sees it, makes the change."""

    def __init__(
        self, identity: Peer, registration: Peer, workflows: CustomerWorkflows, uses: UseRecorder
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._workflows = workflows
        self._uses = uses
        self._similar_codes = SimilarCodeReports(registration)
        self._persons = PersonServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)
        self._registrations = RegistrationServiceStub(registration.channel)

    async def change(self, stored: Customer, request: SetPersonalIdentityCodeRequest) -> None:
        """Changes a code. FAILED_PRECONDITION (HETU_OF_ANOTHER_PERSON) names the holder: a look-up (R36)."""
        prepare = PrepareCodeChangeRequest(
            request_id=request.request_id,
            person_id=stored.person_id,
            personal_identity_code=request.personal_identity_code,
            change=request.change,
        )
        while other_id := await self._change(stored, prepare):
            look_up = LookUpPersonRequest(person_id=other_id, unit_id=stored.unit_id)
            known = await self._registration.call(self._registrations.LookUpPerson, look_up)
            if known.standing == STANDING_NOT_REGISTERED and not prepare.nobody:
                # Known to identity alone: their Save came to nothing.
                prepare.nobody = other_id
                continue
            current_request().subjects.update({stored.person_id, other_id})
            outcome = reason_name(REASON_HETU_OF_ANOTHER_PERSON)
            await self._uses.record("customer:look-up", current_request(), None, outcome)
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                REASON_HETU_OF_ANOTHER_PERSON,
                detail=await self._code_of_another(known),
            )

    async def _change(self, stored: Customer, prepare: PrepareCodeChangeRequest) -> str:
        """Returns the ID of another person who has the code, and then changes nothing; else empty."""
        prepared = await self._identity.call(self._persons.PrepareCodeChange, prepare)
        if prepared.other_person_id:
            return prepared.other_person_id
        record = RecordCodeChangeRequest(
            request_id=prepare.request_id,
            customer_id=stored.customer_id,
            change=prepare.change,
            birth_date=prepared.birth_date,
        )
        other_id = await self._workflows.change_code(stored.person_id, record, stored.unit_id)
        if not other_id:
            find = FindPersonRequest(personal_identity_code=prepare.personal_identity_code)
            found = await self._identity.call(self._persons.FindPerson, find)
            await self._similar_codes.report([(stored.person_id, found.other_sign_person_ids)])
        return other_id

    async def _code_of_another(self, known: LookUpPersonResponse) -> CodeOfAnotherPerson:
        detail = CodeOfAnotherPerson()
        if known.customer_id:
            request = GetCustomerRequest(customer_id=known.customer_id)
            customer = (await self._registration.call(self._customers.GetCustomer, request)).customer
            detail.customer = CUSTOMER.format(customer.unit_id, customer.customer_id)
        registration = known.registration
        if registration.registration_id:
            detail.registration = REGISTRATION.format(registration.unit_id, registration.registration_id)
        return detail
