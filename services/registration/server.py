"""The registration service as a program."""

import grpc

from liity.registration.v1 import (
    class_list_service_pb2,
    customer_service_pb2,
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
from liity.registration.v1.history_service_pb2_grpc import add_HistoryServiceServicer_to_server
from liity.registration.v1.message_service_pb2_grpc import add_MessageServiceServicer_to_server
from liity.registration.v1.personal_data_service_pb2_grpc import add_PersonalDataServiceServicer_to_server
from liity.registration.v1.reconciliation_service_pb2_grpc import add_ReconciliationServiceServicer_to_server
from liity.registration.v1.registration_service_pb2_grpc import add_RegistrationServiceServicer_to_server
from liity.registration.v1.unit_service_pb2_grpc import add_UnitServiceServicer_to_server
from liity.registration.v1.use_log_service_pb2_grpc import add_UseLogServiceServicer_to_server
from liity.registration.v1.work_service_pb2_grpc import add_WorkServiceServicer_to_server
from services.registration import claims, messages, use_log
from services.registration.class_lists import ClassListServicer, sweep_class_lists
from services.registration.customers import CustomerServicer
from services.registration.history import HistoryServicer
from services.registration.look_ups import LookUps
from services.registration.messages import MessageServicer
from services.registration.models import limits
from services.registration.personal_data_service import PersonalDataServicer
from services.registration.reconciliation import ReconciliationServicer
from services.registration.registration_service import RegistrationServicer
from services.registration.rejections import sweep_notes
from services.registration.settings import RegistrationSettings
from services.registration.unit_service import UnitServicer
from services.registration.use_log_service import UseLogServicer
from services.registration.work_service import WorkServicer
from services.runtime import logs
from services.runtime.database import create_engine
from services.runtime.errors import Contact
from services.runtime.housekeeping import keeping_house
from services.runtime.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.limits import sweep_limits
from services.runtime.server import serve
from services.runtime.service_identity import ServiceVerifier
from services.runtime.settings import load
from services.runtime.tls import component_certificate

NAME = "registration"


async def run() -> None:
    """Serves until told to stop."""
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
        add_CustomerServiceServicer_to_server(CustomerServicer(engine), server)
        add_ClassListServiceServicer_to_server(
            ClassListServicer(engine, LookUps(engine, settings), settings.class_list_lifetime), server
        )
        add_UseLogServiceServicer_to_server(UseLogServicer(engine, settings), server)
        add_WorkServiceServicer_to_server(
            WorkServicer(engine, settings.work_claim_lifetime, settings.work_patience()), server
        )
        add_MessageServiceServicer_to_server(MessageServicer(engine, settings.message_answer_days), server)
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
            history_service_pb2.DESCRIPTOR,
            reconciliation_service_pb2.DESCRIPTOR,
        )
        for service in file.services_by_name.values()
    ]
    try:
        async with (
            keeping_house(lambda: use_log.link_waiting(engine), interval=use_log.LINK_INTERVAL),
            keeping_house(
                lambda: sweep_limits(engine, limits),
                lambda: sweep_class_lists(engine),
                lambda: sweep_notes(engine),
                lambda: claims.sweep(engine),
                lambda: messages.sweep(engine, settings.message_retention),
            ),
        ):
            await serve(
                settings,
                interceptor,
                names,
                add_services,
                certificate,
                before=lambda: use_log.require_append_only(engine),
            )
    finally:
        await engine.dispose()
