"""The identity server."""

import asyncio
import contextlib
from collections.abc import Callable

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1 import (
    account_service_pb2_grpc,
    credential_service_pb2_grpc,
    link_service_pb2_grpc,
    person_service_pb2_grpc,
)
from services.identity.access_tokens import AccessTokens
from services.identity.accounts import Accounts
from services.identity.credentials import Credentials
from services.identity.housekeeping import keep_house
from services.identity.known_keys import keys_checked
from services.identity.links import Links
from services.identity.passwords import Passwords
from services.identity.persons import Persons
from services.identity.sealed_ids import SealedIds
from services.identity.sessions import Sessions
from services.identity.settings import IdentitySettings
from services.identity.throttle import LoginThrottle
from services.identity.vault import HetuVault
from services.runtime import logs
from services.runtime.database import create_engine
from services.runtime.errors import Contact
from services.runtime.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.server import serve
from services.runtime.service_identity import ServiceVerifier
from services.runtime.settings import load

SERVICES = tuple(
    f"liity.identity.v1.{name}"
    for name in ("PersonService", "AccountService", "LinkService", "CredentialService")
)


def compose(settings: IdentitySettings, engine: AsyncEngine) -> Callable[[grpc.aio.Server], None]:
    """Puts the parts together and gives what adds them to a server. SettingsError for a missing key."""
    sealed_ids = SealedIds(settings.keys_dir)
    passwords = Passwords()
    persons = Persons(engine, HetuVault(settings.keys_dir), allow_artificial=settings.hetu_allow_artificial)
    accounts = Accounts(
        engine,
        passwords,
        LoginThrottle(engine, settings),
        AccessTokens(settings.keys_dir, settings.access_token_lifetime),
        Sessions(engine, sealed_ids, settings.refresh_token_lifetime),
    )
    links = Links(engine, sealed_ids)
    credentials = Credentials(engine, sealed_ids, passwords, settings.password_link_lifetime)

    def add_services(server: grpc.aio.Server) -> None:
        person_service_pb2_grpc.add_PersonServiceServicer_to_server(persons, server)
        account_service_pb2_grpc.add_AccountServiceServicer_to_server(accounts, server)
        link_service_pb2_grpc.add_LinkServiceServicer_to_server(links, server)
        credential_service_pb2_grpc.add_CredentialServiceServicer_to_server(credentials, server)

    return add_services


async def run() -> None:
    """Serves until told to stop. SettingsError if a setting or a key is missing or wrong."""
    settings = load(IdentitySettings)
    logs.configure("identity", settings)
    engine = create_engine(settings)
    interceptor = RequestInterceptor(
        ServiceAuthenticator(ServiceVerifier("identity", settings.keys_dir).verify),
        Contact(settings.customer_service_email, settings.customer_service_url),
    )
    add_services = compose(settings, engine)
    housekeeping = asyncio.create_task(keep_house(engine, settings.login_window))
    try:
        async with keys_checked(engine, settings.keys_dir):
            await serve(settings, interceptor, SERVICES, add_services)
    finally:
        housekeeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await housekeeping
        await engine.dispose()
