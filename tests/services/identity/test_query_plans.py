"""Every sweep of identity goes by an index, however many rows there are."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity import cleanup
from services.identity.models import Base, limits
from services.runtime.data.rate_limits import sweep_limits
from tests.conftest import running_postgres
from tests.support.query_plans import Plans, filled

FILLING = {
    "persons": {
        "retained_at": "CASE WHEN n % 1000 = 0 THEN NULL ELSE now() END",
        "hetu_index": "sha256(n::text::bytea)",
    },
    "code_changes": {"committed_at": "now()"},
    "invitations": {"unit_id": "'un' || 1 + n % 1000"},
    "lock_outs": {"day": "current_date"},
    "memberships": {"unit_id": "'un' || 1 + n % 1000"},
}

SWEEPS: dict[str, Callable[[AsyncEngine], Awaitable[None]]] = {
    "identity": cleanup.sweep,
    "limits": lambda engine: sweep_limits(engine, limits),
}


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncEngine]:
    async with (
        running_postgres(tmp_path_factory.mktemp("postgres")) as server,
        filled(server, "identity", Base.metadata, FILLING, {"known_keys"}) as engine,
    ):
        yield engine


@pytest.mark.parametrize("sweep", SWEEPS)
async def test_every_sweep_goes_by_an_index(engine: AsyncEngine, sweep: str) -> None:
    plans = Plans(engine)
    with plans.watching():
        await SWEEPS[sweep](engine)
    assert await plans.wrong() == []
