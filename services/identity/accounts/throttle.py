"""Rate limits of log-ins, of wrong link tokens, and of orders of a new password or consent link.

Every attempt is counted before it is examined, so that parallel guesses count too. The caller's limit comes
before the account's: a throttled caller is counted no further and cannot lock accounts.
"""

from typing import NamedTuple

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.reason_pb2 import (
    REASON_TOO_MANY_ATTEMPTS,
    REASON_TOO_MANY_LINK_ORDERS,
    REASON_TOO_MANY_ORDERS,
)
from services.identity.models import LockOuts, limits
from services.identity.settings import IdentitySettings
from services.runtime.clock import helsinki_day, now
from services.runtime.data.rate_limits import Limit, Limiter, key_hash, network_of
from services.runtime.rpc.errors import Refusal

_VERIFIED = 10
"""Factor by which a throttled caller may exceed its limit where accounts are known."""


class Attempt(NamedTuple):
    """A log-in attempt that was counted and may be verified."""

    email: str
    caller_address: str
    throttled: Refusal | None
    """The refusal, unless the password is right and the account is known at the caller's network."""


class LoginThrottle:
    """Counts failed log-ins per account, per caller, and per account and caller.

    The limits per account and per caller do not stop a right password from a network where the account has
    logged in before: otherwise anybody could lock anybody out. There, the limit per account and caller
    applies. It applies whether or not the account is known there, so that no answer reveals which accounts
    are.
    """

    def __init__(self, engine: AsyncEngine, settings: IdentitySettings) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._limiter = Limiter(engine, limits, REASON_TOO_MANY_ATTEMPTS)
        self._per_account = settings.login_failures_per_account
        self._per_caller = settings.login_failures_per_caller
        self._per_place = settings.login_failures_per_place
        self._window = settings.login_window

    async def admit(self, email: str, caller_address: str) -> Attempt:
        """Counts an attempt.

        Raises RESOURCE_EXHAUSTED (TOO_MANY_ATTEMPTS) once no password is accepted from the address.
        """
        until = now() + self._window
        verified = Limit(_verified(caller_address), _VERIFIED * self._per_caller, until)
        place = Limit(_place(email, caller_address), self._per_place, until)
        caller = Limit(_caller(caller_address), self._per_caller, until)
        account = Limit(lock_out_key(email), self._per_account, until)
        reached = await self._limiter.count(verified, place, caller, account)
        # Only the first attempt beyond the limit records the lock-out.
        if any(one.limit in {place, account} and one.events == one.limit.most + 1 for one in reached):
            await self._record_lock_out(email)
        if any(one.limit in {verified, place} for one in reached):
            raise self._limiter.refusal(reached)
        return Attempt(email, caller_address, self._limiter.refusal(reached) if reached else None)

    async def forgive(self, attempt: Attempt) -> None:
        """Takes a successful attempt off the counts, and clears the account's failures.

        Failures that have locked the account stay: they were not made by its owner.
        """
        if attempt.throttled is None:
            await self._limiter.forget(lock_out_key(attempt.email))
        else:
            await self._limiter.forgive(lock_out_key(attempt.email))
        await self._limiter.forget(_place(attempt.email, attempt.caller_address))
        await self._limiter.forgive(_caller(attempt.caller_address))
        await self._limiter.forgive(_verified(attempt.caller_address))

    async def forget(self, email: str, caller_address: str) -> None:
        """Clears the account's failures: those from anywhere, and those from this address."""
        await self._limiter.forget(lock_out_key(email))
        await self._limiter.forget(_place(email, caller_address))

    async def _record_lock_out(self, email: str) -> None:
        """Records a lock-out, also if no account has the address: the answer and its time stay the same."""
        moment = now()
        new = insert(LockOuts).values(
            key=key_hash(lock_out_key(email)),
            day=helsinki_day(moment),
            number=1,
            first_at=moment,
            last_at=moment,
        )
        again = {"number": LockOuts.number + 1, "last_at": moment}
        async with self._single.connect() as connection:
            await connection.execute(
                new.on_conflict_do_update(index_elements=[LockOuts.key, LockOuts.day], set_=again)
            )


class LinkThrottle:
    """Counts forged link tokens, per caller."""

    def __init__(self, engine: AsyncEngine, settings: IdentitySettings) -> None:
        self._limiter = Limiter(engine, limits, REASON_TOO_MANY_ATTEMPTS)
        self._per_caller = settings.link_failures_per_caller
        self._window = settings.link_window

    async def count(self, caller_address: str) -> None:
        """Counts a forged token; raises RESOURCE_EXHAUSTED (TOO_MANY_ATTEMPTS) after too many."""
        until = now() + self._window
        await self._limiter.admit(Limit(f"link:caller:{network_of(caller_address)}", self._per_caller, until))


class OrderThrottle:
    """Counts orders of a new password, per address and per caller (R22, R42).

    Only the limit per caller refuses: whoever knows an address could use up its orders, and then nobody's way
    out by mail would work. Orders beyond the limit of an address are mailed only if no earlier link works.
    """

    def __init__(self, engine: AsyncEngine, settings: IdentitySettings) -> None:
        self._limiter = Limiter(engine, limits, REASON_TOO_MANY_ORDERS)
        self._per_address = settings.password_orders_per_address
        self._per_caller = settings.password_orders_per_caller
        self._window = settings.password_order_window

    async def admit(self, name: str, caller_address: str) -> bool:
        """Counts an order for an address or user name; whether the limit for it is kept.

        Raises RESOURCE_EXHAUSTED (TOO_MANY_ORDERS) after too many by the caller.
        """
        until = now() + self._window
        caller = Limit(f"order:caller:{network_of(caller_address)}", self._per_caller, until)
        address = Limit(f"order:address:{name}", self._per_address, until)
        reached = await self._limiter.count(caller, address)
        if any(one.limit is caller for one in reached):
            raise self._limiter.refusal(reached)
        return not reached


class ConsentLinkOrderThrottle:
    """Counts orders of a guardian's link anew, per old link and per caller."""

    def __init__(self, engine: AsyncEngine, settings: IdentitySettings) -> None:
        self._limiter = Limiter(engine, limits, REASON_TOO_MANY_LINK_ORDERS)
        self._per_link = settings.consent_link_orders_per_link
        self._per_caller = settings.consent_link_orders_per_caller
        self._window = settings.consent_link_order_window

    async def admit(self, link_id: str, caller_address: str) -> None:
        """Counts an order; raises RESOURCE_EXHAUSTED (TOO_MANY_LINK_ORDERS) after too many."""
        until = now() + self._window
        await self._limiter.admit(
            Limit(f"consent link order:caller:{network_of(caller_address)}", self._per_caller, until),
            Limit(f"consent link order:link:{link_id}", self._per_link, until),
        )


LOCK_OUT_PREFIX = "log-in:account:"
"""Prefix of the key that counts an account's failures; the e-mail address follows."""


def lock_out_key(email: str) -> str:
    """The key that counts an account's failures from anywhere."""
    return LOCK_OUT_PREFIX + email


def _caller(address: str) -> str:
    return f"log-in:caller:{network_of(address)}"


def _verified(address: str) -> str:
    return f"log-in:verified:{network_of(address)}"


def _place(email: str, address: str) -> str:
    return f"log-in:place:{network_of(address)} {email}"
