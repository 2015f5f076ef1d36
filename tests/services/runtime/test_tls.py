"""TLS between components, on real connections: who is let in, and certificates that change meanwhile."""

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from deploy.local import certificates as local_certificates
from deploy.local.certificates import Certificates
from liity.identity.v1.account_service_pb2 import GetJwksRequest, GetJwksResponse
from liity.v1.reason_pb2 import REASON_UNAVAILABLE
from services.notification.mail.smtp import Outcome, Sent, Transport
from services.notification.settings import MailSettings
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.rpc.peer import Peer
from services.runtime.security.service_identity import ServiceIdentity, ServiceVerifier
from services.runtime.security.tls import (
    CertificateFiles,
    Pem,
    channel_credentials,
    component_certificate,
    server_context,
    server_credentials,
)
from services.runtime.settings import RuntimeSettings, SettingsError
from tests.services.conftest import CONTACT
from tests.support.smtp_server import smtp_server

_SERVICE, _METHOD = "liity.identity.v1.AccountService", "GetJwks"
"""An RPC that the access table opens to the gateway."""

Change = Callable[[Certificates, Certificates], None]


def made(folder: Path) -> Certificates:
    """A CA with a certificate of everybody."""
    certificates = Certificates(folder)
    certificates.create()
    return certificates


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return made(tmp_path / "tls")


@pytest.fixture
def others(tmp_path: Path) -> Certificates:
    """The same names, of another CA."""
    return made(tmp_path / "others")


@pytest.fixture
def expired(certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """The same names, of the same CA, but too old."""
    folder = tmp_path / "expired"
    folder.mkdir()
    for name in ("ca.crt", "ca.key"):
        shutil.copy(certificates.ca.parent / name, folder / name)
    with monkeypatch.context() as patch:
        patch.setattr(local_certificates, "_VALID", timedelta(minutes=-1))
        return made(folder)


class Identity:
    """What answers as identity, and whose certificates it was shown."""

    def __init__(self) -> None:
        self.shown: list[bytes] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def get_jwks(
        self, _request: GetJwksRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetJwksResponse:
        self.shown.append(context.auth_context()["x509_pem_cert"][0])
        await self.may_answer.wait()
        return GetJwksResponse()


@asynccontextmanager
async def serving(files: CertificateFiles, keys_dir: Path) -> AsyncIterator[tuple[Identity, str]]:
    """A server of identity's, and its host:port."""
    identity = Identity()
    authenticator = ServiceAuthenticator(ServiceVerifier("identity", keys_dir).verify, certificates=True)
    server = grpc.aio.server(interceptors=[RequestInterceptor(authenticator, CONTACT)])
    handler = grpc.unary_unary_rpc_method_handler(
        identity.get_jwks, GetJwksRequest.FromString, GetJwksResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(files.follow()))
    await server.start()
    try:
        yield identity, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def calling(
    target: str, files: CertificateFiles, keys_dir: Path, as_service: str = "gateway"
) -> AsyncIterator[Callable[..., Awaitable[GetJwksResponse]]]:
    """Calls identity as a component does, with a certificate; `timeout` in seconds."""
    peer = Peer("identity", target, ServiceIdentity(as_service, keys_dir, files.follow()))
    method: Any = peer.channel.unary_unary(
        f"/{_SERVICE}/{_METHOD}", GetJwksRequest.SerializeToString, GetJwksResponse.FromString
    )

    async def call(timeout: float = 10) -> GetJwksResponse:
        return await peer.call(method, GetJwksRequest(), timeout=timeout)

    try:
        yield call
    finally:
        await peer.close()


def renew(certificates: Certificates, *names: str) -> None:
    """Other certificates with other keys, by the same CA."""
    for name in names:
        certificates.files(name).certificate.unlink()
    certificates.create()


async def shown_by(target: str) -> str:
    """The certificate that a server shows to a new connection."""
    host, _, port = target.rpartition(":")
    return await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))


# Who is let in


async def test_a_component_is_let_in_with_its_own_certificate(
    certificates: Certificates, keys_dir: Path
) -> None:
    async with (
        serving(certificates.files("identity"), keys_dir) as (identity, target),
        calling(target, certificates.files("gateway"), keys_dir) as call,
    ):
        await call()
    assert identity.shown == [certificates.files("gateway").certificate.read_bytes()]


async def test_a_token_with_the_certificate_of_another_component_opens_nothing(
    certificates: Certificates, keys_dir: Path
) -> None:
    async with (
        serving(certificates.files("identity"), keys_dir) as (identity, target),
        calling(target, certificates.files("notification"), keys_dir, as_service="gateway") as call,
    ):
        with pytest.raises(Refusal) as refused:
            await call()
    assert refused.value.reason == REASON_UNAVAILABLE
    assert identity.shown == []


@pytest.mark.parametrize("shown", ["none", "of another CA", "expired", "for servers alone"])
async def test_no_connection_without_a_good_certificate(
    certificates: Certificates, others: Certificates, expired: Certificates, keys_dir: Path, shown: str
) -> None:
    files = {
        "of another CA": others.files("gateway"),
        "expired": expired.files("gateway"),
        "for servers alone": certificates.files("public"),
    }.get(shown)
    ca = certificates.ca.read_bytes()
    credentials = (
        channel_credentials(Pem(files.certificate.read_bytes(), files.key.read_bytes(), ca))
        if files
        else grpc.ssl_channel_credentials(ca)
    )
    named = [("grpc.default_authority", "identity")]
    async with serving(certificates.files("identity"), keys_dir) as (identity, target):
        token = ServiceIdentity("gateway", keys_dir).token("identity")
        async with grpc.aio.secure_channel(target, credentials, options=named) as channel:
            method: Any = channel.unary_unary(f"/{_SERVICE}/{_METHOD}")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await method(b"", metadata=[("authorization", f"Bearer {token}")], timeout=20)
        async with grpc.aio.insecure_channel(target) as channel:
            method = channel.unary_unary(f"/{_SERVICE}/{_METHOD}")
            with pytest.raises(grpc.aio.AioRpcError) as in_the_clear:
                await method(b"", metadata=[("authorization", f"Bearer {token}")], timeout=20)
    assert refused.value.code() is in_the_clear.value.code() is grpc.StatusCode.UNAVAILABLE
    assert identity.shown == []


@pytest.mark.parametrize("who", ["another component", "another CA"])
async def test_nobody_is_called_who_is_not_the_component_meant(
    certificates: Certificates, others: Certificates, keys_dir: Path, who: str
) -> None:
    impostor = certificates.files("worker") if who == "another component" else others.files("identity")
    # It would let everybody in, and take their tokens.
    files = replace(impostor, ca=certificates.ca)
    async with (
        serving(files, keys_dir) as (identity, target),
        calling(target, certificates.files("gateway"), keys_dir) as call,
    ):
        with pytest.raises(Refusal) as failed:
            await call(timeout=2)
    assert failed.value.code is grpc.StatusCode.UNAVAILABLE
    assert identity.shown == []


# Certificates change meanwhile


async def test_new_connections_see_new_certificates_and_calls_go_on(
    certificates: Certificates, keys_dir: Path
) -> None:
    async with (
        serving(certificates.files("identity"), keys_dir) as (identity, target),
        calling(target, certificates.files("gateway"), keys_dir) as call,
    ):
        await call()
        before = await shown_by(target)
        identity.may_answer.clear()
        under_way = asyncio.create_task(call())
        while len(identity.shown) < 2:
            await asyncio.sleep(0.01)

        renew(certificates, "identity", "gateway")
        later = asyncio.create_task(call())
        while len(identity.shown) < 3:
            await asyncio.sleep(0.01)
        identity.may_answer.set()
        await under_way
        await later
        after = await shown_by(target)
        await asyncio.gather(*(call() for _ in range(20)))

    assert after == certificates.files("identity").certificate.read_text() != before
    first, second, third, *rest = identity.shown
    assert first == second
    assert third == certificates.files("gateway").certificate.read_bytes() != first
    assert set(rest) == {third}


async def test_another_ca_is_taken_over_step_by_step(
    certificates: Certificates, others: Certificates, keys_dir: Path
) -> None:
    def place(name: str) -> None:
        for mine, other in zip(certificates.files(name).paths[:2], others.files(name).paths[:2], strict=True):
            shutil.copy(other, mine)

    async with (
        serving(certificates.files("identity"), keys_dir) as (identity, target),
        calling(target, certificates.files("gateway"), keys_dir) as call,
    ):
        await call()
        both = certificates.ca.read_text() + others.ca.read_text()
        certificates.ca.write_text(both)
        for name in ("gateway", "identity"):
            place(name)
            await call()
        certificates.ca.write_text(others.ca.read_text())
        await call()
        assert await shown_by(target) == others.files("identity").certificate.read_text()
    assert identity.shown[-1] == others.files("gateway").certificate.read_bytes()


def _garbage(mine: Certificates, _: Certificates) -> None:
    mine.files("identity").certificate.write_text("nonsense")


def _gone(mine: Certificates, _: Certificates) -> None:
    mine.files("identity").key.unlink()


def _mismatched(mine: Certificates, others: Certificates) -> None:
    shutil.copy(others.files("identity").key, mine.files("identity").key)


def _open(mine: Certificates, _: Certificates) -> None:
    key = mine.files("identity").key
    # An open file that is newer, as when somebody copies one there.
    key.chmod(0o644)
    os.utime(key)


def _of_another(mine: Certificates, _: Certificates) -> None:
    for one, other in zip(mine.files("identity").paths[:2], mine.files("worker").paths[:2], strict=True):
        shutil.copy(other, one)


BROKEN: dict[str, tuple[Change, str]] = {
    "garbage": (_garbage, "identity.crt holds no PEM certificate"),
    "gone": (_gone, "identity.key cannot be read: No such file or directory"),
    "mismatched": (_mismatched, "identity.key does not belong to certificate "),
    "open to others": (_open, "identity.key is open to others: chmod 600 "),
    "of another component": (_of_another, "identity.crt is not of identity: it lacks this DNS name"),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_what_cannot_be_used_leaves_the_old_certificate_in_place(
    certificates: Certificates, others: Certificates, keys_dir: Path, how: str
) -> None:
    break_it, complaint = BROKEN[how]
    async with serving(certificates.files("identity"), keys_dir) as (_, target):
        before = await shown_by(target)
        with capture_logs() as logs:
            break_it(certificates, others)
            async with calling(target, certificates.files("gateway"), keys_dir) as call:
                await call()
            still = await shown_by(target)
        renew(certificates, "identity")
        after = await shown_by(target)

    assert still == before != after
    (warning,) = (line for line in logs if line["event"] == "changed TLS files are not used")
    assert warning["log_level"] == "warning"
    assert complaint in warning["problem"]


# Settings


@pytest.mark.parametrize("how", BROKEN)
def test_what_cannot_be_used_stops_the_start(
    certificates: Certificates, others: Certificates, how: str
) -> None:
    break_it, complaint = BROKEN[how]
    break_it(certificates, others)
    assert complaint in _refusal(certificates)


def test_an_expired_certificate_stops_the_start(expired: Certificates) -> None:
    assert "identity.crt expired on 20" in _refusal(expired)


def test_a_ca_that_is_none_stops_the_start(certificates: Certificates) -> None:
    certificates.ca.write_text("nonsense")
    assert "ca.crt holds no PEM certificate" in _refusal(certificates)


def _refusal(certificates: Certificates) -> str:
    files = certificates.files("identity")
    settings = RuntimeSettings(
        keys_dir=Path(), tls_ca=files.ca, tls_certificate=files.certificate, tls_key=files.key
    )
    with pytest.raises(SettingsError) as refused:
        component_certificate("identity", settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# The local CA


def test_certificates_are_renewed_when_they_are_about_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(local_certificates, "_VALID", timedelta(days=29))
        certificates = made(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    certificates.create()
    second = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    certificates.create()
    third = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert {name for name in first if first[name] == second[name]} == {"ca.crt", "ca.key"}
    assert second == third
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


# Mail


@pytest.mark.parametrize("trusted", ["mine", "others"])
@pytest.mark.parametrize("name", ["smtp", "identity"])
async def test_mail_goes_to_a_server_of_the_right_ca_and_name_alone(
    certificates: Certificates, others: Certificates, trusted: str, name: str
) -> None:
    ca = {"mine": certificates, "others": others}[trusted].ca
    async with smtp_server(tls=server_context(replace(certificates.files(name), ca=None))) as server:
        outcome = await _sent(server.port, ca)
    assert isinstance(outcome, Sent) == ((trusted, name) == ("mine", "smtp"))
    assert server.encrypted == ([True] if isinstance(outcome, Sent) else [])


async def test_both_ends_of_mail_follow_their_files(certificates: Certificates, others: Certificates) -> None:
    files = certificates.files("smtp")
    async with smtp_server(tls=server_context(replace(files, ca=None))) as server:
        transport = Transport(_mail_settings(server.port, certificates.ca))
        assert isinstance(await _send(transport), Sent)
        await transport.close()
        for mine, other in zip(files.paths, others.files("smtp").paths, strict=True):
            shutil.copy(other, mine)
        assert isinstance(await _send(transport), Sent)
        await transport.close()
        assert isinstance(await _sent(server.port, others.ca), Sent)


def _mail_settings(port: int, ca: Path) -> MailSettings:
    return MailSettings(
        keys_dir=Path(), listen="", smtp_host="127.0.0.1", smtp_port=port, smtp_tls="starttls", smtp_tls_ca=ca
    )


async def _sent(port: int, ca: Path) -> Outcome:
    transport = Transport(_mail_settings(port, ca))
    try:
        return await _send(transport)
    finally:
        await transport.close()


async def _send(transport: Transport) -> Outcome:
    mail = EmailMessage()
    mail["Subject"] = "Hei"
    mail.set_content("Hei!")
    return await transport.send(mail, "aino@posti.example", "no-reply@liity.example")
