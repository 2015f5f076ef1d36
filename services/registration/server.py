"""The process of the registration service."""

import grpc

from liity.registration.v1 import (
    class_list_service_pb2,
    customer_service_pb2,
    feedback_service_pb2,
    history_service_pb2,
    message_service_pb2,
    personal_data_service_pb2,
    reconciliation_service_pb2,
    registration_service_pb2,
    unit_service_pb2,
    use_log_service_pb2,
    work_service_pb2,
)
from liity.registration.v1.class_list_service_pb2_grpc import add_ClassListServiceServicer_to_server
from liity.registration.v1.customer_service_pb2_grpc import add_CustomerServiceServicer_to_server
from liity.registration.v1.feedback_service_pb2_grpc import add_FeedbackServiceServicer_to_server
from liity.registration.v1.history_service_pb2_grpc import add_HistoryServiceServicer_to_server
from liity.registration.v1.message_service_pb2_grpc import add_MessageServiceServicer_to_server
from liity.registration.v1.personal_data_service_pb2_grpc import add_PersonalDataServiceServicer_to_server
from liity.registration.v1.reconciliation_service_pb2_grpc import add_ReconciliationServiceServicer_to_server
from liity.registration.v1.registration_service_pb2_grpc import add_RegistrationServiceServicer_to_server
from liity.registration.v1.unit_service_pb2_grpc import add_UnitServiceServicer_to_server
from liity.registration.v1.use_log_service_pb2_grpc import add_UseLogServiceServicer_to_server
from liity.registration.v1.work_service_pb2_grpc import add_WorkServiceServicer_to_server
from services.registration.audit import entries
from services.registration.audit.lookup_quota import LookUps
from services.registration.audit.service import UseLogServicer
from services.registration.class_lists.service import ClassListServicer, sweep_class_lists
from services.registration.customers import merge_undo
from services.registration.customers.own_data import BirthDates
from services.registration.customers.service import CustomerServicer
from services.registration.db.models import limits
from services.registration.feedback import service as feedback_service
from services.registration.feedback.service import FeedbackServicer
from services.registration.messages import service as message_service
from services.registration.messages.service import MessageServicer
from services.registration.privacy.service import PersonalDataServicer
from services.registration.registrations.history import HistoryServicer
from services.registration.registrations.note_retention import sweep_notes
from services.registration.registrations.reconciliation import ReconciliationServicer
from services.registration.registrations.service import RegistrationServicer
from services.registration.settings import RegistrationSettings
from services.registration.under_way import measure
from services.registration.units.service import UnitServicer
from services.registration.worklist import claims
from services.registration.worklist.service import WorkServicer, sweep_similar_codes
from services.runtime import logs
from services.runtime.data.database import create_engine
from services.runtime.data.periodic import keeping_house, measuring
from services.runtime.data.rate_limits import sweep_limits
from services.runtime.rpc.errors import Contact
from services.runtime.rpc.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.rpc.server import serve
from services.runtime.security.service_identity import ServiceVerifier
from services.runtime.security.tls import component_certificate
from services.runtime.settings import load

NAME = "registration"


async def run() -> None:
    """Serves the RPCs until SIGTERM or SIGINT."""
    settings = load(RegistrationSettings)
    logs.configure(NAME, settings)
    certificate = component_certificate(NAME, settings)
    interceptor = RequestInterceptor(
        ServiceAuthenticator(
            ServiceVerifier(NAME, settings.keys_dir).verify, certificates=certificate is not None
        ),
        Contact(settings.customer_service_email, settings.customer_service_url),
    )
    engine = create_engine(settings)

    def add_services(server: grpc.aio.Server) -> None:
        add_UnitServiceServicer_to_server(UnitServicer(engine), server)
        add_RegistrationServiceServicer_to_server(
            RegistrationServicer(engine, LookUps(engine, settings)), server
        )
        add_CustomerServiceServicer_to_server(CustomerServicer(engine, BirthDates(engine, settings)), server)
        add_ClassListServiceServicer_to_server(
            ClassListServicer(engine, LookUps(engine, settings), settings.class_list_lifetime), server
        )
        add_UseLogServiceServicer_to_server(UseLogServicer(engine, settings), server)
        add_WorkServiceServicer_to_server(
            WorkServicer(engine, settings.work_claim_lifetime, settings.work_patience()), server
        )
        add_MessageServiceServicer_to_server(MessageServicer(engine, settings.message_answer_days), server)
        add_FeedbackServiceServicer_to_server(FeedbackServicer(engine, settings), server)
        add_HistoryServiceServicer_to_server(HistoryServicer(engine), server)
        add_PersonalDataServiceServicer_to_server(PersonalDataServicer(engine), server)
        add_ReconciliationServiceServicer_to_server(ReconciliationServicer(engine), server)

    names = [
        service.full_name
        for file in (
            unit_service_pb2.DESCRIPTOR,
            registration_service_pb2.DESCRIPTOR,
            customer_service_pb2.DESCRIPTOR,
            use_log_service_pb2.DESCRIPTOR,
            personal_data_service_pb2.DESCRIPTOR,
            class_list_service_pb2.DESCRIPTOR,
            work_service_pb2.DESCRIPTOR,
            message_service_pb2.DESCRIPTOR,
            feedback_service_pb2.DESCRIPTOR,
            history_service_pb2.DESCRIPTOR,
            reconciliation_service_pb2.DESCRIPTOR,
        )
        for service in file.services_by_name.values()
    ]
    try:
        async with (
            keeping_house(lambda: entries.link_waiting(engine), interval=entries.LINK_INTERVAL),
            measuring(lambda: measure(engine, settings.work_patience())),
            keeping_house(
                lambda: sweep_limits(engine, limits),
                lambda: sweep_class_lists(engine),
                lambda: sweep_notes(engine),
                lambda: merge_undo.sweep(engine),
                lambda: claims.sweep(engine),
                lambda: sweep_similar_codes(engine),
                lambda: message_service.sweep(engine, settings.message_retention),
                lambda: feedback_service.sweep(engine, settings.feedback_retention),
            ),
        ):
            await serve(
                settings,
                interceptor,
                names,
                add_services,
                certificate,
                before=lambda: entries.require_append_only(engine),
            )
    finally:
        await engine.dispose()
