"""What the RPCs of NotificationService answer to questions, and to calls that are wrong."""

import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_UNDELIVERABLE,
    ConsentQuestion,
    SendMessageRequest,
    Welcome,
)
from liity.v1.customer_form_pb2 import LANGUAGE_SV
from liity.v1.reason_pb2 import (
    REASON_FORBIDDEN_CHARACTERS,
    REASON_INVALID_EMAIL,
    REASON_INVALID_FORMAT,
    REASON_MESSAGE_NOT_FOUND,
    REASON_PERMISSION_DENIED,
    REASON_REQUEST_ID_REUSED,
    REASON_REQUIRED,
    REASON_TOO_LONG,
    REASON_UNKNOWN_VALUE,
    Reason,
)
from services.notification.models import Base
from services.runtime.rpc.errors import FieldViolation, Refusal
from tests.services.notification.notifications import Notification, consent_request, running
from tests.support.smtp_server import ACCEPTED, SmtpServer, smtp_server


def with_content(**changes: Any) -> SendMessageRequest:
    request = consent_request()
    content = request.consent_request
    for field, value in changes.items():
        if value is None:
            content.ClearField(field)
        elif isinstance(value, Timestamp):
            getattr(content, field).CopyFrom(value)
        else:
            setattr(content, field, value)
    return request


def wrong(request: SendMessageRequest, field: str, reason: Reason.ValueType) -> Any:
    """A request, and what is wrong with it."""
    return pytest.param(request, FieldViolation(field, reason), id=f"{field}-{Reason.Name(reason)}")


WRONG = [
    wrong(consent_request(request_id=""), "request_id", REASON_INVALID_FORMAT),
    wrong(consent_request(request_id="1"), "request_id", REASON_INVALID_FORMAT),
    wrong(consent_request(subject_id=""), "subject_id", REASON_INVALID_FORMAT),
    wrong(consent_request(subject_id="A B"), "subject_id", REASON_INVALID_FORMAT),
    wrong(consent_request(subject_id="a" * 33), "subject_id", REASON_INVALID_FORMAT),
    wrong(consent_request(recipient_email=""), "recipient_email", REASON_REQUIRED),
    wrong(consent_request(recipient_email="a" * 255), "recipient_email", REASON_TOO_LONG),
    wrong(consent_request(language=0), "language", REASON_REQUIRED),
    wrong(consent_request(language=99), "language", REASON_UNKNOWN_VALUE),
    wrong(consent_request(consent_request=None), "content", REASON_REQUIRED),
    wrong(with_content(first_names=None), "consent_request.first_names", REASON_REQUIRED),
    wrong(
        with_content(first_names="Eino\r\nBcc: thief@example.org"),
        "consent_request.first_names",
        REASON_FORBIDDEN_CHARACTERS,
    ),
    wrong(
        with_content(unit_display_name="Koulu\x07"),
        "consent_request.unit_display_name",
        REASON_FORBIDDEN_CHARACTERS,
    ),
    wrong(with_content(unit_display_name="x" * 201), "consent_request.unit_display_name", REASON_TOO_LONG),
    wrong(with_content(link_token=None), "consent_request.link_token", REASON_REQUIRED),
    wrong(with_content(deadline=None), "consent_request.deadline", REASON_REQUIRED),
]


@pytest.mark.parametrize(("request_", "violation"), WRONG)
async def test_a_wrong_request_is_refused(
    notification: Notification, smtp: SmtpServer, request_: SendMessageRequest, violation: FieldViolation
) -> None:
    refusal = await notification.refused(request_)
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert violation in refusal.violations
    assert smtp.taken == []


@pytest.mark.parametrize(
    "address",
    [
        "aino@example.org\r\nBcc: thief@example.org",
        "aino@example.org\nSubject: x",
        "aino@example.org, thief@example.org",
        "Aino <aino@example.org>, thief@example.org",
        "aino@example.org>\r\nRCPT TO:<thief@example.org",
        "aino",
        "aino@",
        "@example.org",
        "aino@localhost",
        "aino\x00@example.org",
        "ai no@example.org",
    ],
)
async def test_what_is_no_address_is_refused(
    notification: Notification, smtp: SmtpServer, address: str
) -> None:
    request = consent_request(recipient_email=address)
    refusal = await notification.refused(request)
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.violations == (FieldViolation("recipient_email", REASON_INVALID_EMAIL),)
    assert smtp.taken == []
    with pytest.raises(Refusal):
        await notification.delivery(request.request_id)


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        ("aino@koulu.example", "aino@koulu.example"),
        ("Aino <aino@koulu.example>", "aino@koulu.example"),
        ("o'hara+x@example.org", "o'hara+x@example.org"),
        ("aino@pöllö.example.org", "aino@xn--pll-snac.example.org"),
        ("äiti@example.org", "äiti@example.org"),
    ],
)
async def test_every_address_is_written_to(
    notification: Notification, smtp: SmtpServer, address: str, known_as: str
) -> None:
    delivery = await notification.send(consent_request(recipient_email=address))
    assert delivery.state == DELIVERY_STATE_SENT
    assert smtp.recipients == [known_as]
    [mail] = smtp.taken
    assert mail["To"] == known_as


async def test_an_address_the_server_cannot_write_is_undeliverable(
    engine: AsyncEngine, keys_dir: Path
) -> None:
    async with (
        smtp_server(enable_SMTPUTF8=False) as smtp,
        running(engine, keys_dir, smtp.port) as notification,
    ):
        delivery = await notification.send(consent_request(recipient_email="äiti@example.org"))
    assert delivery.state == DELIVERY_STATE_UNDELIVERABLE
    assert "SMTPUTF8" in delivery.last_error


@pytest.mark.parametrize("change", [{"subject_id": "another"}, {"welcome": Welcome(first_names="Eino")}])
async def test_an_id_used_for_another_mail_is_refused(
    notification: Notification, smtp: SmtpServer, change: dict[str, Any]
) -> None:
    request = consent_request()
    await notification.send(request)
    other = SendMessageRequest()
    other.CopyFrom(request)
    other.MergeFrom(SendMessageRequest(**change))
    refusal = await notification.refused(other)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, REASON_REQUEST_ID_REUSED)
    assert len(smtp.taken) == 1


async def test_what_was_read_anew_may_differ_when_a_mail_is_repeated(
    notification: Notification, smtp: SmtpServer
) -> None:
    request = consent_request()
    sent = await notification.send(request)
    request.recipient_email = "new@example.org"
    request.language = LANGUAGE_SV
    request.request_id = request.request_id.upper()
    request.consent_request.MergeFrom(ConsentQuestion(first_names="Eino Olavi"))
    assert await notification.send(request) == sent
    assert len(smtp.taken) == 1


async def test_deliveries_of_a_subject_are_listed_oldest_first(
    notification: Notification, smtp: SmtpServer
) -> None:
    subject = uuid.uuid4().hex
    requests = [consent_request(subject_id=subject) for _ in range(3)]
    smtp.on_rcpt += [ACCEPTED, "550 5.1.1 No such user"]
    for request in requests:
        await notification.send(request)
    await notification.send(consent_request())
    listed = await notification.deliveries(subject)
    assert [delivery.request_id for delivery in listed] == [request.request_id for request in requests]
    assert [delivery.state for delivery in listed] == [
        DELIVERY_STATE_SENT,
        DELIVERY_STATE_UNDELIVERABLE,
        DELIVERY_STATE_SENT,
    ]
    assert listed[1].last_error == "550 5.1.1 No such user"
    assert await notification.delivery(requests[1].request_id) == listed[1]
    assert await notification.deliveries("nobody") == []


async def test_questions_that_are_wrong_are_refused(notification: Notification) -> None:
    with pytest.raises(Refusal) as caught:
        await notification.delivery(str(uuid.uuid4()))
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.NOT_FOUND, REASON_MESSAGE_NOT_FOUND)
    with pytest.raises(Refusal) as caught:
        await notification.delivery("1")
    assert caught.value.violations == (FieldViolation("request_id", REASON_INVALID_FORMAT),)
    for subject in ("", "A", "a" * 33):
        with pytest.raises(Refusal) as caught:
            await notification.deliveries(subject)
        assert caught.value.violations == (FieldViolation("subject_id", REASON_INVALID_FORMAT),)


async def test_only_the_worker_sends_and_only_the_gateway_asks(
    notification: Notification, smtp: SmtpServer
) -> None:
    swapped = Notification(worker=notification.gateway, gateway=notification.worker)
    assert (await swapped.refused(consent_request())).reason == REASON_PERMISSION_DENIED
    with pytest.raises(Refusal) as caught:
        await swapped.deliveries("a")
    assert caught.value.code == grpc.StatusCode.PERMISSION_DENIED
    assert smtp.taken == []


async def test_the_migrations_make_the_tables_of_the_models(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
