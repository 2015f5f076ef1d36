"""`liity.v1.UnitService`: units and their registrars (R1, R2, R9)."""

import uuid

import grpc
from typing_extensions import override

from liity.identity.v1 import registrar_service_pb2 as identity_pb2
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.registration.v1 import unit_service_pb2 as registration_pb2
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_MAIN_USER
from liity.v1.customer_form_pb2 import AddressSuggestion
from liity.v1.reason_pb2 import (
    REASON_PERMISSION_DENIED,
    REASON_REGISTRAR_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
    REASON_UNIT_CLOSED,
)
from liity.v1.unit_service_pb2 import (
    CloseUnitRequest,
    CloseUnitResponse,
    CreateUnitRequest,
    CreateUnitResponse,
    GetUnitClosingRequest,
    GetUnitClosingResponse,
    GetUnitRequest,
    GetUnitResponse,
    GetUnitSummaryRequest,
    GetUnitSummaryResponse,
    InviteRegistrarRequest,
    InviteRegistrarResponse,
    ListRegistrarsRequest,
    ListRegistrarsResponse,
    ListUnitsRequest,
    ListUnitsResponse,
    Registrar,
    RemoveRegistrarRequest,
    RemoveRegistrarResponse,
    SetRegistrarRoleRequest,
    SetRegistrarRoleResponse,
    Unit,
    UnitKind,
    UpdateUnitRequest,
    UpdateUnitResponse,
)
from liity.v1.unit_service_pb2_grpc import UnitServiceServicer
from services.gateway.resource_names import REGISTRAR, UNIT
from services.gateway.temporal.units import UnitWorkflows
from services.gateway.views import DEFAULT_PAGE, LARGEST_PAGE
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import (
    FieldViolation,
    Refusal,
    already_exists,
    changed_meanwhile,
    failed_precondition,
    invalid,
    permission_denied,
)
from services.runtime.rpc.peer import Peer
from services.runtime.text.email_addresses import InvalidAddressError, fold, parse
from services.runtime.text.similar_domains import suggestion


class UnitService(UnitServiceServicer):
    """Units for customer service; their registrars also for main users."""

    def __init__(self, identity: Peer, registration: Peer, workflows: UnitWorkflows) -> None:
        self._identity = identity
        self._registration = registration
        self._workflows = workflows
        self._registrars = RegistrarServiceStub(identity.channel)
        self._units = UnitServiceStub(registration.channel)

    @override
    async def CreateUnit(
        self,
        request: CreateUnitRequest,
        context: grpc.ServicerContext,
    ) -> CreateUnitResponse:
        """Creates a unit."""
        create = registration_pb2.CreateUnitRequest(
            request_id=request.request_id,
            display_name=request.display_name,
            kind=registration_pb2.UnitKind.ValueType(request.kind),
            name_must_be_new=request.name_must_be_new,
        )
        created = await self._registration.call(self._units.CreateUnit, create)
        return CreateUnitResponse(unit=_to_public(created.unit))

    @override
    async def GetUnit(self, request: GetUnitRequest, context: grpc.ServicerContext) -> GetUnitResponse:
        """Reads a unit."""
        return GetUnitResponse(unit=_to_public(await self._unit(UNIT.parse_id(request.name, "parent"))))

    @override
    async def GetUnitSummary(
        self, request: GetUnitSummaryRequest, context: grpc.ServicerContext
    ) -> GetUnitSummaryResponse:
        """A unit in figures."""
        get = registration_pb2.GetUnitSummaryRequest(unit_id=UNIT.parse_id(request.name, "parent"))
        return (await self._registration.call(self._units.GetUnitSummary, get)).summary

    @override
    async def ListUnits(self, request: ListUnitsRequest, context: grpc.ServicerContext) -> ListUnitsResponse:
        """Lists all units by name."""
        list_units = registration_pb2.ListUnitsRequest(
            query=request.query,
            show_closed=request.show_closed,
            page_size=min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE),
            page_token=request.page_token,
        )
        found = await self._registration.call(self._units.ListUnits, list_units)
        return ListUnitsResponse(
            units=[_to_public(unit) for unit in found.units], next_page_token=found.next_page_token
        )

    @override
    async def UpdateUnit(
        self,
        request: UpdateUnitRequest,
        context: grpc.ServicerContext,
    ) -> UpdateUnitResponse:
        """Changes a unit."""
        update = registration_pb2.UpdateUnitRequest(
            request_id=request.request_id,
            unit_id=UNIT.parse_id(request.name, "parent"),
            etag=request.etag,
            update_mask=request.update_mask,
            display_name=request.display_name,
            kind=registration_pb2.UnitKind.ValueType(request.kind),
        )
        updated = await self._registration.call(self._units.UpdateUnit, update)
        unit = _to_public(updated.unit)
        if updated.changed_meanwhile:
            raise changed_meanwhile(unit)
        return UpdateUnitResponse(unit=unit)

    @override
    async def CloseUnit(self, request: CloseUnitRequest, context: grpc.ServicerContext) -> CloseUnitResponse:
        """Closes a unit."""
        unit_id, request_id = UNIT.parse_id(request.name, "parent"), request.request_id
        successor_id = UNIT.parse_id(request.successor, "successor") if request.successor else ""
        # Checked before a run starts: the units exist.
        for each in filter(None, (unit_id, successor_id)):
            await self._unit(each)
        closed = await self._workflows.close(unit_id, request_id, successor_id)
        return CloseUnitResponse(unit=_to_public(closed))

    @override
    async def GetUnitClosing(
        self, request: GetUnitClosingRequest, context: grpc.ServicerContext
    ) -> GetUnitClosingResponse:
        """What a unit has, and how far the move to its successor is."""
        get = registration_pb2.GetUnitClosingRequest(unit_id=UNIT.parse_id(request.name, "parent"))
        found = await self._registration.call(self._units.GetUnitClosing, get)
        found.closing.unit.CopyFrom(_to_public(found.unit))
        return found.closing

    @override
    async def InviteRegistrar(
        self,
        request: InviteRegistrarRequest,
        context: grpc.ServicerContext,
    ) -> InviteRegistrarResponse:
        """Invites a person to be a registrar."""
        if request.role == ROLE_MAIN_USER and not _is_staff():
            raise permission_denied(REASON_PERMISSION_DENIED)
        unit_id, request_id = UNIT.parse_id(request.parent, "parent"), uuid.UUID(request.request_id)
        try:
            parse(request.email)
        except InvalidAddressError as error:
            # Before a run is started that could only end with this.
            raise invalid([FieldViolation("email", error.reason)]) from None
        invitation = await self._invitation(request_id.hex)
        # An invitation made while the unit closed is void: a repeated call is refused as the first was.
        if invitation is None or invitation.state == identity_pb2.INVITATION_STATE_VOID:
            await self._require_open(unit_id)
        if invitation is None:
            invitation = await self._workflows.invite(
                identity_pb2.InviteRegistrarRequest(
                    request_id=str(request_id),
                    unit_id=unit_id,
                    email=request.email,
                    role=request.role,
                    language=request.language,
                    inviter_account_id=current_request().caller.account_id,
                )
            )
        elif (invitation.unit_id, invitation.email) != (unit_id, fold(request.email)):
            raise already_exists(REASON_REQUEST_ID_REUSED)
        registrar = Registrar(
            name=REGISTRAR.format(unit_id, invitation.invitation_id),
            email=invitation.email,
            role=invitation.role,
            invitation_expire_time=invitation.expire_time,
        )
        meant = suggestion(invitation.email)
        suggestions = [AddressSuggestion(field="email", suggested=meant)] if meant else []
        return InviteRegistrarResponse(registrar=registrar, address_suggestions=suggestions)

    @override
    async def ListRegistrars(
        self,
        request: ListRegistrarsRequest,
        context: grpc.ServicerContext,
    ) -> ListRegistrarsResponse:
        """Lists the unit's registrars and open invitations."""
        unit_id = UNIT.parse_id(request.parent, "parent")
        await self._unit(unit_id)
        list_registrars = identity_pb2.ListRegistrarsRequest(unit_id=unit_id)
        found = await self._identity.call(self._registrars.ListRegistrars, list_registrars)
        return ListRegistrarsResponse(
            registrars=[_to_public_registrar(unit_id, registrar) for registrar in found.registrars]
        )

    @override
    async def SetRegistrarRole(
        self,
        request: SetRegistrarRoleRequest,
        context: grpc.ServicerContext,
    ) -> SetRegistrarRoleResponse:
        """Sets a registrar's role: registrar or main user."""
        unit_id, registrar_id = REGISTRAR.parse(request.name)
        set_role = identity_pb2.SetRegistrarRoleRequest(
            request_id=request.request_id, unit_id=unit_id, registrar_id=registrar_id, role=request.role
        )
        changed = await self._identity.call(self._registrars.SetRegistrarRole, set_role)
        return SetRegistrarRoleResponse(registrar=_to_public_registrar(unit_id, changed.registrar))

    @override
    async def RemoveRegistrar(
        self,
        request: RemoveRegistrarRequest,
        context: grpc.ServicerContext,
    ) -> RemoveRegistrarResponse:
        """Removes a registrar from the unit, or withdraws an invitation."""
        unit_id, registrar_id = REGISTRAR.parse(request.name)
        current_request().subjects.add(registrar_id)
        remove = identity_pb2.RemoveRegistrarRequest(
            request_id=request.request_id,
            unit_id=unit_id,
            registrar_id=registrar_id,
            keep_last_main_user=not _is_staff(),
        )
        removed = await self._identity.call(self._registrars.RemoveRegistrar, remove)
        if removed.invitation:
            await self._workflows.invitation_withdrawn(registrar_id)
        return RemoveRegistrarResponse()

    async def _unit(self, unit_id: str) -> registration_pb2.Unit:
        get = registration_pb2.GetUnitRequest(unit_id=unit_id)
        return (await self._registration.call(self._units.GetUnit, get)).unit

    async def _require_open(self, unit_id: str) -> None:
        if (await self._unit(unit_id)).HasField("close_time"):
            raise failed_precondition(REASON_UNIT_CLOSED)

    async def _invitation(self, invitation_id: str) -> identity_pb2.Invitation | None:
        """The invitation that this call made before, if any."""
        get = identity_pb2.GetInvitationRequest(invitation_id=invitation_id)
        try:
            return (await self._identity.call(self._registrars.GetInvitation, get)).invitation
        except Refusal as refusal:
            if refusal.reason == REASON_REGISTRAR_NOT_FOUND:
                return None
            raise


def _is_staff() -> bool:
    return ROLE_CUSTOMER_SERVICE in current_request().caller.roles


def _to_public(stored: registration_pb2.Unit) -> Unit:
    """A unit in the public API's form."""
    unit = Unit(
        name=UNIT.format(stored.unit_id),
        etag=stored.etag,
        display_name=stored.display_name,
        kind=UnitKind.ValueType(stored.kind),
        create_time=stored.create_time,
        successor=UNIT.format(stored.successor_unit_id) if stored.successor_unit_id else "",
    )
    if stored.HasField("close_time"):
        unit.close_time.CopyFrom(stored.close_time)
    return unit


def _to_public_registrar(unit_id: str, stored: identity_pb2.Registrar) -> Registrar:
    """A registrar in the public API's form."""
    registrar = Registrar(
        name=REGISTRAR.format(unit_id, stored.registrar_id),
        email=stored.email,
        display_name=stored.display_name,
        role=stored.role,
    )
    if stored.HasField("invitation_expire_time"):
        registrar.invitation_expire_time.CopyFrom(stored.invitation_expire_time)
        registrar.suggested_email = suggestion(stored.email)
    return registrar
