"""Periodic deletion of expired rows."""

from datetime import timedelta

from sqlalchemy import and_, delete, or_
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity.models import (
    SWEPT_LINKS,
    CodeChange,
    KnownPlace,
    Link,
    LockOuts,
    MergeUndo,
    Person,
    RegistrarRemoval,
    RoleChange,
    Session,
)
from services.runtime.clock import helsinki_day, now

PROVISIONAL_LIFETIME = timedelta(hours=1)
"""How long a person who is not retained, or a change of a code that is not committed, is kept."""


EXPIRED_LINK_LIFETIME = timedelta(days=30)
"""How long after its expiry an opened link is still answered with expired, used or replaced."""


REPETITION_LIFETIME = timedelta(days=30)
"""How long a repeated call is recognised: far longer than any client repeats one."""

KNOWN_PLACE_LIFETIME = timedelta(days=180)
"""How long an account is known at a network after its last log-in there."""


LOCK_OUT_LIFETIME = timedelta(days=90)
"""How long lock-outs are kept."""


async def sweep(engine: AsyncEngine) -> None:
    """Deletes provisional persons, and changes, sessions, links and other rows that have expired."""
    moment = now()
    async with engine.begin() as connection:
        await connection.execute(
            delete(Person).where(
                Person.retained_at.is_(None),
                Person.ensured_at < moment - PROVISIONAL_LIFETIME,
                or_(Person.hold_until.is_(None), Person.hold_until <= moment),
            )
        )
        await connection.execute(
            delete(CodeChange).where(
                or_(
                    CodeChange.committed_at <= moment - REPETITION_LIFETIME,
                    and_(
                        CodeChange.committed_at.is_(None),
                        CodeChange.prepared_at <= moment - PROVISIONAL_LIFETIME,
                    ),
                )
            )
        )
        await connection.execute(
            delete(RoleChange).where(RoleChange.changed_at <= moment - REPETITION_LIFETIME)
        )
        await connection.execute(
            delete(KnownPlace).where(KnownPlace.seen_at <= moment - KNOWN_PLACE_LIFETIME)
        )
        await connection.execute(
            delete(LockOuts).where(LockOuts.day <= helsinki_day(moment - LOCK_OUT_LIFETIME))
        )
        await connection.execute(delete(MergeUndo).where(MergeUndo.expires_at <= moment))
        await connection.execute(delete(Session).where(Session.expires_at <= moment))
        await connection.execute(
            delete(RegistrarRemoval).where(RegistrarRemoval.removed_at <= moment - REPETITION_LIFETIME)
        )
        await connection.execute(
            delete(Link).where(Link.expires_at <= moment - EXPIRED_LINK_LIFETIME, SWEPT_LINKS)
        )
