"""The gateway process."""

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
from liity.v1.feedback_service_pb2_grpc import add_FeedbackServiceServicer_to_server
from liity.v1.message_service_pb2_grpc import add_MessageServiceServicer_to_server
from liity.v1.registration_service_pb2_grpc import add_RegistrationServiceServicer_to_server
from liity.v1.unit_service_pb2_grpc import add_UnitServiceServicer_to_server
from liity.v1.use_log_service_pb2_grpc import add_UseLogServiceServicer_to_server
from liity.v1.work_service_pb2_grpc import add_WorkServiceServicer_to_server
from services.gateway.api.audit import UseLogService
from services.gateway.api.auth import AuthService
from services.gateway.api.book_tips import BookTipsService
from services.gateway.api.class_lists import ClassListService
from services.gateway.api.consents import ConsentService
from services.gateway.api.credentials import CredentialService
from services.gateway.api.customers import CustomerService
from services.gateway.api.customership_links import CustomershipLinkService
from services.gateway.api.disclosures import DisclosureService
from services.gateway.api.feedback import FeedbackService
from services.gateway.api.messages import MessageService
from services.gateway.api.registrations import RegistrationService
from services.gateway.api.units import UnitService
from services.gateway.api.worklist import WorkService
from services.gateway.authentication import AccountAuthenticator
from services.gateway.settings import GatewaySettings
from services.gateway.temporal.class_lists import ClassListWorkflows
from services.gateway.temporal.customers import CustomerWorkflows
from services.gateway.temporal.disclosures import DisclosureWorkflows
from services.gateway.temporal.feedback import FeedbackWorkflows
from services.gateway.temporal.messages import MessageWorkflows
from services.gateway.temporal.password_resets import PasswordOrderWorkflows
from services.gateway.temporal.registrations import RegistrationWorkflows
from services.gateway.temporal.removals import RemovalWorkflows
from services.gateway.temporal.units import UnitWorkflows
from services.gateway.use_cases.explain import Explaining
from services.gateway.use_cases.save import Saving
from services.gateway.use_recording import UseRecorder
from services.runtime import logs
from services.runtime.rpc.errors import Contact
from services.runtime.rpc.interceptor import RequestInterceptor
from services.runtime.rpc.peer import Peer
from services.runtime.rpc.server import serve
from services.runtime.security.disclosure_seal import DisclosureSeal
from services.runtime.security.payload_key_check import check_payload_keys
from services.runtime.security.service_identity import ServiceIdentity
from services.runtime.security.tls import component_certificate
from services.runtime.settings import load
from services.runtime.temporal import client as temporal_client

SERVICES = (
    "liity.v1.AuthService",
    "liity.v1.ClassListService",
    "liity.v1.BookTipsService",
    "liity.v1.ConsentService",
    "liity.v1.CredentialService",
    "liity.v1.DisclosureService",
    "liity.v1.CustomerService",
    "liity.v1.CustomershipLinkService",
    "liity.v1.FeedbackService",
    "liity.v1.MessageService",
    "liity.v1.RegistrationService",
    "liity.v1.UnitService",
    "liity.v1.UseLogService",
    "liity.v1.WorkService",
)
"""The services of the public API."""


async def run() -> None:
    """Serves the public API until SIGTERM or SIGINT."""
    settings = load(GatewaySettings)
    logs.configure("gateway", settings)
    own = ServiceIdentity("gateway", settings.keys_dir, component_certificate("gateway", settings))
    identity = Peer("identity", settings.identity_target, own)
    registration = Peer("registration", settings.registration_target, own)
    notification = Peer("notification", settings.notification_target, own)
    client = await temporal_client.connect(settings)
    await check_payload_keys(client, settings.keys_dir)
    workflows = RegistrationWorkflows(client)
    customer_workflows = CustomerWorkflows(client)
    removal_workflows = RemovalWorkflows(client)
    disclosure_workflows = DisclosureWorkflows(client)
    orders = PasswordOrderWorkflows(client)
    class_list_workflows = ClassListWorkflows(client)
    unit_workflows = UnitWorkflows(client)
    message_workflows = MessageWorkflows(client)
    feedback_workflows = FeedbackWorkflows(client)
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
            feedback_workflows,
        ):
            starter.use(client)

    uses = UseRecorder(registration)

    def add_services(server: grpc.aio.Server) -> None:
        add_AuthServiceServicer_to_server(AuthService(identity, registration, orders, unit_workflows), server)
        add_BookTipsServiceServicer_to_server(BookTipsService(notification), server)
        add_ConsentServiceServicer_to_server(
            ConsentService(identity, registration, workflows, removal_workflows), server
        )
        add_CredentialServiceServicer_to_server(CredentialService(identity, registration, orders), server)
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
            CustomerService(
                identity, registration, customer_workflows, removal_workflows, message_workflows, uses
            ),
            server,
        )
        add_CustomershipLinkServiceServicer_to_server(
            CustomershipLinkService(identity, registration, removal_workflows, customer_workflows), server
        )
        add_UnitServiceServicer_to_server(UnitService(identity, registration, unit_workflows), server)
        add_UseLogServiceServicer_to_server(UseLogService(identity, registration), server)
        add_ClassListServiceServicer_to_server(
            ClassListService(identity, registration, class_list_workflows, customer_workflows, uses), server
        )
        add_MessageServiceServicer_to_server(MessageService(registration, message_workflows), server)
        add_FeedbackServiceServicer_to_server(FeedbackService(registration, feedback_workflows), server)
        add_WorkServiceServicer_to_server(WorkService(registration, notification), server)

    contact = Contact(settings.customer_service_email, settings.customer_service_url)
    interceptor = RequestInterceptor(
        AccountAuthenticator(identity, settings.trusted_proxies), contact, uses, settings.trusted_proxies
    )
    public = settings.public_files()
    async with temporal_client.follow_certificates(settings, use):
        await serve(settings, interceptor, SERVICES, add_services, public.follow() if public else None)
    await identity.close()
    await registration.close()
    await notification.close()
