"""LinkService: links in mail, for people without an account."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Row, Select, bindparam, exists, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_ACCOUNT_PASSWORD,
    LINK_PURPOSE_CONSENT,
    LINK_PURPOSE_CUSTOMERSHIP,
    LINK_PURPOSE_EMAIL,
    LINK_PURPOSE_INVITATION,
    LINK_PURPOSE_PASSWORD,
    AdmitConsentLinkOrderRequest,
    AdmitConsentLinkOrderResponse,
    CheckLinkRequest,
    CheckLinkResponse,
    GetConsentLinkRequest,
    GetConsentLinkResponse,
    IssueLinkRequest,
    IssueLinkResponse,
    LinkPurpose,
    RedeemLinkRequest,
    RedeemLinkResponse,
    VoidLinksRequest,
    VoidLinksResponse,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceServicer
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_ACCEPTED,
    CONSENT_REQUEST_STATE_ASKED,
    CONSENT_REQUEST_STATE_CLOSED,
    CONSENT_REQUEST_STATE_CONSENT_WITHDRAWN,
    CONSENT_REQUEST_STATE_EXPIRED,
    ConsentRequestState,
)
from liity.v1.reason_pb2 import (
    REASON_INVALID_DATE,
    REASON_LINK_EXPIRED,
    REASON_LINK_INVALID,
    REASON_LINK_USED,
    REASON_LINK_VOID,
    REASON_REQUEST_ID_REUSED,
)
from services.identity.accounts.throttle import ConsentLinkOrderThrottle, LinkThrottle
from services.identity.links.tokens import Purpose, SealedIds, new_id
from services.identity.models import Link
from services.runtime.clock import deadline_after, now
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import (
    FieldViolation,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
)

_PURPOSES: Mapping[LinkPurpose.ValueType, Purpose] = {
    LINK_PURPOSE_CONSENT: "consent",
    LINK_PURPOSE_PASSWORD: "password",
    LINK_PURPOSE_ACCOUNT_PASSWORD: "account-password",
    LINK_PURPOSE_EMAIL: "email",
    LINK_PURPOSE_CUSTOMERSHIP: "customership",
    LINK_PURPOSE_INVITATION: "invitation",
}


class UsableLink(NamedTuple):
    """A link that may be used; `used` if this request has already used it."""

    link_id: str
    subject: str
    issue_request_id: str
    used: bool
    guardian: int
    """To which of two guardians a consent's link was mailed (R39): 1 or 2."""


class IssuedLink(NamedTuple):
    """A link after issuing."""

    link_id: str
    subject: str
    expires_at: datetime
    void: bool
    """The same request issued it before, and it was used or voided since: nobody should be mailed it."""


class LinkDoor:
    """Resolves link tokens; throttles callers who send many invalid ones, but always accepts valid ones."""

    def __init__(self, engine: AsyncEngine, sealed_ids: SealedIds, throttle: LinkThrottle) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sealed_ids = sealed_ids
        self._throttle = throttle

    async def open(self, purpose: LinkPurpose.ValueType, token: str, request_id: str) -> UsableLink:
        """Resolves a link that `request_id` may use or has used; raises the errors of `CheckLink`."""
        link_id = await self.find(purpose, token)
        async with self._single.connect() as connection:
            return await usable_link(connection, link_id, request_id)

    async def consent_link(self, link_id: str) -> GetConsentLinkResponse:
        """What became of a consent link. NOT_FOUND (LINK_INVALID) long after its expiry."""
        async with self._single.connect() as connection:
            return await _consent_link(connection, link_id)

    async def find(self, purpose: LinkPurpose.ValueType, token: str) -> str:
        """The link of a token, or of a text that holds one: people paste links, and gateways change them.

        Raises NOT_FOUND (LINK_INVALID), and RESOURCE_EXHAUSTED (TOO_MANY_ATTEMPTS) after too many forged
        tokens from the caller's address. Only what has the form of a token is counted: a broken link is no
        guess. A valid token is never throttled: it cannot be guessed, and a school or a proxy shares one
        address.
        """
        if purpose not in _PURPOSES:
            raise not_found(REASON_LINK_INVALID)
        found = self._sealed_ids.find(_PURPOSES[purpose], token)
        if found.sealed_id is not None:
            return found.sealed_id
        if found.looks_like_token:
            await self._throttle.count(current_actor().caller_address)
        raise not_found(REASON_LINK_INVALID)


class Links(LinkServiceServicer):
    """Issues, checks, redeems and voids links. A token is the sealed ID of the link's row."""

    def __init__(
        self,
        engine: AsyncEngine,
        sealed_ids: SealedIds,
        door: LinkDoor,
        consent_link_orders: ConsentLinkOrderThrottle,
    ) -> None:
        self._consent_link_orders = consent_link_orders
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sealed_ids = sealed_ids
        self._door = door

    @override
    async def IssueLink(self, request: IssueLinkRequest, context: object) -> IssueLinkResponse:
        end = _moment(request.expire_time, "expire_time")
        async with self._single.connect() as connection:
            link_id = await connection.scalar(
                insert(Link)
                .values(
                    link_id=new_id(),
                    purpose=request.purpose,
                    subject=request.subject,
                    expires_at=end,
                    request_id=request.request_id,
                    created_at=now(),
                    guardian=request.guardian or 1,
                )
                .on_conflict_do_nothing(index_elements=[Link.purpose, Link.request_id])
                .returning(Link.link_id)
            )
            if link_id is not None:
                return IssueLinkResponse(token=self._sealed(request.purpose, link_id))
            # Its mail has waited meanwhile: the link lives on.
            await connection.execute(_EXTEND, _extension(request.purpose, request.request_id, end))
            link = await _issued_before(connection, request)
        return IssueLinkResponse(
            token=self._sealed(request.purpose, link.link_id),
            link_void=link.used_at is not None or link.voided_at is not None,
        )

    @override
    async def CheckLink(self, request: CheckLinkRequest, context: object) -> CheckLinkResponse:
        link = await self._door.open(request.purpose, request.token, request.request_id)
        return CheckLinkResponse(
            link_id=link.link_id,
            subject=link.subject,
            issue_request_id=link.issue_request_id,
            guardian=link.guardian,
        )

    @override
    async def GetConsentLink(self, request: GetConsentLinkRequest, context: object) -> GetConsentLinkResponse:
        return await self._door.consent_link(await self._door.find(LINK_PURPOSE_CONSENT, request.token))

    @override
    async def AdmitConsentLinkOrder(
        self, request: AdmitConsentLinkOrderRequest, context: object
    ) -> AdmitConsentLinkOrderResponse:
        # First the link: invalid tokens are counted by their own limit.
        link_id = await self._door.find(LINK_PURPOSE_CONSENT, request.token)
        link = await self._door.consent_link(link_id)
        await self._consent_link_orders.admit(link_id, current_actor().caller_address)
        return AdmitConsentLinkOrderResponse(link=link)

    @override
    async def RedeemLink(self, request: RedeemLinkRequest, context: object) -> RedeemLinkResponse:
        async with self._single.connect() as connection:
            if request.check_only:
                await usable_link(connection, request.link_id, request.request_id)
                return RedeemLinkResponse()
            await redeem_link(connection, request.link_id, request.request_id, request.consent_state)
        return RedeemLinkResponse()

    @override
    async def VoidLinks(self, request: VoidLinksRequest, context: object) -> VoidLinksResponse:
        async with self._single.connect() as connection:
            await void_links(
                connection,
                request.purpose,
                request.subject,
                request.kept_request_id,
                request.consent_state,
                _moment(request.consent_state_time, "consent_state_time")
                if request.HasField("consent_state_time")
                else None,
                only_to_registrar=request.only_to_registrar,
                guardian=request.guardian,
            )
        return VoidLinksResponse()

    def _sealed(self, purpose: LinkPurpose.ValueType, link_id: str) -> str:
        return self._sealed_ids.seal(_PURPOSES[purpose], link_id)


async def void_links(
    connection: AsyncConnection,
    purpose: LinkPurpose.ValueType,
    subject: str,
    kept_request_id: str = "",
    consent_state: int = 0,
    consent_state_at: datetime | None = None,
    *,
    only_to_registrar: bool = False,
    guardian: int = 0,
) -> None:
    """Voids the subject's unused links, except the one that `kept_request_id` issued.

    With `guardian`, only those of consent that were mailed to this one of two.

    If the consent was withdrawn, the links that tell that it was given tell that from then on.
    """
    if consent_state == CONSENT_REQUEST_STATE_CONSENT_WITHDRAWN:
        await connection.execute(
            update(Link)
            .where(
                Link.purpose == purpose,
                Link.subject == subject,
                Link.consent_state == CONSENT_REQUEST_STATE_ACCEPTED,
            )
            .values(consent_state=consent_state, consent_state_at=consent_state_at or now())
        )
    await connection.execute(
        update(Link)
        .where(
            Link.purpose == purpose,
            Link.subject == subject,
            Link.used_at.is_(None),
            Link.voided_at.is_(None),
            Link.request_id != kept_request_id,
            Link.to_registrar.is_(True) if only_to_registrar else true(),
            Link.guardian == guardian if guardian else true(),
        )
        .values(voided_at=now(), consent_state=consent_state or None, consent_state_at=consent_state_at)
    )


async def _consent_link(connection: AsyncConnection, link_id: str) -> GetConsentLinkResponse:
    """What became of a consent link, from its row alone: the registration may be erased."""
    found = await connection.execute(
        select(
            Link.link_id,
            Link.subject,
            Link.consent_state,
            Link.consent_state_at,
            Link.created_at,
            Link.used_at,
            Link.voided_at,
            Link.expires_at,
            Link.guardian,
        ).where(Link.link_id == link_id)
    )
    link = found.one_or_none()
    if link is None:
        raise not_found(REASON_LINK_INVALID)
    ended_at = link.used_at or link.voided_at
    state = cast("ConsentRequestState.ValueType", link.consent_state or CONSENT_REQUEST_STATE_CLOSED)
    if ended_at is None:
        is_over = link.expires_at <= now()
        state = CONSENT_REQUEST_STATE_EXPIRED if is_over else CONSENT_REQUEST_STATE_ASKED
        ended_at = link.expires_at if is_over else link.created_at
    return GetConsentLinkResponse(
        subject=link.subject,
        state=state,
        state_time=link.consent_state_at or ended_at,
        expire_time=link.expires_at,
        link_id=link.link_id,
        guardian=link.guardian,
    )


async def usable_link(connection: AsyncConnection, link_id: str, request_id: str) -> UsableLink:
    """A link that `request_id` may use or has used; raises the errors of `CheckLink`."""
    found = await connection.execute(
        select(
            Link.subject,
            Link.request_id,
            Link.used_at,
            Link.used_request_id,
            Link.voided_at,
            Link.expires_at,
            Link.guardian,
        ).where(Link.link_id == link_id)
    )
    link = found.one_or_none()
    if link is None:
        raise not_found(REASON_LINK_INVALID)
    if link.used_at is not None:
        if link.used_request_id != request_id:
            raise failed_precondition(REASON_LINK_USED)
        return UsableLink(link_id, link.subject, link.request_id, used=True, guardian=link.guardian)
    if link.voided_at is not None:
        raise failed_precondition(REASON_LINK_VOID)
    if link.expires_at <= now():
        raise failed_precondition(REASON_LINK_EXPIRED)
    return UsableLink(link_id, link.subject, link.request_id, used=False, guardian=link.guardian)


async def redeem_link(
    connection: AsyncConnection, link_id: str, request_id: str, consent_state: int = 0
) -> str:
    """Marks the link as used and returns its subject; one of several wins. Errors as `usable_link`."""
    moment = now()
    subject = await connection.scalar(
        update(Link)
        .where(
            Link.link_id == link_id,
            Link.used_at.is_(None),
            Link.voided_at.is_(None),
            Link.expires_at > moment,
        )
        .values(used_at=moment, used_request_id=request_id, consent_state=consent_state or None)
        .returning(Link.subject)
    )
    return subject if subject is not None else (await usable_link(connection, link_id, request_id)).subject


def _issue_statement(*, voids_earlier: bool) -> Select[str, str, datetime]:
    """Inserts a link, and voids the subject's earlier ones; no row if the request issued one before."""
    purpose = bindparam("for_purpose", type_=Link.purpose.type)
    issued = (
        insert(Link)
        .values(
            link_id=bindparam("new_link_id"),
            purpose=purpose,
            subject=bindparam("new_subject"),
            expires_at=bindparam("end"),
            request_id=bindparam("request"),
            created_at=bindparam("moment"),
            to_registrar=bindparam("for_registrar", type_=Link.to_registrar.type),
        )
        .on_conflict_do_nothing(index_elements=[Link.purpose, Link.request_id])
        .returning(Link.link_id, Link.subject, Link.expires_at)
        .cte("issued")
    )
    if not voids_earlier:
        return select(issued)
    # The update sees the table as it was before the statement, so it does not void the new link.
    voided = (
        update(Link)
        .where(
            Link.purpose == purpose,
            Link.subject.in_(select(issued.c.subject)),
            Link.used_at.is_(None),
            Link.voided_at.is_(None),
        )
        .values(voided_at=bindparam("moment"))
        .cte("voided")
    )
    return select(issued).add_cte(voided)


# Every Save issues a link: build the statements once.
_ISSUE = _issue_statement(voids_earlier=True)
_ISSUE_BESIDES = _issue_statement(voids_earlier=False)


_EXTEND = (
    update(Link)
    .where(
        Link.purpose == bindparam("of_purpose"),
        Link.request_id == bindparam("of_request"),
        Link.used_at.is_(None),
        Link.voided_at.is_(None),
    )
    .values(expires_at=func.greatest(Link.expires_at, bindparam("new_end", type_=Link.expires_at.type)))
)


def _extension(purpose: LinkPurpose.ValueType, request_id: str, end: datetime) -> dict[str, object]:
    return {"of_purpose": purpose, "of_request": request_id, "new_end": end}


async def issue_link(
    connection: AsyncConnection,
    purpose: LinkPurpose.ValueType,
    subject: str,
    request_id: str,
    lifetime: timedelta,
    *,
    lives_anew: bool = False,
    voids_earlier: bool = True,
    to_registrar: bool = False,
) -> IssuedLink:
    """Issues a link and voids the subject's earlier ones, or returns the one this request issued before.

    With `lives_anew`, that one lives from now on, if it is neither used nor void: its mail has waited.

    The caller must hold a lock on the subject's row: of two concurrent calls, the later voids the earlier's
    link.
    """
    moment = now()
    end = deadline_after(moment, lifetime)
    parameters = {
        "for_purpose": purpose,
        "new_link_id": new_id(),
        "new_subject": subject,
        "end": end,
        "request": request_id,
        "moment": moment,
        "for_registrar": to_registrar,
    }
    issue = _ISSUE if voids_earlier else _ISSUE_BESIDES
    link = (await connection.execute(issue, parameters)).one_or_none()
    if link is not None:
        return IssuedLink(link.link_id, link.subject, link.expires_at, void=False)
    if lives_anew:
        await connection.execute(_EXTEND, _extension(purpose, request_id, end))
    is_over = or_(Link.voided_at.is_not(None), Link.used_at.is_not(None))
    issued_before = select(Link.link_id, Link.subject, Link.expires_at, is_over.label("is_over")).where(
        Link.purpose == purpose, Link.request_id == request_id
    )
    made = (await connection.execute(issued_before)).one()
    if made.subject != subject:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return IssuedLink(made.link_id, made.subject, made.expires_at, void=made.is_over)


async def recent_link(
    connection: AsyncConnection,
    purpose: LinkPurpose.ValueType,
    subject: str,
    request_id: str,
    age: timedelta,
) -> IssuedLink | None:
    """The subject's newest usable link if it is younger than `age`; None if `request_id` has issued one.

    A link that goes on working is mailed again, so that orders of others void nobody's link.
    """
    moment = now()
    of_request = exists().where(Link.purpose == purpose, Link.request_id == request_id)
    found = await connection.execute(
        select(Link.link_id, Link.subject, Link.expires_at)
        .where(
            Link.purpose == purpose,
            Link.subject == subject,
            Link.used_at.is_(None),
            Link.voided_at.is_(None),
            Link.expires_at > moment,
            Link.created_at > moment - age,
            Link.to_registrar.is_(False),
            ~of_request,
        )
        .order_by(Link.created_at.desc())
        .limit(1)
    )
    link = found.one_or_none()
    return None if link is None else IssuedLink(link.link_id, link.subject, link.expires_at, void=False)


async def _issued_before(
    connection: AsyncConnection, request: IssueLinkRequest
) -> Row[str, str, datetime | None, datetime | None]:
    found = await connection.execute(
        select(Link.link_id, Link.subject, Link.used_at, Link.voided_at).where(
            Link.purpose == request.purpose, Link.request_id == request.request_id
        )
    )
    link = found.one()
    if link.subject != request.subject:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return link


def _moment(timestamp: Timestamp, field: str) -> datetime:
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid([FieldViolation(field, REASON_INVALID_DATE)]) from None
