"""Erases rejection notes after their retention."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from services.registration.registrations.queries import SWEEP_NOTES
from services.runtime.clock import now

NOTE_LIFETIME = timedelta(days=90)
"""How long a unit can read why a registration was rejected."""


async def sweep_notes(engine: AsyncEngine) -> None:
    """Erases the notes of registrations rejected longer ago than `NOTE_LIFETIME`."""
    async with engine.begin() as connection:
        await connection.execute(SWEEP_NOTES, {"before": now() - NOTE_LIFETIME})
