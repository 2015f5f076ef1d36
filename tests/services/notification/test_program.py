"""The notification service as a process, killed and stopped in the midst of sending; and encryption."""

import asyncio
import datetime as dt
import ipaddress
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.postgres import EmbeddedPostgres
from liity.notification.v1.notification_service_pb2 import DELIVERY_STATE_PENDING, DELIVERY_STATE_SENT
from liity.v1.reason_pb2 import REASON_MAIL_NOT_ACCEPTED
from services.notification.settings import NotificationSettings
from services.runtime.settings import SettingsError, load
from tests.services.notification.notifications import (
    Notification,
    called_at,
    consent_request,
    end_lease,
    running,
)
from tests.support.ports import free_port
from tests.support.smtp_server import ACCEPTED, SmtpServer, smtp_server

_PROGRAM = "import asyncio, services.notification.server as server; asyncio.run(server.run())"


@pytest.fixture
def environment(postgres: EmbeddedPostgres, keys_dir: Path, smtp: SmtpServer) -> dict[str, str]:
    return {
        "LIITY_LISTEN": f"127.0.0.1:{free_port()}",
        "LIITY_DATABASE_URL": postgres.url("notification"),
        "LIITY_KEYS_DIR": str(keys_dir),
        "LIITY_SMTP_HOST": "127.0.0.1",
        "LIITY_SMTP_PORT": str(smtp.port),
    }


@asynccontextmanager
async def program(environment: dict[str, str], log: Path) -> AsyncIterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env={**os.environ, "PYTHONPATH": ":".join(sys.path), **environment},
            stdout=output,
            stderr=output,
        )
        try:
            # A start may take longer than a call waits for a service that is away.
            async with grpc.aio.insecure_channel(environment["LIITY_LISTEN"]) as channel:
                await asyncio.wait_for(channel.channel_ready(), 120)
            yield process
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)


async def test_a_killed_process_sends_again_under_the_same_message_id(
    environment: dict[str, str], keys_dir: Path, smtp: SmtpServer, engine: AsyncEngine, tmp_path: Path
) -> None:
    request = consent_request()
    log = tmp_path / "log"
    async with called_at(environment["LIITY_LISTEN"], keys_dir) as notification:
        async with program(environment, log) as process:

            async def taken_then_killed(server: object) -> str:
                process.kill()
                return ACCEPTED

            smtp.on_data.append(taken_then_killed)
            sending = asyncio.create_task(notification.send(request))
            await asyncio.to_thread(process.wait)
        async with program(environment, log):
            # Whatever retries the first call has left find the dead process's lease.
            await asyncio.wait([sending])
            assert sending.exception() is not None
            assert (await notification.delivery(request.request_id)).state == DELIVERY_STATE_PENDING
            assert len(smtp.taken) == 1
            await end_lease(engine, request)
            delivery = await notification.send(request)
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 2)
    assert [mail["Message-ID"] for mail in smtp.taken] == [f"<{request.request_id}@liity.example>"] * 2


async def test_a_stopped_process_sees_its_sending_through(
    environment: dict[str, str], keys_dir: Path, smtp: SmtpServer, tmp_path: Path
) -> None:
    request = consent_request()
    log = tmp_path / "log"
    async with called_at(environment["LIITY_LISTEN"], keys_dir) as notification:
        async with program(environment, log) as process:

            async def stopping(_server: object) -> str:
                process.send_signal(signal.SIGTERM)
                while b"stopping" not in await asyncio.to_thread(log.read_bytes):
                    await asyncio.sleep(0.02)
                return ACCEPTED

            smtp.on_data.append(stopping)
            delivery = await notification.send(request)
            assert await asyncio.to_thread(process.wait, 30) == 0
        async with program(environment, log):
            assert await notification.send(request) == delivery
    assert (delivery.state, delivery.attempts) == (DELIVERY_STATE_SENT, 1)
    assert len(smtp.taken) == 1
    logged = log.read_text()
    assert all(secret not in logged for secret in ("aino", "Eino", "@example.org", "a-token"))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 and its key, signed by nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@asynccontextmanager
async def encrypting_server(certificate: Path) -> AsyncIterator[SmtpServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with smtp_server(tls=context) as server:
        yield server


async def test_mail_is_encrypted_where_the_server_offers_it(
    engine: AsyncEngine, keys_dir: Path, certificate: Path
) -> None:
    async with (
        encrypting_server(certificate) as smtp,
        running(engine, keys_dir, smtp.port) as notification,
    ):
        await notification.send(consent_request())
    assert smtp.encrypted == [True]


async def test_asked_to_the_certificate_is_verified(
    engine: AsyncEngine, keys_dir: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        encrypting_server(certificate) as smtp,
        running(engine, keys_dir, smtp.port, smtp_tls="starttls") as notification,
    ):
        assert await _not_accepted(notification)
        assert smtp.taken == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await notification.send(consent_request())
    assert smtp.encrypted == [True]


async def test_asked_to_nothing_is_sent_in_the_clear(
    engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer
) -> None:
    async with running(engine, keys_dir, smtp.port, smtp_tls="starttls") as notification:
        assert await _not_accepted(notification)
    assert smtp.taken == []


async def _not_accepted(notification: Notification) -> bool:
    return (await notification.refused(consent_request())).reason == REASON_MAIL_NOT_ACCEPTED


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"LIITY_SMTP_HOST": None}, "LIITY_SMTP_HOST: Field required"),
        ({"LIITY_MAIL_FROM": "Liity"}, "LIITY_MAIL_FROM: .*@-sign"),
        ({"LIITY_MAIL_FROM": "a@b.fi\r\nBcc: x@y.fi"}, "LIITY_MAIL_FROM: "),
        ({"LIITY_SMTP_PORT": "0"}, "LIITY_SMTP_PORT: "),
        ({"LIITY_SMTP_TLS": "maybe"}, "LIITY_SMTP_TLS: "),
        ({"LIITY_SMTP_USERNAME": "liity"}, "LIITY_SMTP_PASSWORD go together"),
        ({"LIITY_SMTP_USERNAME": "liity", "LIITY_SMTP_PASSWORD": "hush"}, "verified TLS only"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], complaint: str
) -> None:
    right = {
        "LIITY_LISTEN": "127.0.0.1:1",
        "LIITY_DATABASE_URL": "postgresql+asyncpg://u:p@127.0.0.1/notification",
        "LIITY_KEYS_DIR": "keys",
        "LIITY_SMTP_HOST": "127.0.0.1",
    }
    for name, value in {**right, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=complaint) as caught:
        load(NotificationSettings)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
