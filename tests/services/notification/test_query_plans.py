"""Every sweep and list of notification goes by an index, however many mails there are."""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_PENDING,
    DELIVERY_STATE_RETURNED,
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_UNDELIVERABLE,
)
from services.notification.book_tips.store import BookTipsStore, sweep_edits
from services.notification.mail.deliveries import MessageStore, sweep_origins
from services.notification.models import Base, limits
from services.runtime.data.rate_limits import sweep_limits
from tests.conftest import running_postgres
from tests.support.query_plans import Plans, filled

_EVERY_FIVE_MINUTES = "now() - n * interval '5 minutes'"

FILLING = {
    "messages": {
        "subject_id": "'su' || n / 5",
        "state": f"CASE n % 1000 WHEN 1 THEN {DELIVERY_STATE_PENDING}"
        f" WHEN 2 THEN {DELIVERY_STATE_UNDELIVERABLE} WHEN 3 THEN {DELIVERY_STATE_RETURNED}"
        f" ELSE {DELIVERY_STATE_SENT} END",
        "create_time": _EVERY_FIVE_MINUTES,
        "update_time": _EVERY_FIVE_MINUTES,
        "lease_until": "now()",
        # Two weeks of mail, and a day that is to be swept.
        "origin": r"CASE WHEN n < 15 * 288 THEN '\x00'::bytea END",
        "returned_time": f"CASE WHEN n % 1000 IN (2, 3) THEN {_EVERY_FIVE_MINUTES} END",
        "settle_time": "CASE WHEN n % 2000 = 2 THEN now() END",
        "again_time": f"CASE WHEN n % 1000 = 3 THEN {_EVERY_FIVE_MINUTES} END",
    }
}

FEW = frozenset({"book_tips"})


async def _measured(engine: AsyncEngine) -> None:
    await MessageStore(engine).figures()


async def _erased(engine: AsyncEngine) -> None:
    await MessageStore(engine).erase(["su7", "su8"])


async def _settled(engine: AsyncEngine) -> None:
    await MessageStore(engine).settle([uuid4(), uuid4()])


async def _settled_again(engine: AsyncEngine) -> None:
    await MessageStore(engine).settle_again(uuid4())


async def _found(engine: AsyncEngine) -> None:
    await MessageStore(engine).find(uuid4())


async def _listed(engine: AsyncEngine) -> None:
    await MessageStore(engine).list_of("su7")


async def _exported(engine: AsyncEngine) -> None:
    await MessageStore(engine).told_of(["su7", "su8"])


async def _returned(engine: AsyncEngine) -> None:
    await MessageStore(engine).returned(100)


async def _to_send_again(engine: AsyncEngine) -> None:
    await MessageStore(engine).to_send_again(100)


async def _came_back(engine: AsyncEngine) -> None:
    await MessageStore(engine).bounce(uuid4(), DELIVERY_STATE_UNDELIVERABLE, "550 5.1.1")


async def _book_tips(engine: AsyncEngine) -> None:
    await BookTipsStore(engine).read("bookTips/fi")


STATEMENTS: dict[str, Callable[[AsyncEngine], Awaitable[None]]] = {
    "sweep of limits": lambda engine: sweep_limits(engine, limits),
    "sweep of edits of book tips": sweep_edits,
    "sweep of what mail is sent again by": sweep_origins,
    "figures": _measured,
    "mail about subjects is erased": _erased,
    "returned mail is settled": _settled,
    "mail to send again is settled": _settled_again,
    "a delivery": _found,
    "deliveries about a subject": _listed,
    "export": _exported,
    "returned mail": _returned,
    "mail to send again": _to_send_again,
    "a mail comes back": _came_back,
    "book tips": _book_tips,
}


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncEngine]:
    async with (
        running_postgres(tmp_path_factory.mktemp("postgres")) as server,
        filled(server, "notification", Base.metadata, FILLING, FEW) as engine,
    ):
        yield engine


@pytest.mark.parametrize("named", STATEMENTS)
async def test_every_sweep_and_list_goes_by_an_index(engine: AsyncEngine, named: str) -> None:
    plans = Plans(engine, FEW)
    with plans.watching():
        await STATEMENTS[named](engine)
    assert await plans.wrong() == []
