"""What the notification service tells and erases of mail about somebody."""

import asyncio
import uuid

import pytest
from google.protobuf import json_format
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.demo.polling import eventually
from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_SENT,
    EraseSubjectsRequest,
    ExportSubjectsRequest,
    ExportSubjectsResponse,
)
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from services.notification.privacy_export import DELIVERIES
from services.runtime.rpc.errors import Refusal
from tests.services.notification.notifications import Notification, consent_request
from tests.support.smtp_server import SmtpServer, hang


async def export(notification: Notification, *subject_ids: str) -> ExportSubjectsResponse:
    stub = NotificationServiceStub(notification.worker.channel)
    request = ExportSubjectsRequest(subject_ids=subject_ids)
    return await notification.worker.call(stub.ExportSubjects, request)


async def erase(notification: Notification, *subject_ids: str) -> None:
    stub = NotificationServiceStub(notification.worker.channel)
    await notification.worker.call(stub.EraseSubjects, EraseSubjectsRequest(subject_ids=subject_ids))


async def number_of_rows(engine: AsyncEngine, subject_id: str) -> int:
    async with engine.connect() as connection:
        count = text("SELECT count(*) FROM messages WHERE subject_id = :id")
        return int((await connection.execute(count, {"id": subject_id})).scalar_one())


async def test_each_mail_about_the_subjects_is_told(notification: Notification) -> None:
    first, second, another = consent_request(), consent_request(), consent_request()
    for request in (first, second, another):
        await notification.send(request)
    [section] = (await export(notification, first.subject_id, second.subject_id)).sections
    records = [json_format.MessageToDict(record) for record in section.records]
    assert [record["subject_id"] for record in records] == [first.subject_id, second.subject_id]
    for record in records:
        assert set(record) == {column.name for column in DELIVERIES.columns}
        assert (record["template"], record["state"]) == ("consent_request", "DELIVERY_STATE_SENT")
    assert not (await export(notification, uuid.uuid4().hex)).sections
    assert not (await export(notification)).sections


async def test_what_is_known_of_the_subjects_mail_is_erased(
    notification: Notification, engine: AsyncEngine
) -> None:
    theirs, anothers = consent_request(), consent_request()
    for request in (theirs, anothers):
        await notification.send(request)
    for _ in range(2):
        await erase(notification, theirs.subject_id)
    assert await number_of_rows(engine, theirs.subject_id) == 0
    assert (await notification.delivery(anothers.request_id)).state == DELIVERY_STATE_SENT
    await erase(notification)
    assert await number_of_rows(engine, anothers.subject_id) == 1


async def test_a_mail_that_is_being_sent_meanwhile_is_not_recorded_again(
    notification: Notification, engine: AsyncEngine, smtp: SmtpServer
) -> None:
    request = consent_request()
    smtp.on_data.append(hang)
    sending = asyncio.create_task(notification.send(request, seconds=30))
    await eventually(lambda: number_of_rows(engine, request.subject_id), bool, 30)
    await erase(notification, request.subject_id)
    with pytest.raises(Refusal, match="ABORTED"):
        await sending
    assert len(smtp.taken) <= 1
    assert await number_of_rows(engine, request.subject_id) == 0
