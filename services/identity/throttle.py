"""The throttles of what is tried at the door: log-ins, links, and orders of a new password.

An attempt is counted before it is looked at, so that guesses at once count too. Callers come before accounts:
a throttled caller is counted no further, and so locks no accounts.
"""

from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.reason_pb2 import REASON_TOO_MANY_ATTEMPTS, REASON_TOO_MANY_ORDERS
from services.identity.models import limits
from services.identity.settings import IdentitySettings
from services.runtime.clock import now
from services.runtime.limits import Limit, Limiter, network_of


class LoginThrottle:
    """Counts the log-ins that fail, per account and per caller."""

    def __init__(self, engine: AsyncEngine, settings: IdentitySettings) -> None:
        self._limiter = Limiter(engine, limits, REASON_TOO_MANY_ATTEMPTS)
        self._per_account = settings.login_failures_per_account
        self._per_caller = settings.login_failures_per_caller
        self._window = settings.login_window

    async def admit(self, email: str, caller_address: str) -> None:
        """Counts an attempt. RESOURCE_EXHAUSTED (TOO_MANY_ATTEMPTS) once there were too many failures."""
        until = now() + self._window
        await self._limiter.admit(
            Limit(_login_caller(caller_address), self._per_caller, until),
            Limit(_login_account(email), self._per_account, until),
        )

    async def forgive(self, email: str, caller_address: str) -> None:
        """The attempt succeeded: it is no failure of the caller, and the account's are forgotten."""
        await self.forget(email)
        await self._limiter.forgive(_login_caller(caller_address))

    async def forget(self, email: str) -> None:
        """The account's failures count no more."""
        await self._limiter.forget(_login_account(email))


class LinkThrottle:
    """Counts the tokens of links that are none, per caller."""

    def __init__(self, engine: AsyncEngine, settings: IdentitySettings) -> None:
        self._limiter = Limiter(engine, limits, REASON_TOO_MANY_ATTEMPTS)
        self._per_caller = settings.link_failures_per_caller
        self._window = settings.link_window

    async def count(self, caller_address: str) -> None:
        """Counts a wrong token. RESOURCE_EXHAUSTED (TOO_MANY_ATTEMPTS) once there were too many."""
        until = now() + self._window
        await self._limiter.admit(Limit(f"link:caller:{network_of(caller_address)}", self._per_caller, until))


class OrderThrottle:
    """Counts the orders of a new password, per address and per caller (R22)."""

    def __init__(self, engine: AsyncEngine, settings: IdentitySettings) -> None:
        self._limiter = Limiter(engine, limits, REASON_TOO_MANY_ORDERS)
        self._per_address = settings.password_orders_per_address
        self._per_caller = settings.password_orders_per_caller
        self._window = settings.password_order_window

    async def admit(self, email: str, caller_address: str) -> None:
        """Counts an order. RESOURCE_EXHAUSTED (TOO_MANY_ORDERS) once there were too many."""
        until = now() + self._window
        await self._limiter.admit(
            Limit(f"order:caller:{network_of(caller_address)}", self._per_caller, until),
            Limit(f"order:address:{email}", self._per_address, until),
        )


def _login_account(email: str) -> str:
    return f"log-in:account:{email}"


def _login_caller(address: str) -> str:
    return f"log-in:caller:{network_of(address)}"
