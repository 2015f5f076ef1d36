"""The log of use as tests see it: who acts, what is written, and the role that owns the tables."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from deploy.local.postgres import EmbeddedPostgres
from liity.registration.v1.use_log_service_pb2 import RecordUseRequest
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_REGISTRAR
from services.registration.audit.entries import link_waiting
from services.runtime.rpc.context import set_current_actor
from tests.support.registration_service import Service

ResultT = TypeVar("ResultT")

INSERT_ENTRY = """
    INSERT INTO use_entries VALUES (
        gen_random_uuid(), now(), 1, 'ac' || $1::int, 1, 'un1', 'registration:read', ARRAY['sub1'], 'OK',
        '', ''
    )
"""
"""An entry as the service's role may write one, of the account with a number."""


def an_account(account_id: str = "ac1", **fields: Any) -> Actor:
    """A registrar at work."""
    known = {"role": ROLE_REGISTRAR, "unit_id": "un1", "request_id": "re1", "trace_id": "tr1"}
    return Actor(kind=ACTOR_KIND_ACCOUNT, account_id=account_id, **(known | fields))


async def acting_as(actor: Actor, call: Awaitable[ResultT]) -> ResultT:
    """Makes a call on somebody's behalf."""

    async def act() -> ResultT:
        set_current_actor(actor)
        return await call

    # A task of its own: who acts is forgotten with it.
    return await asyncio.create_task(act())


async def record(
    service: Service,
    actor: Actor,
    *subject_ids: str,
    action: str = "registration:read",
    outcome: str = "OK",
) -> None:
    """Has an entry written, as the gateway does."""
    stub = UseLogServiceStub(service.gateway.channel)
    request = RecordUseRequest(action=action, subject_ids=subject_ids, outcome=outcome)
    await acting_as(actor, service.gateway.call(stub.RecordUse, request))


async def entries(service: Service, subject_id: str) -> list[dict[str, Any]]:
    """What the log says about somebody, oldest first, each entry with its place in the chain."""
    await link_waiting(service.engine)
    rows = await service.rows(
        "SELECT use_entries.*, sequence FROM use_entries JOIN use_chain USING (use_id)"
        " WHERE subject_ids @> ARRAY[CAST(:subject AS varchar)] ORDER BY sequence",
        subject=subject_id,
    )
    return [dict(row) for row in rows]


@asynccontextmanager
async def owner(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the role that owns the log."""
    async with _connection(postgres.owner_url("registration")) as connection:
        yield connection


@asynccontextmanager
async def service_role(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the role that the service works with."""
    async with _connection(postgres.url("registration")) as connection:
        yield connection


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close()
