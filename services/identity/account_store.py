"""Accounts as they are stored."""

from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.identity.v1.account_service_pb2 import Account as AccountMessage
from liity.identity.v1.account_service_pb2 import AccountMembership
from services.identity.models import Account, Membership


class StoredAccount(NamedTuple):
    """An account and the hash of its password."""

    account: AccountMessage
    password_hash: str


async def find_account(connection: AsyncConnection, condition: ColumnElement[bool]) -> StoredAccount | None:
    """The account a condition on the table finds, with its memberships by unit ID; None if there is none."""
    units = (
        select(func.jsonb_object_agg(Membership.unit_id, Membership.role))
        .where(Membership.account_id == Account.account_id)
        .scalar_subquery()
    )
    found = await connection.execute(
        select(
            Account.account_id,
            Account.email,
            Account.display_name,
            Account.password_hash,
            Account.language,
            Account.roles,
            units.label("units"),
        ).where(condition)
    )
    row = found.one_or_none()
    if row is None:
        return None
    account = AccountMessage(
        account_id=row.account_id,
        email=row.email,
        display_name=row.display_name,
        language=row.language,
        roles=row.roles,
        memberships=[
            AccountMembership(unit_id=unit_id, role=role)
            for unit_id, role in sorted((row.units or {}).items())
        ],
    )
    return StoredAccount(account, row.password_hash)
