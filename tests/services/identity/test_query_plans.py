"""Every sweep of identity goes by an index, however many rows there are."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity import cleanup
from services.identity.credentials.unused_links import UnusedLinks
from services.identity.links.tokens import SealedIds
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
    "links": {"purpose": "2", "notices": "0"},
    "lock_outs": {"day": "current_date"},
    "memberships": {"unit_id": "'un' || 1 + n % 1000"},
}


async def _unused_links(engine: AsyncEngine) -> None:
    # No link is of somebody with credentials: nothing is sealed.
    await UnusedLinks(engine, cast(SealedIds, None), timedelta(days=7)).due(20, "")


SWEEPS: dict[str, Callable[[AsyncEngine], Awaitable[None]]] = {
    "identity": cleanup.sweep,
    "unused links": _unused_links,
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
