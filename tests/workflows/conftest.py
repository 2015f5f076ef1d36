"""The workflow under skipped time, over the three real services, PostgreSQL and a mail server."""

import secrets
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from deploy.local.postgres import EmbeddedPostgres
from liity.identity.v1.account_service_pb2 import Account, AccountMembership, CreateAccountRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.person_service_pb2 import EnsurePersonRequest, EnsurePersonWithoutCodeRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.identity.v1.registrar_service_pb2 import RemoveRegistrarRequest
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.notification.v1.notification_service_pb2_grpc import (
    add_NotificationServiceServicer_to_server,
)
from liity.registration.v1.class_list_service_pb2_grpc import (
    add_ClassListServiceServicer_to_server,
)
from liity.registration.v1.customer_service_pb2 import (
    Customer,
    GetCustomerRequest,
    TransferCustomerRequest,
    TransferCustomerResponse,
    UpdateCustomerRequest,
)
from liity.registration.v1.customer_service_pb2_grpc import (
    CustomerServiceStub,
    add_CustomerServiceServicer_to_server,
)
from liity.registration.v1.feedback_service_pb2_grpc import add_FeedbackServiceServicer_to_server
from liity.registration.v1.message_service_pb2_grpc import add_MessageServiceServicer_to_server
from liity.registration.v1.personal_data_service_pb2_grpc import (
    add_PersonalDataServiceServicer_to_server,
)
from liity.registration.v1.reconciliation_service_pb2_grpc import (
    add_ReconciliationServiceServicer_to_server,
)
from liity.registration.v1.registration_service_pb2 import (
    CreateRegistrationRequest,
    GetRegistrationRequest,
    LookUpPersonRequest,
    Registrar,
    Registration,
)
from liity.registration.v1.registration_service_pb2_grpc import (
    RegistrationServiceStub,
    add_RegistrationServiceServicer_to_server,
)
from liity.registration.v1.unit_service_pb2 import UNIT_KIND_LIBRARY, CreateUnitRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub, add_UnitServiceServicer_to_server
from liity.registration.v1.work_service_pb2_grpc import add_WorkServiceServicer_to_server
from liity.v1.auth_service_pb2 import ROLE_REGISTRAR, Role
from liity.v1.customer_form_pb2 import (
    APPLICANT_GUARDIAN,
    APPLICANT_SELF,
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CUSTOMER_KIND_ONLINE,
    LANGUAGE_FI,
    CustomerForm,
    PostalAddress,
    RelatedPerson,
)
from liity.v1.reason_pb2 import REASON_TOO_MANY_MAILS
from liity.v1.registration_pb2 import MISSING_CODE_REASON_NOT_YET_GIVEN
from liity.workflows.v1.address_workflow_pb2 import ChangeAddressResponse
from services.gateway.temporal.customers import CustomerWorkflows
from services.gateway.temporal.registrations import RegistrationWorkflows
from services.gateway.temporal.removals import RemovalWorkflows
from services.identity.server import compose as compose_identity
from services.identity.settings import IdentitySettings
from services.notification.book_tips.store import BookTipsStore
from services.notification.mail.deliveries import MessageStore
from services.notification.mail.smtp import Transport
from services.notification.models import limits
from services.notification.service import NotificationService
from services.notification.settings import NotificationSettings
from services.registration.audit.lookup_quota import LookUps
from services.registration.class_lists.service import ClassListServicer
from services.registration.customers.own_data import BirthDates
from services.registration.customers.service import CustomerServicer
from services.registration.feedback.service import FeedbackServicer
from services.registration.messages.service import MessageServicer
from services.registration.privacy.service import PersonalDataServicer
from services.registration.registrations.reconciliation import ReconciliationServicer
from services.registration.registrations.service import RegistrationServicer
from services.registration.settings import RegistrationSettings
from services.registration.units.service import UnitServicer
from services.registration.worklist.service import WorkServicer
from services.runtime.background import in_background
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.data.rate_limits import Limiter
from services.runtime.rpc.peer import Peer
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.temporal.actor_header import ActorClientInterceptor, ActorSeal
from services.runtime.temporal.codec import data_converter
from services.runtime.temporal.names import RegistrationWorkflowNames
from services.runtime.temporal.search_attributes import SEARCH_ATTRIBUTES
from tests.conftest import copy_postgres, running_postgres
from tests.services.conftest import migrated_engine, peer, serving
from tests.support.hetu_codes import code
from tests.support.password_hashes import quick_hashes
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.workflows.support.faults import Faults
from workflows.privacy.erasure import Erasure
from workflows.privacy.erasure_ledger import ErasureLedger
from workflows.settings import WorkerSettings
from workflows.worker import SANDBOX, create_row_worker, create_steps, create_worker

REGISTRARS_ADDRESS = "rekisteroija@kirjasto.example"
"""Where mail to the world's registrar goes."""

TEMPORAL = shutil.which("temporal", path=str(Path(sys.executable).parent))


@dataclass
class World:
    """Everything a registration meets, and what a test does to it."""

    environment: WorkflowEnvironment
    workflows: RegistrationWorkflows
    customers: CustomerWorkflows
    removals: RemovalWorkflows
    smtp: SmtpServer
    unit_id: str
    registrar: Registrar
    gateway: dict[str, Peer]
    worker: dict[str, Peer]
    seed: dict[str, Peer]
    engines: dict[str, AsyncEngine]
    faults: Faults
    ledger_dir: Path
    steps: list[Callable[..., Any]]
    start_worker: Callable[[], Awaitable[Any]]
    seen: list[str] = field(default_factory=list)

    @property
    def temporal(self) -> Client:
        """The client under skipped time."""
        return self.environment.client

    def erasure(self) -> Erasure:
        """The operation as the worker does it."""
        return Erasure(*self.worker.values(), ledger=ErasureLedger(self.ledger_dir, timedelta(days=400)))

    async def person(self, birth_date: date) -> str:
        """A new person born on a day."""
        stub = PersonServiceStub(self.gateway["identity"].channel)
        request = EnsurePersonRequest(personal_identity_code=self.new_code(birth_date))
        return (await self.gateway["identity"].call(stub.EnsurePerson, request)).person_id

    def new_code(self, birth_date: date) -> str:
        """A code of somebody born on a day that nobody has."""
        for _ in range(20):
            sign = secrets.choice("ABCDEF" if birth_date.year >= 2000 else "-YXWVU")
            hetu = code(birth_date, sign, 900 + secrets.randbelow(100))
            if hetu not in self.seen:
                self.seen.append(hetu)
                return hetu
        raise AssertionError("no code left")

    def save_request(self, person_id: str, form: CustomerForm, birth_date: date) -> CreateRegistrationRequest:
        """What a Save brings to the workflow."""
        return CreateRegistrationRequest(
            request_id=str(uuid.uuid4()),
            person_id=person_id,
            unit_id=self.unit_id,
            form=form,
            birth_date=to_proto_date(birth_date),
            registrar=self.registrar,
        )

    async def save(
        self, form: CustomerForm, birth_date: date
    ) -> tuple[Registration, WorkflowHandle[Any, Any]]:
        """Saves a new person; gives the registration and its run."""
        person_id = await self.person(birth_date)
        registration = await self.workflows.save(self.save_request(person_id, form, birth_date))
        workflow_id = RegistrationWorkflowNames.workflow_id(person_id)
        return registration, self.temporal.get_workflow_handle(workflow_id)

    async def save_without_code(
        self, form: CustomerForm, birth_date: date
    ) -> tuple[Registration, WorkflowHandle[Any, Any]]:
        """Saves a person who has no personal identity code; gives the registration and its run."""
        stub = PersonServiceStub(self.gateway["identity"].channel)
        ensure = EnsurePersonWithoutCodeRequest(request_id=str(uuid.uuid4()))
        person_id = (await self.gateway["identity"].call(stub.EnsurePersonWithoutCode, ensure)).person_id
        request = self.save_request(person_id, form, birth_date)
        request.missing_code_reason = MISSING_CODE_REASON_NOT_YET_GIVEN
        registration = await self.workflows.save(request)
        workflow_id = RegistrationWorkflowNames.workflow_id(person_id)
        return registration, self.temporal.get_workflow_handle(workflow_id)

    async def stored(self, registration: Registration) -> Registration:
        """The registration as its service has it now."""
        stub = RegistrationServiceStub(self.gateway["registration"].channel)
        request = GetRegistrationRequest(registration_id=registration.registration_id)
        return (await self.gateway["registration"].call(stub.GetRegistration, request)).registration

    async def unit(self, name: str = "Toisen kunnan kirjasto") -> str:
        """Another unit, in which nobody works yet."""
        return await _create_unit(self.seed["registration"], name)

    async def account(self, unit_id: str, role: Role.ValueType = ROLE_REGISTRAR) -> Account:
        """Somebody else with an account, who belongs to a unit."""
        email = f"{uuid.uuid4().hex}@kirjasto.example"
        return await _create_account(self.seed["identity"], email, unit_id, role)

    async def leave(self, account: Account, unit_id: str) -> None:
        """Has somebody belong to a unit no more."""
        gateway = self.gateway["identity"]
        request = RemoveRegistrarRequest(
            request_id=str(uuid.uuid4()), unit_id=unit_id, registrar_id=account.account_id
        )
        await gateway.call(RegistrarServiceStub(gateway.channel).RemoveRegistrar, request)

    async def move(
        self, registration: Registration, unit_id: str, mover: Account, request_id: str = ""
    ) -> TransferCustomerResponse:
        """Moves a person to another unit."""
        request = TransferCustomerRequest(
            request_id=request_id or str(uuid.uuid4()),
            person_id=registration.person_id,
            unit_id=unit_id,
            registrar=Registrar(account_id=mover.account_id, display_name=mover.display_name),
        )
        return await self.customers.transfer(request)

    async def customer(self, registration: Registration) -> Customer:
        """The customer that a registration has made, as stored now."""
        registrations = RegistrationServiceStub(self.gateway["registration"].channel)
        look_up = LookUpPersonRequest(person_id=registration.person_id, unit_id=registration.unit_id)
        known = await self.gateway["registration"].call(registrations.LookUpPerson, look_up)
        customers = CustomerServiceStub(self.gateway["registration"].channel)
        request = GetCustomerRequest(customer_id=known.customer_id)
        return (await self.gateway["registration"].call(customers.GetCustomer, request)).customer

    async def change_address(
        self, registration: Registration, email: str, **fields: Any
    ) -> ChangeAddressResponse:
        """Changes a customer's own address, as the world's registrar."""
        customer = await self.customer(registration)
        update = UpdateCustomerRequest(
            **{"request_id": str(uuid.uuid4()), "etag": customer.etag, **fields},
            customer_id=customer.customer_id,
            unit_id=customer.unit_id,
            update_mask=FieldMask(paths=["email"]),
            form=CustomerForm(email=email),
        )
        return await self.customers.change_address(update, self.registrar.account_id)

    async def skip(self, handle: WorkflowHandle[Any, Any], duration: timedelta) -> None:
        """Lets a run's time pass."""
        await self.environment.fast_forward(handle, duration)

    @asynccontextmanager
    async def skipping(self, handle: WorkflowHandle[Any, Any], duration: timedelta) -> AsyncIterator[None]:
        """Lets a run's time pass while a step of it is tried again and again, and goes on meanwhile."""
        async with in_background(self.skip(handle, duration)):
            yield

    async def skip_to_end(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Lets a run's time pass until it ends; it may have ended meanwhile."""
        try:
            await self.environment.fast_forward(handle)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def rows(self, service: str, statement: str, **parameters: object) -> list[Any]:
        """What a service's database answers."""
        async with self.engines[service].connect() as connection:
            return list((await connection.execute(text(statement), parameters)).mappings())

    async def change(self, service: str, statement: str, **parameters: object) -> None:
        """Does to a service's database what no RPC does yet."""
        async with self.engines[service].begin() as connection:
            await connection.execute(text(statement), parameters)

    def mails_to(self, address: str) -> list[EmailMessage]:
        """The mails taken for an address, oldest first."""
        return [mail for mail in self.smtp.taken if mail["To"] == address]


@pytest.fixture(scope="session")
async def postgres(
    postgres_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL for runs alone: they go on while other tests count the rows of theirs."""
    folder = tmp_path_factory.mktemp("postgres-of-runs")
    copy_postgres(postgres_template, folder)
    async with running_postgres(folder) as server:
        yield server


@pytest.fixture(scope="session")
async def world(postgres: EmbeddedPostgres, keys_dir: Path) -> AsyncIterator[World]:
    """The services, the worker, and a Temporal server that skips time."""
    async with running_world(postgres, keys_dir) as world:
        yield world


@asynccontextmanager
async def running_world(
    postgres: EmbeddedPostgres, keys_dir: Path, seal: ActorSeal | None = None
) -> AsyncIterator[World]:
    """The services on these databases, the worker, and a Temporal server that skips time."""
    async with AsyncExitStack() as stack:
        engines = {
            name: await stack.enter_async_context(migrated_engine(postgres, name, keys_dir))
            for name in ("identity", "registration", "notification")
        }
        smtp = await stack.enter_async_context(smtp_server())

        identity_settings = IdentitySettings.model_validate(
            {
                "keys_dir": keys_dir,
                "listen": "127.0.0.1:0",
                "database_url": postgres.url("identity"),
                "hetu_allow_artificial": True,
            }
        )
        notification_settings = NotificationSettings.model_validate(
            {
                "keys_dir": keys_dir,
                "listen": "127.0.0.1:0",
                "database_url": postgres.url("notification"),
                "smtp_host": "127.0.0.1",
                "smtp_port": smtp.port,
                "smtp_timeout": 2,
            }
        )
        transport = Transport(notification_settings)
        stack.push_async_callback(transport.close)
        notifications = NotificationService(
            MessageStore(engines["notification"]),
            BookTipsStore(engines["notification"]),
            Limiter(engines["notification"], limits, REASON_TOO_MANY_MAILS),
            transport,
            notification_settings,
        )

        registration_settings = RegistrationSettings.model_validate(
            {
                "keys_dir": keys_dir,
                "listen": "127.0.0.1:0",
                "database_url": postgres.url("registration"),
            }
        )
        registrations = RegistrationServicer(
            engines["registration"], LookUps(engines["registration"], registration_settings)
        )

        def add_registration(server: Any) -> None:
            add_UnitServiceServicer_to_server(UnitServicer(engines["registration"]), server)
            add_RegistrationServiceServicer_to_server(registrations, server)
            birth_dates = BirthDates(engines["registration"], registration_settings)
            customers = CustomerServicer(engines["registration"], birth_dates)
            add_CustomerServiceServicer_to_server(customers, server)
            add_PersonalDataServiceServicer_to_server(PersonalDataServicer(engines["registration"]), server)
            add_ReconciliationServiceServicer_to_server(
                ReconciliationServicer(engines["registration"]), server
            )
            add_ClassListServiceServicer_to_server(
                ClassListServicer(
                    engines["registration"],
                    LookUps(engines["registration"], registration_settings),
                    registration_settings.class_list_lifetime,
                ),
                server,
            )
            work = WorkServicer(
                engines["registration"],
                registration_settings.work_claim_lifetime,
                registration_settings.work_patience(),
            )
            add_WorkServiceServicer_to_server(work, server)
            add_FeedbackServiceServicer_to_server(
                FeedbackServicer(engines["registration"], registration_settings), server
            )
            add_MessageServiceServicer_to_server(
                MessageServicer(engines["registration"], registration_settings.message_answer_days), server
            )

        with quick_hashes():
            add_identity = compose_identity(identity_settings, engines["identity"])
        targets = {
            "identity": await stack.enter_async_context(serving("identity", add_identity, keys_dir)),
            "registration": await stack.enter_async_context(
                serving("registration", add_registration, keys_dir)
            ),
            "notification": await stack.enter_async_context(
                serving(
                    "notification",
                    lambda server: add_NotificationServiceServicer_to_server(notifications, server),
                    keys_dir,
                )
            ),
        }

        async def peers(as_service: str) -> dict[str, Peer]:
            return {
                name: await stack.enter_async_context(peer(name, target, keys_dir, as_service))
                for name, target in targets.items()
            }

        seed_peers = await peers("seed")
        unit_id, registrar = await _seed(seed_peers)
        keyset = load_keyset(keys_dir, KeysetPurpose.PAYLOADS)
        # Time is skipped for the workflows alone: for the seal, each update is as good as new.
        seal = seal or ActorSeal(keyset, fresh=timedelta.max)
        faults = Faults()
        environment = await stack.enter_async_context(
            await WorkflowEnvironment.start_time_skipping_v2(
                # A run's time passes only when a test says so.
                ts_config=TimeSkippingConfig(enabled=False),
                interceptors=[ActorClientInterceptor(seal), faults],
                data_converter=data_converter(keyset),
                search_attributes=SEARCH_ATTRIBUTES,
                dev_server_existing_path=TEMPORAL,
                dev_server_log_level="error",
                dev_server_extra_args=[
                    "--dynamic-config-value",
                    "frontend.WorkflowTimeSkippingEnabled=true",
                    # A timer that has come is seen at once, not up to a second later.
                    "--dynamic-config-value",
                    'history.timerProcessorMaxTimeShift="10ms"',
                ],
            )
        )
        ledger_dir = Path(stack.enter_context(TemporaryDirectory(prefix="erasures-")))
        settings = WorkerSettings.model_validate(
            {
                "keys_dir": keys_dir,
                "identity_target": "",
                "registration_target": "",
                "notification_target": "",
                "erasure_ledger_dir": ledger_dir,
                # Tests wait for no row to grow old.
                "workflows_reconciliation_age": "PT0S",
            }
        )
        worker_peers = await peers("worker")
        steps = create_steps(*worker_peers.values(), settings=settings)

        async def start_worker() -> Any:
            return await stack.enter_async_context(
                create_worker(environment.client, steps, seal, runner=SANDBOX)
            )

        await start_worker()
        await stack.enter_async_context(create_row_worker(environment.client, steps, seal))
        yield World(
            environment,
            RegistrationWorkflows(environment.client),
            CustomerWorkflows(environment.client),
            RemovalWorkflows(environment.client),
            smtp,
            unit_id,
            registrar,
            await peers("gateway"),
            worker_peers,
            seed_peers,
            engines,
            faults,
            ledger_dir,
            steps,
            start_worker,
        )


async def _seed(peers: dict[str, Peer]) -> tuple[str, Registrar]:
    unit_id = await _create_unit(peers["registration"], "Esimerkkilän kirjasto")
    account = await _create_account(peers["identity"], REGISTRARS_ADDRESS, unit_id, ROLE_REGISTRAR)
    return unit_id, Registrar(account_id=account.account_id, display_name=account.display_name)


async def _create_unit(registration: Peer, name: str) -> str:
    request = CreateUnitRequest(request_id=str(uuid.uuid4()), display_name=name, kind=UNIT_KIND_LIBRARY)
    return (await registration.call(UnitServiceStub(registration.channel).CreateUnit, request)).unit.unit_id


async def _create_account(identity: Peer, email: str, unit_id: str, role: Role.ValueType) -> Account:
    request = CreateAccountRequest(
        request_id=str(uuid.uuid4()),
        email=email,
        display_name="Riikka Rekisteröijä",
        password=secrets.token_urlsafe(16),
        language=LANGUAGE_FI,
        memberships=[AccountMembership(unit_id=unit_id, role=role)],
    )
    return (await identity.call(AccountServiceStub(identity.channel).CreateAccount, request)).account


_ADDRESS = PostalAddress(
    street_address="Esimerkkikatu 1", postcode="00100", post_office="Helsinki", municipality="Helsinki"
)


def adult_form(email: str, **changes: Any) -> CustomerForm:
    """The form of an adult online customer."""
    fields: dict[str, Any] = {
        "first_names": "Aino Kaisa",
        "last_name": "Esimerkki",
        "address": _ADDRESS,
        "email": email,
        "language": LANGUAGE_FI,
        "entitlement_declared": True,
        "kind": CUSTOMER_KIND_ONLINE,
        "applicant": APPLICANT_SELF,
        "terms_accepted": True,
        "credentials_recipient": CREDENTIALS_RECIPIENT_CUSTOMER,
    }
    return CustomerForm(**(fields | changes))


def child_form(guardian_email: str, **changes: Any) -> CustomerForm:
    """The form of a child whose guardian is to be asked."""
    guardian = RelatedPerson(full_name="Outi Huoltaja", email=guardian_email, relation="äiti")
    fields: dict[str, Message | Any] = {
        "first_names": "Onni",
        "applicant": APPLICANT_GUARDIAN,
        "related_person": guardian,
        "credentials_recipient": CREDENTIALS_RECIPIENT_RELATED_PERSON,
    }
    return adult_form("", **(fields | changes))


def born(age: int, days: int = 30) -> date:
    """A day of birth: `age` full years and `days` days ago."""
    today = helsinki_day(now())
    return date(today.year - age, today.month, min(today.day, 28)) - timedelta(days=days)
