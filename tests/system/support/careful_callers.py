"""Clients that repeat a call with its request ID until it is answered, while components are down."""

import asyncio
from typing import TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.demo.forms import DemoPerson
from deploy.local.stack import Stack
from frontends.client import TIMEOUT, ApiClient
from liity.v1.registration_pb2 import Registration
from tests.system.support.registering import PATIENCE, accept_request, database, save_request

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


async def save_through(client: ApiClient, person: DemoPerson) -> Registration:
    """Saves with one request ID, repeated until answered."""
    request = save_request(client.unit, person)
    return (await until_answered(client, client.registrations.RegisterCustomer, request)).registration


async def accept_through(guardian: ApiClient, token: str, person: DemoPerson) -> None:
    """Accepts with one request ID, repeated until answered."""
    await until_answered(guardian, guardian.consents.AcceptConsent, accept_request(token, person))


async def until_answered(
    client: ApiClient,
    method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
    request: RequestT,
) -> ResponseT:
    """Repeats a call. Fails on any refusal but UNAVAILABLE with its reason, or no answer in time."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await send(client, method, request)
            except grpc.aio.AioRpcError as error:
                refusal = error
            if refusal.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                assert refusal.code() is grpc.StatusCode.UNAVAILABLE, refusal
                assert told(refusal)[1] == "UNAVAILABLE", refusal
            await asyncio.sleep(0.2)


async def send(
    client: ApiClient,
    method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
    request: RequestT,
    *,
    timeout: float = TIMEOUT,
) -> ResponseT:
    """Calls as the client does, but raises gRPC's own errors."""
    try:
        metadata = [("authorization", f"Bearer {client.session.access_token}")]
    except LookupError:
        metadata = []
    return await method(request, timeout=timeout, metadata=metadata)


def told(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    """The status and reason of a refusal."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it reads what both kinds of call have
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        detail.Unpack(info)
    return error.code(), info.reason


async def only_registration(stack: Stack, person: DemoPerson) -> str:
    """The name of the person's only registration; fails unless there is one registration and one customer."""
    async with database(stack, "registration") as connection:
        rows = await connection.fetch(
            "SELECT 'units/' || r.unit_id || '/registrations/' || registration_id AS name"
            " FROM registrations r LEFT JOIN customers c USING (customer_id)"
            " WHERE $1 IN (form ->> 'first_names', first_names)",
            person.form.first_names,
        )
    assert len(rows) == 1
    return str(rows[0]["name"])
