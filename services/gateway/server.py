"""The gateway's process."""

import grpc
from temporalio.client import Client

from liity.v1.auth_service_pb2_grpc import add_AuthServiceServicer_to_server
from liity.v1.book_tips_service_pb2_grpc import add_BookTipsServiceServicer_to_server
from liity.v1.class_list_service_pb2_grpc import add_ClassListServiceServicer_to_server
from liity.v1.consent_service_pb2_grpc import add_ConsentServiceServicer_to_server
from liity.v1.credential_service_pb2_grpc import add_CredentialServiceServicer_to_server
from liity.v1.customer_service_pb2_grpc import add_CustomerServiceServicer_to_server
from liity.v1.customership_link_service_pb2_grpc import (
    add_CustomershipLinkServiceServicer_to_server,
)
from liity.v1.disclosure_service_pb2_grpc import add_DisclosureServiceServicer_to_server
from liity.v1.message_service_pb2_grpc import add_MessageServiceServicer_to_server
from liity.v1.registration_service_pb2_grpc import add_RegistrationServiceServicer_to_server
from liity.v1.unit_service_pb2_grpc import add_UnitServiceServicer_to_server
from liity.v1.use_log_service_pb2_grpc import add_UseLogServiceServicer_to_server
from liity.v1.work_service_pb2_grpc import add_WorkServiceServicer_to_server
from services.gateway.accounts import AccountAuthenticator
from services.gateway.auth_service import AuthService
from services.gateway.book_tips_service import BookTipsService
from services.gateway.class_list_service import ClassListService
from services.gateway.class_list_workflows import ClassListWorkflows
from services.gateway.consent_service import ConsentService
from services.gateway.credential_service import CredentialService
from services.gateway.customer_service import CustomerService
from services.gateway.customer_workflows import CustomerWorkflows
from services.gateway.customership_link_service import CustomershipLinkService
from services.gateway.disclosure_service import DisclosureService
from services.gateway.disclosure_workflows import DisclosureWorkflows
from services.gateway.explaining import Explaining
from services.gateway.message_service import MessageService
from services.gateway.message_workflows import MessageWorkflows
from services.gateway.password_order_workflows import PasswordOrderWorkflows
from services.gateway.registration_service import RegistrationService
from services.gateway.removal_workflows import RemovalWorkflows
from services.gateway.saving import Saving
from services.gateway.settings import GatewaySettings
from services.gateway.unit_service import UnitService
from services.gateway.unit_workflows import UnitWorkflows
from services.gateway.use_log import UseRecorder
from services.gateway.use_log_service import UseLogService
from services.gateway.work_service import WorkService
from services.gateway.workflows import RegistrationWorkflows
from services.runtime import logs, temporal
from services.runtime.disclosures import DisclosureSeal
from services.runtime.errors import Contact
from services.runtime.interceptor import RequestInterceptor
from services.runtime.payload_keys import check_payload_keys
from services.runtime.peer import Peer
from services.runtime.server import serve
from services.runtime.service_identity import ServiceIdentity
from services.runtime.settings import load
from services.runtime.tls import component_certificate

SERVICES = (
    "liity.v1.AuthService",
    "liity.v1.ClassListService",
    "liity.v1.BookTipsService",
    "liity.v1.ConsentService",
    "liity.v1.CredentialService",
    "liity.v1.DisclosureService",
    "liity.v1.CustomerService",
    "liity.v1.CustomershipLinkService",
    "liity.v1.MessageService",
    "liity.v1.RegistrationService",
    "liity.v1.UnitService",
    "liity.v1.UseLogService",
    "liity.v1.WorkService",
)
"""The public API."""


async def run() -> None:
    """Serves the public API until SIGTERM or SIGINT."""
    settings = load(GatewaySettings)
    logs.configure("gateway", settings)
    own = ServiceIdentity("gateway", settings.keys_dir, component_certificate("gateway", settings))
    identity = Peer("identity", settings.identity_target, own)
    registration = Peer("registration", settings.registration_target, own)
    notification = Peer("notification", settings.notification_target, own)
    client = await temporal.connect(settings)
    await check_payload_keys(client, settings.keys_dir)
    workflows = RegistrationWorkflows(client)
    customer_workflows = CustomerWorkflows(client)
    removal_workflows = RemovalWorkflows(client)
    disclosure_workflows = DisclosureWorkflows(client)
    orders = PasswordOrderWorkflows(client)
    class_list_workflows = ClassListWorkflows(client)
    unit_workflows = UnitWorkflows(client)
    message_workflows = MessageWorkflows(client)
    disclosures = DisclosureService(
        identity,
        registration,
        disclosure_workflows,
        DisclosureSeal(settings.keys_dir),
        settings.disclosure_lifetime,
    )

    def use(client: Client) -> None:
        for starter in (
            workflows,
            customer_workflows,
            removal_workflows,
            disclosure_workflows,
            orders,
            class_list_workflows,
            unit_workflows,
            message_workflows,
        ):
            starter.use(client)

    uses = UseRecorder(registration)

    def add_services(server: grpc.aio.Server) -> None:
        add_AuthServiceServicer_to_server(AuthService(identity, registration, orders, unit_workflows), server)
        add_BookTipsServiceServicer_to_server(BookTipsService(notification), server)
        add_ConsentServiceServicer_to_server(ConsentService(identity, registration, workflows), server)
        add_CredentialServiceServicer_to_server(CredentialService(identity), server)
        add_DisclosureServiceServicer_to_server(disclosures, server)
        add_RegistrationServiceServicer_to_server(
            RegistrationService(
                identity,
                registration,
                workflows,
                Saving(identity, registration, workflows, uses),
                Explaining(identity, registration, notification, removal_workflows),
            ),
            server,
        )
        add_CustomerServiceServicer_to_server(
            CustomerService(identity, registration, customer_workflows, removal_workflows, uses), server
        )
        add_CustomershipLinkServiceServicer_to_server(
            CustomershipLinkService(identity, registration, removal_workflows), server
        )
        add_UnitServiceServicer_to_server(UnitService(identity, registration, unit_workflows), server)
        add_UseLogServiceServicer_to_server(UseLogService(identity, registration), server)
        add_ClassListServiceServicer_to_server(
            ClassListService(identity, registration, class_list_workflows, uses), server
        )
        add_MessageServiceServicer_to_server(MessageService(registration, message_workflows), server)
        add_WorkServiceServicer_to_server(WorkService(registration), server)

    contact = Contact(settings.customer_service_email, settings.customer_service_url)
    interceptor = RequestInterceptor(AccountAuthenticator(identity), contact, uses, settings.trusted_proxies)
    public = settings.public_files()
    async with temporal.follow_certificates(settings, use):
        await serve(settings, interceptor, SERVICES, add_services, public.follow() if public else None)
    await identity.close()
    await registration.close()
    await notification.close()
