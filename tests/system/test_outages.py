"""Parts of the system that are away for a while: callers are told, and all happens once nevertheless."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.api_client import ApiClient, new_request_id
from deploy.demo_forms import DemoPerson
from deploy.eventually import eventually
from deploy.stack import Stack
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WELCOMED, STAGE_WITHDRAWN, Registration
from liity.v1.registration_service_pb2 import WithdrawRegistrationRequest
from tests.system.conftest import Api
from tests.system.registering import (
    PATIENCE,
    MailCounter,
    accept,
    accept_request,
    adult,
    database,
    link_token,
    pupil,
    reaches,
    save,
    save_request,
    settings,
)

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

OUTAGE = 2.5
"""Seconds."""

SAVES, CALLERS = 60, 8

OF_AN_ADULT = {"credentials": 1, "welcome": 1}
OF_A_CHILD = {"consent_request": 1, "consent_given": 1, "credentials": 1, "welcome": 1}


@pytest.fixture(scope="module", autouse=True)
async def _short_welcome(stack: Stack) -> AsyncIterator[None]:
    async with settings(stack, {"LIITY_WORKFLOWS_WELCOME_DELAY": "PT5S"}, "worker"):
        yield


@pytest.fixture(autouse=True)
def _no_faults(stack: Stack) -> Iterator[None]:
    """No service may have met what it did not know how to answer."""
    yield
    logs = {path.name: path.read_text("utf-8") for path in stack.logs.glob("*.log")}
    assert '"serving"' in logs["gateway.log"]
    assert [name for name, log in logs.items() if "rpc failed" in log] == []


@pytest.mark.parametrize("away", ["identity", "registration", "notification", "temporal", "mailbox"])
async def test_a_part_is_away_for_a_while(stack: Stack, api: Api, mails: MailCounter, away: str) -> None:
    children = {name: pupil() for name in ("answered meanwhile", "saved before", "saved meanwhile")}
    adults = {name: adult() for name in ("welcomed meanwhile", "saved before", "saved meanwhile")}
    await save(api.teacher, children["answered meanwhile"])
    asked = await mails.wait_for(children["answered meanwhile"], "consent_request")
    welcomed = await save(api.registrar, adults["welcomed meanwhile"])
    await reaches(api.registrar, welcomed.name, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED)
    await asyncio.gather(
        save(api.teacher, children["saved before"]), save(api.registrar, adults["saved before"])
    )

    await stack.stop_component(away)
    meanwhile = asyncio.gather(
        _save(api.teacher, children["saved meanwhile"]),
        _save(api.registrar, adults["saved meanwhile"]),
        _accept(api.anybody, link_token(asked), children["answered meanwhile"]),
    )
    await asyncio.sleep(OUTAGE)
    await stack.start_component(away)
    await meanwhile

    for name in ("saved before", "saved meanwhile"):
        asked = await mails.wait_for(children[name], "consent_request")
        await accept(api.anybody, link_token(asked), children[name])
    persons = [*children.values(), *adults.values()]
    for person in persons:
        await reaches(api.staff, await _only_registration(stack, person), STAGE_WELCOMED)
    assert {name: mails.templates(person) for name, person in children.items()} == dict.fromkeys(
        children, OF_A_CHILD
    )
    assert {name: mails.templates(person) for name, person in adults.items()} == dict.fromkeys(
        adults, OF_AN_ADULT
    )


async def test_who_calls_in_a_long_outage_is_told(stack: Stack, api: Api, mails: MailCounter) -> None:
    person = pupil()
    registration = await save(api.teacher, person)
    await mails.wait_for(person, "consent_request")
    withdraw = WithdrawRegistrationRequest(name=registration.name, request_id=new_request_id())
    service = api.teacher.registrations
    await asyncio.gather(*(stack.stop_component(name) for name in ("identity", "temporal")))

    refused = await asyncio.gather(
        _send(api.teacher, service.RegisterCustomer, save_request(api.teacher.unit, pupil())),
        _send(api.teacher, service.WithdrawRegistration, withdraw),
        return_exceptions=True,
    )
    await asyncio.gather(*(stack.start_component(name) for name in ("identity", "temporal")))

    for error in refused:
        assert isinstance(error, grpc.aio.AioRpcError)
        assert _told(error) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    answer = await _until_answered(api.teacher, service.WithdrawRegistration, withdraw)
    assert answer.registration.stage == STAGE_WITHDRAWN
    assert mails.templates(person, registration) == {"consent_request": 1}


@pytest.mark.parametrize("how", ["restarted", "killed"])
async def test_postgresql_is_restarted_under_load(
    stack: Stack, api: Api, mails: MailCounter, how: str
) -> None:
    persons = [adult() for _ in range(SAVES)]
    waiting = iter(persons)
    saved: list[Registration] = []

    async def caller() -> None:
        while person := next(waiting, None):
            saved.append(await _save(api.registrar, person))

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await eventually(lambda: asyncio.sleep(0, len(saved)), lambda number: number >= CALLERS, PATIENCE)
    if how == "restarted":
        await stack.stop_component("postgres")
    else:
        await stack.kill_component("postgres")
    assert len(saved) < SAVES
    await stack.start_component("postgres")
    await asyncio.gather(*callers)

    for registration in saved:
        await reaches(api.registrar, registration.name, STAGE_WELCOMED)
    names = [await _only_registration(stack, person) for person in persons]
    assert sorted(names) == sorted(registration.name for registration in saved)
    assert [mails.templates(person) for person in persons] == [OF_AN_ADULT] * SAVES


async def _save(client: ApiClient, person: DemoPerson) -> Registration:
    """Saves with one request ID, as often as it takes."""
    request = save_request(client.unit, person)
    answer = await _until_answered(client, client.registrations.RegisterCustomer, request)
    return answer.registration


async def _accept(guardian: ApiClient, token: str, person: DemoPerson) -> None:
    await _until_answered(guardian, guardian.consents.AcceptConsent, accept_request(token, person))


async def _until_answered(
    client: ApiClient, method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
) -> ResponseT:
    """Repeats a call. No other refusal may come than UNAVAILABLE with its reason, or no answer in time."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await _send(client, method, request)
            except grpc.aio.AioRpcError as error:
                refusal = error
            if refusal.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                assert _told(refusal) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
            await asyncio.sleep(0.2)


async def _send(
    client: ApiClient, method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
) -> ResponseT:
    """Calls as the client does, but leaves refusals as they came over the wire."""
    try:
        metadata = [("authorization", f"Bearer {client.session.access_token}")]
    except LookupError:
        metadata = []
    return await method(request, timeout=15, metadata=metadata)


def _told(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    """The status and the reason of a refusal."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it reads what both kinds of call have
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        detail.Unpack(info)
    return error.code(), info.reason


async def _only_registration(stack: Stack, person: DemoPerson) -> str:
    """The name of the person's registration, of which there is one, as there is one customer."""
    async with database(stack, "registration") as connection:
        rows = await connection.fetch(
            "SELECT 'units/' || r.unit_id || '/registrations/' || registration_id AS name"
            " FROM registrations r LEFT JOIN customers c USING (customer_id)"
            " WHERE $1 IN (form ->> 'first_names', first_names)",
            person.form.first_names,
        )
    assert len(rows) == 1
    return str(rows[0]["name"])
