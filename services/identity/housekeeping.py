"""What identity forgets by itself."""

from datetime import timedelta

from sqlalchemy import delete, or_
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity.models import Link, Person, RegistrarRemoval, Session
from services.runtime.clock import now

PROVISIONAL_LIFETIME = timedelta(hours=1)
"""How long a person is kept whom nobody has said to retain: far longer than a Save takes."""


EXPIRED_LINK_LIFETIME = timedelta(days=30)
"""How long whoever opens a link is still told that it has expired, was used, or was replaced."""


REPETITION_LIFETIME = timedelta(days=30)
"""How long a repeated call is told that it has been done: far longer than anybody repeats it."""


async def sweep(engine: AsyncEngine) -> None:
    """Erases provisional persons, and sessions and links that are over."""
    moment = now()
    async with engine.begin() as connection:
        await connection.execute(
            delete(Person).where(
                Person.retained_at.is_(None),
                Person.ensured_at < moment - PROVISIONAL_LIFETIME,
                or_(Person.hold_until.is_(None), Person.hold_until <= moment),
            )
        )
        await connection.execute(delete(Session).where(Session.expires_at <= moment))
        await connection.execute(
            delete(RegistrarRemoval).where(RegistrarRemoval.removed_at <= moment - REPETITION_LIFETIME)
        )
        await connection.execute(delete(Link).where(Link.expires_at <= moment - EXPIRED_LINK_LIFETIME))
