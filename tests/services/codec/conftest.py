"""The codec server over HTTP, with identity, the log of use and the gateway's log-in as they are."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import httpx2
import pytest
from google.protobuf import json_format
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.client import Client

from deploy.local.postgres import EmbeddedPostgres
from liity.identity.v1.account_service_pb2 import Account, AccountMembership, CreateAccountRequest
from liity.registration.v1.unit_service_pb2_grpc import add_UnitServiceServicer_to_server
from liity.registration.v1.use_log_service_pb2 import ListUsesRequest
from liity.registration.v1.use_log_service_pb2_grpc import add_UseLogServiceServicer_to_server
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_MAIN_USER, ROLE_REGISTRAR, Role
from liity.v1.auth_service_pb2_grpc import add_AuthServiceServicer_to_server
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.use_log_service_pb2 import Use
from services.codec.server import serving_codec
from services.codec.settings import CodecSettings
from services.gateway.api.auth import AuthService
from services.gateway.authentication import AccountAuthenticator
from services.gateway.temporal.password_resets import PasswordOrderWorkflows
from services.gateway.temporal.units import UnitWorkflows
from services.identity.accounts.token_issue import AccessTokens
from services.identity.models import Session
from services.registration.audit.service import UseLogServicer
from services.registration.settings import RegistrationSettings
from services.registration.units.service import UnitServicer
from services.runtime.clock import now
from services.runtime.rpc.interceptor import RequestInterceptor
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.temporal.codec import data_converter
from tests.services.conftest import CONTACT, Component, migrated_engine, peer, running, serving
from tests.support.http_client import http_client
from tests.support.ports import free_port

UI = "http://127.0.0.1:8233"
PASSWORD = "korrekt häst batteri"

_MEMBERS = (ROLE_REGISTRAR, ROLE_MAIN_USER)


@dataclass(frozen=True)
class Person:
    """Somebody with an account."""

    account: Account
    email: str
    token: str
    """A valid access token."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)

    @property
    def payloads(self) -> list[Payload]:
        """The payloads in the body."""
        return list(json_format.Parse(self.text, Payloads()).payloads)


class Codec:
    """A codec server that runs, as a browser or a program calls it."""

    def __init__(self, url: str, browser: httpx2.AsyncClient) -> None:
        self.url = url
        self._browser = browser

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        form: Mapping[str, str] | None = None,
        **headers: str,
    ) -> Answer:
        """One call. Headers are named as in `accept_language`; no redirect is followed, no cookie kept."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        # In UTF-8, as browsers would send what is beyond ASCII.
        encoded = [(name.encode(), value.encode()) for name, value in named.items()]
        url = self.url + path
        response = await self._browser.request(method, url, content=body, data=form, headers=encoded)
        self._browser.cookies.clear()
        return Answer(response.status_code, response.headers, response.text)

    async def decode(
        self, payloads: Sequence[Payload], token: str = "", *, origin: str = UI, **headers: str
    ) -> Answer:
        """Has payloads decoded, as Temporal UI does; with a bearer's token if one is given."""
        if token:
            headers["authorization"] = f"Bearer {token}"
        if origin:
            headers["origin"] = origin
        path = "/decode?preserveStorageRefs=true"
        return await self("POST", path, body=body_of(payloads), x_namespace="default", **headers)


def body_of(payloads: Sequence[Payload]) -> bytes:
    """The body that tells payloads."""
    return json.dumps({"payloads": [json_format.MessageToDict(payload) for payload in payloads]}).encode()


def plain(value: object) -> Payload:
    """What an operator types."""
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())


def value_in(payload: Payload) -> Any:
    """What Temporal UI would show."""
    assert payload.metadata["encoding"] in {b"json/protobuf", b"json/plain"}
    return json.loads(payload.data)


def forged_token(token: str, **claims: object) -> str:
    """A token that says something else under the same signature."""
    header, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = base64.urlsafe_b64encode(json.dumps(said | claims).encode()).decode().rstrip("=")
    return f"{header}.{changed}.{signature}"


@pytest.fixture(scope="session")
async def registration(postgres: EmbeddedPostgres, keys_dir: Path) -> AsyncIterator[Component]:
    """The log of use and the units."""
    async with migrated_engine(postgres, "registration", keys_dir) as engine:
        url = engine.url.render_as_string(hide_password=False)
        settings = RegistrationSettings(listen="", keys_dir=keys_dir, database_url=url)

        def add_services(server: grpc.aio.Server) -> None:
            add_UnitServiceServicer_to_server(UnitServicer(engine), server)
            add_UseLogServiceServicer_to_server(UseLogServicer(engine, settings), server)

        names = ("liity.registration.v1.UnitService", "liity.registration.v1.UseLogService")
        async with running("registration", add_services, keys_dir, names) as component:
            yield component


@pytest.fixture(scope="session")
async def gateway(identity: Component, registration: Component, keys_dir: Path) -> AsyncIterator[str]:
    """Where the gateway logs people in."""
    async with (
        peer("identity", identity.target, keys_dir, "gateway") as identity_peer,
        peer("registration", registration.target, keys_dir, "gateway") as registration_peer,
    ):
        interceptor = RequestInterceptor(AccountAuthenticator(identity_peer), CONTACT)
        server = grpc.aio.server(interceptors=[interceptor])
        # Nobody orders a password or is invited here: Temporal is never called.
        temporal = await Client.connect("127.0.0.1:1", lazy=True)
        orders, invitations = PasswordOrderWorkflows(temporal), UnitWorkflows(temporal)
        auth = AuthService(identity_peer, registration_peer, orders, invitations)
        add_AuthServiceServicer_to_server(auth, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        yield f"127.0.0.1:{port}"
        await server.stop(None)


@pytest.fixture(scope="session")
def settings(identity: Component, registration: Component, gateway: str, keys_dir: Path) -> CodecSettings:
    """The settings of the codec server."""
    listen = f"127.0.0.1:{free_port()}"
    return CodecSettings(
        keys_dir=keys_dir,
        listen=listen,
        codec_url=f"http://{listen}",
        codec_ui_origins=(UI,),
        gateway_target=gateway,
        identity_target=identity.target,
        registration_target=registration.target,
    )


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[httpx2.AsyncClient]:
    """Sends what it is told to."""
    async with http_client() as browser:
        yield browser


@pytest.fixture(scope="session")
async def codec(settings: CodecSettings, browser: httpx2.AsyncClient) -> AsyncIterator[Codec]:
    """A codec server."""
    async with serving_codec(settings):
        yield Codec(f"http://{settings.listen}", browser)


@pytest.fixture
async def codec_without_log(
    settings: CodecSettings, browser: httpx2.AsyncClient, keys_dir: Path
) -> AsyncIterator[Codec]:
    """A codec server whose log of use takes no entry."""
    listen = f"127.0.0.1:{free_port()}"
    async with serving("registration", lambda _server: None, keys_dir) as target:
        there = settings.model_copy(update={"listen": listen, "registration_target": target})
        async with serving_codec(there):
            yield Codec(f"http://{listen}", browser)


@pytest.fixture(scope="session")
def person(
    identity: Component, identity_engine: AsyncEngine, keys_dir: Path
) -> Callable[..., Awaitable[Person]]:
    """Makes an account of a role, and logs it in: by a token that identity's own signer signs."""

    async def make(*roles: Role.ValueType, lifetime: int = 600) -> Person:
        email = f"{uuid4().hex}@library.example"
        request = CreateAccountRequest(
            request_id=str(uuid4()),
            email=email,
            display_name="Aino <b>Virtanen</b>",
            password=PASSWORD,
            language=LANGUAGE_FI,
            roles=[role for role in roles if role not in _MEMBERS],
            memberships=[AccountMembership(unit_id="u1", role=role) for role in roles if role in _MEMBERS],
        )
        account = (await identity(request)).account
        session_id, moment = uuid4().hex, now()
        session = insert(Session).values(
            session_id=session_id,
            account_id=account.account_id,
            created_at=moment,
            expires_at=moment + timedelta(hours=1),
        )
        async with identity_engine.begin() as connection:
            await connection.execute(session)
        signer = AccessTokens(keys_dir, timedelta(seconds=lifetime))
        return Person(account, email, signer.sign(account, session_id).token)

    return make


@pytest.fixture
async def staff(person: Callable[..., Awaitable[Person]]) -> Person:
    """Somebody of customer service, of the test's own."""
    return await person(ROLE_CUSTOMER_SERVICE)


@pytest.fixture
def uses(registration: Component) -> Callable[[Person], Awaitable[list[Use]]]:
    """What the log of use says that somebody has done, newest first."""

    async def listed(person: Person) -> list[Use]:
        request = ListUsesRequest(account_id=person.account.account_id, page_size=200)
        return list((await registration(request)).uses)

    return listed


@pytest.fixture(scope="session")
def encrypted(keys_dir: Path) -> Callable[..., Awaitable[list[Payload]]]:
    """Encrypts values as the worker does."""
    converter = data_converter(load_keyset(keys_dir, KeysetPurpose.PAYLOADS))

    async def encrypt(*values: object) -> list[Payload]:
        return list(await converter.encode(values))

    return encrypt
