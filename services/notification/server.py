"""The notification server."""

import contextlib
from contextlib import AbstractAsyncContextManager

import grpc

from liity.notification.v1.notification_service_pb2 import DESCRIPTOR
from liity.notification.v1.notification_service_pb2_grpc import add_NotificationServiceServicer_to_server
from liity.v1.reason_pb2 import REASON_TOO_MANY_MAILS
from services.notification.book_tips.store import BookTipsStore, sweep_edits
from services.notification.mail.bounces import Bounces
from services.notification.mail.deliveries import MessageStore, sweep_origins
from services.notification.mail.inbox import Inbox
from services.notification.mail.smtp import Transport
from services.notification.models import limits
from services.notification.service import NotificationService
from services.notification.settings import NotificationSettings
from services.runtime import logs
from services.runtime.data.database import create_engine
from services.runtime.data.periodic import keeping_house, measuring
from services.runtime.data.rate_limits import Limiter, sweep_limits
from services.runtime.rpc.errors import Contact
from services.runtime.rpc.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.rpc.server import serve
from services.runtime.security.service_identity import ServiceVerifier
from services.runtime.security.tls import component_certificate
from services.runtime.settings import load

NAME = "notification"


def _collecting(settings: NotificationSettings, bounces: Bounces) -> AbstractAsyncContextManager[None]:
    """Collects reports of undelivered mail in the background, if there is a mailbox for them."""
    if settings.bounce_imap_host is None:
        return contextlib.nullcontext()
    return keeping_house(Inbox(settings, bounces).collect_all, interval=settings.bounce_imap_interval)


async def run() -> None:
    """Serves until SIGTERM or SIGINT, then waits for mails being sent."""
    settings = load(NotificationSettings)
    logs.configure(NAME, settings)
    certificate = component_certificate(NAME, settings)
    interceptor = RequestInterceptor(
        ServiceAuthenticator(
            ServiceVerifier(NAME, settings.keys_dir).verify, certificates=certificate is not None
        ),
        Contact(settings.customer_service_email, settings.customer_service_url),
    )
    engine = create_engine(settings)
    transport = Transport(settings)
    limiter = Limiter(engine, limits, REASON_TOO_MANY_MAILS)
    store = MessageStore(engine)
    bounces = Bounces(store, settings.bounce_address, settings.mail_again)
    service = NotificationService(store, BookTipsStore(engine), limiter, transport, settings)

    def add_services(server: grpc.aio.Server) -> None:
        add_NotificationServiceServicer_to_server(service, server)

    try:
        names = [service.full_name for service in DESCRIPTOR.services_by_name.values()]
        async with (
            keeping_house(
                lambda: sweep_limits(engine, limits),
                lambda: sweep_edits(engine),
                lambda: sweep_origins(engine),
            ),
            _collecting(settings, bounces),
            measuring(service.measure),
        ):
            await serve(settings, interceptor, names, add_services, certificate)
        await service.finish()
    finally:
        await transport.close()
        await engine.dispose()
