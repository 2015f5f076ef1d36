"""CredentialService: customers' user names, and the links by which they choose a password."""

import secrets
from datetime import timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.identity.v1.credential_service_pb2 import (
    ChoosePasswordRequest,
    ChoosePasswordResponse,
    FindUserNameRequest,
    FindUserNameResponse,
    GetCredentialStateRequest,
    GetCredentialStateResponse,
    IssueCredentialsRequest,
    IssueCredentialsResponse,
    ListUnusedPasswordLinksRequest,
    ListUnusedPasswordLinksResponse,
    MarkUnusedPasswordLinkRequest,
    MarkUnusedPasswordLinkResponse,
    VoidCredentialsRequest,
    VoidCredentialsResponse,
)
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceServicer
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_PASSWORD
from liity.v1.reason_pb2 import REASON_LINK_INVALID, REASON_PERSON_NOT_FOUND
from services.identity.accounts.passwords import Passwords, require_strong
from services.identity.credentials.unused_links import UnusedLinks
from services.identity.links.service import LinkDoor, issue_link, recent_link, redeem_link, void_links
from services.identity.links.tokens import SealedIds
from services.identity.models import Credential, Link, Person
from services.runtime.clock import now
from services.runtime.rpc.errors import not_found, unavailable

_USER_NAME_ALPHABET = "23456789bcdfghjkmnpqrstvwxz"
"""Without look-alikes, and without vowels, which could form words."""

_USER_NAME_LENGTH = 8


class Credentials(CredentialServiceServicer):
    """Issues, sets and voids customers' credentials."""

    def __init__(
        self,
        engine: AsyncEngine,
        sealed_ids: SealedIds,
        door: LinkDoor,
        passwords: Passwords,
        link_lifetime: timedelta,
        order_window: timedelta,
        unused_links: UnusedLinks,
    ) -> None:
        self._unused_links = unused_links
        self._engine = engine
        self._sealed_ids = sealed_ids
        self._door = door
        self._passwords = passwords
        self._link_lifetime = link_lifetime
        self._order_window = order_window

    @override
    async def IssueCredentials(
        self, request: IssueCredentialsRequest, context: object
    ) -> IssueCredentialsResponse:
        async with self._engine.begin() as connection:
            # Locks the credential's row until the transaction ends.
            user_name = await _ensure_user_name(connection, request.person_id)
            recent = None
            if request.ordered_by_customer:
                recent = await recent_link(
                    connection,
                    LINK_PURPOSE_PASSWORD,
                    request.person_id,
                    request.request_id,
                    self._order_window,
                )
            link = recent or await issue_link(
                connection,
                LINK_PURPOSE_PASSWORD,
                request.person_id,
                request.request_id,
                self._link_lifetime,
                lives_anew=True,
                to_registrar=request.to_registrar,
            )
        response = IssueCredentialsResponse(
            user_name=user_name,
            link_token=self._sealed_ids.seal("password", link.link_id),
            link_void=link.void or (recent is not None and request.only_without_link),
        )
        response.expire_time.FromDatetime(link.expires_at)
        return response

    @override
    async def ChoosePassword(self, request: ChoosePasswordRequest, context: object) -> ChoosePasswordResponse:
        link = await self._door.open(LINK_PURPOSE_PASSWORD, request.link_token, request.request_id)
        async with self._engine.connect() as connection:
            user_name = await _user_name(connection, link.subject)
        password_hash = None
        if not link.used:
            await require_strong(request.password, user_name or "", *request.own_words)
            # Hash outside the transaction: hashing is slow.
            password_hash = await self._passwords.hash(request.password)
        async with self._engine.begin() as connection:
            if password_hash is not None:
                # Lock credentials before links, as issuing does.
                user_name = await _set_password(connection, link.subject, password_hash)
                await redeem_link(connection, link.link_id, request.request_id)
                await void_links(connection, LINK_PURPOSE_PASSWORD, link.subject)
        if user_name is None:
            raise not_found(REASON_LINK_INVALID)
        return ChoosePasswordResponse(user_name=user_name)

    @override
    async def VoidCredentials(
        self, request: VoidCredentialsRequest, context: object
    ) -> VoidCredentialsResponse:
        async with self._engine.begin() as connection:
            # Lock credentials before links, as issuing does.
            await connection.execute(
                update(Credential)
                .where(Credential.person_id == request.person_id)
                .values(password_hash=None, password_chosen_at=None)
            )
            await void_links(connection, LINK_PURPOSE_PASSWORD, request.person_id)
        return VoidCredentialsResponse()

    @override
    async def FindUserName(self, request: FindUserNameRequest, context: object) -> FindUserNameResponse:
        # NUL is replaced: PostgreSQL cannot store it.
        user_name = "".join(request.user_name.lower().split()).replace("\0", "\ufffd")
        found = select(Credential.person_id).where(Credential.user_name == user_name)
        async with self._engine.connect() as connection:
            return FindUserNameResponse(person_id=await connection.scalar(found) or "")

    @override
    async def GetCredentialState(
        self, request: GetCredentialStateRequest, context: object
    ) -> GetCredentialStateResponse:
        async with self._engine.connect() as connection:
            row = (await connection.execute(_STATE, {"id": request.person_id})).one()
        return GetCredentialStateResponse(
            password_choose_time=row.password_chosen_at, link_expire_time=row.expires_at
        )

    @override
    async def ListUnusedPasswordLinks(
        self, request: ListUnusedPasswordLinksRequest, context: object
    ) -> ListUnusedPasswordLinksResponse:
        return await self._unused_links.due(request.page_size, request.page_token)

    @override
    async def MarkUnusedPasswordLink(
        self, request: MarkUnusedPasswordLinkRequest, context: object
    ) -> MarkUnusedPasswordLinkResponse:
        await self._unused_links.mark(request.link_id, has_expired=request.has_expired)
        return MarkUnusedPasswordLinkResponse()


async def _user_name(connection: AsyncConnection, person_id: str) -> str | None:
    user_name: str | None = await connection.scalar(
        select(Credential.user_name).where(Credential.person_id == person_id)
    )
    return user_name


async def _set_password(connection: AsyncConnection, person_id: str, password_hash: str) -> str | None:
    user_name: str | None = await connection.scalar(
        update(Credential)
        .where(Credential.person_id == person_id)
        .values(password_hash=password_hash, password_chosen_at=now())
        .returning(Credential.user_name)
    )
    return user_name


_NEWEST_LINK = (
    select(Link.expires_at)
    .where(Link.subject == bindparam("id"), Link.purpose == LINK_PURPOSE_PASSWORD, Link.voided_at.is_(None))
    .order_by(Link.created_at.desc())
    .limit(1)
)
_STATE = select(
    select(Credential.password_chosen_at)
    .where(Credential.person_id == bindparam("id"))
    .scalar_subquery()
    .label("password_chosen_at"),
    _NEWEST_LINK.scalar_subquery().label("expires_at"),
)

# Every Save issues credentials: build the statement once.

_ENSURE_USER_NAME = (
    insert(Credential)
    .from_select(
        ["person_id", "user_name", "created_at"],
        select(
            Person.person_id,
            bindparam("new_name", type_=Credential.user_name.type),
            bindparam("moment", type_=Credential.created_at.type),
        )
        .where(Person.person_id == bindparam("id"))
        .with_for_update(read=True, key_share=True),
    )
    .on_conflict_do_update(index_elements=[Credential.person_id], set_={"person_id": Credential.person_id})
    .returning(Credential.user_name)
)


async def _ensure_user_name(connection: AsyncConnection, person_id: str) -> str:
    """The person's user name, created if missing; locks its row. Raises NOT_FOUND (PERSON_NOT_FOUND)."""
    new_name = "liity-" + "".join(secrets.choice(_USER_NAME_ALPHABET) for _ in range(_USER_NAME_LENGTH))
    parameters = {"id": person_id, "new_name": new_name, "moment": now()}
    try:
        user_name: str | None = await connection.scalar(_ENSURE_USER_NAME, parameters)
    except IntegrityError:
        # Another person has the same random name: the caller's retry draws a new one.
        raise unavailable() from None
    if user_name is None:
        raise not_found(REASON_PERSON_NOT_FOUND)
    return user_name
