"""The log of use: who has looked at or changed whose data, for which unit, when (R36)."""

import uuid
from collections.abc import Iterable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.clock import now
from services.runtime.requests import current_actor
from services.runtime.settings import SettingsError

LOOK_UP = "customer:look-up"
"""The action of a search by personal identity code, as the access table names it."""

_MAY_CHANGE = text(
    """
    SELECT bool_or(has_table_privilege(name, privilege))
    FROM unnest(ARRAY['use_entries', 'use_chain']) AS name,
    unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
    """
)


def use_row(action: str, subject_ids: Iterable[str], outcome: str = "OK") -> dict[str, Any]:
    """The entry about what the current actor does, as parameters for the columns of `use_entries`."""
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


async def require_append_only(engine: AsyncEngine) -> None:
    """Refuses to work with a database role that could change the log. SettingsError says what to do."""
    async with engine.connect() as connection:
        if await connection.scalar(_MAY_CHANGE):
            raise SettingsError(
                "The role of LIITY_DATABASE_URL may change the log of use: migrate with the owner's role, and"
                " serve with one that owns nothing (docs/operating.md, First start)"
            )
