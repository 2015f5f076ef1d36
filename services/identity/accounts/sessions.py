"""Sessions and refresh tokens: a token works once, and using it again later ends the session (RFC 9700)."""

from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import ScalarSelect, bindparam, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liity.v1.reason_pb2 import REASON_SESSION_ENDED
from services.identity.accounts.queries import StoredAccount
from services.identity.links.tokens import SealedIds, new_id
from services.identity.models import Account, RefreshToken, Session
from services.runtime.clock import now
from services.runtime.rpc.errors import unauthenticated

log = structlog.get_logger()

_LIVES = select(Session.account_id).where(
    Session.session_id == bindparam("session"), Session.expires_at > bindparam("moment")
)


class RunningSession(NamedTuple):
    """A session: its account, its newest refresh token and when that expires."""

    session_id: str
    account_id: str
    refresh_token: str
    expires_at: datetime


class Sessions:
    """Starts, refreshes and ends sessions. Revoking one deletes its row, so all its tokens become unknown."""

    def __init__(
        self, engine: AsyncEngine, sealed_ids: SealedIds, lifetime: timedelta, grace: timedelta
    ) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sealed_ids = sealed_ids
        self._lifetime = lifetime
        self._grace = grace

    async def start(self, verified: StoredAccount) -> RunningSession | None:
        """Starts a session after a verified password; None if the account's password has changed since."""
        moment = now()
        account_id = verified.account.account_id
        session_id, token_id = new_id(), new_id()
        expires_at = moment + self._lifetime
        async with self._engine.begin() as connection:
            # Choosing a new password ends all sessions: the row lock makes it wait for this one, or this one
            # for it.
            current = await connection.scalar(
                select(Account.password_hash)
                .where(Account.account_id == account_id)
                .with_for_update(read=True)
            )
            if current != verified.password_hash:
                return None
            await connection.execute(
                insert(Session).values(
                    session_id=session_id, account_id=account_id, created_at=moment, expires_at=expires_at
                )
            )
            await connection.execute(insert(RefreshToken).values(token_id=token_id, session_id=session_id))
        return RunningSession(session_id, account_id, self._sealed_ids.seal("refresh", token_id), expires_at)

    async def rotate(self, refresh_token: str, request_id: str) -> RunningSession:
        """Replaces the session's refresh token; the same request gets the same token again.

        So does another request within the grace: two tabs renew at once. Raises UNAUTHENTICATED
        (SESSION_ENDED) if the session has ended, or if another request has used the token before that: it
        was stolen, so the session is revoked.
        """
        token_id = self._sealed_ids.open("refresh", refresh_token)
        if token_id is None:
            raise unauthenticated(REASON_SESSION_ENDED)
        moment = now()
        expires_at = moment + self._lifetime
        async with self._engine.begin() as connection:
            # Locks the session's row until the transaction ends, so that its tokens rotate one at a time.
            running = await connection.execute(
                update(Session)
                .where(Session.session_id == _session_of(token_id), Session.expires_at > moment)
                .values(expires_at=expires_at)
                .returning(Session.session_id, Session.account_id)
            )
            session = running.one_or_none()
            if session is None:
                raise unauthenticated(REASON_SESSION_ENDED)
            successor_id = await _successor(
                connection, token_id, session.session_id, request_id, moment, moment - self._grace
            )
            if successor_id is None:
                await connection.execute(delete(Session).where(Session.session_id == session.session_id))
        if successor_id is None:
            log.warning("refresh token used twice: session revoked", account_id=session.account_id)
            raise unauthenticated(REASON_SESSION_ENDED)
        return RunningSession(
            session.session_id,
            session.account_id,
            self._sealed_ids.seal("refresh", successor_id),
            expires_at,
        )

    async def require(self, session_id: str) -> None:
        """Raises UNAUTHENTICATED (SESSION_ENDED) unless the session is alive."""
        async with self._single.connect() as connection:
            await require_session(connection, session_id)

    async def end(self, refresh_token: str) -> None:
        """Revokes the token's session; does nothing for an unknown token."""
        token_id = self._sealed_ids.open("refresh", refresh_token)
        if token_id is not None:
            async with self._single.connect() as connection:
                await connection.execute(delete(Session).where(Session.session_id == _session_of(token_id)))


async def require_session(connection: AsyncConnection, session_id: str) -> None:
    """Raises UNAUTHENTICATED (SESSION_ENDED) unless the session is alive. Called for every API call."""
    if await connection.scalar(_LIVES, {"session": session_id, "moment": now()}) is None:
        raise unauthenticated(REASON_SESSION_ENDED)


def _session_of(token_id: str) -> ScalarSelect[str]:
    return select(RefreshToken.session_id).where(RefreshToken.token_id == token_id).scalar_subquery()


async def _successor(
    connection: AsyncConnection,
    token_id: str,
    session_id: str,
    request_id: str,
    moment: datetime,
    lately: datetime,
) -> str | None:
    """Makes the next token, or finds the one that this request made, or any request after `lately`.

    None if another request made it before that.
    """
    successor_id = new_id()
    used = await connection.execute(
        update(RefreshToken)
        .where(RefreshToken.token_id == token_id, RefreshToken.successor_id.is_(None))
        .values(successor_id=successor_id, rotated_request_id=request_id, rotated_at=moment)
    )
    if used.rowcount:
        await connection.execute(insert(RefreshToken).values(token_id=successor_id, session_id=session_id))
        return successor_id
    made_before: str | None = await connection.scalar(
        select(RefreshToken.successor_id).where(
            RefreshToken.token_id == token_id,
            or_(RefreshToken.rotated_request_id == request_id, RefreshToken.rotated_at > lately),
        )
    )
    return made_before
