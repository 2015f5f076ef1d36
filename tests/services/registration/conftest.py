"""The registration service on a real PostgreSQL, behind gRPC."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from deploy.postgres import EmbeddedPostgres
from liity.registration.v1.personal_data_service_pb2_grpc import (
    add_PersonalDataServiceServicer_to_server,
)
from liity.registration.v1.registration_service_pb2_grpc import (
    add_RegistrationServiceServicer_to_server,
)
from liity.registration.v1.unit_service_pb2 import (
    Unit,
)
from liity.registration.v1.unit_service_pb2_grpc import add_UnitServiceServicer_to_server
from liity.registration.v1.use_log_service_pb2_grpc import add_UseLogServiceServicer_to_server
from services.registration.personal_data_service import PersonalDataServicer
from services.registration.registration_service import RegistrationServicer
from services.registration.settings import RegistrationSettings
from services.registration.unit_service import UnitServicer
from services.registration.use_log_service import UseLogServicer
from tests.services.conftest import migrated_engine, peer, serving
from tests.services.registration_service import Service


@pytest.fixture(scope="module")
async def service(postgres: EmbeddedPostgres, keys_dir: Path) -> AsyncIterator[Service]:
    async with migrated_engine(postgres, "registration", keys_dir) as engine:
        url = engine.url.render_as_string(hide_password=False)
        settings = RegistrationSettings(listen="", keys_dir=keys_dir, database_url=url)

        def add_services(server: grpc.aio.Server) -> None:
            add_UnitServiceServicer_to_server(UnitServicer(engine), server)
            add_RegistrationServiceServicer_to_server(RegistrationServicer(engine), server)
            add_PersonalDataServiceServicer_to_server(PersonalDataServicer(engine), server)
            add_UseLogServiceServicer_to_server(UseLogServicer(engine, settings), server)

        async with (
            serving("registration", add_services, keys_dir) as target,
            peer("registration", target, keys_dir, "gateway") as gateway,
            peer("registration", target, keys_dir, "worker") as worker,
            peer("registration", target, keys_dir, "seed") as seed,
        ):
            yield Service(engine, gateway, worker, seed)


@pytest.fixture
async def unit(service: Service) -> Unit:
    return await service.unit()
