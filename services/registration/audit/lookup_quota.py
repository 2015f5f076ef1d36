"""Limits on look-ups of persons: enough for daily work, too few to try out codes."""

import contextlib

from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT
from liity.v1.reason_pb2 import REASON_TOO_MANY_LOOK_UPS
from services.registration.db.models import limits
from services.registration.settings import RegistrationSettings
from services.runtime.clock import now
from services.runtime.data.rate_limits import Limit, Limiter
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import Refusal


class LookUps:
    """Counts look-ups per account and per unit. Look-ups by workflows are not counted."""

    def __init__(self, engine: AsyncEngine, settings: RegistrationSettings) -> None:
        self._limiter = Limiter(engine, limits, REASON_TOO_MANY_LOOK_UPS)
        self._settings = settings

    async def admit(self) -> None:
        """Counts a look-up. RESOURCE_EXHAUSTED (TOO_MANY_LOOK_UPS) over a limit."""
        if held := self._limits():
            await self._limiter.admit(*held)

    async def require(self) -> None:
        """Refuses as `admit` would, without counting."""
        if held := self._limits():
            await self._limiter.require(*held)

    async def admit_list(self, rows: int) -> None:
        """Counts the rows of a class list, by limits of their own. A refused list is not counted."""
        held = self._list_limits(rows)
        for place, limit in enumerate(held):
            try:
                await self._limiter.admit(limit)
            except Refusal:
                for counted in held[: place + 1]:
                    await self._limiter.forgive(counted.key, counted.events)
                raise

    async def count(self) -> None:
        """Counts a look-up that can no longer be refused."""
        with contextlib.suppress(Refusal):
            await self.admit()

    def _limits(self) -> tuple[Limit, ...]:
        actor = current_actor()
        if actor.kind != ACTOR_KIND_ACCOUNT:
            return ()
        until = now() + self._settings.look_up_window
        account = Limit(f"look-up:account:{actor.account_id}", self._settings.look_ups_per_account, until)
        unit = Limit(f"look-up:unit:{actor.unit_id}", self._settings.look_ups_per_unit, until)
        return (account, unit) if actor.unit_id else (account,)

    def _list_limits(self, rows: int) -> tuple[Limit, ...]:
        actor = current_actor()
        if actor.kind != ACTOR_KIND_ACCOUNT:
            return ()
        until = now() + self._settings.class_list_window
        account = f"class-list:account:{actor.account_id}"
        unit = f"class-list:unit:{actor.unit_id}"
        return (
            Limit(account, self._settings.class_list_rows_per_account, until, rows),
            Limit(unit, self._settings.class_list_rows_per_unit, until, rows),
        )
