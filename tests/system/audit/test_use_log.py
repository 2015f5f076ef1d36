"""The log of use (R36) through the public API: who has touched whose data, whatever the RPC."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.client import WorkflowUpdateStage
from temporalio.service import RPCError

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1.actor_pb2 import (
    ACTOR_KIND_ACCOUNT,
    ACTOR_KIND_LINK,
    ACTOR_KIND_OPERATOR,
    ACTOR_KIND_SYSTEM,
    Actor,
    ActorKind,
)
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_MAIN_USER, ROLE_REGISTRAR, Role
from liity.v1.class_list_service_pb2 import CheckClassListRequest
from liity.v1.consent_service_pb2 import DeclineConsentRequest
from liity.v1.customer_form_pb2 import PaperConsent
from liity.v1.disclosure_service_pb2 import CreateDisclosureRequest, GetDisclosureRequest
from liity.v1.message_service_pb2 import FindMessageRequest
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_LAPSED, STAGE_WITHDRAWN, Registration
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    FindRegistrationsRequest,
    GetRegistrationRequest,
    ListRegistrationsRequest,
    RecordConsentRequest,
)
from liity.v1.use_log_service_pb2 import ListSuspicionsRequest, ListUsesRequest, Use
from services.runtime.rpc.peer import ACTOR_METADATA
from services.runtime.security.access import ACCESS, Accounts, Recorded, Whose
from tests.support.registration_forms import date_from_today
from tests.system.conftest import Api
from tests.system.support.calls import CALLS, caller_of, of_service, right
from tests.system.support.prepared_calls import (
    DISCLOSURES,
    REGISTRATIONS,
    USES,
    Called,
    World,
    opaque,
    person_of,
)
from tests.system.support.public_api import Gateway, Stores, authorization, outcome
from tests.system.support.public_api_facts import Facts
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    accept_request,
    adult,
    database,
    get,
    link_token,
    pupil,
    reaches,
    save,
    save_request,
    settings,
    workflow_id,
)
from tests.system.support.walks import walk

CODEC = "/codec/decode"
"""Not gRPC: its own tests see to its entries."""


def new_trace() -> str:
    return f"trace-{uuid.uuid4()}"


async def entries(stack: Stack, trace_id: str) -> list[asyncpg.Record]:
    """What the log says about a call."""
    async with database(stack, "registration") as connection:
        return await connection.fetch(
            "SELECT * FROM use_entries WHERE trace_id = $1 ORDER BY used_at", trace_id
        )


# Every RPC that touches personal data


@pytest.fixture
async def waiting(api: Api) -> Registration:
    """A pupil's registration that waits, of the test's own."""
    return await save(api.teacher, pupil())


@pytest.fixture(scope="module")
async def world(stack: Stack, api: Api, facts: Facts) -> World:
    return World(stack, api, facts, await save(api.teacher, pupil()))


LOGGED = {path: call.logged for path, call in CALLS.items() if call.logged}

ROLES: dict[str, Role.ValueType] = {
    "registrar": ROLE_REGISTRAR,
    "teacher": ROLE_MAIN_USER,
    "staff": ROLE_CUSTOMER_SERVICE,
}

WITH_THEIR_ROWS = frozenset(
    f"/liity.v1.ClassListService/{name}" for name in ("RegisterClassList", "CancelClassList")
)
"""RPCs that leave entries beside those of a list's rows: `test_class_lists.py` sees to them."""


def recorded(path: str) -> Accounts | None:
    """What the access table says of an RPC that is to be logged."""
    rule = ACCESS.get(path)
    return rule if isinstance(rule, Accounts) and rule.recorded is not Recorded.NOT else None


REPEATED = [
    path
    for path in LOGGED
    if path.startswith(f"{REGISTRATIONS}/R")
    and (rule := recorded(path)) is not None
    and rule.recorded is Recorded.WITH_CHANGE
]
"""Changes whose repetition leaves no second entry."""


def test_every_rpc_that_touches_personal_data_is_called_here() -> None:
    assert set(LOGGED) == {path for path in ACCESS if recorded(path)} - {CODEC} - WITH_THEIR_ROWS
    assert REPEATED


def standing(answer: Any) -> Registration:
    """The registration of an answer, but for what goes on by itself after the call."""
    found = Registration()
    found.CopyFrom(answer.registration)
    for field in ("stage", "update_time", "deadline", "waiting_for", "available_actions"):
        found.ClearField(field)
    return found


@pytest.mark.parametrize("service", sorted({path.split("/")[1] for path in LOGGED}))
async def test_every_use_of_personal_data_leaves_one_entry_and_a_repetition_none(
    stack: Stack, gateway: Gateway, world: World, service: str
) -> None:
    async def check(path: str) -> None:
        called, trace_id = await LOGGED[path](world), new_trace()
        token = authorization(gateway.token(called.caller))
        answer = await gateway.send(path, called.request, *token, ("x-request-id", trace_id))
        (entry, *others) = await entries(stack, trace_id)
        assert len(others) == called.entries - 1
        session = gateway.session(called.caller)
        rule = recorded(path)
        assert rule is not None
        request: Any = called.request
        about = next((getattr(request, field) for field in ("parent", "name") if hasattr(request, field)), "")
        # Staff who may touch everybody's data act for no unit, whatever they name.
        for_unit = rule.whose is Whose.UNIT and about.startswith("units/")
        expected = {
            "actor_kind": ACTOR_KIND_ACCOUNT,
            "account_id": await account_id(stack, session.display_name),
            "actor_role": ROLES[called.caller],
            "for_unit_id": about.split("/")[1] if for_unit else "",
            "action": called.action or rule.action,
            "outcome": "OK",
            "call_id": getattr(request, "request_id", ""),
        }
        assert {name: entry[name] for name in expected} == expected
        assert set(entry["subject_ids"]) == await called.subjects(answer)
        if path in REPEATED:
            again = new_trace()
            repeated = await gateway.send(path, called.request, *token, ("x-request-id", again))
            assert standing(repeated) == standing(answer)
            assert await entries(stack, again) == []

    await walk({path: partial(check, path) for path in of_service(service, LOGGED)})


async def account_id(stack: Stack, display_name: str) -> str:
    async with database(stack, "identity") as connection:
        found: str = await connection.fetchval(
            "SELECT account_id FROM accounts WHERE display_name = $1", display_name
        )
    return found


# Look-ups


async def test_every_way_of_finding_somebody_is_a_look_up(
    stack: Stack, gateway: Gateway, facts: Facts
) -> None:
    newcomer, customer = adult(), opaque(facts.active.customer)
    cases: dict[str, tuple[str, str, DemoPerson, set[str]]] = {
        "here": ("registrar", facts.library, facts.adult, {*await both(stack, facts.active), customer}),
        "elsewhere": ("teacher", facts.school, facts.adult, {await person_of(stack, facts.active)}),
        "being registered": ("teacher", facts.school, facts.child, await both(stack, facts.waiting)),
        "nobody": ("registrar", facts.library, newcomer, set()),
    }
    for name, (caller, unit, person, subjects) in cases.items():
        trace_id = new_trace()
        request = CheckPersonalIdentityCodeRequest(
            parent=unit, personal_identity_code=person.personal_identity_code
        )
        token = authorization(gateway.token(caller))
        path = f"{REGISTRATIONS}/CheckPersonalIdentityCode"
        await gateway.send(path, request, *token, ("x-request-id", trace_id))
        (entry,) = await entries(stack, trace_id)
        assert (entry["action"], entry["outcome"]) == ("customer:look-up", "OK"), name
        assert set(entry["subject_ids"]) == subjects, name
    await code_is_nowhere(stack, newcomer, facts.adult, facts.child)


async def both(stack: Stack, registration: Registration) -> set[str]:
    return {opaque(registration.name), await person_of(stack, registration)}


async def code_is_nowhere(stack: Stack, *persons: DemoPerson) -> None:
    """Sees that the log holds no personal identity code, nor any name."""
    async with database(stack, "registration") as connection:
        log = await connection.fetch("SELECT use_entries::text AS entry FROM use_entries")
    assert log
    text = "\n".join(row["entry"] for row in log).casefold()
    for person in persons:
        assert person.personal_identity_code.casefold() not in text
        assert person.form.first_names.casefold() not in text
        assert person.email.casefold() not in text


async def test_a_save_that_tells_of_somebody_is_a_look_up(
    stack: Stack, gateway: Gateway, facts: Facts
) -> None:
    cases = {
        "ALREADY_REGISTERED_IN_THIS_UNIT": ("registrar", facts.library, facts.adult, facts.active),
        "ALREADY_REGISTERED_IN_ANOTHER_UNIT": ("staff", facts.school, facts.adult, facts.active),
        "BEING_REGISTERED": ("teacher", facts.school, facts.child, facts.waiting),
    }
    for reason, (caller, unit, person, registration) in cases.items():
        request, trace_id = save_request(unit, person), new_trace()
        request.form.ClearField("school_support")
        if unit == facts.school:
            request.form.school_support = facts.child.form.school_support
        token = authorization(gateway.token(caller))
        refusal = await gateway.refusal_with(
            f"{REGISTRATIONS}/RegisterCustomer", request, [*token, ("x-request-id", trace_id)]
        )
        assert outcome(refusal) == ("ALREADY_EXISTS", reason)
        (entry,) = await entries(stack, trace_id)
        assert (entry["action"], entry["outcome"]) == ("customer:look-up", reason)
        assert entry["subject_ids"] == [await person_of(stack, registration)]
        assert (entry["for_unit_id"], entry["actor_role"]) == (opaque(unit), ROLES[caller])
        assert entry["call_id"] == request.request_id
    await code_is_nowhere(stack, facts.adult, facts.child)


# Reads that find nothing, and those that are none


async def test_that_there_is_nothing_is_an_answer_too(stack: Stack, gateway: Gateway, facts: Facts) -> None:
    unknown = uuid.uuid4().hex
    another_units = f"{facts.school}/registrations/{opaque(facts.active.name)}"
    code = adult().personal_identity_code
    cases: list[tuple[str, str, Message, str]] = [
        (
            "teacher",
            "GetRegistration",
            GetRegistrationRequest(name=f"{facts.school}/registrations/{unknown}"),
            "REGISTRATION_NOT_FOUND",
        ),
        (
            "teacher",
            "GetRegistration",
            GetRegistrationRequest(name=another_units),
            "REGISTRATION_NOT_FOUND",
        ),
        (
            "staff",
            "ListRegistrations",
            ListRegistrationsRequest(parent=f"units/{unknown}"),
            "UNIT_NOT_FOUND",
        ),
        (
            "staff",
            "CheckPersonalIdentityCode",
            CheckPersonalIdentityCodeRequest(parent=f"units/{unknown}", personal_identity_code=code),
            "UNIT_NOT_FOUND",
        ),
        (
            "staff",
            "GetDisclosure",
            GetDisclosureRequest(name=f"disclosures/{unknown}"),
            "DISCLOSURE_NOT_FOUND",
        ),
        (
            "staff",
            "CreateDisclosure",
            CreateDisclosureRequest(request_id=new_request_id(), personal_identity_code=code),
            "PERSON_NOT_FOUND",
        ),
    ]
    for caller, method, request, reason in cases:
        trace_id = new_trace()
        path = f"{DISCLOSURES if 'Disclosure' in method else REGISTRATIONS}/{method}"
        token = authorization(gateway.token(caller))
        refusal = await gateway.refusal_with(path, request, [*token, ("x-request-id", trace_id)])
        assert outcome(refusal) == ("NOT_FOUND", reason)
        (entry,) = await entries(stack, trace_id)
        rule = recorded(path)
        assert rule is not None
        assert (entry["action"], entry["outcome"], entry["subject_ids"]) == (rule.action, reason, [])


async def test_a_request_id_used_anew_is_no_way_around_the_log(
    stack: Stack, gateway: Gateway, world: World
) -> None:
    """The refusal tells that the person is known: who asks like this has looked somebody up."""
    path = f"{DISCLOSURES}/CreateDisclosure"
    request = CreateDisclosureRequest(request_id=new_request_id(), registration=world.waiting.name)
    token = authorization(gateway.token("staff"))
    await gateway.send(path, request, *token)
    request.personal_identity_code = world.facts.adult.personal_identity_code
    trace_id = new_trace()
    refusal = await gateway.refusal_with(path, request, [*token, ("x-request-id", trace_id)])
    assert outcome(refusal) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    (entry,) = await entries(stack, trace_id)
    assert entry["outcome"] == "REQUEST_ID_REUSED"
    assert entry["subject_ids"] == [await person_of(stack, world.facts.active)]


def _wrong(path: str, facts: Facts) -> Any:
    """A request that is wrong in its form, in the first of its fields that can be."""
    request = right(path, facts)
    if isinstance(request, ListSuspicionsRequest):
        request.start_time.CopyFrom(Timestamp(seconds=10**12))
    elif isinstance(request, CheckClassListRequest):
        request.content = b"\x81"
    elif isinstance(request, FindMessageRequest | FindRegistrationsRequest):
        request.reference = ""
    else:
        names = ("request_id", "page_token", "personal_identity_code", "name", "parent")
        setattr(request, next(name for name in names if hasattr(request, name)), "\N{COMBINING ACUTE ACCENT}")
    return request


async def test_what_is_refused_before_anybody_looks_leaves_nothing(
    stack: Stack, gateway: Gateway, facts: Facts
) -> None:
    async def check(path: str) -> None:
        trace_id = new_trace()
        trace = ("x-request-id", trace_id)
        token = authorization(gateway.token(caller_of(path)))
        strangers = {
            "nobody": [],
            "a stranger": authorization("x.y.z"),
            "an operator": authorization(gateway.token("operator")),
        }
        codes = {
            name: (await gateway.refusal_with(path, right(path, facts), [*sent, trace])).code.name
            for name, sent in strangers.items()
        }
        assert codes.pop("an operator") in {"NOT_FOUND", "PERMISSION_DENIED"}
        assert set(codes.values()) == {"UNAUTHENTICATED"}
        for body in (b"\xff\xff\xff", _wrong(path, facts)):
            answer = await gateway.refusal_with(path, body, [*token, trace])
            assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert await entries(stack, trace_id) == []

    await walk({path: partial(check, path) for path in LOGGED})


# On whose behalf


async def uses_of(stack: Stack, registration: Registration) -> list[tuple[str, ActorKind.ValueType, str]]:
    """What the log says of a registration's changes: what, what kind of somebody, and which account."""
    async with database(stack, "registration") as connection:
        rows = await connection.fetch(
            "SELECT action, actor_kind, account_id FROM use_entries"
            " WHERE subject_ids @> ARRAY[$1::varchar] AND action = ANY($2) ORDER BY used_at",
            opaque(registration.name),
            ["registration:create", "registration:activate", "registration:end"],
        )
    return [(row["action"], row["actor_kind"], row["account_id"]) for row in rows]


async def created_by(stack: Stack, client: ApiClient) -> tuple[str, ActorKind.ValueType, str]:
    account = await account_id(stack, client.session.display_name)
    return ("registration:create", ACTOR_KIND_ACCOUNT, account)


@pytest.mark.parametrize("accepts", [True, False], ids=["accepts", "declines"])
async def test_what_a_guardian_decides_is_theirs(
    stack: Stack, api: Api, gateway: Gateway, mails: MailCounter, *, accepts: bool
) -> None:
    child, trace_id = pupil(), new_trace()
    registration = await save(api.teacher, child)
    token = link_token(await mails.wait_for(child, "consent_request"))
    request: Message = (
        accept_request(token, child)
        if accepts
        else DeclineConsentRequest(token=token, request_id=new_request_id())
    )
    path = f"/liity.v1.ConsentService/{'AcceptConsent' if accepts else 'DeclineConsent'}"
    # Somebody logged in, in the same browser, is no part of it; nor is what they say they are.
    forged = Actor(kind=ACTOR_KIND_ACCOUNT, account_id="forged", role=ROLE_CUSTOMER_SERVICE)
    metadata: Any = [
        ("x-request-id", trace_id),
        (ACTOR_METADATA, forged.SerializeToString()),
        *authorization(gateway.token("staff")),
    ]
    await gateway.send(path, request, *metadata)
    action = "registration:activate" if accepts else "registration:end"
    assert await uses_of(stack, registration) == [
        await created_by(stack, api.teacher),
        (action, ACTOR_KIND_LINK, ""),
    ]
    (entry,) = await entries(stack, trace_id)
    assert (entry["actor_role"], entry["for_unit_id"], entry["outcome"]) == (0, "", "OK")
    assert entry["call_id"] == request.request_id  # type: ignore[attr-defined]


@pytest.mark.parametrize("by", ["signal", "update"])
async def test_what_an_operator_sends_is_an_operators(
    stack: Stack, api: Api, stores: Stores, mails: MailCounter, by: str
) -> None:
    child = pupil()
    waiting = await save(api.teacher, child)
    await mails.wait_for(child, "consent_request")
    run = stores.temporal.get_workflow_handle(await workflow_id(stack, waiting))

    async def send() -> Registration:
        # One that meets another event of the run is lost, and must be sent again.
        with contextlib.suppress(RPCError):
            if by == "signal":
                await run.signal("withdraw", {})
            else:
                await run.start_update("withdraw", {}, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        return await get(api.teacher, waiting.name)

    await eventually(send, lambda found: found.stage == STAGE_WITHDRAWN, PATIENCE)
    assert await uses_of(stack, waiting) == [
        await created_by(stack, api.teacher),
        ("registration:end", ACTOR_KIND_OPERATOR, ""),
    ]


async def test_what_comes_of_a_moment_is_the_systems(stack: Stack, api: Api) -> None:
    short = {
        "LIITY_WORKFLOWS_CONSENT_REMINDERS": '["PT1S"]',
        "LIITY_WORKFLOWS_CONSENT_LAPSE": "PT2S",
    }
    async with settings(stack, short, "worker"):
        registration = await save(api.teacher, pupil())
        await reaches(api.teacher, registration.name, STAGE_LAPSED)
    assert await uses_of(stack, registration) == [
        await created_by(stack, api.teacher),
        ("registration:end", ACTOR_KIND_SYSTEM, ""),
    ]


FORGED = Actor(
    kind=ACTOR_KIND_SYSTEM,
    account_id="forged",
    role=ROLE_CUSTOMER_SERVICE,
    unit_id="forged",
    request_id="forged",
    trace_id="forged",
).SerializeToString()


TRICKS: list[list[Any]] = [
    [(ACTOR_METADATA, FORGED)],
    [(ACTOR_METADATA, FORGED), (ACTOR_METADATA, FORGED)],
    [("x-liity-actor", "forged"), ("liity-actor", "forged"), ("liity-actor-bin", FORGED)],
    [("x-service", "worker"), ("x-forwarded-user", "forged"), ("account_id", "forged")],
]


async def test_nobody_says_who_they_are_but_by_their_token(
    stack: Stack, gateway: Gateway, facts: Facts
) -> None:
    token: list[Any] = authorization(gateway.token("registrar"))
    get = GetRegistrationRequest(name=facts.active.name)
    registrar = await account_id(stack, gateway.session("registrar").display_name)

    async def check(tricks: list[Any]) -> None:
        read_trace, save_trace = new_trace(), new_trace()
        trace = ("x-request-id", read_trace)
        await gateway.send(f"{REGISTRATIONS}/GetRegistration", get, *token, *tricks, trace)
        request = save_request(facts.library, adult())
        path = f"{REGISTRATIONS}/RegisterCustomer"
        await gateway.send(path, request, *token, *tricks, ("x-request-id", save_trace))
        for trace_id, call_id in ((read_trace, ""), (save_trace, request.request_id)):
            (entry,) = await entries(stack, trace_id)
            assert (entry["actor_kind"], entry["account_id"]) == (ACTOR_KIND_ACCOUNT, registrar)
            assert (entry["actor_role"], entry["for_unit_id"]) == (ROLE_REGISTRAR, opaque(facts.library))
            assert entry["call_id"] == call_id

    await walk({str(tricks): partial(check, tricks) for tricks in TRICKS})


async def test_only_what_looks_like_a_trace_is_taken_for_one(
    stack: Stack, gateway: Gateway, waiting: Registration
) -> None:
    token = authorization(gateway.token("teacher"))
    get = GetRegistrationRequest(name=waiting.name)
    no_traces = ["", "a b", "x" * 65, "a,b", "../../etc", "{}", "a;b=c"]
    for trace_id in no_traces:
        await gateway.send(f"{REGISTRATIONS}/GetRegistration", get, *token, ("x-request-id", trace_id))
    async with database(stack, "registration") as connection:
        found = await connection.fetch(
            "SELECT trace_id FROM use_entries WHERE subject_ids = ARRAY[$1::varchar]"
            " AND action = 'registration:read'",
            opaque(waiting.name),
        )
    taken = {entry["trace_id"] for entry in found}
    assert len(found) == len(taken) == len(no_traces)
    assert taken.isdisjoint(no_traces)
    assert {len(trace_id) for trace_id in taken} == {32}


async def test_two_trace_ids_are_one(stack: Stack, gateway: Gateway, facts: Facts) -> None:
    first, second = new_trace(), new_trace()
    token = authorization(gateway.token("registrar"))
    get = GetRegistrationRequest(name=facts.active.name)
    path = f"{REGISTRATIONS}/GetRegistration"
    await gateway.send(path, get, *token, ("x-request-id", first), ("x-request-id", second))
    assert len(await entries(stack, first)) + len(await entries(stack, second)) == 1


# No entry, no answer


@asynccontextmanager
async def locked(stack: Stack, table: str) -> AsyncIterator[None]:
    """A table of the log that nobody gets at."""
    connection = await stack.postgres.connect("registration_owner", "registration")
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


READS = [path for path in LOGGED if (rule := recorded(path)) and rule.recorded is Recorded.BEFORE_ANSWER]

_AT_ONCE = 13
"""Calls that wait for the lock at the same time: fewer than registration opens connections."""


@pytest.fixture(scope="module")
async def reads(world: World) -> dict[str, Called]:
    """A call of each read, good for any number of times."""
    return {path: await LOGGED[path](world) for path in READS}


@pytest.mark.parametrize("table", ["use_entries", "use_waiting"])
async def test_no_read_is_answered_while_the_log_cannot_be_written(
    stack: Stack, gateway: Gateway, reads: dict[str, Called], table: str
) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def code(path: str) -> str:
        async with turns:
            try:
                await gateway.call(path, reads[path].request, reads[path].caller)
            except grpc.aio.AioRpcError as error:
                return error.code().name
        return "OK"

    async with locked(stack, table):
        codes = await asyncio.gather(*map(code, READS))
    assert dict(zip(READS, codes, strict=True)) == dict.fromkeys(READS, "UNAVAILABLE")
    for path in READS:
        await eventually(partial(code, path), lambda answer: answer == "OK", PATIENCE)


async def test_no_look_up_is_answered_while_the_service_of_the_log_is_away(
    stack: Stack, gateway: Gateway, facts: Facts
) -> None:
    path = f"{REGISTRATIONS}/CheckPersonalIdentityCode"
    request = CheckPersonalIdentityCodeRequest(
        parent=facts.library, personal_identity_code=adult().personal_identity_code
    )
    await stack.stop_component("registration")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await gateway.call(path, request, "registrar")
    await stack.start_component("registration")
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    await gateway.call(path, request, "registrar")


# Who searches the log


@pytest.mark.parametrize("method", ["ListUses", "ListSuspicions"])
async def test_only_customer_service_searches_the_log(
    stack: Stack, gateway: Gateway, facts: Facts, method: str
) -> None:
    path = f"{USES}/{method}"
    request = right(path, facts)
    answers = {
        caller: outcome(await gateway.refusal(path, request, caller))
        for caller in ("registrar", "teacher", "operator", "anybody")
    }
    assert answers.pop("anybody") == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert set(answers.values()) == {("PERMISSION_DENIED", "PERMISSION_DENIED")}
    await gateway.call(path, request, "staff")


async def test_customer_service_reads_who_has_done_what(
    stack: Stack, api: Api, accounts: dict[str, DemoAccount], waiting: Registration
) -> None:
    staff = api.staff
    found = await staff.call(staff.uses.ListUses, ListUsesRequest(subject_id=opaque(waiting.name)))
    teacher = accounts["teacher"]
    (use,) = found.uses
    account = await account_id(stack, teacher.display_name)
    assert (use.account_id, use.account_display_name, use.unit) == (
        account,
        teacher.display_name,
        teacher.unit,
    )
    assert (use.role, use.action, use.outcome) == (ROLE_MAIN_USER, "registration:create", "OK")
    assert set(use.subject_ids) == await both(stack, waiting)
    narrowed = ListUsesRequest(
        subject_id=opaque(waiting.name), account_id=account, unit=teacher.unit, action="registration:create"
    )
    assert list((await staff.call(staff.uses.ListUses, narrowed)).uses) == [use]
    narrowed.unit = f"units/{uuid.uuid4().hex}"
    assert not (await staff.call(staff.uses.ListUses, narrowed)).uses


async def test_pages_of_the_log_follow_one_another_though_reading_writes_to_it(api: Api) -> None:
    staff, seen, token = api.staff, list[Use](), ""
    newest = (await staff.call(staff.uses.ListUses, ListUsesRequest(page_size=1))).uses[0].sequence
    while len(seen) < 9:
        page = await staff.call(staff.uses.ListUses, ListUsesRequest(page_size=3, page_token=token))
        seen += page.uses
        token = page.next_page_token
    assert [use.sequence for use in seen] == list(range(newest + 1, newest - 8, -1))


async def test_who_looks_up_many_that_are_not_there_is_shown(
    stack: Stack, api: Api, accounts: dict[str, DemoAccount]
) -> None:
    async with settings(stack, {"LIITY_SUSPICION_EMPTY_LOOK_UPS": "2"}, "registration"):
        for _ in range(3):
            code = adult().personal_identity_code
            request = CheckPersonalIdentityCodeRequest(parent=api.registrar.unit, personal_identity_code=code)
            await api.registrar.call(api.registrar.registrations.CheckPersonalIdentityCode, request)
        staff = api.staff
        shown = await staff.call(staff.uses.ListSuspicions, ListSuspicionsRequest())
    registrar = accounts["registrar"]
    names = {found.account_display_name for found in shown.suspicions if found.threshold == 2}
    assert registrar.display_name in names


async def test_a_write_is_recorded_once_however_often_its_step_is_tried(
    stack: Stack, api: Api, waiting: Registration
) -> None:
    """The worker dies with a consent on its way: who has recorded it stays known."""
    request = RecordConsentRequest(
        name=waiting.name,
        request_id=new_request_id(),
        consent=PaperConsent(guardian_name="Kerttu Huoltaja", sign_date=date_from_today(0)),
    )
    await stack.kill_component("worker")
    with pytest.raises(Refusal):
        await api.teacher.call(api.teacher.registrations.RecordConsent, request)
    await stack.start_component("worker")

    async def recorded_now() -> list[tuple[str, ActorKind.ValueType, str]]:
        return await uses_of(stack, waiting)

    uses = await eventually(recorded_now, lambda found: len(found) > 1, PATIENCE)
    teacher = await account_id(stack, api.teacher.session.display_name)
    assert uses[1:] == [("registration:activate", ACTOR_KIND_ACCOUNT, teacher)]
    await reaches(api.teacher, waiting.name, STAGE_CREDENTIALS_SENT)
    assert len(await uses_of(stack, waiting)) == 2
