"""A statement that waits too long for a lock says that the database is busy: that is no fault."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from deploy.local.postgres import EmbeddedPostgres
from services.runtime.data.database import is_away
from tests.services.conftest import migrated_engine

_LOCK = text("LOCK TABLE use_entries IN ACCESS EXCLUSIVE MODE")
_READ = text("SELECT count(*) FROM use_entries")
_SOON = text("SET LOCAL lock_timeout = '50ms'")


async def test_a_lock_that_does_not_come_is_no_fault(postgres: EmbeddedPostgres, keys_dir: Path) -> None:
    """Else a caller is told INTERNAL or UNAVAILABLE by which of two clocks strikes first."""
    owner = await postgres.connect("registration_owner", "registration")
    async with migrated_engine(postgres, "registration", keys_dir) as engine:
        async with owner.transaction():
            await owner.execute(str(_LOCK))
            async with engine.connect() as connection:
                await connection.execute(_SOON)
                with pytest.raises(DBAPIError) as refused:
                    await connection.execute(_READ)
            assert is_away(refused.value)
        async with engine.connect() as connection:
            assert await connection.scalar(_READ) is not None
    await owner.close()
