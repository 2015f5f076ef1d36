"""LinkService: links in mail, for people without an account."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CONSENT,
    LINK_PURPOSE_PASSWORD,
    CheckLinkRequest,
    CheckLinkResponse,
    IssueLinkRequest,
    IssueLinkResponse,
    LinkPurpose,
    RedeemLinkRequest,
    RedeemLinkResponse,
    VoidLinksRequest,
    VoidLinksResponse,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceServicer
from liity.v1.reason_pb2 import (
    REASON_INVALID_DATE,
    REASON_LINK_EXPIRED,
    REASON_LINK_INVALID,
    REASON_LINK_USED,
    REASON_LINK_VOID,
    REASON_REQUEST_ID_REUSED,
)
from services.identity.models import Link
from services.identity.sealed_ids import Purpose, SealedIds, new_id
from services.runtime.clock import now
from services.runtime.errors import FieldViolation, already_exists, failed_precondition, invalid, not_found

_PURPOSES: Mapping[LinkPurpose.ValueType, Purpose] = {
    LINK_PURPOSE_CONSENT: "consent",
    LINK_PURPOSE_PASSWORD: "password",
}


class UsableLink(NamedTuple):
    """A link that may be used; `used` if the very request at hand has used it already."""

    link_id: str
    subject: str
    used: bool


class Links(LinkServiceServicer):
    """Links by their rows; their tokens are sealed IDs."""

    def __init__(self, engine: AsyncEngine, sealed_ids: SealedIds) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sealed_ids = sealed_ids

    @override
    async def IssueLink(self, request: IssueLinkRequest, context: object) -> IssueLinkResponse:
        async with self._single.connect() as connection:
            link_id = await connection.scalar(
                insert(Link)
                .values(
                    link_id=new_id(),
                    purpose=request.purpose,
                    subject=request.subject,
                    expires_at=_moment(request.expire_time),
                    request_id=request.request_id,
                    created_at=now(),
                )
                .on_conflict_do_nothing(index_elements=[Link.purpose, Link.request_id])
                .returning(Link.link_id)
            )
            if link_id is None:
                link_id = await _issued_before(connection, request)
        return IssueLinkResponse(token=self._sealed_ids.seal(_PURPOSES[request.purpose], link_id))

    @override
    async def CheckLink(self, request: CheckLinkRequest, context: object) -> CheckLinkResponse:
        link_id = open_link(self._sealed_ids, request.purpose, request.token)
        async with self._single.connect() as connection:
            link = await usable_link(connection, link_id, request.request_id)
        return CheckLinkResponse(link_id=link.link_id, subject=link.subject)

    @override
    async def RedeemLink(self, request: RedeemLinkRequest, context: object) -> RedeemLinkResponse:
        async with self._single.connect() as connection:
            await redeem_link(connection, request.link_id, request.request_id)
        return RedeemLinkResponse()

    @override
    async def VoidLinks(self, request: VoidLinksRequest, context: object) -> VoidLinksResponse:
        async with self._single.connect() as connection:
            await connection.execute(
                update(Link)
                .where(
                    Link.purpose == request.purpose,
                    Link.subject == request.subject,
                    Link.used_at.is_(None),
                    Link.voided_at.is_(None),
                )
                .values(voided_at=now())
            )
        return VoidLinksResponse()


def open_link(sealed_ids: SealedIds, purpose: LinkPurpose.ValueType, token: str) -> str:
    """The link ID in a token. NOT_FOUND (LINK_INVALID) if it is forged or for another purpose."""
    link_id = sealed_ids.open(_PURPOSES[purpose], token) if purpose in _PURPOSES else None
    if link_id is None:
        raise not_found(REASON_LINK_INVALID)
    return link_id


async def usable_link(connection: AsyncConnection, link_id: str, request_id: str) -> UsableLink:
    """A link that `request_id` may use, or has used: errors as the contract of `CheckLink`."""
    found = await connection.execute(
        select(Link.subject, Link.used_at, Link.used_request_id, Link.voided_at, Link.expires_at).where(
            Link.link_id == link_id
        )
    )
    link = found.one_or_none()
    if link is None:
        raise not_found(REASON_LINK_INVALID)
    if link.used_at is not None:
        if link.used_request_id != request_id:
            raise failed_precondition(REASON_LINK_USED)
        return UsableLink(link_id, link.subject, used=True)
    if link.voided_at is not None:
        raise failed_precondition(REASON_LINK_VOID)
    if link.expires_at <= now():
        raise failed_precondition(REASON_LINK_EXPIRED)
    return UsableLink(link_id, link.subject, used=False)


async def redeem_link(connection: AsyncConnection, link_id: str, request_id: str) -> str:
    """Uses a link up and gives its subject; of several at once, one wins. Errors as `usable_link`."""
    moment = now()
    subject = await connection.scalar(
        update(Link)
        .where(
            Link.link_id == link_id,
            Link.used_at.is_(None),
            Link.voided_at.is_(None),
            Link.expires_at > moment,
        )
        .values(used_at=moment, used_request_id=request_id)
        .returning(Link.subject)
    )
    return subject if subject is not None else (await usable_link(connection, link_id, request_id)).subject


async def _issued_before(connection: AsyncConnection, request: IssueLinkRequest) -> str:
    found = await connection.execute(
        select(Link.link_id, Link.subject).where(
            Link.purpose == request.purpose, Link.request_id == request.request_id
        )
    )
    link = found.one()
    if link.subject != request.subject:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    link_id: str = link.link_id
    return link_id


def _moment(timestamp: Timestamp) -> datetime:
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid([FieldViolation("expire_time", REASON_INVALID_DATE)]) from None
