"""Delivery state of mails: one call at a time claims a mail, and its outcome is recorded once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Interval,
    Row,
    RowMapping,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import aliased
from sqlalchemy.sql.base import Executable

from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_PENDING,
    DELIVERY_STATE_RETURNED,
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_UNDELIVERABLE,
)
from services.notification.mail.return_address import new_secret
from services.notification.mail.smtp import NotAccepted, Outcome, Refused, Sent
from services.notification.models import Message
from services.notification.privacy_export import DELIVERIES
from services.runtime.clock import now
from services.runtime.data.database import is_away

DeliveryRow = Row[Any]

_AGAIN_AFTER = timedelta(hours=1)
"""After an attempt to send a returned mail again that came to nothing."""

_ORIGIN_LIFETIME = timedelta(days=14)
"""How long it is kept by what a mail is sent again: longer than reports and delays take."""

_DELIVERY = (
    Message.request_id,
    Message.subject_id,
    Message.template,
    Message.state,
    Message.attempts,
    Message.last_error,
    Message.create_time,
    Message.update_time,
    Message.return_secret,
)
_LONGEST_WAIT = 1.0


# Every mail needs these statements, built once: building one costs more than running it.


def _claim() -> Executable:
    new = insert(Message).values(
        request_id=bindparam("request_id"),
        subject_id=bindparam("subject_id"),
        template=bindparam("template"),
        state=DELIVERY_STATE_PENDING,
        attempts=1,
        last_error="",
        lease_until=func.now() + bindparam("lease", type_=Interval),
        recipient_digest=bindparam("recipient_digest"),
        recipient_key=bindparam("recipient_key"),
        return_secret=bindparam("return_secret"),
        origin=bindparam("origin"),
    )
    # A mail that came back because of us, and whose time has come, or that an attempt since has left pending.
    again = Message.again_time.is_not(None)
    due_again = (Message.state == DELIVERY_STATE_RETURNED) & (Message.again_time <= func.now())
    taken_up = new.on_conflict_do_update(
        index_elements=[Message.request_id],
        set_={
            "state": DELIVERY_STATE_PENDING,
            "attempts": Message.attempts + 1,
            "lease_until": new.excluded.lease_until,
            # The address may have been corrected meanwhile.
            "recipient_digest": new.excluded.recipient_digest,
            "recipient_key": new.excluded.recipient_key,
            # A late report of the first sending must not count as one of the next.
            "return_secret": case(
                (again, new.excluded.return_secret),
                else_=func.coalesce(Message.return_secret, new.excluded.return_secret),
            ),
            # If this attempt comes to nothing, another one follows.
            "again_time": case((again, func.now() + _AGAIN_AFTER), else_=None),
        },
        where=((Message.state == DELIVERY_STATE_PENDING) | due_again)
        & (Message.lease_until < func.now())
        & (Message.subject_id == new.excluded.subject_id)
        & (Message.template == new.excluded.template),
    )
    return taken_up.returning(*_DELIVERY)


def _record(in_turn: ColumnElement[bool], **state: object) -> Executable:
    return (
        update(Message)
        .where(Message.request_id == bindparam("id"), Message.state == DELIVERY_STATE_PENDING, in_turn)
        .values(
            lease_until=func.now(),
            last_error=bindparam("error"),
            refuses_us=bindparam("of_us"),
            **state,
        )
        .returning(*_DELIVERY)
    )


_CLAIM = _claim()

_FORGET = (
    delete(Message)
    .where(Message.request_id == bindparam("id"), Message.state == DELIVERY_STATE_PENDING)
    .returning(*_DELIVERY)
)

_THIS_ATTEMPT = Message.attempts == bindparam("attempt")

_RECORD: dict[type[Outcome], Executable] = {
    # A mail the server took is SENT, however late that is known; other outcomes count only for the latest
    # attempt.
    Sent: _record(
        Message.attempts >= bindparam("attempt"),
        state=DELIVERY_STATE_SENT,
        update_time=func.now(),
        again_time=None,
    ),
    Refused: _record(
        _THIS_ATTEMPT, state=DELIVERY_STATE_UNDELIVERABLE, update_time=func.now(), again_time=None
    ),
    NotAccepted: _record(_THIS_ATTEMPT),
}

# The function puts the parameter into brackets, without which PostgreSQL takes no index.
_delays = func.coalesce(bindparam("delays", type_=ARRAY(Interval)), type_=ARRAY(Interval))

_has_delay = Message.origin.is_not(None) & _delays[Message.returns + 1].is_not(None)
_BOUNCE = (
    update(Message)
    .where(Message.request_id == bindparam("id"), Message.state == DELIVERY_STATE_SENT)
    .values(
        state=case(
            (_has_delay, bindparam("new_state", type_=Integer)), else_=bindparam("last_state", type_=Integer)
        ),
        last_error=bindparam("error"),
        update_time=func.now(),
        returned_time=func.now(),
        returns=Message.returns + bindparam("is_tried_again", type_=Integer),
        # NULL after the last delay, and for a mail of an earlier release.
        again_time=case((_has_delay, func.now() + _delays[Message.returns + 1]), else_=None),
    )
    .returning(*_DELIVERY)
)

_ASKING = ("consent_request", "consent_reminder")
"""Templates that ask for the same."""

_later = aliased(Message)
_DROP_SUPERSEDED = (
    update(Message)
    .where(
        Message.again_time <= func.now(),
        Message.state == DELIVERY_STATE_RETURNED,
        exists().where(
            _later.subject_id == Message.subject_id,
            # Two guardians, or several registrars, are mailed the same. A row of before the keys supersedes
            # nothing: better a mail twice than never.
            _later.recipient_key == Message.recipient_key,
            (_later.template == Message.template)
            | (_later.template.in_(_ASKING) & Message.template.in_(_ASKING)),
            _later.state == DELIVERY_STATE_SENT,
            _later.update_time > Message.returned_time,
        ),
    )
    .values(again_time=None)
)
# Whose last attempt was not accepted waits no longer either.
_GIVEN_UP = {
    "again_time": None,
    "state": case((Message.again_time.is_not(None), DELIVERY_STATE_RETURNED), else_=Message.state),
}
_TO_SEND_AGAIN = (
    select(Message.request_id, Message.origin)
    .where(Message.again_time <= func.now(), Message.origin.is_not(None))
    .order_by(Message.again_time)
    .limit(bindparam("most"))
)
_SETTLE_AGAIN = (
    update(Message)
    .where(Message.request_id == bindparam("id"), Message.again_time <= func.now())
    .values(_GIVEN_UP)
)

_RETURNED = (
    select(Message.request_id, Message.subject_id, Message.template, Message.recipient_digest)
    .where(
        Message.returned_time.is_not(None),
        Message.settle_time.is_(None),
        Message.state == DELIVERY_STATE_UNDELIVERABLE,
    )
    .order_by(Message.returned_time)
    .limit(bindparam("most"))
)


def _figures() -> Executable:
    # Literals: the planner needs them to use the partial indexes.
    refused = Message.state == literal(DELIVERY_STATE_UNDELIVERABLE, literal_execute=True)
    pending = Message.state == literal(DELIVERY_STATE_PENDING, literal_execute=True)
    within_month = Message.update_time > bindparam("month")
    counts = {
        "refused_within_day": select(func.count()).where(refused, Message.update_time > bindparam("day")),
        "refused_within_month": select(func.count()).where(refused, within_month),
        "pending": select(func.count()).where(pending),
        "refused_because_of_us": select(func.count()).where(pending, Message.refuses_us),
        "oldest_pending_time": select(func.min(Message.create_time)).where(pending),
    }
    return select(
        *(count.select_from(Message).scalar_subquery().label(name) for name, count in counts.items())
    )


_FIGURES = _figures()


class MessageStore:
    """The table of mails. Each method is one statement, hence one round trip."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def claim(
        self,
        request_id: UUID,
        subject_id: str,
        template: str,
        lease: timedelta,
        recipient_digest: bytes,
        recipient_key: bytes,
        origin: bytes = b"",
    ) -> DeliveryRow | None:
        """Records the mail, or claims a pending one again, for `lease`. Its `return_secret` stays the same.

        Also claims one that came back because of us and is to be sent again.

        None if it is finished, another call is sending it, or the ID was used for another mail.
        """
        parameters = {
            "request_id": request_id,
            "subject_id": subject_id,
            "template": template,
            "lease": lease,
            "recipient_digest": recipient_digest,
            "recipient_key": recipient_key,
            "return_secret": new_secret(),
            "origin": origin or None,
        }
        rows = await self._execute(_CLAIM, parameters)
        return rows[0] if rows else None

    async def figures(self) -> RowMapping:
        """The fields of `liity.v1.MailFigures`."""
        moment = now()
        bounds = {"day": moment - timedelta(days=1), "month": moment - timedelta(days=30)}
        async with self._engine.connect() as connection:
            return (await connection.execute(_FIGURES, bounds)).mappings().one()

    async def forget(self, request_id: UUID) -> None:
        """Deletes a claimed mail that is not to be sent."""
        await self._execute(_FORGET, {"id": request_id})

    async def record(self, request_id: UUID, attempt: int, outcome: Outcome) -> DeliveryRow | None:
        """Records the outcome of an attempt. None if a later attempt has replaced it.

        Retries while the database is away: a mail that the server took must not be sent again.
        """
        error = "" if isinstance(outcome, Sent) else outcome.error
        of_us = isinstance(outcome, NotAccepted) and outcome.refuses_us
        parameters = {"id": request_id, "attempt": attempt, "error": error, "of_us": of_us}
        statement = _RECORD[type(outcome)]
        wait = 0.05
        while True:
            try:
                rows = await self._execute(statement, parameters)
            except Exception as problem:
                if not is_away(problem):
                    raise
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                return rows[0] if rows else None

    async def bounce(
        self, request_id: UUID, last_state: int, error: str, delays: Sequence[timedelta] = ()
    ) -> DeliveryRow | None:
        """Records that an accepted mail came back. None if it is not known as accepted.

        With `delays` it is sent again after the first of them, then after the second, and is RETURNED until
        then. After the last, and without any, it gets `last_state`.
        """
        came_back = {
            "id": request_id,
            "new_state": DELIVERY_STATE_RETURNED,
            "last_state": last_state,
            "error": error,
            "is_tried_again": 1 if delays else 0,
            "delays": list(delays),
        }
        rows = await self._execute(_BOUNCE, came_back)
        return rows[0] if rows else None

    async def to_send_again(self, limit: int) -> Sequence[RowMapping]:
        """Mails that came back because of us and are due again, unless a later one has gone out."""
        async with self._engine.connect() as connection:
            await connection.execute(_DROP_SUPERSEDED)
            return (await connection.execute(_TO_SEND_AGAIN, {"most": limit})).mappings().all()

    async def settle_again(self, request_id: UUID) -> None:
        """Records that a mail is not to be sent again, unless it was just claimed."""
        async with self._engine.connect() as connection:
            await connection.execute(_SETTLE_AGAIN, {"id": request_id})

    async def returned(self, limit: int) -> Sequence[RowMapping]:
        """Mails that came back because of the address and are not settled, oldest first."""
        async with self._engine.connect() as connection:
            return (await connection.execute(_RETURNED, {"most": limit})).mappings().all()

    async def settle(self, request_ids: Sequence[UUID]) -> None:
        """Records that the addresses of some returned mails are marked, and the registrars told."""
        settled = update(Message).where(Message.request_id.in_(request_ids)).values(settle_time=func.now())
        async with self._engine.connect() as connection:
            await connection.execute(settled)

    async def find(self, request_id: UUID) -> DeliveryRow | None:
        """The delivery of one mail; None if there is none."""
        rows = await self._execute(select(*_DELIVERY).where(Message.request_id == request_id))
        return rows[0] if rows else None

    async def list_of(self, subject_id: str) -> Sequence[DeliveryRow]:
        """The deliveries about one subject, oldest first."""
        return await self._execute(
            select(*_DELIVERY)
            .where(Message.subject_id == subject_id)
            .order_by(Message.create_time, Message.request_id)
        )

    async def told_of(self, subject_ids: Sequence[str]) -> Sequence[RowMapping]:
        """Rows for an export about some subjects, oldest first."""
        told = (
            select(*DELIVERIES.columns)
            .where(Message.subject_id.in_(subject_ids))
            .order_by(Message.create_time, Message.request_id)
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(told)).mappings().all()

    async def erase(self, subject_ids: Sequence[str]) -> None:
        """Deletes all deliveries about some subjects. A mail being sent meanwhile is not recorded again."""
        async with self._engine.connect() as connection:
            await connection.execute(delete(Message).where(Message.subject_id.in_(subject_ids)))

    async def _execute(
        self, statement: Executable, parameters: dict[str, Any] | None = None
    ) -> Sequence[DeliveryRow]:
        async with self._engine.connect() as connection:
            return (await connection.execute(statement, parameters)).all()


async def sweep_origins(engine: AsyncEngine) -> None:
    """Deletes by what old mail would be sent again; what still waits for it is given up."""
    old = Message.create_time < now() - _ORIGIN_LIFETIME
    # What is being sent this moment has its outcome recorded first.
    idle = Message.lease_until < func.now()
    forgotten = update(Message).where(Message.origin.is_not(None), old, idle).values(origin=None, **_GIVEN_UP)
    async with engine.begin() as connection:
        await connection.execute(forgotten)
