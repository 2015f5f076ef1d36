"""The throttle of log-ins: failures are counted per account and per caller, in windows of time."""

import hashlib
from datetime import timedelta

from sqlalchemy import case, delete, literal, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liity.v1.reason_pb2 import REASON_TOO_MANY_ATTEMPTS
from services.identity.models import LoginAttempts
from services.identity.settings import IdentitySettings
from services.runtime.clock import now
from services.runtime.errors import resource_exhausted


class LoginThrottle:
    """Counts an attempt before its password is verified, so that guesses at once count too."""

    def __init__(self, engine: AsyncEngine, settings: IdentitySettings) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._per_account = settings.login_failures_per_account
        self._per_caller = settings.login_failures_per_caller
        self._window = settings.login_window

    async def admit(self, email: str, caller_address: str) -> None:
        """Counts an attempt. RESOURCE_EXHAUSTED (TOO_MANY_ATTEMPTS) once there were too many failures."""
        async with self._single.connect() as connection:
            # A throttled caller must not lock accounts: it is counted no further.
            await self._count(connection, _caller_key(caller_address), self._per_caller)
            await self._count(connection, _account_key(email), self._per_account)

    async def forgive(self, email: str, caller_address: str) -> None:
        """The attempt succeeded: it is no failure of the caller, and the account's are forgotten."""
        async with self._single.connect() as connection:
            await connection.execute(delete(LoginAttempts).where(LoginAttempts.key == _account_key(email)))
            await connection.execute(
                update(LoginAttempts)
                .where(LoginAttempts.key == _caller_key(caller_address), LoginAttempts.failures > 0)
                .values(failures=LoginAttempts.failures - 1)
            )

    async def _count(self, connection: AsyncConnection, key: bytes, limit: int) -> None:
        moment = now()
        ended = LoginAttempts.window_start <= moment - self._window
        counted = await connection.execute(
            insert(LoginAttempts)
            .values(key=key, failures=1, window_start=moment)
            .on_conflict_do_update(
                index_elements=[LoginAttempts.key],
                set_={
                    "failures": case((ended, 1), else_=LoginAttempts.failures + 1),
                    "window_start": case((ended, literal(moment)), else_=LoginAttempts.window_start),
                },
            )
            .returning(LoginAttempts.failures, LoginAttempts.window_start)
        )
        attempts = counted.one()
        if attempts.failures > limit:
            left: timedelta = attempts.window_start + self._window - moment
            raise resource_exhausted(REASON_TOO_MANY_ATTEMPTS, retry_after=left)


def _account_key(email: str) -> bytes:
    return hashlib.sha256(f"account:{email}".encode()).digest()


def _caller_key(address: str) -> bytes:
    return hashlib.sha256(f"caller:{address}".encode()).digest()
