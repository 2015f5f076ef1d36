"""What identity forgets by itself."""

from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity.models import Link, Person, Session
from services.runtime.clock import now

PROVISIONAL_LIFETIME = timedelta(hours=1)
"""How long a person is kept whom nobody has said to retain: far longer than a Save takes."""


EXPIRED_LINK_LIFETIME = timedelta(days=30)
"""How long whoever opens a link is still told that it has expired, was used, or was replaced."""


async def sweep(engine: AsyncEngine) -> None:
    """Erases provisional persons, and sessions and links that are over."""
    moment = now()
    async with engine.begin() as connection:
        await connection.execute(
            delete(Person).where(
                Person.retained_at.is_(None), Person.ensured_at < moment - PROVISIONAL_LIFETIME
            )
        )
        await connection.execute(delete(Session).where(Session.expires_at <= moment))
        await connection.execute(delete(Link).where(Link.expires_at <= moment - EXPIRED_LINK_LIFETIME))
