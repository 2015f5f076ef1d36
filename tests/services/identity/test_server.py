"""Identity as a server: whom it lets in, how it starts, and that its migrations make its tables."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from joserfc import jwt
from joserfc.jwk import OKPKey
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.reason_pb2 import REASON_MALFORMED_MESSAGE, REASON_PERMISSION_DENIED, REASON_UNAUTHENTICATED
from services.identity.models import Base
from services.identity.server import SERVICES, compose
from services.identity.settings import IdentitySettings
from services.runtime.rpc.errors import Refusal
from services.runtime.security.access import ACCESS, Services
from services.runtime.security.service_identity import ALGORITHM, LEEWAY, ServiceIdentity
from services.runtime.security.service_identity import SERVICES as COMPONENTS
from services.runtime.settings import SettingsError
from tests.services.conftest import Component
from tests.support.ports import free_port

METHODS = sorted(path for path in ACCESS if path.startswith("/liity.identity.v1."))


def service_token(component: Component, name: str, *, audience: str = "identity", lifetime: int = 300) -> str:
    """A token signed with a component's own key."""
    key = OKPKey.import_key(json.loads((component.keys_dir / f"service-{name}.jwk.json").read_text()))
    return _signed(key, name, audience, lifetime)


def forged_token(name: str) -> str:
    return _signed(OKPKey.generate_key("Ed25519"), name, "identity", 300)


def _signed(key: OKPKey, name: str, audience: str, lifetime: int) -> str:
    now = int(time.time())
    claims = {"iss": name, "aud": audience, "iat": now, "exp": now + lifetime}
    return jwt.encode({"alg": ALGORITHM, "kid": name}, claims, key, algorithms=[ALGORITHM])


async def refusal_of(component: Component, path: str, body: bytes, token: str | None) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await component.raw(path, body, token)
    return Refusal.from_rpc_error(error.value)


def test_the_access_table_names_every_rpc(identity: Component) -> None:
    assert sorted(identity.methods) == METHODS
    packages = {descriptor_pool.Default().FindServiceByName(name).file.package for name in SERVICES}
    assert packages == {"liity.identity.v1"}


@pytest.mark.parametrize("path", METHODS)
async def test_no_rpc_without_a_service_identity(identity: Component, path: str) -> None:
    rule = ACCESS[path]
    assert isinstance(rule, Services)
    allowed = min(rule.names)
    strangers = [
        None,
        "",
        "x.y.z",
        forged_token(allowed),
        service_token(identity, allowed, lifetime=-LEEWAY - 1),
        service_token(identity, allowed, audience="registration"),
    ]
    for token in strangers:
        refusal = await refusal_of(identity, path, b"", token)
        assert (refusal.code.name, refusal.reason) == ("UNAUTHENTICATED", REASON_UNAUTHENTICATED)
    for name in set(COMPONENTS) - rule.names:
        refusal = await refusal_of(identity, path, b"", service_token(identity, name))
        assert (refusal.code.name, refusal.reason) == ("PERMISSION_DENIED", REASON_PERMISSION_DENIED)


@pytest.mark.parametrize("path", METHODS)
async def test_what_is_no_message_is_refused(identity: Component, path: str) -> None:
    rule = ACCESS[path]
    assert isinstance(rule, Services)
    token = ServiceIdentity(min(rule.names), identity.keys_dir).token("identity")
    refusal = await refusal_of(identity, path, b"\xff\xff\xff", token)
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", REASON_MALFORMED_MESSAGE)


async def test_migrations_make_the_tables_of_the_models(identity_engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    async with identity_engine.connect() as connection:
        assert await connection.run_sync(differences) == []


@pytest.mark.parametrize(
    "name", ["hetu.keyset.json", "hetu-index.keyset.json", "links.keyset.json", "token-signing.jwks.json"]
)
async def test_no_start_without_each_key(
    identity_engine: AsyncEngine, keys_dir: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(keys_dir, tmp_path / "keys")
    settings = IdentitySettings.model_validate(
        {"listen": "127.0.0.1:0", "database_url": "postgresql+asyncpg://unused", "keys_dir": folder}
    )
    compose(settings, identity_engine)
    key_file = folder / name
    key_file.chmod(0o644)
    with pytest.raises(SettingsError, match=f"{name} is open to others"):
        compose(settings, identity_engine)
    key_file.chmod(0o600)
    key_file.write_text('{"keys": []}')
    with pytest.raises(SettingsError, match=name):
        compose(settings, identity_engine)
    key_file.unlink()
    with pytest.raises(SettingsError, match=f"{name} cannot be read"):
        compose(settings, identity_engine)


async def test_the_server_starts_and_stops(identity_engine: AsyncEngine, keys_dir: Path) -> None:
    target = f"127.0.0.1:{free_port()}"
    environment = os.environ | {
        "LIITY_LISTEN": target,
        "LIITY_DATABASE_URL": identity_engine.url.render_as_string(hide_password=False),
        "LIITY_KEYS_DIR": str(keys_dir),
        "PYTHONPATH": ":".join(path for path in sys.path if path),
    }
    program = "import asyncio; from services.identity import server; asyncio.run(server.run())"
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE)
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            for service in ("", *SERVICES):
                request = health_pb2.HealthCheckRequest(service=service)
                answer = await health.Check(request, wait_for_ready=True, timeout=30)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["event"] for line in lines] == ["serving", "stopping"]
