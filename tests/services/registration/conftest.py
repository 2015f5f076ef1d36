"""The registration service on a real PostgreSQL, behind gRPC."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.local.postgres import EmbeddedPostgres
from liity.registration.v1.class_list_service_pb2_grpc import add_ClassListServiceServicer_to_server
from liity.registration.v1.customer_service_pb2_grpc import add_CustomerServiceServicer_to_server
from liity.registration.v1.feedback_service_pb2_grpc import add_FeedbackServiceServicer_to_server
from liity.registration.v1.history_service_pb2_grpc import add_HistoryServiceServicer_to_server
from liity.registration.v1.message_service_pb2_grpc import add_MessageServiceServicer_to_server
from liity.registration.v1.personal_data_service_pb2_grpc import (
    add_PersonalDataServiceServicer_to_server,
)
from liity.registration.v1.reconciliation_service_pb2_grpc import (
    add_ReconciliationServiceServicer_to_server,
)
from liity.registration.v1.registration_service_pb2_grpc import (
    add_RegistrationServiceServicer_to_server,
)
from liity.registration.v1.unit_service_pb2 import (
    Unit,
)
from liity.registration.v1.unit_service_pb2_grpc import add_UnitServiceServicer_to_server
from liity.registration.v1.use_log_service_pb2_grpc import add_UseLogServiceServicer_to_server
from liity.registration.v1.work_service_pb2_grpc import add_WorkServiceServicer_to_server
from services.registration.audit.lookup_quota import LookUps
from services.registration.audit.service import UseLogServicer
from services.registration.class_lists.service import ClassListServicer
from services.registration.customers.own_data import BirthDates
from services.registration.customers.service import CustomerServicer
from services.registration.feedback.service import FeedbackServicer
from services.registration.messages.service import MessageServicer
from services.registration.privacy.service import PersonalDataServicer
from services.registration.registrations.history import HistoryServicer
from services.registration.registrations.reconciliation import ReconciliationServicer
from services.registration.registrations.service import RegistrationServicer
from services.registration.settings import RegistrationSettings
from services.registration.units.service import UnitServicer
from services.registration.worklist.service import WorkServicer
from tests.services.conftest import migrated_engine, peer, serving
from tests.support.registration_service import Service

ServiceFactory = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture(scope="session")
def service_with(postgres: EmbeddedPostgres, keys_dir: Path) -> ServiceFactory:
    """Starts the service with some settings of a test's own, on the common database."""

    @asynccontextmanager
    async def start(**own: Any) -> AsyncIterator[Service]:
        common = {"listen": "", "database_url": postgres.url("registration"), "keys_dir": keys_dir}
        settings = RegistrationSettings.model_validate(common | own)
        async with migrated_engine(postgres, "registration", keys_dir) as engine:
            registrations = RegistrationServicer(engine, LookUps(engine, settings))

            def add_services(server: grpc.aio.Server) -> None:
                add_UnitServiceServicer_to_server(UnitServicer(engine), server)
                add_RegistrationServiceServicer_to_server(registrations, server)
                add_PersonalDataServiceServicer_to_server(PersonalDataServicer(engine), server)
                add_CustomerServiceServicer_to_server(
                    CustomerServicer(engine, BirthDates(engine, settings)), server
                )
                class_lists = ClassListServicer(
                    engine, LookUps(engine, settings), settings.class_list_lifetime
                )
                add_ClassListServiceServicer_to_server(class_lists, server)
                add_UseLogServiceServicer_to_server(UseLogServicer(engine, settings), server)
                add_WorkServiceServicer_to_server(
                    WorkServicer(engine, settings.work_claim_lifetime, settings.work_patience()), server
                )
                add_MessageServiceServicer_to_server(
                    MessageServicer(engine, settings.message_answer_days), server
                )
                add_FeedbackServiceServicer_to_server(FeedbackServicer(engine, settings), server)
                add_HistoryServiceServicer_to_server(HistoryServicer(engine), server)
                add_ReconciliationServiceServicer_to_server(ReconciliationServicer(engine), server)

            async with (
                serving("registration", add_services, keys_dir) as target,
                peer("registration", target, keys_dir, "gateway") as gateway,
                peer("registration", target, keys_dir, "worker") as worker,
                peer("registration", target, keys_dir, "seed") as seed,
            ):
                yield Service(engine, gateway, worker, seed)

    return start


@pytest.fixture(scope="module")
async def service(service_with: ServiceFactory) -> AsyncIterator[Service]:
    async with service_with() as service:
        yield service


@pytest.fixture
async def unit(service: Service) -> Unit:
    return await service.unit()
