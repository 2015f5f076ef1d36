"""Mail that comes back after a mail server has taken it: who may say so, and what it changes."""

import imaplib
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from deploy.demo.polling import eventually
from deploy.local.certificates import Certificates
from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_PENDING,
    DELIVERY_STATE_RETURNED,
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_UNDELIVERABLE,
    DeliveryState,
    ListMailToSendAgainRequest,
    ListReturnedMailRequest,
    ReportDeliveryRequest,
    ReturnedMail,
    SendMessageRequest,
    SettleReturnedMailRequest,
)
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.v1.reason_pb2 import REASON_MESSAGE_NOT_FOUND
from liity.v1.work_service_pb2 import (
    DELIVERY_REPORT_OUTCOME_NOTHING as NOTHING,
)
from liity.v1.work_service_pb2 import (
    DELIVERY_REPORT_OUTCOME_RETURNED as RETURNED,
)
from liity.v1.work_service_pb2 import (
    DELIVERY_REPORT_OUTCOME_UNDELIVERABLE as UNDELIVERABLE,
)
from liity.v1.work_service_pb2 import (
    DeliveryReportOutcome,
)
from services.notification.mail.bounces import Bounces
from services.notification.mail.deliveries import MessageStore, sweep_origins
from services.notification.mail.inbox import Inbox
from services.notification.mail.return_address import return_address
from services.notification.settings import InboxSettings
from services.runtime.data.periodic import keeping_house
from services.runtime.mail_addresses import recipient_digest
from services.runtime.rpc.errors import Refusal
from services.runtime.security.tls import server_context
from tests.services.notification.notifications import Notification, consent_request, make_older, running
from tests.support.imap_server import PASSWORD, USER, ImapServer, imap_server
from tests.support.mail_reports import delivery_report, feedback_report, holiday_answer
from tests.support.smtp_server import SmtpServer

BOUNCES = "bounces@liity.example"


@pytest.fixture
async def returning(engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer) -> AsyncIterator[Notification]:
    """The service with a bounce address."""
    async with running(
        engine, keys_dir, smtp.port, bounce_address=BOUNCES, mail_again=("PT0S", "PT0S")
    ) as started:
        yield started


async def sent(
    notification: Notification, smtp: SmtpServer, **changes: Any
) -> tuple[SendMessageRequest, str]:
    """A mail that a mail server has taken, and its envelope sender."""
    request = consent_request(**changes)
    assert (await notification.send(request)).state == DELIVERY_STATE_SENT
    return request, smtp.senders[-1]


async def reported(notification: Notification, **report: Any) -> DeliveryReportOutcome.ValueType:
    stub: Any = NotificationServiceStub(notification.gateway.channel)
    request = ReportDeliveryRequest(**report)
    return (await notification.gateway.call(stub.ReportDelivery, request)).outcome  # type: ignore[no-any-return]


async def returned(notification: Notification) -> dict[str, ReturnedMail]:
    stub: Any = NotificationServiceStub(notification.worker.channel)
    answer = await notification.worker.call(stub.ListReturnedMail, ListReturnedMailRequest(page_size=1000))
    return {mail.request_id: mail for mail in answer.returned_mail}


async def state(notification: Notification, request: SendMessageRequest) -> DeliveryState.ValueType:
    return (await notification.delivery(request.request_id)).state


async def test_each_mail_has_an_envelope_sender_of_its_own(returning: Notification, smtp: SmtpServer) -> None:
    (_, one), (_, other) = await sent(returning, smtp), await sent(returning, smtp)
    assert one != other
    assert one.startswith("bounces+")
    assert one.endswith("@liity.example")
    assert {mail["From"] for mail in smtp.taken} == {"Saavutettavuuskirjasto <no-reply@liity.example>"}


@pytest.mark.parametrize(
    ("status", "outcome", "then"),
    [
        ("5.1.1", UNDELIVERABLE, DELIVERY_STATE_UNDELIVERABLE),
        ("5.2.1", UNDELIVERABLE, DELIVERY_STATE_UNDELIVERABLE),
        # Nobody knows how to send these anew: who must know is told.
        ("5.2.2", UNDELIVERABLE, DELIVERY_STATE_UNDELIVERABLE),
        ("5.4.1", RETURNED, DELIVERY_STATE_RETURNED),
        ("5.4.4", UNDELIVERABLE, DELIVERY_STATE_UNDELIVERABLE),
        ("5.7.1", RETURNED, DELIVERY_STATE_RETURNED),
        ("4.4.7", NOTHING, DELIVERY_STATE_SENT),
        ("2.0.0", NOTHING, DELIVERY_STATE_SENT),
    ],
)
async def test_a_mail_server_reports_a_message_id(
    returning: Notification, smtp: SmtpServer, status: str, outcome: int, then: int
) -> None:
    request, _ = await sent(returning, smtp)
    message_id = smtp.taken[-1]["Message-ID"]
    for _ in range(2):
        # The repetition answers the same.
        assert await reported(returning, message_id=message_id, status=status) == outcome
    assert await state(returning, request) == then
    # Nobody is told of a mail that came back for another reason than its address.
    assert (request.request_id in await returned(returning)) == (then == DELIVERY_STATE_UNDELIVERABLE)


async def due_again(notification: Notification) -> dict[str, bytes]:
    stub: Any = NotificationServiceStub(notification.worker.channel)
    listing = ListMailToSendAgainRequest(page_size=100)
    answer = await notification.worker.call(stub.ListMailToSendAgain, listing)
    return {mail.request_id: mail.origin for mail in answer.mails}


async def test_what_came_back_because_of_us_is_sent_again_some_times(
    returning: Notification, smtp: SmtpServer
) -> None:
    request, first_sender = await sent(returning, smtp, origin=b"sealed")
    message_id = smtp.taken[-1]["Message-ID"]
    for _ in range(2):
        await reported(returning, message_id=message_id, status="5.7.1")
        assert (await due_again(returning))[request.request_id] == b"sealed"
        number = len(smtp.taken)
        for _ in range(2):
            assert (await returning.send(request)).state == DELIVERY_STATE_SENT
        assert len(smtp.taken) == number + 1
        assert request.request_id not in await due_again(returning)
    # A late report of the first sending is none of the next.
    assert smtp.senders[-1] != first_sender
    await reported(returning, message_id=message_id, status="5.7.1")
    assert request.request_id not in await due_again(returning)
    assert (await returning.send(request)).state == DELIVERY_STATE_RETURNED


async def test_a_mailbox_that_stays_full_is_told_of_like_an_address_that_is_wrong(
    returning: Notification, smtp: SmtpServer
) -> None:
    request, _ = await sent(returning, smtp, origin=b"sealed")
    message_id = smtp.taken[-1]["Message-ID"]
    for _ in range(2):
        assert await reported(returning, message_id=message_id, status="5.2.2") == RETURNED
        assert request.request_id in await due_again(returning)
        assert (await returning.send(request)).state == DELIVERY_STATE_SENT
        assert request.request_id not in await returned(returning)
    assert await reported(returning, message_id=message_id, status="5.2.2") == UNDELIVERABLE
    assert await state(returning, request) == DELIVERY_STATE_UNDELIVERABLE
    assert request.request_id in await returned(returning)


async def test_what_speaks_of_the_address_or_has_been_sent_since_is_not_sent_again(
    returning: Notification, smtp: SmtpServer
) -> None:
    for status in ("5.1.1", "5.2.1"):
        request, _ = await sent(returning, smtp, origin=b"sealed")
        await reported(returning, message_id=smtp.taken[-1]["Message-ID"], status=status)
        assert request.request_id not in await due_again(returning)
    asked, _ = await sent(returning, smtp, origin=b"sealed")
    await reported(returning, message_id=smtp.taken[-1]["Message-ID"], status="5.7.26")
    reminder = SendMessageRequest(
        request_id=str(uuid.uuid4()),
        subject_id=asked.subject_id,
        recipient_email=asked.recipient_email,
        language=asked.language,
        consent_reminder=asked.consent_request,
    )
    await returning.send(reminder)
    assert asked.request_id not in await due_again(returning)


async def test_a_later_mail_to_another_stands_for_none(returning: Notification, smtp: SmtpServer) -> None:
    first, _ = await sent(returning, smtp, origin=b"sealed", recipient_email="Aiti@example.org")
    message_id = smtp.taken[-1]["Message-ID"]
    other, _ = await sent(
        returning, smtp, origin=b"sealed", recipient_email="isa@example.org", subject_id=first.subject_id
    )
    for each in (message_id, smtp.taken[-1]["Message-ID"]):
        await reported(returning, message_id=each, status="5.7.1")
    # One guardian's mail is sent again: the other's still has to be.
    assert (await returning.send(first)).state == DELIVERY_STATE_SENT
    assert set(await due_again(returning)) & {first.request_id, other.request_id} == {other.request_id}
    # However it is written, an address is the same.
    await sent(returning, smtp, recipient_email="ISA@example.org", subject_id=first.subject_id)
    assert other.request_id not in await due_again(returning)


async def test_what_is_never_sent_again_waits_no_longer(
    returning: Notification, smtp: SmtpServer, engine: AsyncEngine
) -> None:
    came_back, _ = await sent(returning, smtp, origin=b"sealed")
    await reported(returning, message_id=smtp.taken[-1]["Message-ID"], status="5.7.1")
    tried, _ = await sent(returning, smtp, origin=b"sealed")
    await reported(returning, message_id=smtp.taken[-1]["Message-ID"], status="5.7.1")
    smtp.on_data += ["550 5.7.1 Blocked"] * 50
    await returning.refused(tried)
    assert await state(returning, tried) == DELIVERY_STATE_PENDING
    for request in (came_back, tried):
        await make_older(engine, request, 13)
    await sweep_origins(engine)
    assert came_back.request_id in await due_again(returning)
    for request in (came_back, tried):
        await make_older(engine, request, 2)
    await sweep_origins(engine)
    assert not {came_back.request_id, tried.request_id} & set(await due_again(returning))
    number = len(smtp.taken)
    for request in (came_back, tried):
        assert (await returning.send(request)).state == DELIVERY_STATE_RETURNED
        assert await columns(engine, request, "origin", "again_time") == (None, None)
    assert len(smtp.taken) == number


async def columns(engine: AsyncEngine, request: SendMessageRequest, *names: str) -> tuple[object, ...]:
    async with engine.connect() as connection:
        statement = text(f"SELECT {', '.join(names)} FROM messages WHERE request_id = :id")  # noqa: S608
        return tuple((await connection.execute(statement, {"id": UUID(request.request_id)})).one())


async def test_what_came_back_is_told_once(returning: Notification, smtp: SmtpServer) -> None:
    address = "Outi@åland.example"
    request, _ = await sent(returning, smtp, recipient_email=address)
    await reported(returning, raw_report=delivery_report(UUID(request.request_id), BOUNCES))
    mail = (await returned(returning))[request.request_id]
    assert (mail.subject_id, mail.template) == (request.subject_id, "consent_request")
    assert mail.recipient_digest == recipient_digest(UUID(request.request_id), address)
    stub: Any = NotificationServiceStub(returning.worker.channel)
    settled = SettleReturnedMailRequest(request_ids=[request.request_id])
    await returning.worker.call(stub.SettleReturnedMail, settled)
    assert request.request_id not in await returned(returning)
    assert (await returning.delivery(request.request_id)).last_error == "came back: 5.1.1"


async def test_a_report_of_no_mail_of_ours_is_refused(returning: Notification) -> None:
    for report in (
        {"message_id": f"<{uuid.uuid4()}@liity.example>", "status": "5.1.1"},
        {"message_id": "<hello@example.org>", "status": "5.1.1"},
        {"raw_report": delivery_report(uuid.uuid4(), BOUNCES)},
    ):
        with pytest.raises(Refusal) as caught:
            await reported(returning, **report)
        assert caught.value.reason == REASON_MESSAGE_NOT_FOUND
    assert await reported(returning, raw_report=holiday_answer(BOUNCES)) == NOTHING


async def test_the_inbox_takes_reports_and_leaves_the_rest(
    returning: Notification, smtp: SmtpServer, engine: AsyncEngine, tmp_path: Path
) -> None:
    failed, sender = await sent(returning, smtp)
    delayed, senders_of_delayed = await sent(returning, smtp)
    forged, _ = await sent(returning, smtp)
    unwanted, senders_of_unwanted = await sent(returning, smtp)
    secret = sender.partition("@")[0][-13:]
    certificates = Certificates(tmp_path / "tls")
    certificates.create()
    async with imap_server(server_context(replace(certificates.files("smtp"), ca=None))) as mailbox:
        inbox = Inbox(_settings(mailbox, certificates.ca), Bounces(MessageStore(engine), BOUNCES))
        mailbox.receive(
            delivery_report(UUID(failed.request_id), sender.upper()),
            delivery_report(UUID(delayed.request_id), senders_of_delayed, action="delayed", status="4.4.1"),
            feedback_report(UUID(unwanted.request_id), senders_of_unwanted, "abuse"),
            holiday_answer(sender),
            # Who knows the Message-ID alone, or has the secret of another mail, can mark nothing.
            delivery_report(UUID(forged.request_id), BOUNCES),
            delivery_report(
                UUID(forged.request_id), return_address(BOUNCES, UUID(forged.request_id), secret)
            ),
            b"not a mail at all",
        )
        assert await inbox.collect() == 7
        assert await inbox.collect() == 0
        assert (sorted(mailbox.mails), mailbox.read) == ([4, 5, 6, 7], set(range(1, 8)))
        mailbox.fails = True
        with pytest.raises(imaplib.IMAP4.error):
            await inbox.collect()
    assert await state(returning, failed) == DELIVERY_STATE_UNDELIVERABLE
    for request in (delayed, forged, unwanted):
        assert await state(returning, request) == DELIVERY_STATE_SENT


async def test_an_outage_of_the_database_does_not_end_the_collecting(
    returning: Notification, smtp: SmtpServer, engine: AsyncEngine, tmp_path: Path
) -> None:
    failed, sender = await sent(returning, smtp)
    away = create_async_engine(engine.url.set(database="postgres"))
    without_tables = Bounces(MessageStore(away), BOUNCES)
    bounces, failing = Bounces(MessageStore(engine), BOUNCES), iter(2 * [without_tables])
    certificates = Certificates(tmp_path / "tls")
    certificates.create()

    class Interrupted(Bounces):
        async def take_mail(self, raw: bytes) -> bool:
            return await next(failing, bounces).take_mail(raw)

    async with imap_server(server_context(replace(certificates.files("smtp"), ca=None))) as mailbox:
        mailbox.receive(delivery_report(UUID(failed.request_id), sender))
        inbox = Inbox(_settings(mailbox, certificates.ca), Interrupted(MessageStore(engine), BOUNCES))
        with pytest.raises(SQLAlchemyError):
            await inbox.collect_all()
        async with keeping_house(inbox.collect_all, interval=timedelta(milliseconds=20)):
            await eventually(
                lambda: state(returning, failed), lambda stored: stored == DELIVERY_STATE_UNDELIVERABLE, 30
            )
    await away.dispose()


def _settings(mailbox: ImapServer, ca: Path) -> InboxSettings:
    return InboxSettings(
        keys_dir=Path(),
        listen="",
        smtp_host="unused",
        bounce_address=BOUNCES,
        bounce_imap_host="127.0.0.1",
        bounce_imap_port=mailbox.port,
        bounce_imap_tls_ca=ca,
        bounce_imap_username=USER,
        bounce_imap_password=PASSWORD,  # type: ignore[arg-type] # pydantic makes it a secret
    )
