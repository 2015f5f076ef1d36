"""An address gets so many mails a day in Helsinki; the others wait for the next day."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.notification.v1.notification_service_pb2 import DELIVERY_STATE_SENT, SendMessageRequest
from liity.v1.reason_pb2 import REASON_MAIL_NOT_ACCEPTED, REASON_MESSAGE_NOT_FOUND, REASON_TOO_MANY_MAILS
from services.notification.models import limits
from services.runtime.clock import helsinki_day, helsinki_moment, now
from services.runtime.rpc.errors import Refusal
from tests.services.conftest import refused
from tests.services.notification.notifications import consent_request, end_lease, running
from tests.support.ports import free_port
from tests.support.smtp_server import SmtpServer


def mail(address: str) -> SendMessageRequest:
    return consent_request(recipient_email=address)


def new_address() -> str:
    return f"{uuid4().hex}@example.org"


async def test_the_next_one_waits_for_tomorrow(engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer) -> None:
    address = new_address()
    async with (
        running(engine, keys_dir, smtp.port, mails_per_address=3) as one,
        running(engine, keys_dir, smtp.port, mails_per_address=3) as other,
    ):
        sent = [mail(address), mail(address.upper()), mail(address)]
        for notification, request in zip((one, other, one), sent, strict=True):
            await notification.send(request)
        held = mail(address)
        for notification in (one, other):
            refusal = await notification.refused(held)
            assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", REASON_TOO_MANY_MAILS)
            midnight = helsinki_moment(helsinki_day(now()) + timedelta(days=1))
            assert refusal.retry_after is not None
            assert abs(now() + refusal.retry_after - midnight) < timedelta(minutes=2)
        # What has been sent answers as before, and others get their mail.
        assert (await other.send(sent[0])).state == DELIVERY_STATE_SENT
        await one.send(mail(new_address()))
        assert len(smtp.taken) == 4
        # As if it had never been asked for, until it goes out.
        assert (await refused(one.delivery(held.request_id))).reason == REASON_MESSAGE_NOT_FOUND
        async with engine.begin() as connection:
            await connection.execute(update(limits).values(ends_at=now()))
        delivery = await one.send(held)
        assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 1)


async def test_mails_at_once_exceed_no_limit(engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer) -> None:
    address = new_address()
    async with running(engine, keys_dir, smtp.port, mails_per_address=4) as notification:
        answers = await asyncio.gather(
            *(notification.send(mail(address)) for _ in range(10)), return_exceptions=True
        )
    refusals = [answer.reason for answer in answers if isinstance(answer, Refusal)]
    assert refusals == [REASON_TOO_MANY_MAILS] * 6
    assert len(smtp.taken) == 4


async def test_a_mail_tried_again_counts_once(engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer) -> None:
    request = mail(new_address())
    async with running(engine, keys_dir, free_port(), mails_per_address=1) as notification:
        for _ in range(3):
            assert (await notification.refused(request)).reason == REASON_MAIL_NOT_ACCEPTED
            await end_lease(engine, request)
    async with running(engine, keys_dir, smtp.port, mails_per_address=1) as notification:
        assert (await notification.send(request)).attempts > 3
        again = mail(request.recipient_email)
        assert (await notification.refused(again)).reason == REASON_TOO_MANY_MAILS


async def test_the_address_is_kept_as_a_hash(engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer) -> None:
    address = new_address()
    async with running(engine, keys_dir, smtp.port) as notification:
        await notification.send(mail(address))
    async with engine.connect() as connection:
        keys = (await connection.execute(select(limits.c.key))).scalars().all()
    assert keys
    assert all(len(key) == 32 and address[:8].encode() not in key for key in keys)
