"""`liity.v1.AuthService`: sessions and passwords of registrars and staff, and invitations."""

import grpc
from typing_extensions import override

from liity.identity.v1 import account_service_pb2 as identity_pb2
from liity.identity.v1 import registrar_service_pb2 as registrar_pb2
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_ACCOUNT_PASSWORD,
    LINK_PURPOSE_INVITATION,
    CheckLinkRequest,
    LinkPurpose,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.auth_service_pb2 import (
    AcceptInvitationRequest,
    AcceptInvitationResponse,
    ChooseAccountPasswordRequest,
    ChooseAccountPasswordResponse,
    GetInvitationRequest,
    GetInvitationResponse,
    LogInRequest,
    LogInResponse,
    LogOutRequest,
    LogOutResponse,
    Membership,
    OrderPasswordRequest,
    OrderPasswordResponse,
    RefreshSessionRequest,
    RefreshSessionResponse,
    Session,
)
from liity.v1.auth_service_pb2_grpc import AuthServiceServicer
from liity.workflows.v1.password_order_workflow_pb2 import PasswordOrderWorkflowInput
from services.gateway.resource_names import UNIT
from services.gateway.temporal.password_resets import PasswordOrderWorkflows
from services.gateway.temporal.units import UnitWorkflows
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.peer import Peer

_MOST_OWN_WORDS = 50
"""Names of units that a password is compared with: identity takes no more."""


class AuthService(AuthServiceServicer):
    """Opens, refreshes and ends sessions; resets passwords; accepts invitations."""

    def __init__(
        self,
        identity: Peer,
        registration: Peer,
        orders: PasswordOrderWorkflows,
        invitations: UnitWorkflows,
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._orders = orders
        self._invitations = invitations
        self._accounts = AccountServiceStub(identity.channel)
        self._registrars = RegistrarServiceStub(identity.channel)
        self._links = LinkServiceStub(identity.channel)
        self._units = UnitServiceStub(registration.channel)

    @override
    async def LogIn(self, request: LogInRequest, context: grpc.ServicerContext) -> LogInResponse:
        """Opens a session."""
        log_in = identity_pb2.LogInRequest(
            email=request.email, password=request.password, caller_address=current_actor().caller_address
        )
        response = await self._identity.call(self._accounts.LogIn, log_in)
        return LogInResponse(session=await self._session(response.tokens))

    @override
    async def RefreshSession(
        self,
        request: RefreshSessionRequest,
        context: grpc.ServicerContext,
    ) -> RefreshSessionResponse:
        """Refreshes a session."""
        refresh = identity_pb2.RefreshSessionRequest(
            refresh_token=request.refresh_token, request_id=request.request_id
        )
        response = await self._identity.call(self._accounts.RefreshSession, refresh)
        return RefreshSessionResponse(session=await self._session(response.tokens))

    @override
    async def LogOut(self, request: LogOutRequest, context: grpc.ServicerContext) -> LogOutResponse:
        """Ends a session."""
        log_out = identity_pb2.LogOutRequest(refresh_token=request.refresh_token)
        await self._identity.call(self._accounts.LogOut, log_out)
        return LogOutResponse()

    @override
    async def OrderPassword(
        self,
        request: OrderPasswordRequest,
        context: grpc.ServicerContext,
    ) -> OrderPasswordResponse:
        """Orders a new password (R22); the result is sent by e-mail only."""
        admit = identity_pb2.AdmitPasswordOrderRequest(email=request.email)
        admitted = await self._identity.call(self._accounts.AdmitPasswordOrder, admit)
        order = PasswordOrderWorkflowInput(
            request_id=request.request_id,
            email=request.email,
            only_without_link=admitted.only_without_link,
        )
        await self._orders.start(order)
        return OrderPasswordResponse()

    @override
    async def ChooseAccountPassword(
        self,
        request: ChooseAccountPasswordRequest,
        context: grpc.ServicerContext,
    ) -> ChooseAccountPasswordResponse:
        """Sets the new password; the link works once."""
        account_id = await self._subject(request, LINK_PURPOSE_ACCOUNT_PASSWORD)
        read = identity_pb2.BatchGetAccountsRequest(account_ids=[account_id])
        accounts = (await self._identity.call(self._accounts.BatchGetAccounts, read)).accounts
        names = await self._unit_names([unit.unit_id for account in accounts for unit in account.memberships])
        choose = identity_pb2.ChooseAccountPasswordRequest(
            request_id=request.request_id,
            link_token=request.token,
            password=request.password,
            own_words=list(names.values())[:_MOST_OWN_WORDS],
        )
        await self._identity.call(self._accounts.ChooseAccountPassword, choose)
        return ChooseAccountPasswordResponse()

    @override
    async def GetInvitation(
        self,
        request: GetInvitationRequest,
        context: grpc.ServicerContext,
    ) -> GetInvitationResponse:
        """Reads an invitation by its link's token."""
        check = registrar_pb2.CheckInvitationRequest(link_token=request.token)
        checked = await self._identity.call(self._registrars.CheckInvitation, check)
        invitation = checked.invitation
        names = await self._unit_names([invitation.unit_id])
        return GetInvitationResponse(
            unit_display_name=names.get(invitation.unit_id, ""),
            role=invitation.role,
            email=invitation.email,
            language=invitation.language,
            expire_time=invitation.expire_time,
            has_account=checked.has_account,
        )

    @override
    async def AcceptInvitation(
        self,
        request: AcceptInvitationRequest,
        context: grpc.ServicerContext,
    ) -> AcceptInvitationResponse:
        """Accepts an invitation. The password goes to identity only, never through Temporal."""
        read = registrar_pb2.GetInvitationRequest(
            invitation_id=await self._subject(request, LINK_PURPOSE_INVITATION)
        )
        invitation = (await self._identity.call(self._registrars.GetInvitation, read)).invitation
        names = await self._unit_names([invitation.unit_id])
        accept = registrar_pb2.AcceptInvitationRequest(
            request_id=request.request_id,
            link_token=request.token,
            display_name=request.display_name,
            password=request.password,
            own_words=names.values(),
        )
        await self._identity.call(self._registrars.AcceptInvitation, accept)
        await self._invitations.invitation_accepted(invitation.invitation_id)
        membership = Membership(
            unit=UNIT.format(invitation.unit_id),
            unit_display_name=names.get(invitation.unit_id, ""),
            role=invitation.role,
        )
        return AcceptInvitationResponse(membership=membership)

    async def _subject(
        self,
        request: ChooseAccountPasswordRequest | AcceptInvitationRequest,
        purpose: LinkPurpose.ValueType,
    ) -> str:
        """What the link opens; raises the errors of `CheckLink`."""
        check = CheckLinkRequest(token=request.token, purpose=purpose, request_id=request.request_id)
        return (await self._identity.call(self._links.CheckLink, check)).subject

    async def _session(self, tokens: identity_pb2.SessionTokens) -> Session:
        account = tokens.account
        names = await self._unit_names([membership.unit_id for membership in account.memberships])
        return Session(
            access_token=tokens.access_token,
            access_token_expire_time=tokens.access_token_expire_time,
            refresh_token=tokens.refresh_token,
            refresh_token_expire_time=tokens.refresh_token_expire_time,
            display_name=account.display_name,
            roles=account.roles,
            memberships=[
                Membership(
                    unit=UNIT.format(membership.unit_id),
                    unit_display_name=names.get(membership.unit_id, ""),
                    role=membership.role,
                )
                for membership in account.memberships
            ],
        )

    async def _unit_names(self, unit_ids: list[str]) -> dict[str, str]:
        if not unit_ids:
            return {}
        request = BatchGetUnitsRequest(unit_ids=unit_ids)
        response = await self._registration.call(self._units.BatchGetUnits, request)
        return {unit.unit_id: unit.display_name for unit in response.units}
