"""The log of use: one entry with every change and every use that is told, searched by customer service."""

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from deploy.local.postgres import EmbeddedPostgres
from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.registration.v1.unit_service_pb2 import Unit
from liity.registration.v1.use_log_service_pb2 import ListUsesRequest, ListUsesResponse, RecordUseRequest
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_LINK, ACTOR_KIND_OPERATOR, ACTOR_KIND_SYSTEM, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.registration_pb2 import (
    STAGE_CREDENTIALS_SENT,
    STAGE_LAPSED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WITHDRAWN,
)
from liity.v1.use_log_service_pb2 import Use
from services.registration.audit.entries import link_waiting
from services.registration.audit.hash_chain import verify
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import ACTOR_METADATA
from services.runtime.security.service_identity import ServiceIdentity
from tests.services.registration.audit.uses import (
    INSERT_ENTRY,
    acting_as,
    an_account,
    entries,
    owner,
    record,
    service_role,
)
from tests.support.registration_forms import adult_form, child_form, paper_consent
from tests.support.registration_service import (
    BIRTH_OF_ADULT,
    Service,
    birth_of_child,
    refusal,
    timestamp,
    violations,
)

LINK_EVIDENCE = ConsentEvidence(
    method=ConsentEvidence.METHOD_LINK, guardian_name="Kerttu Huoltaja", wording_version="2026-1"
)


async def log_length(service: Service) -> int:
    return int((await service.rows("SELECT count(*) AS n FROM use_entries"))[0]["n"])


async def search(service: Service, **fields: Any) -> ListUsesResponse:
    request = ListUsesRequest(**{"page_size": 200, **fields})
    return await service.gateway.call(UseLogServiceStub(service.gateway.channel).ListUses, request)


async def whole(service: Service) -> None:
    """Sees that no entry is outside of the chain, and none of its places empty."""
    await link_waiting(service.engine)
    async with service.engine.connect() as connection:
        end = await verify(await connection.execution_options(isolation_level="REPEATABLE READ"))
    assert end.sequence == await log_length(service)


# Changes


@pytest.mark.parametrize("kind", ["adult", "child", "child with consent on paper"])
async def test_creating_a_registration_writes_one_entry_in_its_transaction(
    service: Service, unit: Unit, kind: str
) -> None:
    form = adult_form() if kind == "adult" else child_form()
    if kind == "child with consent on paper":
        form.paper_consent.CopyFrom(paper_consent())
    person_id = uuid.uuid4().hex
    birth_date = BIRTH_OF_ADULT if kind == "adult" else birth_of_child()
    created = await acting_as(
        an_account("accreate", unit_id=unit.unit_id),
        service.create(unit.unit_id, form, person_id=person_id, birth_date=birth_date),
    )
    (entry,) = await entries(service, person_id)
    registration_id = created.registration.registration_id
    assert entry["subject_ids"] == sorted([registration_id, person_id])
    assert (entry["action"], entry["outcome"]) == ("registration:create", "OK")
    assert (entry["account_id"], entry["for_unit_id"]) == ("accreate", unit.unit_id)
    assert await same_transaction(service, registration_id, entry["use_id"])


async def test_beginning_a_customership_writes_one_entry_in_its_transaction(
    service: Service, unit: Unit
) -> None:
    waiting = await service.waiting(unit.unit_id)
    for _ in range(2):  # a repetition finds it begun
        await acting_as(
            Actor(kind=ACTOR_KIND_LINK, trace_id="guardian"),
            service.activate(waiting.registration_id, LINK_EVIDENCE),
        )
    created, activated = await entries(service, waiting.registration_id)
    assert created["action"] == "registration:create"
    assert (activated["action"], activated["actor_kind"]) == ("registration:activate", ACTOR_KIND_LINK)
    assert activated["trace_id"] == "guardian"
    assert activated["subject_ids"] == sorted([waiting.registration_id, waiting.person_id])
    assert await same_transaction(service, waiting.registration_id, activated["use_id"])


async def test_an_end_writes_one_entry_in_its_transaction(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    await service.end(waiting.registration_id, STAGE_LAPSED)
    await service.end(waiting.registration_id, STAGE_LAPSED)
    answer = await refusal(service.end(waiting.registration_id, STAGE_WITHDRAWN))
    assert answer == ("FAILED_PRECONDITION", "NOT_WAITING")
    assert (await refusal(service.activate(waiting.registration_id, None)))[0] == "FAILED_PRECONDITION"
    _, ended = await entries(service, waiting.registration_id)
    assert (ended["action"], ended["subject_ids"]) == ("registration:end", [waiting.registration_id])
    assert await same_transaction(service, waiting.registration_id, ended["use_id"])


async def same_transaction(service: Service, registration_id: str, use_id: uuid.UUID) -> bool:
    """Whether the registration's row, the entry and its link are of one transaction."""
    (row,) = await service.rows(
        "SELECT r.xmin::text AS changed, e.xmin::text AS used, c.xmin::text AS chained"
        " FROM registrations r, use_entries e JOIN use_chain c USING (use_id)"
        " WHERE r.registration_id = :registration AND e.use_id = :use",
        registration=registration_id,
        use=use_id,
    )
    return row["changed"] == row["used"] == row["chained"]


async def test_a_save_that_changes_nothing_writes_nothing(service: Service, unit: Unit) -> None:
    request_id, person_id = str(uuid.uuid4()), uuid.uuid4().hex
    save = {"request_id": request_id, "person_id": person_id}
    await service.create(unit.unit_id, adult_form(), **save)
    before = await log_length(service)
    await service.create(unit.unit_id, adult_form(), **save)
    assert await service.prepare(unit.unit_id, adult_form(), **save) is not None
    refused = {
        "known": service.create(unit.unit_id, adult_form(), person_id=person_id),
        "known to prepare": service.prepare(unit.unit_id, adult_form(), person_id=person_id),
        "request of another": service.create(unit.unit_id, adult_form(), request_id=request_id),
        "no unit": service.create("nowhere", adult_form()),
    }
    assert {name: (await refusal(call))[0] for name, call in refused.items()} == {
        "known": "ALREADY_EXISTS",
        "known to prepare": "ALREADY_EXISTS",
        "request of another": "ALREADY_EXISTS",
        "no unit": "NOT_FOUND",
    }
    await service.advance((await _active(service, unit)).registration_id, STAGE_CREDENTIALS_SENT)
    assert await log_length(service) == before + 1  # the new one; an advance touches nobody's data


async def _active(service: Service, unit: Unit) -> Any:
    return (await service.create(unit.unit_id, adult_form())).registration


# No entry, no change


@asynccontextmanager
async def renamed(postgres: EmbeddedPostgres, table: str) -> AsyncIterator[None]:
    """A table that nobody finds."""
    async with owner(postgres) as connection:
        await connection.execute(f"ALTER TABLE {table} RENAME TO gone")
        try:
            yield
        finally:
            await connection.execute(f"ALTER TABLE gone RENAME TO {table}")


@asynccontextmanager
async def locked(postgres: EmbeddedPostgres, table: str) -> AsyncIterator[None]:
    """A table that nobody gets at."""
    async with owner(postgres) as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


@asynccontextmanager
async def colliding(postgres: EmbeddedPostgres, table: str) -> AsyncIterator[None]:
    """A table that takes no row."""
    async with owner(postgres) as connection:
        await connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT never CHECK (false) NOT VALID")
        try:
            yield
        finally:
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT never")


Obstacle = Callable[[EmbeddedPostgres, str], Any]


@pytest.mark.parametrize(
    ("obstacle", "table"),
    [
        (renamed, "use_entries"),
        (renamed, "use_waiting"),
        (colliding, "use_entries"),
        (locked, "use_entries"),
        (locked, "use_waiting"),
    ],
)
async def test_without_its_entry_there_is_no_change(
    service: Service, unit: Unit, postgres: EmbeddedPostgres, obstacle: Obstacle, table: str
) -> None:
    waiting = [await service.waiting(unit.unit_id) for _ in range(2)]
    person_id = uuid.uuid4().hex
    # What goes wrong is not printed: the traceback would be very long.
    with capture_logs():
        async with obstacle(postgres, table):
            calls: list[Awaitable[object]] = [
                service.create(unit.unit_id, adult_form(), person_id=person_id),
                service.activate(waiting[0].registration_id, None),
                service.end(waiting[1].registration_id, STAGE_WITHDRAWN),
                record(service, an_account(), "sub1"),
            ]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(answer, Refusal) for answer in answers), answers
            assert await service.rows("SELECT 1 FROM registrations WHERE person_id = :p", p=person_id) == []
            assert await service.rows("SELECT 1 FROM customers WHERE person_id = :p", p=person_id) == []
            for registration in waiting:
                assert (await service.get(registration.registration_id)).stage == STAGE_WAITING_FOR_CONSENT
    # Once all is well again they come to pass with their entries: repeated, or as the lock was waited for.
    with contextlib.suppress(Refusal):
        await service.create(unit.unit_id, adult_form(), person_id=person_id)
    await service.activate(waiting[0].registration_id, None)
    await service.end(waiting[1].registration_id, STAGE_WITHDRAWN)
    actions = [
        [entry["action"] for entry in await entries(service, subject)]
        for subject in (person_id, waiting[0].registration_id, waiting[1].registration_id)
    ]
    assert actions == [
        ["registration:create"],
        ["registration:create", "registration:activate"],
        ["registration:create", "registration:end"],
    ]
    await whole(service)


# Who


@pytest.mark.parametrize(
    "actor",
    [
        an_account("acwho", role=ROLE_CUSTOMER_SERVICE, unit_id="un9", request_id="re9", trace_id="tr9"),
        Actor(kind=ACTOR_KIND_LINK, request_id="re8", trace_id="tr8", caller_address="ipv4:192.0.2.1"),
        Actor(kind=ACTOR_KIND_OPERATOR),
        Actor(kind=ACTOR_KIND_SYSTEM),
    ],
    ids=["account", "link", "operator", "system"],
)
async def test_who_acts_stands_in_the_entry(service: Service, unit: Unit, actor: Actor) -> None:
    person_id = uuid.uuid4().hex
    await acting_as(actor, service.create(unit.unit_id, adult_form(), person_id=person_id))
    await record(service, actor, person_id)
    for entry in await entries(service, person_id):
        told = Actor(
            kind=entry["actor_kind"],
            account_id=entry["account_id"],
            role=entry["actor_role"],
            unit_id=entry["for_unit_id"],
            request_id=entry["call_id"],
            trace_id=entry["trace_id"],
            caller_address=actor.caller_address,
        )
        assert told == actor
        assert "192.0.2.1" not in repr(entry)
        assert abs(entry["used_at"] - datetime.now(UTC)) < timedelta(minutes=5)


async def test_whoever_names_nobody_is_the_system(service: Service, unit: Unit, keys_dir: Path) -> None:
    subject = uuid.uuid4().hex
    await record_raw(service, keys_dir, subject)
    await service.create(unit.unit_id, adult_form(), person_id=subject)
    for entry in await entries(service, subject):
        assert (entry["actor_kind"], entry["account_id"], entry["actor_role"]) == (ACTOR_KIND_SYSTEM, "", 0)


@pytest.mark.parametrize("actor", [b"\xff\xff\xff", b"\x0a", Actor().SerializeToString() + b"\x12\x7f"])
async def test_who_acts_must_be_readable(service: Service, keys_dir: Path, actor: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await record_raw(service, keys_dir, "sub1", (ACTOR_METADATA, actor))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def record_raw(
    service: Service, keys_dir: Path, subject_id: str, *metadata: tuple[str, str | bytes]
) -> None:
    """Has an entry written with this metadata alone beside the gateway's identity."""
    token = ServiceIdentity("gateway", keys_dir).token("registration")
    request = RecordUseRequest(action="registration:read", subject_ids=[subject_id], outcome="OK")
    await UseLogServiceStub(service.gateway.channel).RecordUse(
        request, metadata=(("authorization", f"Bearer {token}"), *metadata), timeout=30
    )


# Uses that are told


async def test_a_use_that_is_told_is_one_entry(service: Service) -> None:
    actor, outcome = an_account(), "REGISTRATION_NOT_FOUND"
    subjects = [uuid.uuid4().hex for _ in range(3)]
    await record(service, actor, *subjects, action="customer:look-up", outcome=outcome)
    (entry,) = await entries(service, subjects[1])
    assert entry["subject_ids"] == sorted(subjects)
    assert (entry["action"], entry["outcome"]) == ("customer:look-up", outcome)


async def test_a_use_may_be_of_nobody_or_of_very_many(service: Service) -> None:
    trace = uuid.uuid4().hex
    many = [f"s{number}" for number in range(1000)]
    await record(service, an_account(trace_id=trace))
    await record(service, an_account(trace_id=trace), *many)
    rows = await service.rows(
        "SELECT subject_ids FROM use_entries JOIN use_chain USING (use_id)"
        " WHERE trace_id = :t ORDER BY sequence",
        t=trace,
    )
    assert [row["subject_ids"] for row in rows] == [[], sorted(many)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", ""),
        ("action", "read"),
        ("action", "Registration:Read"),
        ("action", "registration:read\n"),
        ("outcome", ""),
        ("outcome", "ok"),
        ("subject_ids", ["a b"]),
        ("subject_ids", ["010594Y9032"]),
        ("subject_ids", [""]),
        ("subject_ids", ["a" * 33]),
        ("subject_ids", ["a"] * 1001),
    ],
)
async def test_no_entry_of_what_is_no_use(service: Service, field: str, value: Any) -> None:
    before = await log_length(service)
    request = RecordUseRequest(
        **{"action": "registration:read", "subject_ids": ["s1"], "outcome": "OK", field: value}
    )
    stub = UseLogServiceStub(service.gateway.channel)
    wrong = await violations(service.gateway.call(stub.RecordUse, request))
    assert {name.partition("[")[0] for name in wrong} == {field}
    assert await log_length(service) == before


# Searching


@pytest.fixture(scope="module")
async def searched(service: Service) -> list[Use]:
    """Uses of every combination of who, where, what and whom, newest first; all marked by their trace."""
    for account, unit_id, action, subjects in itertools.product(
        ("aca", "acb"),
        ("una", "unb", ""),
        ("registration:read", "customer:look-up"),
        (("sa",), ("sa", "sb"), ()),
    ):
        await record(
            service, an_account(account, unit_id=unit_id, trace_id="searched"), *subjects, action=action
        )
    found = (await search(service)).uses
    marked = [use for use in found if use.trace_id == "searched"]
    assert len(marked) == 36
    return marked


async def test_the_search_shows_all_of_an_entry(service: Service, searched: list[Use]) -> None:
    subject = uuid.uuid4().hex
    await record(service, an_account(unit_id="una"), subject)
    (use,) = (await search(service, subject_id=subject)).uses
    (entry,) = await entries(service, subject)
    assert use == Use(
        sequence=entry["sequence"],
        time=entry["used_at"],
        actor_kind=entry["actor_kind"],
        account_id="ac1",
        role=entry["actor_role"],
        unit="units/una",
        action="registration:read",
        subject_ids=[subject],
        outcome="OK",
        request_id="re1",
        trace_id="tr1",
    )
    assert {use.unit for use in searched} == {"units/una", "units/unb", ""}


FILTERS: dict[str, dict[str, Callable[[Use], bool]]] = {
    "account_id": {"aca": lambda use: use.account_id == "aca", "nobody": lambda _: False},
    "unit_id": {"unb": lambda use: use.unit == "units/unb"},
    "action": {"customer:look-up": lambda use: use.action == "customer:look-up"},
    "subject_id": {
        "sa": lambda use: "sa" in use.subject_ids,
        "sb": lambda use: "sb" in use.subject_ids,
        "s": lambda _: False,
    },
}
COMBINATIONS = [
    dict(chosen)
    for count in range(len(FILTERS) + 1)
    for names in itertools.combinations(FILTERS, count)
    for chosen in itertools.product(*([(name, value) for value in FILTERS[name]] for name in names))
]


async def test_every_combination_of_filters_finds_what_it_says(service: Service, searched: list[Use]) -> None:
    oldest, newest = searched[-1].time, searched[0].time
    middle = searched[18].time
    spans: list[dict[str, Any]] = [
        {},
        {"start_time": middle},
        {"end_time": middle},
        {"start_time": middle, "end_time": newest},
        {"start_time": newest, "end_time": oldest},
    ]
    for filters, span in itertools.product(COMBINATIONS, spans):
        found = (await search(service, **filters, **span)).uses
        begin, end = span.get("start_time"), span.get("end_time")
        wanted = [
            use
            for use in searched
            if all(FILTERS[name][value](use) for name, value in filters.items())
            and (begin is None or use.time.ToNanoseconds() >= begin.ToNanoseconds())
            and (end is None or use.time.ToNanoseconds() < end.ToNanoseconds())
        ]
        assert [use for use in found if use.trace_id == "searched"] == wanted, (filters, span)


async def test_pages_lose_and_repeat_nothing_while_others_write(service: Service) -> None:
    subject = uuid.uuid4().hex
    for _ in range(10):
        await record(service, an_account(), subject)
    known = [entry["sequence"] for entry in await entries(service, subject)]
    seen: list[int] = []
    token = ""
    while True:
        page = await search(service, subject_id=subject, page_size=3, page_token=token)
        seen += [use.sequence for use in page.uses]
        await asyncio.gather(*(record(service, an_account(), subject) for _ in range(4)))
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(known, reverse=True)
    assert len(await entries(service, subject)) == 10 + 4 * 4


async def test_a_full_last_page_is_the_last_one(service: Service) -> None:
    subject = uuid.uuid4().hex
    for _ in range(4):
        await record(service, an_account(), subject)
    first = await search(service, subject_id=subject, page_size=2)
    second = await search(service, subject_id=subject, page_size=2, page_token=first.next_page_token)
    assert (len(second.uses), second.next_page_token) == (2, "")


@pytest.mark.parametrize("token", ["x", "-1", "1.5", " 1", "1 ", "٣", "0x1", "1_0", str(2**63), "9" * 200])
async def test_a_page_token_of_somebody_else_is_refused(service: Service, token: str) -> None:
    assert await violations(search(service, page_token=token)) == {"page_token": "INVALID_PAGE_TOKEN"}


@pytest.mark.parametrize("token", ["0", str(2**63 - 1)])
async def test_a_page_token_beyond_the_log_finds_its_end_or_its_beginning(
    service: Service, token: str
) -> None:
    await record(service, an_account())
    assert len((await search(service, page_token=token, page_size=1)).uses) == (token != "0")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page_size", 0),
        ("page_size", 201),
        ("page_size", -1),
        ("page_token", "1" * 201),
        ("subject_id", "a b"),
        ("subject_id", "010594Y9032"),
        ("account_id", "a'; --"),
        ("unit_id", "units/una"),
        ("action", "%"),
        ("start_time", {"seconds": 10**12}),
        ("end_time", {"nanos": -1}),
    ],
)
async def test_a_search_for_what_cannot_be_is_refused(service: Service, field: str, value: Any) -> None:
    assert set(await violations(search(service, **{field: value}))) == {field}


@pytest.mark.parametrize(
    "moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)]
)
async def test_the_first_and_the_last_moment_are_moments(service: Service, moment: datetime) -> None:
    await record(service, an_account())
    after = (await search(service, start_time=timestamp(moment), page_size=1)).uses
    before = (await search(service, end_time=timestamp(moment), page_size=1)).uses
    assert (len(after), len(before)) == ((1, 0) if moment.year == 1 else (0, 1))


# Many at once


async def test_32_writers_at_once_make_one_whole_chain(service: Service, unit: Unit) -> None:
    before = await log_length(service)
    ending = [await service.waiting(unit.unit_id) for _ in range(8)]
    beginning = [await service.waiting(unit.unit_id) for _ in range(8)]

    async def write(number: int) -> None:
        for _ in range(4):
            await record(service, an_account(f"ac{number}"), "crowd")
            await service.create(unit.unit_id, adult_form())
        if number < 8:
            await service.end(ending[number].registration_id, STAGE_WITHDRAWN)
        elif number < 16:
            await service.activate(beginning[number - 8].registration_id, LINK_EVIDENCE)

    await asyncio.gather(*(write(number) for number in range(32)))
    assert await log_length(service) == before + 16 + 32 * 8 + 16
    await whole(service)


async def test_transactions_of_many_entries_never_wait_for_one_another(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    """Each holds a row that others want, too, and writes before and after it takes it."""
    before, writers, turns = await log_length(service), 16, 5

    async def write(number: int) -> None:
        async with service_role(postgres) as connection:
            for _ in range(turns):
                async with connection.transaction():
                    await connection.execute(INSERT_ENTRY, number)
                    await connection.execute("SELECT 1 FROM units ORDER BY unit_id LIMIT 1 FOR UPDATE")
                    await connection.execute(INSERT_ENTRY, number)

    await asyncio.gather(*(write(number) for number in range(writers)))
    assert await log_length(service) == before + writers * turns * 2
    await whole(service)


async def test_an_entry_that_is_taken_back_leaves_no_gap(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    before = await log_length(service)
    async with service_role(postgres) as connection:
        for immediate in (False, True):
            taken_back = connection.transaction()
            await taken_back.start()
            await connection.execute(INSERT_ENTRY, 1)
            if immediate:
                await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            await taken_back.rollback()
    assert await log_length(service) == before
    await record(service, an_account())
    await whole(service)


async def test_a_person_is_found_by_any_of_their_ids(service: Service, unit: Unit) -> None:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    subjects = (saved.registration_id, saved.customer_id, saved.person_id)
    for subject in subjects:
        await record(service, an_account(), subject)
    found = [
        {tuple(use.subject_ids) for use in (await search(service, subject_id=subject)).uses}
        for subject in subjects
    ]
    assert found[0] == found[1] == found[2]
    assert {(subject,) for subject in subjects} < found[0]
