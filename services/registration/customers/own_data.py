"""A customer's own data is shown by a mailed link only to who knows the date of birth: mail may go astray."""

from datetime import date, timedelta

from google.type.date_pb2 import Date
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.reason_pb2 import (
    REASON_BIRTH_DATE_DIFFERS,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_INVALID_DATE,
    REASON_TOO_MANY_ATTEMPTS,
)
from services.registration.db.models import customers, limits
from services.registration.settings import RegistrationSettings
from services.runtime.clock import from_proto_date, now
from services.runtime.data.rate_limits import Limit, Limiter
from services.runtime.rpc.errors import FieldViolation, invalid, not_found

_BIRTH_DATE = select(customers.c.birth_date).where(customers.c.customer_id == bindparam("id"))
_WINDOW = timedelta(days=1)


class BirthDates:
    """Compares dates of birth with those of customers, and counts wrong ones."""

    def __init__(self, engine: AsyncEngine, settings: RegistrationSettings) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._limiter = Limiter(engine, limits, REASON_TOO_MANY_ATTEMPTS)
        self._most = settings.own_data_attempts

    async def require(self, customer_id: str, given: Date) -> None:
        """Refuses a wrong date, and every date once there were too many wrong ones."""
        day = _day(given)
        limit = Limit(f"own-data:{customer_id}", self._most, now() + _WINDOW)
        await self._limiter.require(limit)
        async with self._single.connect() as connection:
            stored = (await connection.execute(_BIRTH_DATE, {"id": customer_id})).first()
        if stored is None:
            raise not_found(REASON_CUSTOMER_NOT_FOUND)
        if stored.birth_date != day:
            await self._limiter.count(limit)
            raise invalid([FieldViolation("birth_date", REASON_BIRTH_DATE_DIFFERS)])


def _day(given: Date) -> date:
    try:
        return from_proto_date(given)
    except ValueError:
        raise invalid([FieldViolation("birth_date", REASON_INVALID_DATE)]) from None
