"""Every sweep and list of the registration service goes by an index, however many rows there are."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.registration.v1 import class_list_service_pb2 as lists_pb
from liity.registration.v1 import history_service_pb2 as history_pb
from liity.registration.v1 import message_service_pb2 as messages_pb
from liity.registration.v1 import personal_data_service_pb2 as data_pb
from liity.registration.v1 import reconciliation_service_pb2 as unfinished_pb
from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.customer_service_pb2 import (
    GetCustomerRequest,
    MarkEmailDeliveredRequest,
    MarkEmailUndeliverableRequest,
    SearchCustomersRequest,
)
from liity.registration.v1.unit_service_pb2 import GetUnitSummaryRequest
from liity.registration.v1.use_log_service_pb2 import ListUsesRequest
from liity.registration.v1.work_service_pb2 import (
    CountDueWorkRequest,
    GetFiguresRequest,
    GetWorkItemRequest,
    ListWorkItemsRequest,
)
from liity.v1.class_list_service_pb2 import CLASS_LIST_OUTCOME_REGISTERED, CLASS_LIST_STATE_DONE
from liity.v1.message_service_pb2 import MESSAGE_STATE_OPEN
from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT, STAGE_WELCOMED
from liity.v1.registration_service_pb2 import REGISTRATION_ORDER_DEADLINE
from services.registration.audit import entries
from services.registration.audit.lookup_quota import LookUps
from services.registration.audit.service import UseLogServicer
from services.registration.class_lists.service import ClassListServicer, sweep_class_lists
from services.registration.customers.own_data import BirthDates
from services.registration.customers.service import CustomerServicer
from services.registration.db.models import Base, limits
from services.registration.feedback import service as feedback_service
from services.registration.messages import service
from services.registration.messages.service import MessageServicer
from services.registration.privacy.service import PersonalDataServicer
from services.registration.registrations import note_retention
from services.registration.registrations.guardian_addresses import place_among_requests
from services.registration.registrations.history import HistoryServicer
from services.registration.registrations.reconciliation import LISTS, ReconciliationServicer
from services.registration.registrations.service import RegistrationServicer
from services.registration.settings import RegistrationSettings
from services.registration.units.service import UnitServicer
from services.registration.worklist import claims
from services.registration.worklist.service import WorkServicer
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.data.rate_limits import sweep_limits
from services.runtime.rpc.errors import Refusal
from tests.conftest import running_postgres
from tests.support.query_plans import Plans, filled
from tests.support.registration_forms import child_form
from tests.support.registration_service import timestamp

_HALF_IN_ONE_UNIT = "'un' || CASE WHEN n % 2 = 0 THEN 1 ELSE 1 + n % 1000 END"
_TEMPORARY = """'{"temporary": true, "expected_end_date": {"year": 2027, "month": 1, "day": 1}}'::jsonb"""
_OF_UNIT = {"unit_id": "'un' || 1 + n % 1000"}

FILLING: dict[str, dict[str, str]] = {
    "units": {},
    "customers": _OF_UNIT
    | {
        "unit_id": _HALF_IN_ONE_UNIT,
        "state": "1",
        "birth_date": "date '1940-01-01' + (n % 30000)",
        "email_state": "CASE WHEN n % 1000 = 0 THEN 3 ELSE 1 END",
        "profile": f"CASE WHEN n % 1000 = 0 THEN {_TEMPORARY} ELSE '{{}}' END",
    },
    "customer_names": _OF_UNIT | {"key": "'na' || n"},
    "registrations": _OF_UNIT
    | {
        "unit_id": _HALF_IN_ONE_UNIT,
        "registrar_account_id": "'ac' || n % 50",
        "person_id": "'pe' || n",
        "customer_id": "'cu' || n",
        "stage": "CASE WHEN n % 1000 = 0 THEN 9 WHEN n % 1000 = 500 THEN 2 WHEN n % 100 = 0 THEN 3"
        f" ELSE {STAGE_WELCOMED} END",
        "deadline": "CASE WHEN n % 500 = 0 THEN now() + n * interval '1 minute' END",
        "undeliverable_since": "CASE WHEN n % 1000 = 500 THEN now() END",
        "rejection_note": "CASE WHEN n % 10000 = 0 THEN 'Ei' END",
    },
    "messages": _OF_UNIT
    | {"state": "CASE WHEN n % 1000 = 0 THEN 1 ELSE 2 END", "closed_at": "now() - n * interval '5 minutes'"},
    "class_lists": _OF_UNIT | {"state": str(CLASS_LIST_STATE_DONE), "ended_at": "now()"},
    "class_list_rows": {
        "class_list_id": "'cl' || n / 20",
        "row_number": "n",
        "outcome": str(CLASS_LIST_OUTCOME_REGISTERED),
        "registration_id": "'re' || n",
    },
    "use_entries": {
        "use_id": "md5(n::text)::uuid",
        "used_at": "now() - n * interval '10 seconds'",
        "account_id": "'ac' || n % 1000",
        "for_unit_id": "'un' || 1 + n % 1000",
        "subject_ids": "ARRAY['cu' || n]",
    },
    "use_chain": {"use_id": "md5(n::text)::uuid", "sequence": "n"},
    "feedback": {"answered_at": "CASE WHEN n % 1000 = 0 THEN NULL ELSE now() - n * interval '5 minutes' END"},
    "removals": {"undo_request_id": "NULL"},
}


FEW = frozenset({"units", "use_waiting", "use_turn", "namesakes", "similar_codes"})


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncEngine]:
    async with (
        running_postgres(tmp_path_factory.mktemp("postgres")) as server,
        filled(server, "registration", Base.metadata, FILLING, FEW) as engine,
    ):
        yield engine


SWEEPS: dict[str, Callable[[AsyncEngine], Awaitable[None]]] = {
    "limits": lambda engine: sweep_limits(engine, limits),
    "class lists": sweep_class_lists,
    "notes": note_retention.sweep_notes,
    "claims": claims.sweep,
    "messages": lambda engine: service.sweep(engine, timedelta(days=365)),
    "feedback": lambda engine: feedback_service.sweep(engine, timedelta(days=365)),
    "log of use": entries.link_waiting,
}


@pytest.mark.parametrize("sweep", SWEEPS)
async def test_every_sweep_goes_by_an_index(engine: AsyncEngine, sweep: str) -> None:
    plans = Plans(engine, FEW)
    with plans.watching():
        await SWEEPS[sweep](engine)
    assert await plans.wrong() == []


async def test_requests_to_a_mailbox_are_counted_by_indexes(engine: AsyncEngine) -> None:
    plans = Plans(engine, FEW)
    with plans.watching():
        async with engine.connect() as connection:
            await place_among_requests(connection, "re500", "huoltaja@example.org")
    assert await plans.wrong() == []
    used = await plans.indexes()
    assert used == {"ix_registrations_guardians_mailbox", "ix_registrations_other_guardians_mailbox"}


_SAVE = pb.PrepareRegistrationRequest(
    request_id="0f8fad5b-d9cb-469f-a165-70867728950e",
    unit_id="un7",
    account_id="ac7",
    form=child_form(),
    birth_date=to_proto_date(helsinki_day(now()) - timedelta(days=9 * 365)),
)
"""Asks, besides, whose guardian has the same address (R40)."""

CALLS = [
    _SAVE,
    pb.ListSameGuardianRequest(unit_id="un7", email="huoltaja@example.org"),
    MarkEmailUndeliverableRequest(person_id="pe7", email="huoltaja@example.org"),
    MarkEmailDeliveredRequest(person_id="pe7", email="huoltaja@example.org"),
    pb.ListRegistrationsRequest(unit_id="un7", page_size=50),
    pb.ListRegistrationsRequest(unit_id="un7", page_size=50, stage=STAGE_WAITING_FOR_CONSENT),
    pb.LookUpPersonRequest(person_id="pe777", unit_id="un7"),
    pb.ListPossibleDuplicatesRequest(registration_id="re1000"),
    GetCustomerRequest(customer_id="cu1007"),
    SearchCustomersRequest(unit_id="un7", query="na1007", page_size=50),
    SearchCustomersRequest(query="na1007", page_size=50),
    ListWorkItemsRequest(page_size=50),
    ListWorkItemsRequest(page_size=50, overdue=True),
    GetFiguresRequest(),
    GetUnitSummaryRequest(unit_id="un7"),
    CountDueWorkRequest(until=timestamp(now() + timedelta(days=3))),
    GetWorkItemRequest(work_item_id="4-cu1-cu2"),
    messages_pb.ListMessagesRequest(unit_id="un7", page_size=50),
    messages_pb.ListMessagesRequest(unit_id="un7", page_size=50, state=MESSAGE_STATE_OPEN),
    messages_pb.GetMessageStatusRequest(message_id="me7"),
    lists_pb.ListClassListsRequest(unit_id="un7", page_size=5),
    lists_pb.ListOutcomesRequest(class_list_id="cl7"),
    lists_pb.ListUndecidedRowsRequest(class_list_id="cl7", page_size=50),
    history_pb.GetHistoryRequest(unit_id="un7", registration_id="re1007"),
    history_pb.GetHistoryRequest(unit_id="un7", customer_id="cu1007"),
    ListUsesRequest(page_size=50),
    ListUsesRequest(page_size=50, subject_id="cu777"),
    data_pb.IsPersonKnownRequest(person_id="pe777"),
    data_pb.ExportPersonRequest(person_id="pe777"),
    unfinished_pb.ListCustomerPersonsRequest(page_token="pe777", page_size=100),
]


@pytest.mark.parametrize("request_", CALLS, ids=lambda call: call.DESCRIPTOR.name)
async def test_every_list_goes_by_an_index(engine: AsyncEngine, keys_dir: Path, request_: Any) -> None:
    plans = await _plans(engine, keys_dir, request_)
    assert await plans.wrong() == []


_TOMORROW = to_proto_date(helsinki_day(now()) + timedelta(days=1))


@pytest.mark.parametrize(
    ("request_", "index"),
    [
        (pb.ListRegistrationsRequest(), "ix_registrations_unit"),
        (
            pb.ListRegistrationsRequest(stages=[STAGE_WAITING_FOR_CONSENT, STAGE_WELCOMED]),
            "ix_registrations_unit_stage",
        ),
        (pb.ListRegistrationsRequest(registrar_account_id="ac8"), "ix_registrations_unit_registrar"),
        (pb.ListRegistrationsRequest(undeliverable=True), "ix_registrations_unit_undeliverable"),
        (
            pb.ListRegistrationsRequest(order_by=REGISTRATION_ORDER_DEADLINE),
            "ix_registrations_unit_deadline",
        ),
        (pb.ListRegistrationsRequest(due_before_date=_TOMORROW), ""),
        (SearchCustomersRequest(), "ix_customers_unit"),
        (SearchCustomersRequest(need_ends_before_date=_TOMORROW), "ix_customers_unit_temporary"),
        # If few addresses have failed anywhere, the index over all units serves as well.
        (SearchCustomersRequest(undeliverable=True), "undeliverable"),
        (SearchCustomersRequest(not_welcomed=True), "ix_registrations_not_welcomed"),
    ],
)
async def test_each_list_of_a_large_unit_goes_by_its_index(
    engine: AsyncEngine, keys_dir: Path, request_: Any, index: str
) -> None:
    """A unit that has half of all rows: whatever reads all of the unit's rows reads too much."""
    request_.unit_id, request_.page_size = "un1", 50
    plans = await _plans(engine, keys_dir, request_)
    assert await plans.wrong() == []
    assert any(index in used for used in await plans.indexes())


async def _plans(engine: AsyncEngine, keys_dir: Path, request_: Any) -> Plans:
    """The plans of what a servicer executes to answer a request."""
    settings = RegistrationSettings.model_validate(
        {"listen": "", "database_url": "postgresql+asyncpg://unused", "keys_dir": keys_dir}
    )
    look_ups = LookUps(engine, settings)
    servicers = (
        RegistrationServicer(engine, look_ups),
        CustomerServicer(engine, BirthDates(engine, settings)),
        UnitServicer(engine),
        WorkServicer(engine, settings.work_claim_lifetime, settings.work_patience()),
        MessageServicer(engine, settings.message_answer_days),
        ClassListServicer(engine, look_ups, settings.class_list_lifetime),
        HistoryServicer(engine),
        UseLogServicer(engine, settings),
        PersonalDataServicer(engine),
        ReconciliationServicer(engine),
    )
    name = request_.DESCRIPTOR.name.removesuffix("Request")
    serve = next(getattr(each, name) for each in servicers if name in vars(type(each)))
    plans = Plans(engine, FEW)
    # What is not there is looked for as well.
    with plans.watching(), contextlib.suppress(Refusal):
        await serve(request_, None)
    return plans


@pytest.mark.parametrize(
    ("kind", "index"),
    [
        (unfinished_pb.UNFINISHED_KIND_REGISTRATION, "ix_registrations_unfinished"),
        (unfinished_pb.UNFINISHED_KIND_CD_BORROWER, "ix_registrations_cd_borrowers"),
        (unfinished_pb.UNFINISHED_KIND_REMOVAL, "ix_customers_marked"),
        (unfinished_pb.UNFINISHED_KIND_NEED, "ix_customers_temporary"),
        (unfinished_pb.UNFINISHED_KIND_MESSAGE, "ix_messages_open"),
        (unfinished_pb.UNFINISHED_KIND_FEEDBACK, "ix_feedback_open"),
        (unfinished_pb.UNFINISHED_KIND_CLASS_LIST, "ix_class_lists_unfinished"),
        (unfinished_pb.UNFINISHED_KIND_CLOSED_MESSAGE, "ix_messages_closed_at"),
        (unfinished_pb.UNFINISHED_KIND_ANSWERED_FEEDBACK, "ix_feedback_ended"),
    ],
)
async def test_each_kind_of_unfinished_row_is_listed_by_its_index(
    engine: AsyncEngine, kind: unfinished_pb.UnfinishedKind.ValueType, index: str
) -> None:
    """A page by the primary key would read all rows at rest on its way."""
    literal = {"literal_binds": True, "render_postcompile": True}
    values = {"after": "", "before": now(), "since": now() - timedelta(hours=1), "limit": 100}
    statement = LISTS[kind].params(**{name: values[name] for name in values})
    compiled = statement.compile(dialect=postgresql.asyncpg.dialect(), compile_kwargs=literal)
    async with engine.connect() as connection:
        plan = [row[0] for row in await connection.execute(text(f"EXPLAIN {compiled}"))]
    assert any(index in line for line in plan), plan


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=lambda table: table.name)
def test_what_goes_with_a_row_is_found_by_an_index(table: Table) -> None:
    """Else the deletion of one row reads all of the tables that refer to it."""
    indexes = [[column.name for column in index.columns] for index in table.indexes]
    indexes += [[column.name for column in table.primary_key.columns]]
    indexes += [
        [column.name for column in constraint.columns]
        for constraint in table.constraints
        if hasattr(constraint, "columns")
    ]
    for key in table.foreign_key_constraints:
        if key.ondelete:
            first = key.column_keys[0]
            assert any(columns[0] == first for columns in indexes if columns), (table.name, key.column_keys)
