"""The registration service as a program, and whom it lets in."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.postgres import EmbeddedPostgres
from liity.v1.reason_pb2 import REASON_PERMISSION_DENIED, REASON_UNAUTHENTICATED
from services.registration.settings import RegistrationSettings
from services.runtime.rpc.errors import Refusal
from services.runtime.security.access import ACCESS, Services
from services.runtime.security.service_identity import SERVICES, ServiceIdentity
from services.runtime.settings import SettingsError, load
from tests.support.ports import free_port
from tests.support.registration_service import Service

METHODS = sorted(method for method in ACCESS if method.startswith("/liity.registration.v1."))
PROGRAM = "import asyncio; from services.registration.server import run; asyncio.run(run())"


async def refusal_of(service: Service, method: str, token: str) -> Refusal:
    call = service.gateway.channel.unary_unary(method)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", metadata=(("authorization", f"Bearer {token}"),), timeout=10)
    return Refusal.from_rpc_error(caught.value)


@pytest.mark.parametrize("method", METHODS)
async def test_each_component_calls_only_what_is_its_own(
    service: Service, keys_dir: Path, method: str
) -> None:
    rule = ACCESS[method]
    assert isinstance(rule, Services)
    for name in SERVICES:
        if name not in rule.names:
            token = ServiceIdentity(name, keys_dir).token("registration")
            refused = await refusal_of(service, method, token)
            assert (refused.code, refused.reason) == (
                grpc.StatusCode.PERMISSION_DENIED,
                REASON_PERMISSION_DENIED,
            )
        meant_for_another = ServiceIdentity(name, keys_dir).token("identity")
        refused = await refusal_of(service, method, meant_for_another)
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, REASON_UNAUTHENTICATED)
    refused = await refusal_of(service, method, "")
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, REASON_UNAUTHENTICATED)


async def test_the_program_serves_until_it_is_told_to_stop(
    postgres: EmbeddedPostgres, keys_dir: Path, tmp_path: Path
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(sys.path),
        "LIITY_LISTEN": listen,
        "LIITY_DATABASE_URL": postgres.url("registration"),
        "LIITY_KEYS_DIR": str(keys_dir),
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=log, stderr=log)
    try:
        async with grpc.aio.insecure_channel(listen) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            for name in (
                "",
                "liity.registration.v1.UnitService",
                "liity.registration.v1.RegistrationService",
            ):
                answer = await check(
                    health_pb2.HealthCheckRequest(service=name), wait_for_ready=True, timeout=60
                )
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, keys_dir: Path) -> None:
    monkeypatch.setenv("LIITY_KEYS_DIR", str(keys_dir))
    monkeypatch.setenv("LIITY_LISTEN", "127.0.0.1:1")
    monkeypatch.delenv("LIITY_DATABASE_URL", raising=False)
    with pytest.raises(SettingsError, match="LIITY_DATABASE_URL"):
        load(RegistrationSettings)
