"""CredentialService: customers' user names, and the links by which they choose a password."""

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Select, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.identity.v1.credential_service_pb2 import (
    ChoosePasswordRequest,
    ChoosePasswordResponse,
    IssueCredentialsRequest,
    IssueCredentialsResponse,
)
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceServicer
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_PASSWORD
from liity.v1.reason_pb2 import (
    REASON_LINK_INVALID,
    REASON_PASSWORD_TOO_WEAK,
    REASON_PERSON_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
)
from services.identity.links import open_link, redeem_link, usable_link
from services.identity.models import Credential, Link, Person
from services.identity.passwords import MIN_LENGTH, Passwords, normalise
from services.identity.sealed_ids import SealedIds, new_id
from services.runtime.clock import now
from services.runtime.errors import FieldViolation, already_exists, invalid, not_found, unavailable

_USER_NAME_ALPHABET = "23456789bcdfghjkmnpqrstvwxz"
"""Neither look-alikes nor vowels, which would make words."""

_USER_NAME_LENGTH = 8


class Credentials(CredentialServiceServicer):
    """Customers' credentials."""

    def __init__(
        self, engine: AsyncEngine, sealed_ids: SealedIds, passwords: Passwords, link_lifetime: timedelta
    ) -> None:
        self._engine = engine
        self._sealed_ids = sealed_ids
        self._passwords = passwords
        self._link_lifetime = link_lifetime

    @override
    async def IssueCredentials(
        self, request: IssueCredentialsRequest, context: object
    ) -> IssueCredentialsResponse:
        async with self._engine.begin() as connection:
            # Its row stays locked until the end: of two that issue at once, the later voids the earlier.
            user_name = await _ensure_user_name(connection, request.person_id)
            link = await _issue_link(connection, request, self._link_lifetime)
        response = IssueCredentialsResponse(
            user_name=user_name, link_token=self._sealed_ids.seal("password", link.link_id)
        )
        response.expire_time.FromDatetime(link.expires_at)
        return response

    @override
    async def ChoosePassword(self, request: ChoosePasswordRequest, context: object) -> ChoosePasswordResponse:
        link_id = open_link(self._sealed_ids, LINK_PURPOSE_PASSWORD, request.link_token)
        async with self._engine.begin() as connection:
            link = await usable_link(connection, link_id, request.request_id)
        if len(normalise(request.password)) < MIN_LENGTH:
            raise invalid([FieldViolation("password", REASON_PASSWORD_TOO_WEAK)])
        # Hashing takes its time: no transaction waits for it.
        password_hash = None if link.used else await self._passwords.hash(request.password)
        async with self._engine.begin() as connection:
            if password_hash is None:
                user_name = await _user_name(connection, link.subject)
            else:
                # Credentials before links, the order in which issuing locks them.
                user_name = await _set_password(connection, link.subject, password_hash)
                await redeem_link(connection, link_id, request.request_id)
        if user_name is None:
            raise not_found(REASON_LINK_INVALID)
        return ChoosePasswordResponse(user_name=user_name)


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


class _IssuedLink(NamedTuple):
    link_id: str
    subject: str
    expires_at: datetime


# Issuing is part of every Save: its statements are prepared once.

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


def _issue_link_statement() -> Select[str, str, datetime]:
    """Inserts a link and makes the subject's earlier ones void; no row if the request made one before."""
    issued = (
        insert(Link)
        .values(
            link_id=bindparam("new_link_id"),
            purpose=LINK_PURPOSE_PASSWORD,
            subject=bindparam("new_subject"),
            expires_at=bindparam("end"),
            request_id=bindparam("request"),
            created_at=bindparam("moment"),
        )
        .on_conflict_do_nothing(index_elements=[Link.purpose, Link.request_id])
        .returning(Link.link_id, Link.subject, Link.expires_at)
        .cte("issued")
    )
    # It sees the table as it was before the statement: never the link just made.
    voided = (
        update(Link)
        .where(
            Link.purpose == LINK_PURPOSE_PASSWORD,
            Link.subject.in_(select(issued.c.subject)),
            Link.used_at.is_(None),
            Link.voided_at.is_(None),
        )
        .values(voided_at=bindparam("moment"))
        .cte("voided")
    )
    return select(issued).add_cte(voided)


_ISSUE_LINK = _issue_link_statement()


async def _ensure_user_name(connection: AsyncConnection, person_id: str) -> str:
    """The person's user name, made if there is none; locks its row. NOT_FOUND (PERSON_NOT_FOUND)."""
    new_name = "liity-" + "".join(secrets.choice(_USER_NAME_ALPHABET) for _ in range(_USER_NAME_LENGTH))
    parameters = {"id": person_id, "new_name": new_name, "moment": now()}
    try:
        user_name: str | None = await connection.scalar(_ENSURE_USER_NAME, parameters)
    except IntegrityError:
        # Another person drew the same name at random: the next try draws anew.
        raise unavailable() from None
    if user_name is None:
        raise not_found(REASON_PERSON_NOT_FOUND)
    return user_name


async def _issue_link(
    connection: AsyncConnection, request: IssueCredentialsRequest, lifetime: timedelta
) -> _IssuedLink:
    """A new link, which makes the person's earlier ones void; or the one the same request made before."""
    moment = now()
    parameters = {
        "new_link_id": new_id(),
        "new_subject": request.person_id,
        "end": moment + lifetime,
        "request": request.request_id,
        "moment": moment,
    }
    link = (await connection.execute(_ISSUE_LINK, parameters)).one_or_none()
    if link is None:
        issued_before = select(Link.link_id, Link.subject, Link.expires_at).where(
            Link.purpose == LINK_PURPOSE_PASSWORD, Link.request_id == request.request_id
        )
        link = (await connection.execute(issued_before)).one()
    if link.subject != request.person_id:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return _IssuedLink(link.link_id, link.subject, link.expires_at)
