"""`liity.v1.DisclosureService`: exports all data of a person, for access requests."""

import uuid
from datetime import timedelta

import grpc
from typing_extensions import override

from liity.identity.v1.person_service_pb2 import FindPersonRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1 import personal_data_service_pb2 as stored_pb2
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.registration.v1.registration_service_pb2 import GetRegistrationRequest
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.disclosure_service_pb2 import (
    DISCLOSURE_STATE_FAILED,
    DISCLOSURE_STATE_GATHERING,
    DISCLOSURE_STATE_READY,
    CreateDisclosureRequest,
    CreateDisclosureResponse,
    Disclosure,
    GetDisclosureRequest,
    GetDisclosureResponse,
)
from liity.v1.disclosure_service_pb2_grpc import DisclosureServiceServicer
from liity.v1.reason_pb2 import (
    REASON_PERSON_NOT_FOUND,
    REASON_REGISTRATION_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
)
from liity.workflows.v1.disclosure_workflow_pb2 import DisclosureWorkflowInput
from services.gateway.presentation import disclosure_document
from services.gateway.resource_names import DISCLOSURE, REGISTRATION
from services.gateway.temporal.disclosures import DisclosureWorkflows
from services.runtime.clock import now
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import already_exists, not_found
from services.runtime.rpc.peer import Peer
from services.runtime.security.disclosure_seal import DisclosureSeal

_DISCLOSURES = uuid.UUID("0d4f7f2c-52f4-4c1e-8f83-0f2d8f3ac6e7")


class DisclosureService(DisclosureServiceServicer):
    """Finds the person, starts the workflow that gathers the data, and shows the export."""

    def __init__(
        self,
        identity: Peer,
        registration: Peer,
        workflows: DisclosureWorkflows,
        seal: DisclosureSeal,
        lifetime: timedelta,
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._persons = PersonServiceStub(identity.channel)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._personal_data = PersonalDataServiceStub(registration.channel)
        self._workflows = workflows
        self._seal = seal
        self._lifetime = lifetime

    @override
    async def CreateDisclosure(
        self,
        request: CreateDisclosureRequest,
        context: grpc.ServicerContext,
    ) -> CreateDisclosureResponse:
        """Starts an export. A repeated call returns the same export."""
        person_id = await self._find_person(request)
        current_request().subjects.add(person_id)
        disclosure_id = uuid.uuid5(_DISCLOSURES, request.request_id).hex
        store = stored_pb2.StoreDisclosureRequest(disclosure_id=disclosure_id, person_id=person_id)
        store.expire_time.FromDatetime(now() + self._lifetime)
        await self._registration.call(self._personal_data.StoreDisclosure, store)
        stored = await self._get(disclosure_id)
        if stored.person_id != person_id:
            raise already_exists(REASON_REQUEST_ID_REUSED)
        await self._workflows.start(
            DisclosureWorkflowInput(
                disclosure_id=disclosure_id, person_id=person_id, expire_time=stored.expire_time
            )
        )
        return CreateDisclosureResponse(disclosure=_public(disclosure_id, stored))

    @override
    async def GetDisclosure(
        self,
        request: GetDisclosureRequest,
        context: grpc.ServicerContext,
    ) -> GetDisclosureResponse:
        """An export, with JSON and HTML once it is ready."""
        disclosure_id = DISCLOSURE.parse_id(request.name)
        stored = await self._get(disclosure_id)
        current_request().subjects.add(stored.person_id)
        disclosure = _public(disclosure_id, stored)
        if stored.ciphertext:
            export = self._seal.open(disclosure_id, stored.ciphertext)
            disclosure.json = disclosure_document.as_json(export)
            disclosure.html = disclosure_document.as_html(export)
        return GetDisclosureResponse(disclosure=disclosure)

    async def _find_person(self, request: CreateDisclosureRequest) -> str:
        """The person's ID. NOT_FOUND if the request's code or registration belongs to nobody."""
        if request.HasField("registration"):
            unit_id, registration_id = REGISTRATION.parse(request.registration)
            get = GetRegistrationRequest(registration_id=registration_id)
            response = await self._registration.call(self._registrations.GetRegistration, get)
            if response.registration.unit_id != unit_id:
                raise not_found(REASON_REGISTRATION_NOT_FOUND)
            person_id = response.registration.person_id
        else:
            find = FindPersonRequest(personal_identity_code=request.personal_identity_code)
            person_id = (await self._identity.call(self._persons.FindPerson, find)).person_id
        if not person_id:
            raise not_found(REASON_PERSON_NOT_FOUND)
        return person_id

    async def _get(self, disclosure_id: str) -> stored_pb2.GetDisclosureResponse:
        get = stored_pb2.GetDisclosureRequest(disclosure_id=disclosure_id)
        return await self._registration.call(self._personal_data.GetDisclosure, get)


def _public(disclosure_id: str, stored: stored_pb2.GetDisclosureResponse) -> Disclosure:
    """A disclosure without its content."""
    without_content = DISCLOSURE_STATE_FAILED if stored.failed else DISCLOSURE_STATE_GATHERING
    return Disclosure(
        name=DISCLOSURE.format(disclosure_id),
        state=DISCLOSURE_STATE_READY if stored.ciphertext else without_content,
        create_time=stored.create_time,
        expire_time=stored.expire_time,
    )
