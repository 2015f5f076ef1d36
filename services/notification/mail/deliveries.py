"""Delivery state of mails: one call at a time claims a mail, and its outcome is recorded once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Interval,
    Row,
    RowMapping,
    bindparam,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.base import Executable

from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_PENDING,
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
        return_secret=bindparam("return_secret"),
    )
    taken_up = new.on_conflict_do_update(
        index_elements=[Message.request_id],
        set_={
            "attempts": Message.attempts + 1,
            "lease_until": new.excluded.lease_until,
            # The address may have been corrected meanwhile.
            "recipient_digest": new.excluded.recipient_digest,
            "return_secret": func.coalesce(Message.return_secret, new.excluded.return_secret),
        },
        where=(Message.state == DELIVERY_STATE_PENDING)
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
        Message.attempts >= bindparam("attempt"), state=DELIVERY_STATE_SENT, update_time=func.now()
    ),
    Refused: _record(_THIS_ATTEMPT, state=DELIVERY_STATE_UNDELIVERABLE, update_time=func.now()),
    NotAccepted: _record(_THIS_ATTEMPT),
}

_BOUNCE = (
    update(Message)
    .where(Message.request_id == bindparam("id"), Message.state == DELIVERY_STATE_SENT)
    .values(
        state=bindparam("new_state"),
        last_error=bindparam("error"),
        update_time=func.now(),
        returned_time=func.now(),
    )
    .returning(*_DELIVERY)
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
        self, request_id: UUID, subject_id: str, template: str, lease: timedelta, recipient_digest: bytes
    ) -> DeliveryRow | None:
        """Records the mail, or claims a pending one again, for `lease`. Its `return_secret` stays the same.

        None if it is finished, another call is sending it, or the ID was used for another mail.
        """
        parameters = {
            "request_id": request_id,
            "subject_id": subject_id,
            "template": template,
            "lease": lease,
            "recipient_digest": recipient_digest,
            "return_secret": new_secret(),
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

    async def bounce(self, request_id: UUID, state: int, error: str) -> DeliveryRow | None:
        """Records that an accepted mail came back. None if it is not known as accepted."""
        rows = await self._execute(_BOUNCE, {"id": request_id, "new_state": state, "error": error})
        return rows[0] if rows else None

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
