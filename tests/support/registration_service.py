"""The registration service as its clients call it, and data for calls."""

import secrets
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.registration.v1 import customer_service_pb2 as customer_pb
from liity.registration.v1 import personal_data_service_pb2 as data_pb
from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.class_list_service_pb2_grpc import ClassListServiceStub
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.registration.v1.registration_service_pb2_grpc import (
    RegistrationServiceStub,
)
from liity.registration.v1.unit_service_pb2 import (
    UNIT_KIND_LIBRARY,
    CreateUnitRequest,
    Unit,
    UnitKind,
)
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.registration.v1.use_log_service_pb2 import RecordUseRequest
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1 import customer_form_pb2 as form_pb
from liity.v1 import registration_pb2 as life
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.registration_service_pb2 import PossibleDuplicate
from services.registration.db.models import Base
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.errors import Refusal, reason_name
from services.runtime.rpc.peer import Peer
from tests.support.registration_forms import adult_form, changed, child_form

BIRTH_OF_ADULT = Date(year=1990, month=1, day=1)
REGISTRAR = pb.Registrar(account_id="ac0", display_name="Riikka Rekisteröijä")
DEADLINE = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


def birth_of_child() -> Date:
    """The birth date of a child aged eight or nine."""
    return Date(year=helsinki_day(now()).year - 9, month=7, day=1)


def timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


@dataclass
class Service:
    """The registration service, called as by the gateway, the worker and the seed."""

    engine: AsyncEngine
    gateway: Peer
    worker: Peer
    seed: Peer

    def __post_init__(self) -> None:
        self.customers = CustomerServiceStub(self.gateway.channel)
        self.reads = RegistrationServiceStub(self.gateway.channel)
        self.changes = RegistrationServiceStub(self.worker.channel)
        self.lists = ClassListServiceStub(self.gateway.channel)
        self.list_changes = ClassListServiceStub(self.worker.channel)
        self.data = PersonalDataServiceStub(self.worker.channel)

    async def unit(
        self, name: str = "Esimerkkikirjasto", kind: UnitKind.ValueType = UNIT_KIND_LIBRARY
    ) -> Unit:
        request = CreateUnitRequest(request_id=str(uuid.uuid4()), display_name=name, kind=kind)
        return (await self.seed.call(UnitServiceStub(self.seed.channel).CreateUnit, request)).unit

    async def prepare(
        self, unit_id: str, form: form_pb.CustomerForm, **fields: Any
    ) -> pb.Registration | None:
        request = pb.PrepareRegistrationRequest(
            **{
                "request_id": str(uuid.uuid4()),
                "unit_id": unit_id,
                "birth_date": BIRTH_OF_ADULT,
                "account_id": REGISTRAR.account_id,
                **fields,
            },
            form=form,
        )
        response = await self.gateway.call(self.reads.PrepareRegistration, request)
        return response.registration if response.HasField("registration") else None

    async def create(
        self, unit_id: str, form: form_pb.CustomerForm, **fields: Any
    ) -> pb.CreateRegistrationResponse:
        request = pb.CreateRegistrationRequest(
            **{
                "request_id": str(uuid.uuid4()),
                "person_id": secrets.token_hex(16),
                "unit_id": unit_id,
                "birth_date": BIRTH_OF_ADULT,
                "registrar": REGISTRAR,
                "consent_deadline": timestamp(DEADLINE),
                "reactivation_deadline": timestamp(DEADLINE),
                "identity_check_deadline": timestamp(DEADLINE),
                **fields,
            },
            form=form,
        )
        return await self.worker.call(self.changes.CreateRegistration, request)

    async def waiting(self, unit_id: str, **fields: Any) -> pb.Registration:
        """A child's registration that waits for consent."""
        response = await self.create(unit_id, child_form(), birth_date=birth_of_child(), **fields)
        assert response.registration.stage == life.STAGE_WAITING_FOR_CONSENT
        return response.registration

    async def get(self, registration_id: str) -> pb.Registration:
        request = pb.GetRegistrationRequest(registration_id=registration_id)
        return (await self.gateway.call(self.reads.GetRegistration, request)).registration

    async def find(self, reference: str) -> list[pb.Registration]:
        request = pb.FindRegistrationsRequest(reference=reference)
        return list((await self.gateway.call(self.reads.FindRegistrations, request)).registrations)

    async def page(self, unit_id: str, **fields: Any) -> pb.ListRegistrationsResponse:
        request = pb.ListRegistrationsRequest(**{"unit_id": unit_id, "page_size": 50, **fields})
        return await self.gateway.call(self.reads.ListRegistrations, request)

    async def look_up(self, person_id: str, unit_id: str) -> pb.LookUpPersonResponse:
        request = pb.LookUpPersonRequest(person_id=person_id, unit_id=unit_id)
        return await self.gateway.call(self.reads.LookUpPerson, request)

    async def customer(self, unit_id: str, **fields: Any) -> customer_pb.Customer:
        """A new adult customer; `fields` are set on the form."""
        form = changed(adult_form(), **fields)
        created = (await self.create(unit_id, form)).registration
        return await self.get_customer(created.customer_id)

    async def get_customer(self, customer_id: str) -> customer_pb.Customer:
        request = customer_pb.GetCustomerRequest(customer_id=customer_id)
        return (await self.gateway.call(self.customers.GetCustomer, request)).customer

    async def update(
        self, customer: customer_pb.Customer, *paths: str, **fields: Any
    ) -> customer_pb.UpdateCustomerResponse:
        """Changes `paths` of the form; `fields` set the form, or parts of the request as in `of_etag`."""
        given = [name for name in fields if name.startswith("of_")]
        of_request = {name.removeprefix("of_"): fields.pop(name) for name in given}
        form = form_pb.CustomerForm()
        form.CopyFrom(customer.form)
        request = customer_pb.UpdateCustomerRequest(
            **{
                "request_id": str(uuid.uuid4()),
                "customer_id": customer.customer_id,
                "unit_id": customer.unit_id,
                "etag": customer.etag,
                "update_mask": FieldMask(paths=paths),
                **of_request,
            },
            form=changed(form, **fields),
        )
        return await self.gateway.call(self.customers.UpdateCustomer, request)

    async def search(
        self, unit_id: str, query: str = "", page_size: int = 50, page_token: str = "", **filters: Any
    ) -> customer_pb.SearchCustomersResponse:
        request = customer_pb.SearchCustomersRequest(
            unit_id=unit_id, query=query, page_size=page_size, page_token=page_token, **filters
        )
        return await self.gateway.call(self.customers.SearchCustomers, request)

    async def mailing(self, registration_id: str) -> pb.GetMailingDetailsResponse:
        request = pb.GetMailingDetailsRequest(registration_id=registration_id)
        return await self.worker.call(self.changes.GetMailingDetails, request)

    async def activate(self, registration_id: str, consent: pb.ConsentEvidence | None) -> pb.Registration:
        request = pb.ActivateRegistrationRequest(registration_id=registration_id, consent=consent)
        return (await self.worker.call(self.changes.ActivateRegistration, request)).registration

    async def advance(
        self, registration_id: str, stage: life.Stage.ValueType, deadline: datetime | None = None
    ) -> pb.Registration:
        request = pb.AdvanceRegistrationRequest(
            registration_id=registration_id, stage=stage, deadline=timestamp(deadline) if deadline else None
        )
        return (await self.worker.call(self.changes.AdvanceRegistration, request)).registration

    async def end(self, registration_id: str, stage: life.Stage.ValueType) -> pb.Registration:
        request = pb.EndRegistrationRequest(registration_id=registration_id, stage=stage)
        return (await self.worker.call(self.changes.EndRegistration, request)).registration

    async def mark(self, customer_id: str) -> None:
        """Marks a customership as ended, in its table."""
        statement = "UPDATE customers SET state = :s, ended_at = now() WHERE customer_id = :c"
        async with self.engine.begin() as connection:
            marked = {"s": CUSTOMER_STATE_MARKED_FOR_DELETION, "c": customer_id}
            await connection.execute(text(statement), marked)

    async def approve(self, registration_id: str, **fields: Any) -> pb.ApproveRegistrationResponse:
        request = pb.ApproveRegistrationRequest(
            **{
                "registration_id": registration_id,
                "decision_request_id": str(uuid.uuid4()),
                "decide_time": timestamp(now()),
                "consent_deadline": timestamp(DEADLINE),
                **fields,
            }
        )
        return await self.worker.call(self.changes.ApproveRegistration, request)

    async def link(
        self, registration_id: str, customer: customer_pb.Customer, request_id: str = ""
    ) -> pb.LinkRegistrationResponse:
        request = pb.LinkRegistrationRequest(
            registration_id=registration_id,
            customer_id=customer.customer_id,
            unit_id=customer.unit_id,
            decision_request_id=request_id or str(uuid.uuid4()),
        )
        return await self.worker.call(self.changes.LinkRegistration, request)

    async def duplicates(self, registration_id: str) -> list[PossibleDuplicate]:
        request = pb.ListPossibleDuplicatesRequest(registration_id=registration_id)
        found = await self.gateway.call(self.reads.ListPossibleDuplicates, request)
        return list(found.possible_duplicates)

    async def export(self, person_id: str) -> data_pb.ExportPersonResponse:
        return await self.worker.call(
            self.data.ExportPerson, data_pb.ExportPersonRequest(person_id=person_id)
        )

    async def erase(self, person_id: str) -> list[str]:
        request = data_pb.ErasePersonRequest(person_id=person_id)
        return list((await self.worker.call(self.data.ErasePerson, request)).registration_ids)

    async def forget(self, person_id: str) -> None:
        await self.worker.call(self.data.ForgetPerson, data_pb.ForgetPersonRequest(person_id=person_id))

    async def record_use(self, action: str, *subject_ids: str) -> None:
        request = RecordUseRequest(action=action, subject_ids=subject_ids, outcome="OK")
        await self.gateway.call(UseLogServiceStub(self.gateway.channel).RecordUse, request)

    async def rows(self, statement: str, **parameters: object) -> list[Any]:
        async with self.engine.connect() as connection:
            return list((await connection.execute(text(statement), parameters)).mappings())

    async def everything_stored(self, *, log: bool = True) -> str:
        """Every row of every table, as text; without the log of use if wanted."""
        rows = [
            row["stored"]
            for table in Base.metadata.sorted_tables
            if log or not table.name.startswith("use_")
            for row in await self.rows(f"SELECT t::text AS stored FROM {table.name} t")  # noqa: S608
        ]
        return "\n".join(rows)


async def refusal(call: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value.code.name, reason_name(caught.value.reason)


async def violations(call: Awaitable[object]) -> dict[str, str]:
    with pytest.raises(Refusal) as caught:
        await call
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    return {field: reason_name(reason) for field, reason in caught.value.violations}
