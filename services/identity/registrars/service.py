"""RegistrarService: registrars of units and their invitations."""

import uuid
from datetime import UTC, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.identity.v1 import registrar_service_pb2 as pb
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_INVITATION
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceServicer
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER
from liity.v1.reason_pb2 import (
    REASON_ACCOUNT_EXISTS,
    REASON_ALREADY_REGISTRAR,
    REASON_INVITATION_ACCEPTED,
    REASON_LAST_MAIN_USER,
    REASON_LINK_INVALID,
    REASON_REGISTRAR_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
    REASON_REQUIRED,
)
from services.identity.accounts.passwords import Passwords, require_strong
from services.identity.accounts.queries import address_of
from services.identity.links.service import LinkDoor, issue_link, redeem_link
from services.identity.links.tokens import SealedIds, new_id
from services.identity.models import Account, Invitation, Membership, RegistrarRemoval, RoleChange, Session
from services.identity.registrars.invitations import (
    find_invitation,
    find_invitations,
    is_open,
    one_after_another,
    open_invitations,
    to_message,
    void_invitations,
)
from services.runtime.clock import now
from services.runtime.rpc.errors import (
    FieldViolation,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
)


class Registrars(RegistrarServiceServicer):
    """Invites and removes registrars and changes their role; the latter two end their sessions."""

    def __init__(
        self,
        engine: AsyncEngine,
        sealed_ids: SealedIds,
        door: LinkDoor,
        passwords: Passwords,
        invitation_lifetime: timedelta,
    ) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sealed_ids = sealed_ids
        self._door = door
        self._passwords = passwords
        self._lifetime = invitation_lifetime

    @override
    async def InviteRegistrar(
        self, request: pb.InviteRegistrarRequest, context: object
    ) -> pb.InviteRegistrarResponse:
        email, invitation_id = address_of(request.email), uuid.UUID(request.request_id).hex
        async with self._engine.begin() as connection:
            await one_after_another(connection, request.unit_id, email)
            made = await find_invitation(connection, Invitation.invitation_id == invitation_id)
            if made is not None:
                if (made.unit_id, made.email) != (request.unit_id, email):
                    raise already_exists(REASON_REQUEST_ID_REUSED)
                return pb.InviteRegistrarResponse(invitation=to_message(made))
            if await _is_registrar(connection, request.unit_id, email):
                raise already_exists(REASON_ALREADY_REGISTRAR)
            voided = await void_invitations(
                connection, (Invitation.unit_id == request.unit_id) & (Invitation.email == email)
            )
            link = await issue_link(
                connection, LINK_PURPOSE_INVITATION, invitation_id, request.request_id, self._lifetime
            )
            await connection.execute(
                insert(Invitation).values(
                    invitation_id=invitation_id,
                    link_id=link.link_id,
                    unit_id=request.unit_id,
                    email=email,
                    role=request.role,
                    language=request.language,
                    inviter_account_id=request.inviter_account_id,
                )
            )
            invitation = await _invitation(connection, invitation_id)
        return pb.InviteRegistrarResponse(invitation=invitation, voided_invitation_ids=voided)

    @override
    async def GetInvitation(
        self, request: pb.GetInvitationRequest, context: object
    ) -> pb.GetInvitationResponse:
        async with self._single.connect() as connection:
            invitation = await _invitation(connection, request.invitation_id)
        return pb.GetInvitationResponse(invitation=invitation)

    @override
    async def ListOpenInvitations(
        self, request: pb.ListOpenInvitationsRequest, context: object
    ) -> pb.ListOpenInvitationsResponse:
        page = open_invitations(request.page_token, request.made_before.ToDatetime(UTC), request.page_size)
        async with self._single.connect() as connection:
            found = (await connection.execute(page)).all()
        full = len(found) == request.page_size
        return pb.ListOpenInvitationsResponse(
            invitations=map(to_message, found), next_page_token=found[-1].invitation_id if full else ""
        )

    @override
    async def IssueInvitationLink(
        self, request: pb.IssueInvitationLinkRequest, context: object
    ) -> pb.IssueInvitationLinkResponse:
        async with self._single.connect() as connection:
            row = await find_invitation(connection, Invitation.invitation_id == request.invitation_id)
        if row is None:
            raise not_found(REASON_REGISTRAR_NOT_FOUND)
        token = self._sealed_ids.seal("invitation", row.link_id)
        return pb.IssueInvitationLinkResponse(invitation=to_message(row), link_token=token)

    @override
    async def CheckInvitation(
        self, request: pb.CheckInvitationRequest, context: object
    ) -> pb.CheckInvitationResponse:
        link = await self._door.open(LINK_PURPOSE_INVITATION, request.link_token, "")
        async with self._single.connect() as connection:
            invitation = await _opened(connection, link.subject)
            has_account = await _has_account(connection, invitation.email)
        return pb.CheckInvitationResponse(invitation=invitation, has_account=has_account)

    @override
    async def AcceptInvitation(
        self, request: pb.AcceptInvitationRequest, context: object
    ) -> pb.AcceptInvitationResponse:
        link = await self._door.open(LINK_PURPOSE_INVITATION, request.link_token, request.request_id)
        async with self._single.connect() as connection:
            invitation = await _opened(connection, link.subject)
            has_account = await _has_account(connection, invitation.email)
        if link.used:
            return pb.AcceptInvitationResponse(invitation=invitation)
        password_hash = None
        if has_account:
            # A link in mail adds a unit to an existing account; it must not change the account's password.
            if request.password or request.display_name:
                raise already_exists(REASON_ACCOUNT_EXISTS)
        else:
            await _require_details(request, invitation.email)
            # Hash outside the transaction: hashing is slow.
            password_hash = await self._passwords.hash(request.password)
        async with self._engine.begin() as connection:
            # Of two concurrent calls, the later waits here and then finds the link used.
            await redeem_link(connection, link.link_id, request.request_id)
            if password_hash is not None:
                await _create_account(connection, request, invitation, password_hash)
            await _add_membership(connection, invitation)
            invitation = await _invitation(connection, invitation.invitation_id)
        return pb.AcceptInvitationResponse(invitation=invitation)

    @override
    async def VoidInvitation(
        self, request: pb.VoidInvitationRequest, context: object
    ) -> pb.VoidInvitationResponse:
        async with self._single.connect() as connection:
            await void_invitations(connection, Invitation.invitation_id == request.invitation_id)
        return pb.VoidInvitationResponse()

    @override
    async def ListRegistrars(
        self, request: pb.ListRegistrarsRequest, context: object
    ) -> pb.ListRegistrarsResponse:
        of_unit = (
            select(Account.account_id, Account.email, Account.display_name, Membership.role)
            .join(Membership, Membership.account_id == Account.account_id)
            .where(Membership.unit_id == request.unit_id)
            .order_by(Account.display_name, Account.account_id)
        )
        async with self._single.connect() as connection:
            accounts = (await connection.execute(of_unit)).all()
            invited = await find_invitations(
                connection, (Invitation.unit_id == request.unit_id) & is_open(now())
            )
        registrars = [
            pb.Registrar(
                registrar_id=row.account_id, email=row.email, display_name=row.display_name, role=row.role
            )
            for row in accounts
        ]
        for row in invited:
            registrar = pb.Registrar(registrar_id=row.invitation_id, email=row.email, role=row.role)
            registrar.invitation_expire_time.FromDatetime(row.expires_at)
            registrars.append(registrar)
        return pb.ListRegistrarsResponse(registrars=registrars)

    @override
    async def SetRegistrarRole(
        self, request: pb.SetRegistrarRoleRequest, context: object
    ) -> pb.SetRegistrarRoleResponse:
        of_registrar = (Membership.account_id == request.registrar_id) & (
            Membership.unit_id == request.unit_id
        )
        async with self._engine.begin() as connection:
            await _lock_accounts(connection, [request.registrar_id])
            role = await connection.scalar(select(Membership.role).where(of_registrar))
            if role is None:
                raise not_found(REASON_REGISTRAR_NOT_FOUND)
            if await _remember_role_change(connection, request) and role != request.role:
                await connection.execute(update(Membership).where(of_registrar).values(role=request.role))
                await _end_sessions(connection, [request.registrar_id])
            account = (
                await connection.execute(
                    select(Account.email, Account.display_name, Membership.role)
                    .join(Membership, Membership.account_id == Account.account_id)
                    .where(of_registrar)
                )
            ).one()
        registrar = pb.Registrar(
            registrar_id=request.registrar_id,
            email=account.email,
            display_name=account.display_name,
            role=account.role,
        )
        return pb.SetRegistrarRoleResponse(registrar=registrar)

    @override
    async def RemoveRegistrar(
        self, request: pb.RemoveRegistrarRequest, context: object
    ) -> pb.RemoveRegistrarResponse:
        async with self._engine.begin() as connection:
            if await _removed_before(connection, request):
                return pb.RemoveRegistrarResponse()
            if await _take_back(connection, request):
                return pb.RemoveRegistrarResponse(invitation=True)
            await _lock_accounts(connection, [request.registrar_id])
            if request.keep_last_main_user:
                await _require_other_main_user(connection, request)
            removed = await connection.execute(
                delete(Membership).where(
                    Membership.account_id == request.registrar_id, Membership.unit_id == request.unit_id
                )
            )
            if not removed.rowcount:
                raise not_found(REASON_REGISTRAR_NOT_FOUND)
            await _end_sessions(connection, [request.registrar_id])
            await connection.execute(
                insert(RegistrarRemoval).values(
                    request_id=request.request_id,
                    unit_id=request.unit_id,
                    account_id=request.registrar_id,
                    removed_at=now(),
                )
            )
        return pb.RemoveRegistrarResponse()

    @override
    async def ReleaseUnit(self, request: pb.ReleaseUnitRequest, context: object) -> pb.ReleaseUnitResponse:
        members = select(Membership.account_id).where(Membership.unit_id == request.unit_id)
        async with self._engine.begin() as connection:
            # Void first: a concurrent acceptance either completes before, or finds its link void.
            voided = await void_invitations(connection, Invitation.unit_id == request.unit_id)
            await _lock_accounts(connection, list((await connection.execute(members)).scalars()))
            released = await connection.execute(
                delete(Membership)
                .where(Membership.unit_id == request.unit_id)
                .returning(Membership.account_id)
            )
            account_ids = list(released.scalars())
            await _lock_accounts(connection, account_ids)
            await _end_sessions(connection, account_ids)
        return pb.ReleaseUnitResponse(voided_invitation_ids=voided)


async def _invitation(connection: AsyncConnection, invitation_id: str) -> pb.Invitation:
    row = await find_invitation(connection, Invitation.invitation_id == invitation_id)
    if row is None:
        raise not_found(REASON_REGISTRAR_NOT_FOUND)
    return to_message(row)


async def _opened(connection: AsyncConnection, invitation_id: str) -> pb.Invitation:
    """The invitation of a resolved link; raises NOT_FOUND (LINK_INVALID) if it does not exist."""
    row = await find_invitation(connection, Invitation.invitation_id == invitation_id)
    if row is None:
        raise not_found(REASON_LINK_INVALID)
    return to_message(row)


async def _has_account(connection: AsyncConnection, email: str) -> bool:
    return await connection.scalar(select(Account.account_id).where(Account.email == email)) is not None


async def _is_registrar(connection: AsyncConnection, unit_id: str, email: str) -> bool:
    statement = (
        select(Membership.account_id)
        .join(Account, Account.account_id == Membership.account_id)
        .where(Account.email == email, Membership.unit_id == unit_id)
    )
    return await connection.scalar(statement) is not None


async def _require_details(request: pb.AcceptInvitationRequest, email: str) -> None:
    """Raises INVALID_ARGUMENT for missing details of a new account."""
    missing = [
        FieldViolation(field, REASON_REQUIRED)
        for field in ("display_name", "password")
        if not getattr(request, field).strip()
    ]
    if missing:
        raise invalid(missing)
    await require_strong(request.password, email, request.display_name, *request.own_words)


async def _create_account(
    connection: AsyncConnection,
    request: pb.AcceptInvitationRequest,
    invitation: pb.Invitation,
    password_hash: str,
) -> None:
    """Creates the account. ALREADY_EXISTS (ACCOUNT_EXISTS) if another call has created it meanwhile."""
    moment = now()
    made = await connection.scalar(
        insert(Account)
        .values(
            account_id=new_id(),
            email=invitation.email,
            display_name=request.display_name.strip(),
            password_hash=password_hash,
            language=invitation.language,
            roles=[],
            created_at=moment,
            password_chosen_at=moment,
            request_id=request.request_id,
        )
        .on_conflict_do_nothing()
        .returning(Account.account_id)
    )
    by_this_call = select(Account.account_id).where(
        Account.request_id == request.request_id, Account.email == invitation.email
    )
    if made is None and await connection.scalar(by_this_call) is None:
        raise already_exists(REASON_ACCOUNT_EXISTS)


async def _add_membership(connection: AsyncConnection, invitation: pb.Invitation) -> None:
    account_id = await connection.scalar(select(Account.account_id).where(Account.email == invitation.email))
    await connection.execute(
        insert(Membership)
        .values(account_id=account_id, unit_id=invitation.unit_id, role=invitation.role)
        .on_conflict_do_nothing()
    )


async def _lock_accounts(connection: AsyncConnection, account_ids: list[str]) -> None:
    """Locks the accounts' rows: concurrent log-ins wait for this transaction, or this one for them."""
    await connection.execute(
        select(Account.account_id)
        .where(Account.account_id.in_(account_ids))
        .order_by(Account.account_id)
        .with_for_update(key_share=True)
    )


async def _end_sessions(connection: AsyncConnection, account_ids: list[str]) -> None:
    await connection.execute(delete(Session).where(Session.account_id.in_(account_ids)))


async def _remember_role_change(connection: AsyncConnection, request: pb.SetRegistrarRoleRequest) -> bool:
    """Records the change; False for a repeated call. ALREADY_EXISTS (REQUEST_ID_REUSED) if it differs."""
    change = {
        "request_id": request.request_id,
        "unit_id": request.unit_id,
        "account_id": request.registrar_id,
        "role": request.role,
    }
    remember = insert(RoleChange).values(**change, changed_at=now()).on_conflict_do_nothing()
    if (await connection.execute(remember)).rowcount:
        return True
    columns = (RoleChange.request_id, RoleChange.unit_id, RoleChange.account_id, RoleChange.role)
    found = await connection.execute(select(*columns).where(RoleChange.request_id == change["request_id"]))
    if tuple(found.one()) != tuple(change.values()):
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return False


async def _take_back(connection: AsyncConnection, request: pb.RemoveRegistrarRequest) -> bool:
    """Voids the named invitation, if any. FAILED_PRECONDITION (INVITATION_ACCEPTED) if accepted."""
    named = (Invitation.invitation_id == request.registrar_id) & (Invitation.unit_id == request.unit_id)
    # Void first: the update waits for a concurrent acceptance, and the read after it sees the result.
    await void_invitations(connection, named)
    invitation = await find_invitation(connection, named)
    if invitation is not None and invitation.used_at is not None:
        raise failed_precondition(REASON_INVITATION_ACCEPTED)
    return invitation is not None


async def _removed_before(connection: AsyncConnection, request: pb.RemoveRegistrarRequest) -> bool:
    """Whether this call was done before. Raises ALREADY_EXISTS (REQUEST_ID_REUSED) if it differs."""
    found = await connection.execute(
        select(RegistrarRemoval.unit_id, RegistrarRemoval.account_id).where(
            RegistrarRemoval.request_id == request.request_id
        )
    )
    removal = found.one_or_none()
    if removal is not None and tuple(removal) != (request.unit_id, request.registrar_id):
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return removal is not None


async def _require_other_main_user(connection: AsyncConnection, request: pb.RemoveRegistrarRequest) -> None:
    """Raises FAILED_PRECONDITION (LAST_MAIN_USER) if the unit's only main user would be removed."""
    # Locks all main users' rows, so that two who remove each other run one at a time.
    locked = await connection.execute(
        select(Membership.account_id)
        .where(Membership.unit_id == request.unit_id, Membership.role == ROLE_MAIN_USER)
        .order_by(Membership.account_id)
        .with_for_update()
    )
    if list(locked.scalars()) == [request.registrar_id]:
        raise failed_precondition(REASON_LAST_MAIN_USER)
