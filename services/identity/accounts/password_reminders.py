"""Yearly reminders to registrars and staff to change their password (R22)."""

from datetime import datetime, timedelta

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.account_service_pb2 import Account as AccountMessage
from liity.identity.v1.account_service_pb2 import AgedPassword
from services.identity.models import Account, Membership
from services.runtime.clock import now


class PasswordAges:
    """Finds accounts whose password is old and records reminders."""

    def __init__(self, engine: AsyncEngine, age: timedelta) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._age = age

    async def aged(self, page_size: int) -> list[AgedPassword]:
        """Accounts with an old password and no reminder for as long.

        Leaves out accounts without a role and without a unit: they can do nothing.
        """
        old = now() - self._age
        belongs = exists().where(Membership.account_id == Account.account_id)
        statement = (
            select(
                Account.account_id,
                Account.email,
                Account.display_name,
                Account.language,
                Account.password_chosen_at,
                Account.password_reminded_at,
            )
            .where(
                Account.password_chosen_at <= old,
                or_(Account.password_reminded_at.is_(None), Account.password_reminded_at <= old),
                or_(func.cardinality(Account.roles) > 0, belongs),
            )
            .order_by(Account.account_id)
            .limit(page_size)
        )
        async with self._single.connect() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            _message(
                AccountMessage(
                    account_id=row.account_id,
                    email=row.email,
                    display_name=row.display_name,
                    language=row.language,
                ),
                row.password_chosen_at,
                row.password_reminded_at,
            )
            for row in rows
        ]

    async def mark_reminded(self, account_id: str) -> None:
        """Records that the account was reminded now."""
        statement = update(Account).where(Account.account_id == account_id).values(password_reminded_at=now())
        async with self._single.connect() as connection:
            await connection.execute(statement)


def _message(account: AccountMessage, chosen_at: datetime, reminded_at: datetime | None) -> AgedPassword:
    message = AgedPassword(account=account)
    message.choose_time.FromDatetime(chosen_at)
    if reminded_at is not None:
        message.remind_time.FromDatetime(reminded_at)
    return message
