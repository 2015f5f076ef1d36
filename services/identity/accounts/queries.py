"""Queries of accounts."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.identity.v1.account_service_pb2 import Account as AccountMessage
from liity.identity.v1.account_service_pb2 import AccountMembership
from services.identity.models import Account, Membership
from services.runtime.rpc.errors import FieldViolation, invalid
from services.runtime.text import email_addresses


def address_of(email: str) -> str:
    """The form in which a new account's address is stored. INVALID_ARGUMENT if it is no address."""
    try:
        email_addresses.parse(email)
    except email_addresses.InvalidAddressError as error:
        raise invalid([FieldViolation("email", error.reason)]) from None
    return email_addresses.fold(email)


class StoredAccount(NamedTuple):
    """An account and the hash of its password."""

    account: AccountMessage
    password_hash: str


async def find_account(connection: AsyncConnection, condition: ColumnElement[bool]) -> StoredAccount | None:
    """The one account that satisfies the condition; None if there is none."""
    found = await find_accounts(connection, condition)
    return found[0] if found else None


async def find_accounts(connection: AsyncConnection, condition: ColumnElement[bool]) -> list[StoredAccount]:
    """The accounts that satisfy the condition, each with its memberships by unit ID."""
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
        )
        .where(condition)
        .order_by(Account.account_id)
    )
    return [StoredAccount(_message(row), row.password_hash) for row in found]


def _message(row: Row[Any]) -> AccountMessage:
    return AccountMessage(
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
