"""How tests start one service on loopback, behind the real interceptor, and call it as another component.

async with migrated_engine(postgres, "identity", keys_dir) as engine:
async with serving("identity", add_services, keys_dir) as target:
async with Component("identity", target, keys_dir, SERVICES) as identity:
await identity(FindPersonRequest(personal_identity_code=code))
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.admin.migrate import migrate_database
from deploy.local.postgres import EmbeddedPostgres
from liity.v1.actor_pb2 import ACTOR_KIND_LINK, Actor
from services.identity.server import SERVICES, compose
from services.identity.settings import IdentitySettings
from services.runtime.data.database import DatabaseSettings, create_engine
from services.runtime.rpc.context import set_current_actor
from services.runtime.rpc.errors import Contact, Refusal
from services.runtime.rpc.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.rpc.peer import Peer
from services.runtime.security.access import ACCESS, Services
from services.runtime.security.service_identity import ServiceIdentity, ServiceVerifier
from tests.support.password_hashes import quick_hashes

CONTACT = Contact("customer-service@liity.example", "https://liity.example/contact")


@asynccontextmanager
async def serving(
    name: str, add_services: Callable[[grpc.aio.Server], None], keys_dir: Path
) -> AsyncIterator[str]:
    """Serves what `add_services` adds as the component `name`; gives its host:port."""
    verifier = ServiceVerifier(name, keys_dir)
    server = grpc.aio.server(
        interceptors=[RequestInterceptor(ServiceAuthenticator(verifier.verify), CONTACT)]
    )
    add_services(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def peer(name: str, target: str, keys_dir: Path, as_service: str) -> AsyncIterator[Peer]:
    """The component `name` at `target`, as the component `as_service` calls it."""
    caller = Peer(name, target, ServiceIdentity(as_service, keys_dir))
    try:
        yield caller
    finally:
        await caller.close()


@asynccontextmanager
async def migrated_engine(
    postgres: EmbeddedPostgres, name: str, keys_dir: Path, *, pool_size: int = 8
) -> AsyncIterator[AsyncEngine]:
    """An engine on the database of the service `name`, its tables made by its migrations."""
    settings = {
        "keys_dir": keys_dir,
        "database_url": postgres.url(name),
        "database_pool_size": pool_size,
    }
    await migrate_database(name, postgres.owner_url(name))
    engine = create_engine(DatabaseSettings.model_validate(settings))
    try:
        yield engine
    finally:
        await engine.dispose()


class Component:
    """A component under test. Called with a request, it is called by a component the access table lets in."""

    def __init__(self, name: str, target: str, keys_dir: Path, services: Sequence[str]) -> None:
        self.name = name
        self.target = target
        self.keys_dir = keys_dir
        pool = descriptor_pool.Default()
        descriptors = [
            (f"/{service}/{method.name}", method)
            for service in services
            for method in pool.FindServiceByName(service).methods
        ]
        self.methods = {path: method.input_type.full_name for path, method in descriptors}
        """The paths of all RPCs, with the names of their requests."""
        self._responses = {
            path: message_factory.GetMessageClass(method.output_type) for path, method in descriptors
        }
        self._peers: dict[str, Peer] = {}

    async def __call__(
        self, request: Message, as_service: str | None = None, caller: str | None = None
    ) -> Any:
        """Calls the RPC that takes the request. Raises the `Refusal` it answers with.

        `caller` is the network address on whose behalf; each call has one of its own unless it is given.
        """
        set_current_actor(Actor(kind=ACTOR_KIND_LINK, caller_address=caller or uuid4().hex))
        path = next(path for path, name in self.methods.items() if name == request.DESCRIPTOR.full_name)
        rule = ACCESS[path]
        assert isinstance(rule, Services)
        return await self.send(self.peer(as_service or min(rule.names)), path, request)

    async def send(self, peer: Peer, path: str, request: Message) -> Any:
        """Calls an RPC over one's own peer."""
        method = peer.channel.unary_unary(
            path, type(request).SerializeToString, self._responses[path].FromString
        )
        return await peer.call(method, request)

    def empty_request(self, path: str) -> Message:
        """An empty request of an RPC."""
        descriptor = descriptor_pool.Default().FindMessageTypeByName(self.methods[path])
        request: Message = message_factory.GetMessageClass(descriptor)()
        return request

    def peer(self, as_service: str) -> Peer:
        """The component as another one calls it."""
        if as_service not in self._peers:
            self._peers[as_service] = Peer(self.name, self.target, ServiceIdentity(as_service, self.keys_dir))
        return self._peers[as_service]

    async def raw(self, path: str, body: bytes, token: str | None) -> bytes:
        """Calls with any bytes and any token. Raises `AioRpcError` as gRPC gives it."""
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.peer("gateway").channel.unary_unary(
            path
        )
        return await method(body, metadata=metadata, timeout=10)

    async def close(self) -> None:
        """Closes the channels."""
        for caller in self._peers.values():
            await caller.close()


@asynccontextmanager
async def running(
    name: str, add_services: Callable[[grpc.aio.Server], None], keys_dir: Path, services: Sequence[str]
) -> AsyncIterator[Component]:
    """The component `name`, serving; `services` are the full names of what `add_services` adds."""
    async with serving(name, add_services, keys_dir) as target:
        component = Component(name, target, keys_dir, services)
        try:
            yield component
        finally:
            await component.close()


async def refused(call: Awaitable[Any]) -> Refusal:
    """What a call is refused with; the test fails if it is not."""
    with pytest.raises(Refusal) as refusal:
        await call
    return refusal.value


@pytest.fixture(scope="module", autouse=True)
def _quick_password_hashes() -> Iterator[None]:
    """Hashes passwords with little work."""
    with quick_hashes():
        yield


IdentityFactory = Callable[..., AbstractAsyncContextManager[Component]]


@pytest.fixture(scope="session")
async def identity_engine(postgres: EmbeddedPostgres, keys_dir: Path) -> AsyncIterator[AsyncEngine]:
    """Identity's database."""
    async with migrated_engine(postgres, "identity", keys_dir, pool_size=16) as engine:
        yield engine


@pytest.fixture(scope="session")
def identity_with(identity_engine: AsyncEngine, keys_dir: Path) -> IdentityFactory:
    """Starts identity with some settings of a test's own, on the common database."""

    def start(**own: Any) -> AbstractAsyncContextManager[Component]:
        url = identity_engine.url.render_as_string(hide_password=False)
        common = {"listen": "", "database_url": url, "keys_dir": keys_dir, "hetu_allow_artificial": True}
        settings = IdentitySettings.model_validate(common | own)
        return running("identity", compose(settings, identity_engine), keys_dir, SERVICES)

    return start


@pytest.fixture(scope="session")
async def identity(identity_with: IdentityFactory) -> AsyncIterator[Component]:
    """Identity, with its usual settings and artificial codes allowed."""
    async with identity_with() as component:
        yield component
