"""What identity forgets by itself."""

from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity.models import Person, Session
from services.runtime.clock import now

PROVISIONAL_LIFETIME = timedelta(hours=1)
"""How long a person is kept whom nobody has said to retain: far longer than a Save takes."""


async def sweep(engine: AsyncEngine) -> None:
    """Erases provisional persons, and sessions that have ended."""
    moment = now()
    async with engine.begin() as connection:
        await connection.execute(
            delete(Person).where(
                Person.retained_at.is_(None), Person.ensured_at < moment - PROVISIONAL_LIFETIME
            )
        )
        await connection.execute(delete(Session).where(Session.expires_at <= moment))
