"""Queries of invitations. An invitation's state is that of its link."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Result, Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import Executable

from liity.identity.v1.registrar_service_pb2 import (
    INVITATION_STATE_ACCEPTED,
    INVITATION_STATE_EXPIRED,
    INVITATION_STATE_OPEN,
    INVITATION_STATE_VOID,
    InvitationState,
)
from liity.identity.v1.registrar_service_pb2 import Invitation as InvitationMessage
from services.identity.models import OPEN_INVITATIONS, Invitation, Link
from services.runtime.clock import now

_COLUMNS = (
    Invitation.invitation_id,
    Invitation.link_id,
    Invitation.unit_id,
    Invitation.email,
    Invitation.role,
    Invitation.language,
    Invitation.inviter_account_id,
    Link.expires_at,
    Link.used_at,
    Link.voided_at,
)


async def find_invitations(connection: AsyncConnection, condition: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """The invitations that satisfy the condition, by address."""
    found: Result[Any] = await connection.execute(
        select(*_COLUMNS)
        .join(Link, Link.link_id == Invitation.link_id)
        .where(condition)
        .order_by(Invitation.email, Invitation.invitation_id)
    )
    rows: Sequence[Any] = found.all()
    return rows


async def find_invitation(connection: AsyncConnection, condition: ColumnElement[bool]) -> Row[Any] | None:
    """The one invitation that satisfies the condition; None if there is none."""
    found = await find_invitations(connection, condition)
    return found[0] if found else None


def open_invitations(after: str, made_before: datetime, limit: int) -> Executable:
    """Selects open invitations made before a moment, in the order of their IDs, after the ID `after`."""
    return (
        select(*_COLUMNS)
        .join(Link, Link.link_id == Invitation.link_id)
        .where(
            OPEN_INVITATIONS,
            Invitation.invitation_id > after,
            Link.created_at < made_before,
            Link.expires_at > now(),
        )
        .order_by(Invitation.invitation_id)
        .limit(limit)
    )


def is_open(moment: datetime) -> ColumnElement[bool]:
    """Whether an invitation's link can still be used."""
    return Link.used_at.is_(None) & Link.voided_at.is_(None) & (Link.expires_at > moment)


async def void_invitations(connection: AsyncConnection, condition: ColumnElement[bool]) -> list[str]:
    """Voids the open ones among the invitations that satisfy the condition; returns their IDs."""
    moment = now()
    statement = (
        update(Link)
        .where(Link.link_id.in_(select(Invitation.link_id).where(condition)), is_open(moment))
        .values(voided_at=moment)
        .returning(Link.subject)
    )
    return list((await connection.execute(statement)).scalars())


async def one_after_another(connection: AsyncConnection, unit_id: str, email: str) -> None:
    """Takes an advisory lock on (unit, e-mail) for the transaction."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(unit_id + email, 0))))


def to_message(row: Row[Any]) -> InvitationMessage:
    """Converts a row to the contract's message."""
    message = InvitationMessage(
        invitation_id=row.invitation_id,
        unit_id=row.unit_id,
        email=row.email,
        role=row.role,
        language=row.language,
        inviter_account_id=row.inviter_account_id,
        state=_state(row),
    )
    message.expire_time.FromDatetime(row.expires_at)
    return message


def _state(row: Row[Any]) -> InvitationState.ValueType:
    if row.used_at is not None:
        return INVITATION_STATE_ACCEPTED
    if row.voided_at is not None:
        return INVITATION_STATE_VOID
    return INVITATION_STATE_EXPIRED if row.expires_at <= now() else INVITATION_STATE_OPEN
