"""What identity forgets by itself."""

from datetime import timedelta

from sqlalchemy import and_, delete, or_
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity.models import CodeChange, Link, Person, RegistrarRemoval, RoleChange, Session
from services.runtime.clock import now

PROVISIONAL_LIFETIME = timedelta(hours=1)
"""How long a person is kept whom nobody has said to retain, or a code: far longer than a call takes."""


EXPIRED_LINK_LIFETIME = timedelta(days=30)
"""How long whoever opens a link is still told that it has expired, was used, or was replaced."""


REPETITION_LIFETIME = timedelta(days=30)
"""How long a repeated call is told that it has been done: far longer than anybody repeats it."""


async def sweep(engine: AsyncEngine) -> None:
    """Erases provisional persons, and changes, sessions and links that are over."""
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
        await connection.execute(delete(Session).where(Session.expires_at <= moment))
        await connection.execute(
            delete(RegistrarRemoval).where(RegistrarRemoval.removed_at <= moment - REPETITION_LIFETIME)
        )
        await connection.execute(delete(Link).where(Link.expires_at <= moment - EXPIRED_LINK_LIFETIME))
