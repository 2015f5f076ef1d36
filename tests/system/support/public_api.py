"""Helpers of the public API's tests: calls of any kind, complete refusals, stored data."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg
import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from temporalio.client import Client

from deploy.demo.polling import eventually
from deploy.local.ports import HOST
from deploy.local.postgres import DATABASES
from deploy.local.stack import Stack
from frontends.client import ApiClient
from frontends.refusals import Refusal, reason_name
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_MAIN_USER, ROLE_REGISTRAR, Session
from liity.v1.consent_service_pb2 import GetConsentStatusResponse
from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI, LANGUAGE_SV, Language
from liity.v1.reason_pb2 import Reason
from services.gateway.presentation.consent_outcomes import outcome_of
from services.gateway.server import SERVICES
from services.runtime.rpc.errors import DOMAIN, reason_value
from services.runtime.rpc.texts import reason_text
from services.runtime.security.access import ACCESS, Accounts
from tests.system.support.registering import PATIENCE, database

LANGUAGES = {"fi": LANGUAGE_FI, "sv": LANGUAGE_SV, "en": LANGUAGE_EN}
CLIENT_ERRORS = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
    }
)
"""Codes allowed for bad input; faults of the system are not among them."""

_OF_CALLS = 'WorkflowType != "ReconciliationWorkflow"'
"""Runs started by calls: reconciliation starts by itself every few minutes."""

_AT_REST = 3
"""Readings in a row, a quarter of a second apart, that find nothing new once all is done."""

NOTED = {
    "identity": {"limits", "lock_outs"},
    "registration": {"limits", "use_entries", "use_chain", "use_waiting"},
    "notification": {"limits"},
}
"""Tables that a refused call may write to: failed attempts are counted, empty look-ups logged."""


def methods_of(services: Iterable[str]) -> dict[str, MethodDescriptor]:
    """Every RPC of the services, by its path."""
    pool = descriptor_pool.Default()
    return {
        f"/{service}/{method.name}": method
        for service in services
        for method in pool.FindServiceByName(service).methods
    }


METHODS = methods_of(SERVICES)
"""The public API."""


def request_class(path: str) -> type[Message]:
    """The request type of an RPC."""
    return message_factory.GetMessageClass(METHODS[path].input_type)


def needs_account(path: str) -> bool:
    """Whether an RPC requires a logged-in account."""
    return isinstance(ACCESS[path], Accounts)


def is_for_staff(path: str) -> bool:
    """Whether an RPC is for customer service only."""
    rule = ACCESS[path]
    registering = {ROLE_REGISTRAR, ROLE_MAIN_USER}
    return isinstance(rule, Accounts) and ROLE_CUSTOMER_SERVICE in rule.roles and not rule.roles & registering


def outcome(refusal: Refusal) -> tuple[str, str]:
    """The names of code and reason."""
    return refusal.code.name, reason_name(refusal.reason)


def fields_of(refusal: Refusal) -> list[tuple[str, str]]:
    """The wrong fields and their reasons."""
    return [(wrong.field, reason_name(wrong.reason)) for wrong in refusal.violations]


class Gateway:
    """The gateway, called with any bytes and metadata."""

    def __init__(self, channel: grpc.aio.Channel, clients: Mapping[str, ApiClient]) -> None:
        self._channel = channel
        self._clients = clients

    def session(self, caller: str) -> Session:
        """The session of a demo account."""
        return self._clients[caller].session

    def token(self, caller: str) -> str | None:
        """The access token of a demo account; None for `anybody`."""
        return None if caller == "anybody" else self.session(caller).access_token

    async def send(self, path: str, request: Message | bytes, *metadata: tuple[str, str]) -> Message:
        """Calls with only this metadata. Raises gRPC's `AioRpcError`."""
        answers = message_factory.GetMessageClass(METHODS[path].output_type)
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, Message] = self._channel.unary_unary(
            path, response_deserializer=answers.FromString
        )
        body = request if isinstance(request, bytes) else request.SerializeToString()
        return await method(body, metadata=metadata, timeout=60)

    async def send_anywhere(self, path: str, body: bytes) -> bytes:
        """Calls any path with any bytes."""
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
        return await method(body, timeout=60)

    async def call(self, path: str, request: Message | bytes, caller: str = "anybody") -> Message:
        """Calls as a demo account."""
        return await self.send(path, request, *authorization(self.token(caller)))

    async def refusal(
        self, path: str, request: Message | bytes, caller: str = "anybody", **options: Any
    ) -> Refusal:
        """The refusal of a call, checked to be complete and in the requested language."""
        return await self.refusal_with(path, request, authorization(self.token(caller)), **options)

    async def refusal_with(
        self, path: str, request: Message | bytes, metadata: list[tuple[str, str]], language: str = "sv"
    ) -> Refusal:
        """As `refusal`, with this metadata."""
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.send(path, request, ("accept-language", language), *metadata)
        return whole_refusal(error.value, language)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()


def authorization(token: str | None) -> list[tuple[str, str]]:
    """The metadata of a token."""
    return [] if token is None else [("authorization", f"Bearer {token}")]


def whole_refusal(error: grpc.aio.AioRpcError, language: str) -> Refusal:
    """A refusal, checked to be complete: code, reason, domain, text, wrong fields, contact."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # it reads what both kinds of call have
    assert status is not None, f"no details: {error.code()} {error.details()}"
    assert error.code().name in CLIENT_ERRORS, error.code()
    info = _only(status, error_details_pb2.ErrorInfo)
    assert info.domain == DOMAIN
    reason = reason_value(info.reason)
    assert reason_name(reason) == info.reason != "UNSPECIFIED"
    asked: Language.ValueType = LANGUAGES[language]
    localized = _only(status, error_details_pb2.LocalizedMessage)
    refusal = Refusal.from_rpc_error(error)
    told = reason_text(reason, asked)
    if isinstance(refusal.detail, GetConsentStatusResponse):
        # Which answer was given, and when, says more than that the link has been used.
        told = outcome_of(refusal.detail, asked) or told
    assert (localized.locale, localized.message) == (language, told)
    assert status.message == localized.message == error.details()
    assert refusal.reason == reason
    if not refusal.violations:
        # Contact (R25). Callers correct wrong fields themselves.
        assert any(link.url.startswith("mailto:") for link in _only(status, error_details_pb2.Help).links)
    else:
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        for violation in _only(status, error_details_pb2.BadRequest).field_violations:
            value: Reason.ValueType = reason_value(violation.reason)
            assert reason_name(value) == violation.reason
            assert violation.field
            assert violation.description == reason_text(value, asked)
    return refusal


def _only(status: Any, kind: Any) -> Any:
    found = [detail for detail in status.details if detail.Is(kind.DESCRIPTOR)]
    assert len(found) == 1, kind
    message = kind()
    found[0].Unpack(message)
    return message


class Stored(NamedTuple):
    """All stored data: every row of every table, and the number of workflows."""

    rows: dict[str, frozenset[str]]
    counts: dict[str, int]
    workflows: int


class _Table(NamedTuple):
    """A table as it was read last."""

    versions: tuple[int, int | None]
    """The number of its rows, and a sum over the versions they had."""
    rows: frozenset[str]
    count: int


@dataclass
class Stores:
    """The three databases and Temporal."""

    stack: Stack
    temporal: Client
    last: Stored | None = None
    """The data stored when the system was last idle."""
    _connections: dict[str, asyncpg.Connection] = field(default_factory=dict)
    _tables: dict[str, _Table] = field(default_factory=dict)

    async def contents(self, *, changed_since: bool = False) -> Stored:
        """The stored data, once work started by calls has ended."""
        async with self.connected() as connections:
            earlier = await self._read(connections)
            if not changed_since and earlier == self.last:
                return earlier

            async def at_rest_for() -> int:
                nonlocal earlier, equal
                await asyncio.sleep(0.25)
                before, earlier = earlier, await self._read(connections)
                equal = equal + 1 if before == earlier else 0
                return equal

            equal = 0
            await eventually(at_rest_for, lambda times: times == _AT_REST, PATIENCE)
            self.last = earlier
            return earlier

    async def forget_attempts(self) -> None:
        """Resets all counters of attempts."""
        async with self.connected() as connections:
            for connection in connections.values():
                await connection.execute("DELETE FROM limits")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Mapping[str, asyncpg.Connection]]:
        """Connections to the databases, reused within."""
        if self._connections:
            yield self._connections
            return
        async with AsyncExitStack() as stack:
            for name in DATABASES:
                self._connections[name] = await stack.enter_async_context(database(self.stack, name))
            try:
                yield self._connections
            finally:
                self._connections = {}

    async def _read(self, connections: Mapping[str, asyncpg.Connection]) -> Stored:
        for name, connection in connections.items():
            await self._read_changed(name, connection)
        workflows = await self.temporal.count_workflows(_OF_CALLS)
        rows = {table: read.rows for table, read in self._tables.items()}
        counts = {table: read.count for table, read in self._tables.items()}
        return Stored(rows, counts, workflows.count)

    async def _read_changed(self, name: str, connection: asyncpg.Connection) -> None:
        """Reads the tables of a database that were written to since they were read last."""
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        kept = sorted({record["tablename"] for record in tables} - NOTED[name])
        # Every version of a row has its place and the transaction that wrote it.
        versions = " UNION ALL ".join(
            f"SELECT '{table}', count(*), bit_xor(hashtextextended(t.xmin::text || t.ctid::text, 0))"  # noqa: S608
            f' FROM "{table}" t'
            for table in kept
        )
        found = {table: (count, written) for table, count, written in await connection.fetch(versions)}
        changed = [
            table
            for table in kept
            if (known := self._tables.get(f"{name}.{table}")) is None or known.versions != found[table]
        ]
        if not changed:
            return
        # A Save updates the time of the code's last look-up even if it is refused.
        read = " UNION ALL ".join(
            f"SELECT '{table}', (to_jsonb(t) - 'ensured_at')::text FROM \"{table}\" t"  # noqa: S608
            for table in changed
        )
        rows: dict[str, list[str]] = {table: [] for table in changed}
        for table, row in await connection.fetch(read):
            rows[table].append(row)
        for table in changed:
            self._tables[f"{name}.{table}"] = _Table(found[table], frozenset(rows[table]), len(rows[table]))


def changes(before: Stored, after: Stored) -> dict[str, tuple[int, int]]:
    """Changed tables with their numbers of rows; and workflows, if their number changed."""
    changed = {
        table: (before.counts[table], after.counts[table])
        for table in before.rows
        if before.rows[table] != after.rows[table]
    }
    if before.workflows != after.workflows:
        changed["workflows"] = (before.workflows, after.workflows)
    return changed


def new_rows(before: Stored, after: Stored) -> dict[str, list[str]]:
    """The first rows that have come or changed, by table: for the text of a failure."""
    found = {table: sorted(after.rows[table] - rows)[:3] for table, rows in before.rows.items()}
    return {table: rows for table, rows in found.items() if rows}


async def connect_temporal(stack: Stack) -> Client:
    """A client of the stack's Temporal."""
    return await Client.connect(f"{HOST}:{stack.ports.temporal}")
