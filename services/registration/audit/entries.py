"""Entries of the log of use: who has seen or changed whose data, for which unit, and when (R36)."""

import asyncio
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.clock import now
from services.runtime.data.database import is_away
from services.runtime.rpc.context import current_actor
from services.runtime.settings import SettingsError

log = structlog.get_logger()

LOOK_UP = "customer:look-up"
"""The action of a look-up by personal identity code, as in the access table."""

_MAY_CHANGE = text(
    """
    SELECT has_table_privilege(to_regclass('use_chain'), 'INSERT')
    OR has_table_privilege(to_regclass('use_waiting'), 'INSERT')
    OR has_table_privilege(to_regclass('use_turn'), 'INSERT')
    OR has_function_privilege(to_regproc('chain_use'), 'EXECUTE')
    OR bool_or(has_table_privilege(to_regclass(name), privilege))
    FROM unnest(ARRAY['use_entries', 'use_chain', 'use_waiting', 'use_turn']) AS name,
    unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
    """
)
"""NULL if there is no log of use, or one of an older release."""

_LINK_WAITING = text("SELECT link_waiting_uses()")

LINK_INTERVAL = timedelta(seconds=3)
"""How long at most an entry committed while another was being chained waits for its link."""


def use_row(action: str, subject_ids: Iterable[str], outcome: str = "OK") -> dict[str, Any]:
    """The entry for the current actor's action, as parameters for the columns of `use_entries`."""
    actor = current_actor()
    return {
        "use_id": uuid.uuid4(),
        "used_at": now(),
        "actor_kind": actor.kind,
        "account_id": actor.account_id,
        "actor_role": actor.role,
        "for_unit_id": actor.unit_id,
        "action": action,
        "subject_ids": sorted(subject_ids),
        "outcome": outcome,
        "call_id": actor.request_id,
        "trace_id": actor.trace_id,
    }


async def link_waiting(engine: AsyncEngine) -> None:
    """Chains entries that were committed while others were being chained.

    Never waits for a lock: whoever holds the chain links them, or the next call does.
    """
    async with engine.execution_options(isolation_level="READ COMMITTED").connect() as connection:
        while await connection.scalar(_LINK_WAITING):
            await connection.commit()


async def require_append_only(engine: AsyncEngine) -> None:
    """Refuses to start with a database role that could change the log. SettingsError says what to do.

    Waits while the database is unreachable.
    """
    may_change = await _may_change(engine)
    if may_change is None:
        raise SettingsError(
            "The database of LIITY_DATABASE_URL has no log of use: run `liity migrate registration` first"
        )
    if may_change:
        raise SettingsError(
            "The role of LIITY_DATABASE_URL may change the log of use: migrate with the owner's role, and"
            " serve with one that owns nothing (docs/operating.md, First start)"
        )


async def _may_change(engine: AsyncEngine) -> bool | None:
    while True:
        try:
            async with engine.connect() as connection:
                may_change: bool | None = await connection.scalar(_MAY_CHANGE)
                return may_change
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("database away", error=type(error).__name__)
        await asyncio.sleep(1)
