"""How tests run the notification service, and what they have it send."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.notification.v1.notification_service_pb2 import (
    ConsentQuestion,
    Delivery,
    GetDeliveryRequest,
    ListDeliveriesRequest,
    SendMessageRequest,
)
from liity.notification.v1.notification_service_pb2_grpc import (
    NotificationServiceStub,
    add_NotificationServiceServicer_to_server,
)
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.reason_pb2 import REASON_TOO_MANY_MAILS
from services.notification.book_tips.store import BookTipsStore
from services.notification.mail.deliveries import MessageStore
from services.notification.mail.smtp import Transport
from services.notification.models import limits
from services.notification.service import NotificationService
from services.notification.settings import MailSettings
from services.runtime.data.rate_limits import Limiter
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from tests.services.conftest import peer, serving

RECIPIENT = "aino.virtanen@example.org"


@dataclass
class Notification:
    """The service, as the worker and the gateway call it."""

    worker: Peer
    gateway: Peer

    async def send(self, request: SendMessageRequest, seconds: float = 20) -> Delivery:
        stub: Any = NotificationServiceStub(self.worker.channel)
        response = await self.worker.call(stub.SendMessage, request, timeout=seconds)
        return response.delivery  # type: ignore[no-any-return]

    async def refused(self, request: SendMessageRequest, seconds: float = 20) -> Refusal:
        with pytest.raises(Refusal) as caught:
            await self.send(request, seconds)
        return caught.value

    async def delivery(self, request_id: str) -> Delivery:
        stub: Any = NotificationServiceStub(self.gateway.channel)
        response = await self.gateway.call(stub.GetDelivery, GetDeliveryRequest(request_id=request_id))
        return response.delivery  # type: ignore[no-any-return]

    async def deliveries(self, subject_id: str) -> list[Delivery]:
        stub: Any = NotificationServiceStub(self.gateway.channel)
        response = await self.gateway.call(stub.ListDeliveries, ListDeliveriesRequest(subject_id=subject_id))
        return list(response.deliveries)


@asynccontextmanager
async def called_at(target: str, keys_dir: Path) -> AsyncIterator[Notification]:
    """The service at host:port."""
    async with (
        peer("notification", target, keys_dir, "worker") as worker,
        peer("notification", target, keys_dir, "gateway") as gateway,
    ):
        yield Notification(worker, gateway)


@asynccontextmanager
async def running(
    engine: AsyncEngine, keys_dir: Path, smtp_port: int, **changes: Any
) -> AsyncIterator[Notification]:
    """The service in front of a mail server; what is being sent at the end is seen through."""
    settings = MailSettings(
        keys_dir=keys_dir, listen="unused", smtp_host="127.0.0.1", smtp_port=smtp_port, **changes
    )
    transport = Transport(settings)
    limiter = Limiter(engine, limits, REASON_TOO_MANY_MAILS)
    service = NotificationService(MessageStore(engine), BookTipsStore(engine), limiter, transport, settings)
    async with serving(
        "notification", lambda server: add_NotificationServiceServicer_to_server(service, server), keys_dir
    ) as target:
        async with called_at(target, keys_dir) as notification:
            yield notification
        await service.finish()
    await transport.close()


def consent_request(**changes: Any) -> SendMessageRequest:
    """A mail to a guardian, of an ID and a subject of its own."""
    deadline = Timestamp()
    deadline.FromDatetime(datetime(2096, 12, 7, 10, tzinfo=UTC))
    content = ConsentQuestion(
        first_names="Eino",
        unit_display_name="Metsälän koulu",
        link_token="a-token_of-the-link",
        deadline=deadline,
    )
    fields: dict[str, Any] = {
        "request_id": str(uuid.uuid4()),
        "subject_id": uuid.uuid4().hex,
        "recipient_email": RECIPIENT,
        "language": LANGUAGE_FI,
        "consent_request": content,
    }
    return SendMessageRequest(**{**fields, **changes})


async def stored(engine: AsyncEngine, request: SendMessageRequest) -> str:
    """The whole row of a mail, as text."""
    async with engine.connect() as connection:
        row = await connection.execute(
            text("SELECT messages::text FROM messages WHERE request_id = :id"),
            {"id": uuid.UUID(request.request_id)},
        )
        return str(row.scalar_one())


async def make_older(engine: AsyncEngine, request: SendMessageRequest, days: int) -> None:
    """Lets days pass since a mail was first sent."""
    older = "UPDATE messages SET create_time = create_time - CAST(:age AS interval) WHERE request_id = :id"
    async with engine.begin() as connection:
        await connection.execute(
            text(older), {"age": timedelta(days=days), "id": uuid.UUID(request.request_id)}
        )


async def end_lease(engine: AsyncEngine, request: SendMessageRequest) -> None:
    """Lets the time pass that a sending has."""
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE messages SET lease_until = now() - interval '1 second' WHERE request_id = :id"),
            {"id": uuid.UUID(request.request_id)},
        )
