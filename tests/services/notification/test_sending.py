"""Each mail is sent once, whatever callers, mail servers and the database do."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_PENDING,
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_UNDELIVERABLE,
    Delivery,
)
from liity.v1.reason_pb2 import REASON_MAIL_NOT_ACCEPTED, REASON_UNAVAILABLE
from services.notification.mail.deliveries import MessageStore
from services.runtime.rpc.errors import Refusal
from tests.services.notification.notifications import (
    RECIPIENT,
    Notification,
    consent_request,
    end_lease,
    make_older,
    running,
    stored,
)
from tests.support.ports import free_port
from tests.support.smtp_server import ACCEPTED, SmtpServer, drop, hang, smtp_server


async def test_a_mail_is_sent(notification: Notification, smtp: SmtpServer, engine: AsyncEngine) -> None:
    request = consent_request()
    delivery = await notification.send(request)
    assert delivery.request_id == request.request_id
    assert (delivery.template, delivery.state) == ("consent_request", DELIVERY_STATE_SENT)
    assert (delivery.attempts, delivery.last_error) == (1, "")
    assert delivery.create_time.ToDatetime() <= delivery.update_time.ToDatetime()
    [mail] = smtp.taken
    assert smtp.recipients == [RECIPIENT]
    assert mail["To"] == RECIPIENT
    assert mail["From"] == "Saavutettavuuskirjasto <no-reply@liity.example>"
    assert mail["Message-ID"] == f"<{request.request_id}@liity.example>"
    assert (mail["Auto-Submitted"], mail["Content-Language"]) == ("auto-generated", "fi")
    # Exchange sends its absence notes whatever Auto-Submitted says.
    assert (mail["X-Auto-Response-Suppress"], mail["X-Entity-Ref-ID"]) == ("All", request.request_id)
    assert mail["Date"].datetime <= datetime.now(UTC)
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert "https://liity.example/consent/a-token_of-the-link" in plain.get_content()
    row = await stored(engine, request)
    assert all(secret not in row for secret in ("@", "aino", "Eino", "a-token"))


async def test_a_call_repeated_20_times_sends_one_mail(notification: Notification, smtp: SmtpServer) -> None:
    request = consent_request()
    answers = [await notification.send(request) for _ in range(20)]
    assert all(answer == answers[0] for answer in answers)
    assert len(smtp.taken) == 1


async def test_20_calls_that_race_send_one_mail(notification: Notification, smtp: SmtpServer) -> None:
    request = consent_request()
    answers = await asyncio.gather(*(notification.send(request) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert len(smtp.taken) == 1


async def test_racing_servers_send_one_mail(engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer) -> None:
    request = consent_request()
    async with running(engine, keys_dir, smtp.port) as one, running(engine, keys_dir, smtp.port) as other:
        answers = await asyncio.gather(
            *(server.send(request) for server in (one, other) * 5), return_exceptions=True
        )
        # Whom the other one's lease turned away was told to repeat the call.
        for answer in answers:
            if isinstance(answer, Refusal):
                assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, REASON_UNAVAILABLE)
            else:
                assert isinstance(answer, Delivery)
        assert (await one.send(request)).attempts == 1
        assert (await other.send(request)).state == DELIVERY_STATE_SENT
    assert len(smtp.taken) == 1


async def test_the_connection_is_used_again(notification: Notification, smtp: SmtpServer) -> None:
    for _ in range(5):
        await notification.send(consent_request())
    assert len(smtp.taken) == 5
    assert len(smtp.connections) == 1


async def test_many_mails_at_once_share_few_connections(
    engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer
) -> None:
    async with running(engine, keys_dir, smtp.port, smtp_connections=2) as notification:
        await asyncio.gather(*(notification.send(consent_request()) for _ in range(20)))
    assert len(smtp.taken) == 20
    assert len(smtp.connections) <= 2


async def test_a_connection_the_server_has_closed_is_replaced(
    notification: Notification, smtp: SmtpServer
) -> None:
    await notification.send(consent_request())
    for connection in smtp.connections:
        assert connection.transport is not None
        connection.transport.close()
    # The end of a connection takes a moment to arrive.
    await asyncio.sleep(0.1)
    delivery = await notification.send(consent_request())
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 1)
    assert len(smtp.connections) == 2


@pytest.mark.parametrize("stage", ["on_mail", "on_rcpt", "on_data"])
async def test_a_temporary_refusal_is_tried_again(
    notification: Notification, smtp: SmtpServer, stage: str
) -> None:
    getattr(smtp, stage).extend(["451 4.7.1 Greylisted, come back", "421 4.3.2 Busy"])
    delivery = await notification.send(consent_request())
    assert (delivery.state, delivery.attempts, delivery.last_error) == (DELIVERY_STATE_SENT, 3, "")
    assert len(smtp.taken) == 1


async def test_while_no_server_takes_it_the_caller_is_told(
    notification: Notification, smtp: SmtpServer, engine: AsyncEngine
) -> None:
    smtp.on_rcpt += [f"450 4.2.1 <{RECIPIENT}>: Aino.Virtanen is away"] * 50
    request = consent_request()
    refusal = await notification.refused(request)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, REASON_MAIL_NOT_ACCEPTED)
    delivery = await notification.delivery(request.request_id)
    assert delivery.state == DELIVERY_STATE_PENDING
    assert delivery.last_error == "450 4.2.1 <***>: *** is away"
    assert "irtanen" not in await stored(engine, request)
    smtp.on_rcpt.clear()
    assert (await notification.send(request)).state == DELIVERY_STATE_SENT
    assert len(smtp.taken) == 1


@pytest.mark.parametrize("stage", ["on_rcpt", "on_data"])
async def test_a_refusal_for_good_is_an_answer_and_final(
    notification: Notification, smtp: SmtpServer, engine: AsyncEngine, stage: str
) -> None:
    getattr(smtp, stage).append(f"550 5.1.1 {RECIPIENT} unknown \x01" + "x" * 300)
    request = consent_request()
    delivery = await notification.send(request)
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_UNDELIVERABLE, 1)
    assert delivery.last_error.startswith("550 5.1.1 *** unknown x")
    assert len(delivery.last_error) == 200
    assert await notification.send(request) == delivery
    assert smtp.taken == []
    assert "@" not in await stored(engine, request)


async def test_what_a_server_puts_off_for_days_is_undeliverable(
    notification: Notification, smtp: SmtpServer, engine: AsyncEngine
) -> None:
    smtp.on_rcpt += ["452 4.2.2 Mailbox full"] * 50
    request = consent_request()
    await notification.refused(request)
    await make_older(engine, request, days=4)
    assert (await notification.refused(request)).reason == REASON_MAIL_NOT_ACCEPTED
    await make_older(engine, request, days=1)
    delivery = await notification.send(request)
    assert (delivery.state, delivery.last_error) == (DELIVERY_STATE_UNDELIVERABLE, "452 4.2.2 Mailbox full")
    smtp.on_rcpt.clear()
    assert await notification.send(request) == delivery


async def test_no_patience_ends_with_a_server_that_is_away(engine: AsyncEngine, keys_dir: Path) -> None:
    port = free_port()
    request = consent_request()
    async with running(engine, keys_dir, port) as notification:
        await notification.refused(request)
        await make_older(engine, request, days=30)
        assert (await notification.refused(request)).reason == REASON_MAIL_NOT_ACCEPTED
        async with smtp_server(port):
            assert (await notification.send(request)).state == DELIVERY_STATE_SENT


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("on_mail", "530 5.7.0 Authentication required"),
        ("on_mail", "550 5.1.1 Whatever the server says of the sender"),
        ("on_mail", "553 Sender address rejected"),
        ("on_rcpt", "550 5.4.5 Daily quota exceeded"),
        ("on_rcpt", "554 5.7.1 Relay access denied"),
        ("on_data", "550 5.7.1 Message blocked"),
        ("on_data", "550 5.7.60 Not permitted to send as this sender"),
        ("on_data", "554 Transaction failed"),
    ],
)
async def test_a_refusal_of_us_is_not_held_against_the_address(
    notification: Notification, smtp: SmtpServer, stage: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    getattr(smtp, stage).append(answer)
    assert (await notification.send(consent_request())).state == DELIVERY_STATE_SENT
    assert capsys.readouterr().out.count("mail server refuses our mail") == 1


async def test_a_full_mailbox_is_put_off_for_days(
    notification: Notification, smtp: SmtpServer, engine: AsyncEngine
) -> None:
    smtp.on_rcpt += ["552 5.2.2 Mailbox full"] * 50
    request = consent_request()
    assert (await notification.refused(request)).reason == REASON_MAIL_NOT_ACCEPTED
    await make_older(engine, request, days=5)
    assert (await notification.send(request)).state == DELIVERY_STATE_UNDELIVERABLE


async def test_a_server_that_refuses_us_is_asked_now_and_then(
    engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, quota_is_used = 0, True

    async def exhausted(_server: object) -> str:
        nonlocal asked
        asked += 1
        return "550 5.4.5 Daily user sending quota exceeded" if quota_is_used else ACCEPTED

    requests = [consent_request() for _ in range(25)]
    smtp.on_rcpt += [exhausted] * 500
    async with running(engine, keys_dir, smtp.port, mail_pause=timedelta(seconds=0.1)) as notification:
        # One by one: mail on its way when the third is refused would still be sent.
        for mail in requests[:3]:
            await notification.refused(mail, 0.5)
        held = asked
        refused = await asyncio.gather(
            *(notification.send(mail, 0.5) for mail in requests), return_exceptions=True
        )
        assert all(isinstance(answer, Refusal) for answer in refused)
        # One mail of 25 asks after each pause, and the pauses grow.
        assert asked - held < 10
        quota_is_used = False
        while not smtp.taken:
            await asyncio.gather(*(notification.send(mail, 0.5) for mail in requests), return_exceptions=True)
        deliveries = await asyncio.gather(*(notification.send(mail) for mail in requests))
    assert {delivery.state for delivery in deliveries} == {DELIVERY_STATE_SENT}
    assert len(smtp.taken) == 25
    assert capsys.readouterr().out.count("[error") == 1


async def test_a_server_that_is_away_is_waited_for(engine: AsyncEngine, keys_dir: Path) -> None:
    port = free_port()
    request = consent_request()
    async with running(engine, keys_dir, port) as notification:
        refusal = await notification.refused(request)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, REASON_MAIL_NOT_ACCEPTED)
        assert (await notification.delivery(request.request_id)).state == DELIVERY_STATE_PENDING
        async with smtp_server(port) as smtp:
            assert (await notification.send(request)).state == DELIVERY_STATE_SENT
            assert len(smtp.taken) == 1


@pytest.mark.parametrize("stage", ["on_mail", "on_rcpt", "on_data"])
async def test_a_server_that_hangs_is_given_up_on(
    engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer, stage: str
) -> None:
    async with running(engine, keys_dir, smtp.port, smtp_timeout=1.0) as notification:
        getattr(smtp, stage).append(hang)
        delivery = await notification.send(consent_request())
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 2)
    assert len(smtp.taken) == 1
    assert len(smtp.connections) == 2


async def test_a_server_that_answers_slowly_all_along_is_given_up_on(
    engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer
) -> None:
    async def slowly(_server: object) -> str:
        await asyncio.sleep(0.6)
        return ACCEPTED

    async with running(engine, keys_dir, smtp.port, smtp_timeout=1.0) as notification:
        smtp.on_mail.append(slowly)
        smtp.on_rcpt.append(slowly)
        delivery = await notification.send(consent_request())
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 2)
    assert len(smtp.taken) == 1


async def test_a_connection_lost_before_the_mail_was_read_is_tried_again(
    notification: Notification, smtp: SmtpServer
) -> None:
    smtp.on_rcpt.append(drop)
    delivery = await notification.send(consent_request())
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 2)
    assert len(smtp.taken) == 1


async def test_a_mail_taken_without_a_word_is_sent_again_under_its_message_id(
    notification: Notification, smtp: SmtpServer
) -> None:
    smtp.on_data.append(smtp.read_then_drop)
    request = consent_request()
    delivery = await notification.send(request)
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 2)
    assert [mail["Message-ID"] for mail in smtp.taken] == [f"<{request.request_id}@liity.example>"] * 2


async def test_a_mail_whose_caller_gave_up_is_recorded(notification: Notification, smtp: SmtpServer) -> None:
    go_on = asyncio.Event()

    async def late(_server: object) -> str:
        await go_on.wait()
        return ACCEPTED

    smtp.on_data.append(late)
    request = consent_request()
    with pytest.raises(Refusal) as caught:
        await notification.send(request, seconds=0.3)
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE
    assert (await notification.delivery(request.request_id)).state == DELIVERY_STATE_PENDING
    go_on.set()
    while (delivery := await notification.delivery(request.request_id)).state == DELIVERY_STATE_PENDING:
        await asyncio.sleep(0.02)
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 1)
    assert await notification.send(request) == delivery
    assert len(smtp.taken) == 1


async def test_a_sending_that_died_is_taken_up_after_its_lease(
    engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer
) -> None:
    request = consent_request()
    # What a killed process leaves behind: a claim, and no outcome.
    claimed = await MessageStore(engine).claim(
        uuid.UUID(request.request_id), request.subject_id, "consent_request", timedelta(minutes=1), b"", b""
    )
    assert claimed is not None
    async with running(engine, keys_dir, smtp.port) as notification:
        refusal = await notification.refused(request)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, REASON_UNAVAILABLE)
        assert smtp.taken == []
        await end_lease(engine, request)
        assert (await notification.send(request)).attempts == 2
    assert len(smtp.taken) == 1


async def test_a_mail_taken_while_the_database_is_lost_is_recorded(
    notification: Notification, smtp: SmtpServer, engine: AsyncEngine
) -> None:
    async def lose_database(_server: object) -> str:
        async with engine.connect() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = current_user AND pid <> pg_backend_pid()"
                )
            )
            await connection.invalidate()
        return ACCEPTED

    # So many connections lie in the pool, every one of them dead when it is taken.
    await asyncio.gather(*(notification.send(consent_request()) for _ in range(8)))
    smtp.on_data.append(lose_database)
    delivery = await notification.send(consent_request())
    assert smtp.on_data == []
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 1)


async def test_a_sending_that_outlasts_its_lease_is_not_begun_again_beside_itself(
    notification: Notification, smtp: SmtpServer, engine: AsyncEngine
) -> None:
    request = consent_request()
    repeated: list[asyncio.Task[Delivery]] = []

    async def outlast(_server: object) -> str:
        await end_lease(engine, request)
        repeated.append(asyncio.create_task(notification.send(request)))
        await asyncio.wait(repeated, timeout=0.5)
        return ACCEPTED

    smtp.on_data.append(outlast)
    delivery = await notification.send(request)
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 1)
    assert await repeated[0] == delivery
    assert len(smtp.taken) == 1


async def test_a_late_refusal_does_not_undo_a_later_attempt(
    notification: Notification, smtp: SmtpServer, engine: AsyncEngine
) -> None:
    request = consent_request()

    async def outrun(_server: object) -> str:
        await end_lease(engine, request)
        other = MessageStore(engine)
        claimed = await other.claim(
            uuid.UUID(request.request_id),
            request.subject_id,
            "consent_request",
            timedelta(minutes=1),
            b"",
            b"",
        )
        assert claimed is not None
        return "450 4.2.1 Busy"

    smtp.on_data.append(outrun)
    refusal = await notification.refused(request)
    assert refusal.reason == REASON_UNAVAILABLE
    delivery = await notification.delivery(request.request_id)
    assert (delivery.state, delivery.attempts, delivery.last_error) == (DELIVERY_STATE_PENDING, 2, "")
