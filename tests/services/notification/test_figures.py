"""Mail that reached nobody, in figures."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_PENDING,
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_UNDELIVERABLE,
    DeliveryState,
    GetMailFiguresRequest,
)
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.v1.work_service_pb2 import MailFigures
from services.runtime.clock import now
from tests.services.notification.notifications import Notification


async def _recorded(engine: AsyncEngine, state: DeliveryState.ValueType, moment: datetime) -> None:
    """A mail that came to a state at a moment."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO messages (request_id, subject_id, template, state, attempts, last_error,"
                " lease_until, create_time, update_time)"
                " VALUES (:id, 'su', 'welcome', :state, 1, '', now(), :moment, :moment)"
            ),
            {"id": uuid.uuid4(), "state": state, "moment": moment},
        )


async def test_mail_that_reached_nobody_is_counted(notification: Notification, engine: AsyncEngine) -> None:
    stub: Any = NotificationServiceStub(notification.gateway.channel)

    async def figures() -> MailFigures:
        request = GetMailFiguresRequest()
        answer = await notification.gateway.call(stub.GetMailFigures, request)
        return answer.figures  # type: ignore[no-any-return]

    # Mails of other tests may be there.
    before, moment = await figures(), now()
    for hours in (1, 23, 25, 29 * 24, 31 * 24):
        await _recorded(engine, DELIVERY_STATE_UNDELIVERABLE, moment - timedelta(hours=hours))
    for hours in (1, 50):
        await _recorded(engine, DELIVERY_STATE_PENDING, moment - timedelta(hours=hours))
        await _recorded(engine, DELIVERY_STATE_SENT, moment - timedelta(hours=hours))
    found = await figures()
    assert found.refused_within_day - before.refused_within_day == 2
    assert found.refused_within_month - before.refused_within_month == 4
    assert found.pending - before.pending == 2
    assert found.oldest_pending_time.ToDatetime(UTC) == moment - timedelta(hours=50)
