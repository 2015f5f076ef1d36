"""What identity forgets by itself."""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity.models import Link, LoginAttempts, Person, Session
from services.runtime.clock import now

log = structlog.get_logger()

PROVISIONAL_LIFETIME = timedelta(hours=1)
"""How long a person is kept whom nobody has said to retain: far longer than a Save takes."""

EXPIRED_LINK_LIFETIME = timedelta(days=30)
"""How long whoever opens a link is still told that it has expired, was used, or was replaced."""

_INTERVAL = timedelta(minutes=10)


async def keep_house(engine: AsyncEngine, login_window: timedelta) -> None:
    """Sweeps now and every ten minutes, until cancelled."""
    while True:
        try:
            await sweep(engine, login_window)
        except (SQLAlchemyError, OSError) as error:
            # The next round makes up for it.
            log.warning("sweep failed", error=type(error).__name__)
        await asyncio.sleep(_INTERVAL.total_seconds())


async def sweep(engine: AsyncEngine, login_window: timedelta) -> None:
    """Erases provisional persons, sessions and links that are over, log-in attempts that count no more."""
    moment = now()
    async with engine.begin() as connection:
        await connection.execute(
            delete(Person).where(
                Person.retained_at.is_(None), Person.ensured_at < moment - PROVISIONAL_LIFETIME
            )
        )
        await connection.execute(delete(Session).where(Session.expires_at <= moment))
        await connection.execute(delete(Link).where(Link.expires_at <= moment - EXPIRED_LINK_LIFETIME))
        await connection.execute(
            delete(LoginAttempts).where(LoginAttempts.window_start <= moment - login_window)
        )
