"""The stack over TLS: nothing is said in the clear, and every certificate is replaced while it runs."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiosmtplib
import asyncpg
import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import text

from deploy.demo.polling import eventually
from deploy.local.certificates import Certificates
from deploy.local.mailbox.client import MailboxClient
from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount, seed
from deploy.local.stack import Stack
from frontends.client import ApiClient
from frontends.refusals import Refusal
from services.runtime.data.database import is_away, open_engine
from tests.conftest import copy_postgres
from tests.support.http_client import http_client
from tests.support.ports import free_port, free_ports
from tests.support.program import Program
from tests.system.support.registering import PATIENCE, adult, save, settings

OURS = ("identity", "registration", "notification", "gateway", "worker")


@pytest.fixture(scope="module")
async def over_tls(
    tmp_path_factory: pytest.TempPathFactory, postgres_template: Path, program: Program
) -> AsyncIterator[Stack]:
    """A stack of its own, whose certificates may be spoilt."""
    folder = tmp_path_factory.mktemp("tls")
    stack = Stack(folder, free_ports(), restart=False, tls=True, spawn=program.spawn)
    copy_postgres(postgres_template, folder / "postgres")
    await stack.start()
    try:
        yield stack
    finally:
        await stack.stop()


@pytest.fixture(scope="module")
async def registrar(over_tls: Stack) -> DemoAccount:
    certificate = over_tls.certificate("seed")
    return (await seed(over_tls.folder, over_tls.keys_dir, over_tls.ports, certificate))["registrar"]


@pytest.mark.parametrize("name", ["gateway", "identity", "registration", "notification", "temporal_tls"])
async def test_no_grpc_in_the_clear(over_tls: Stack, name: str) -> None:
    async with grpc.aio.insecure_channel(f"{HOST}:{getattr(over_tls.ports, name)}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)  # type: ignore[attr-defined]
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", ["identity", "registration", "notification", "temporal_tls"])
async def test_no_connection_between_components_without_a_certificate(over_tls: Stack, name: str) -> None:
    assert over_tls.ca
    credentials = grpc.ssl_channel_credentials(over_tls.ca.read_bytes())
    options = [("grpc.default_authority", "localhost" if name == "temporal_tls" else name)]
    target = f"{HOST}:{getattr(over_tls.ports, name)}"
    async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)  # type: ignore[attr-defined]
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", ["identity", "web"])
async def test_probes_need_no_certificate(over_tls: Stack, name: str) -> None:
    listen = f"{HOST}:{free_port()}"
    async with (
        settings(over_tls, {"LIITY_MANAGEMENT_LISTEN": listen}, name),
        http_client(f"http://{listen}") as probe,
    ):
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await probe.get(path)).status_code == 200


async def test_temporal_is_for_the_gateway_and_the_worker(over_tls: Stack) -> None:
    assert over_tls.certificates
    answers = {}
    for name in (*OURS, "seed", "codec"):
        pem = over_tls.certificates.files(name).read()
        credentials = grpc.ssl_channel_credentials(pem.ca, pem.key, pem.certificate)
        async with grpc.aio.secure_channel(f"{HOST}:{over_tls.ports.temporal_tls}", credentials) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="temporal.api.workflowservice.v1.WorkflowService")
            try:
                await stub.Check(request, timeout=20)  # type: ignore[attr-defined]
                answers[name] = "OK"
            except grpc.aio.AioRpcError as error:
                answers[name] = error.code().name
    assert {name for name, answer in answers.items() if answer == "OK"} == {"gateway", "worker"}
    assert {answer for answer in answers.values() if answer != "OK"} == {"UNAVAILABLE"}


async def test_no_database_in_the_clear(over_tls: Stack) -> None:
    url = over_tls.postgres.url("identity").replace("+asyncpg", "")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="over TLS alone"):
        await asyncpg.connect(url, ssl="disable")
    # As libpq does unless told otherwise: TLS if the server has it.
    connection = await asyncpg.connect(url, ssl="prefer")
    await connection.close()


async def test_no_mail_in_the_clear(over_tls: Stack) -> None:
    smtp = aiosmtplib.SMTP(
        hostname=HOST, port=over_tls.ports.smtp, start_tls=False, local_hostname="localhost"
    )
    async with smtp:
        with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
            await smtp.mail("no-reply@liity.example")
    assert refused.value.code == 530


async def test_our_programs_connect_to_ports_that_speak_tls_alone(
    over_tls: Stack, registrar: DemoAccount
) -> None:
    await _register(over_tls, registrar)
    ports = over_tls.ports
    inner = {ports.identity, ports.registration, ports.notification, ports.postgres, ports.smtp}
    called = {
        connection.raddr.port
        for name in OURS
        for connection in psutil.Process(over_tls.pid(name)).net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED
        and connection.laddr.port not in {*inner, ports.gateway}
    }
    assert called == {*inner, ports.temporal_tls}


async def test_only_the_right_database_server_is_spoken_to(over_tls: Stack, tmp_path: Path) -> None:
    assert over_tls.ca
    url = over_tls.postgres.url("identity")
    others = Certificates(tmp_path / "others")
    others.create()
    ca = tmp_path / "ca.crt"
    shutil.copy(others.ca, ca)
    engine = open_engine(url, ca)
    try:
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED") as failed:
            await engine.connect()
        assert is_away(failed.value)
        shutil.copy(over_tls.ca, ca)
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    finally:
        await engine.dispose()


async def test_every_certificate_and_the_ca_are_replaced_while_it_runs(
    over_tls: Stack, registrar: DemoAccount, tmp_path: Path
) -> None:
    assert over_tls.certificates
    running = {name: over_tls.pid(name) for name in OURS}
    others = Certificates(tmp_path / "others")
    others.create()
    mine = over_tls.certificates.ca.parent
    old_ca = tmp_path / "old-ca.crt"
    shutil.copy(over_tls.certificates.ca, old_ca)
    await _register(over_tls, registrar)

    for path in others.ca.parent.iterdir():
        shutil.copy(path, mine)
    for name in ("gateway", "worker"):
        await _says(over_tls.logs / f"{name}.log", "connected to temporal anew")
    # Whatever is still connected by the old certificates to those two must connect anew.
    for name in ("tls-end", "mailbox"):
        await over_tls.restart_component(name)
    await eventually(lambda: _can_register(over_tls, registrar), bool, PATIENCE)

    assert {name: over_tls.pid(name) for name in OURS} == running
    with pytest.raises(Refusal):
        await _log_in(over_tls, registrar, old_ca)


async def _register(stack: Stack, registrar: DemoAccount) -> None:
    """The whole way: gateway, services, Temporal, worker, databases, mail."""
    customer = adult()
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as client:
        await client.log_in(registrar.email, registrar.password)
        await save(client, customer)
    await MailboxClient(f"{HOST}:{stack.ports.mailbox}").wait_for(customer.email, PATIENCE)


async def _can_register(stack: Stack, registrar: DemoAccount) -> bool:
    try:
        await _register(stack, registrar)
    except Refusal:
        return False
    return True


async def _log_in(stack: Stack, registrar: DemoAccount, ca: Path) -> None:
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=ca) as client:
        await client.log_in(registrar.email, registrar.password)


async def _says(log: Path, words: str) -> None:
    await eventually(lambda: asyncio.to_thread(log.read_text, "utf-8"), lambda said: words in said, PATIENCE)
