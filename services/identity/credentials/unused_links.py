"""Links to choose a first password that nobody uses: a reminder to the customer, the end to the registrar."""

from datetime import timedelta

from sqlalchemy import Interval, and_, bindparam, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.credential_service_pb2 import (
    ListUnusedPasswordLinksResponse,
    UnusedPasswordLink,
)
from services.identity.links.tokens import SealedIds
from services.identity.models import UNUSED_PASSWORD_LINKS, Credential, Link
from services.runtime.clock import now

_REMINDED, _END_TOLD = 1, 2

_DUE = or_(
    Link.expires_at <= bindparam("moment", type_=Link.expires_at.type),
    and_(
        Link.notices == 0,
        Link.expires_at <= bindparam("remind_until", type_=Link.expires_at.type),
        # A link as short as that needs no reminder.
        Link.created_at < Link.expires_at - bindparam("notice", type_=Interval),
    ),
)

_FIND = (
    select(
        Link.link_id,
        Link.subject,
        Link.expires_at,
        Link.to_registrar,
        Credential.user_name,
        (Link.expires_at <= bindparam("moment", type_=Link.expires_at.type)).label("has_expired"),
    )
    .join(Credential, Credential.person_id == Link.subject)
    .where(
        UNUSED_PASSWORD_LINKS,
        Link.link_id > bindparam("after"),
        # With an earlier password the customer can log in.
        Credential.password_hash.is_(None),
        _DUE,
    )
    .order_by(Link.link_id)
    .limit(bindparam("most"))
)


class UnusedLinks:
    """Finds the links and records the mails about them.

    `notice` is how long before its end the customer is reminded of a link.
    """

    def __init__(self, engine: AsyncEngine, sealed_ids: SealedIds, notice: timedelta) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sealed_ids = sealed_ids
        self._notice = notice

    async def due(self, page_size: int, page_token: str) -> ListUnusedPasswordLinksResponse:
        """A page of the links of which somebody is to be told."""
        moment = now()
        sought = {
            "moment": moment,
            "remind_until": moment + self._notice,
            "notice": self._notice,
            "after": page_token,
            "most": page_size,
        }
        async with self._single.connect() as connection:
            rows = (await connection.execute(_FIND, sought)).all()
        links = [
            UnusedPasswordLink(
                link_id=row.link_id,
                person_id=row.subject,
                user_name=row.user_name,
                link_token="" if row.has_expired else self._sealed_ids.seal("password", row.link_id),
                expire_time=row.expires_at,
                to_registrar=row.to_registrar,
                has_expired=row.has_expired,
            )
            for row in rows
        ]
        following = links[-1].link_id if len(links) == page_size else ""
        return ListUnusedPasswordLinksResponse(links=links, next_page_token=following)

    async def mark(self, link_id: str, *, has_expired: bool) -> None:
        """Records that the reminder or the news of the end was sent."""
        told = _END_TOLD if has_expired else _REMINDED
        marked = (
            update(Link)
            .where(Link.link_id == link_id)
            .values(notices=func.greatest(Link.notices, literal(told)))
        )
        async with self._single.connect() as connection:
            await connection.execute(marked)
