"""Networks from which accounts have logged in, and accounts that were locked repeatedly."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.account_service_pb2 import ListLockOutsResponse
from services.identity.links.tokens import SealedIds
from services.identity.models import LOCK_OUT_KEY, Account, KnownPlace, LockOuts
from services.runtime.clock import helsinki_day, now
from services.runtime.data.rate_limits import network_of

_MOST = 200
"""Most rows in one answer: one per account and day."""


class KnownPlaces:
    """Networks by account, as keyed hashes: the table shows no address. A new primary key forgets them."""

    def __init__(self, engine: AsyncEngine, sealed_ids: SealedIds, suspicious_lock_outs: int) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sealed_ids = sealed_ids
        self._suspicious_lock_outs = suspicious_lock_outs

    async def anybody_at(self, caller_address: str) -> bool:
        """Whether any account has logged in from the address's network."""
        found = select(KnownPlace.account_id).where(KnownPlace.place == self._mark(caller_address)).limit(1)
        async with self._single.connect() as connection:
            return await connection.scalar(found) is not None

    async def know(self, account_id: str, caller_address: str) -> bool:
        """Whether the account has logged in from the address's network."""
        found = select(KnownPlace.account_id).where(
            KnownPlace.account_id == account_id, KnownPlace.place == self._mark(caller_address)
        )
        async with self._single.connect() as connection:
            return await connection.scalar(found) is not None

    async def remember(self, account_id: str, caller_address: str) -> None:
        """Records a log-in of the account from the address's network."""
        moment = now()
        seen = insert(KnownPlace).values(
            account_id=account_id, place=self._mark(caller_address), seen_at=moment
        )
        async with self._single.connect() as connection:
            await connection.execute(
                seen.on_conflict_do_update(
                    index_elements=[KnownPlace.account_id, KnownPlace.place], set_={"seen_at": moment}
                )
            )

    async def lock_outs(self, since: datetime) -> ListLockOutsResponse:
        """Accounts and days with suspiciously many lock-outs, the latest day first."""
        threshold = self._suspicious_lock_outs
        found = (
            select(Account.account_id, LockOuts.number, LockOuts.first_at, LockOuts.last_at)
            .join(LockOuts, LockOuts.key == LOCK_OUT_KEY)
            .where(LockOuts.day >= helsinki_day(since), LockOuts.number > threshold)
            .order_by(LockOuts.day.desc(), LockOuts.number.desc(), Account.account_id)
            .limit(_MOST)
        )
        response = ListLockOutsResponse(threshold=threshold)
        async with self._single.connect() as connection:
            for row in await connection.execute(found):
                lock_outs = response.lock_outs.add(account_id=row.account_id, count=row.number)
                lock_outs.start_time.FromDatetime(row.first_at)
                lock_outs.end_time.FromDatetime(row.last_at)
        return response

    def _mark(self, caller_address: str) -> bytes:
        return self._sealed_ids.mark(f"place {network_of(caller_address)}")
