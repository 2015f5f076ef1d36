"""The identity server."""

from collections.abc import Callable

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1 import (
    account_service_pb2_grpc,
    credential_service_pb2_grpc,
    link_service_pb2_grpc,
    person_service_pb2_grpc,
    registrar_service_pb2_grpc,
)
from services.identity.accounts.known_places import KnownPlaces
from services.identity.accounts.password_reminders import PasswordAges
from services.identity.accounts.password_reset import PasswordOrders
from services.identity.accounts.passwords import Passwords
from services.identity.accounts.service import Accounts
from services.identity.accounts.sessions import Sessions
from services.identity.accounts.throttle import (
    ConsentLinkOrderThrottle,
    LinkThrottle,
    LoginThrottle,
    OrderThrottle,
)
from services.identity.accounts.token_issue import AccessTokens
from services.identity.cleanup import sweep
from services.identity.credentials.service import Credentials
from services.identity.credentials.unused_links import UnusedLinks
from services.identity.links.service import LinkDoor, Links
from services.identity.links.tokens import SealedIds
from services.identity.models import limits
from services.identity.persons.key_check import keys_checked
from services.identity.persons.service import Persons
from services.identity.persons.vault import HetuVault
from services.identity.registrars.service import Registrars
from services.identity.settings import IdentitySettings
from services.runtime import logs
from services.runtime.data.database import create_engine
from services.runtime.data.periodic import keeping_house
from services.runtime.data.rate_limits import sweep_limits
from services.runtime.rpc.errors import Contact
from services.runtime.rpc.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.rpc.server import serve
from services.runtime.security.service_identity import ServiceVerifier
from services.runtime.security.tls import component_certificate
from services.runtime.settings import load

SERVICES = tuple(
    f"liity.identity.v1.{name}"
    for name in ("PersonService", "AccountService", "RegistrarService", "LinkService", "CredentialService")
)


def compose(settings: IdentitySettings, engine: AsyncEngine) -> Callable[[grpc.aio.Server], None]:
    """Builds the services; returns what adds them to a server. Raises SettingsError for a missing key."""
    sealed_ids = SealedIds(settings.keys_dir)
    passwords = Passwords()
    log_ins = LoginThrottle(engine, settings)
    places = KnownPlaces(engine, sealed_ids, settings.suspicious_lock_outs)
    door = LinkDoor(engine, sealed_ids, LinkThrottle(engine, settings))
    orders = PasswordOrders(
        engine,
        sealed_ids,
        door,
        passwords,
        OrderThrottle(engine, settings),
        log_ins,
        places,
        settings.password_order_lifetime,
    )
    persons = Persons(engine, HetuVault(settings.keys_dir), allow_artificial=settings.hetu_allow_artificial)
    accounts = Accounts(
        engine,
        passwords,
        log_ins,
        AccessTokens(settings.keys_dir, settings.access_token_lifetime),
        Sessions(engine, sealed_ids, settings.refresh_token_lifetime, settings.refresh_token_grace),
        orders,
        PasswordAges(engine, settings.password_reminder_age),
        places,
    )
    registrars = Registrars(engine, sealed_ids, door, passwords, settings.invitation_lifetime)
    links = Links(engine, sealed_ids, door, ConsentLinkOrderThrottle(engine, settings))
    credentials = Credentials(
        engine,
        sealed_ids,
        door,
        passwords,
        settings.password_link_lifetime,
        settings.password_order_window,
        UnusedLinks(engine, sealed_ids, settings.password_link_reminder),
    )

    def add_services(server: grpc.aio.Server) -> None:
        person_service_pb2_grpc.add_PersonServiceServicer_to_server(persons, server)
        account_service_pb2_grpc.add_AccountServiceServicer_to_server(accounts, server)
        registrar_service_pb2_grpc.add_RegistrarServiceServicer_to_server(registrars, server)
        link_service_pb2_grpc.add_LinkServiceServicer_to_server(links, server)
        credential_service_pb2_grpc.add_CredentialServiceServicer_to_server(credentials, server)

    return add_services


async def run() -> None:
    """Serves until SIGTERM or SIGINT. Raises SettingsError if a setting or a key is missing or wrong."""
    settings = load(IdentitySettings)
    logs.configure("identity", settings)
    engine = create_engine(settings)
    certificate = component_certificate("identity", settings)
    interceptor = RequestInterceptor(
        ServiceAuthenticator(
            ServiceVerifier("identity", settings.keys_dir).verify, certificates=certificate is not None
        ),
        Contact(settings.customer_service_email, settings.customer_service_url),
    )
    add_services = compose(settings, engine)
    try:
        async with (
            keys_checked(engine, settings.keys_dir),
            keeping_house(lambda: sweep(engine), lambda: sweep_limits(engine, limits)),
        ):
            await serve(settings, interceptor, SERVICES, add_services, certificate)
    finally:
        await engine.dispose()
