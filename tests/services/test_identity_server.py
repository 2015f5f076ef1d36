"""Identity as a server: whom it lets in, how it starts, and that its migrations make its tables."""

import json
import time

import grpc
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from google.protobuf import descriptor_pool
from joserfc import jwt
from joserfc.jwk import OKPKey
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.reason_pb2 import REASON_MALFORMED_MESSAGE, REASON_PERMISSION_DENIED, REASON_UNAUTHENTICATED
from services.identity.models import Base
from services.identity.server import SERVICES
from services.runtime.access import ACCESS, Services
from services.runtime.errors import Refusal
from services.runtime.service_identity import ALGORITHM, ServiceIdentity
from services.runtime.service_identity import SERVICES as COMPONENTS
from tests.services.conftest import Component

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
        service_token(identity, allowed, lifetime=-1),
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
