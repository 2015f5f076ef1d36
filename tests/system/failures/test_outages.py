"""Parts of the system that are away for a while: callers are told, and all happens once nevertheless."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from liity.v1.book_tips_service_pb2 import GetBookTipsRequest
from liity.v1.feedback_service_pb2 import SendFeedbackRequest
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WELCOMED, STAGE_WITHDRAWN, Registration
from liity.v1.registration_service_pb2 import (
    ListRegistrationsRequest,
    WithdrawRegistrationRequest,
)
from liity.v1.unit_service_pb2 import GetUnitRequest
from liity.v1.work_service_pb2 import GetFiguresRequest, ListWorkItemsRequest
from tests.conftest import Amount
from tests.system.conftest import Api
from tests.system.support.careful_callers import (
    accept_through,
    only_registration,
    save_through,
    send,
    told,
    until_answered,
)
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    accept,
    adult,
    link_token,
    pupil,
    reaches,
    save,
    save_request,
    settings,
)

OUTAGE = 2.5
"""Seconds."""

CALLERS = 6

OF_AN_ADULT = {"credentials": 1, "welcome": 1}
OF_A_CHILD = {
    "consent_request": 1,
    "consent_given": 1,
    "consent_receipt_given": 1,
    "credentials": 1,
    "welcome": 1,
}


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
        save_through(api.teacher, children["saved meanwhile"]),
        save_through(api.registrar, adults["saved meanwhile"]),
        accept_through(api.anybody, link_token(asked), children["answered meanwhile"]),
    )
    await asyncio.sleep(OUTAGE)
    await stack.start_component(away)
    await meanwhile

    for name in ("saved before", "saved meanwhile"):
        asked = await mails.wait_for(children[name], "consent_request")
        await accept(api.anybody, link_token(asked), children[name])
    persons = [*children.values(), *adults.values()]
    for person in persons:
        await reaches(api.staff, await only_registration(stack, person), STAGE_WELCOMED)
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
        send(api.teacher, service.RegisterCustomer, save_request(api.teacher.unit, pupil())),
        send(api.teacher, service.WithdrawRegistration, withdraw),
        return_exceptions=True,
    )
    await asyncio.gather(*(stack.start_component(name) for name in ("identity", "temporal")))

    for error in refused:
        assert isinstance(error, grpc.aio.AioRpcError)
        assert told(error) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    answer = await until_answered(api.teacher, service.WithdrawRegistration, withdraw)
    assert answer.registration.stage == STAGE_WITHDRAWN
    assert mails.templates(person, registration) == {"consent_request": 1}


ALL_AT_ONCE = 22
"""Callers of each kind, more than wait for a service that is known to be away."""

FEW = {"feedback": 2}
"""Callers of what a network address may send only so often."""

Calling = Callable[[], Awaitable[object]]


def _calls(api: Api) -> Mapping[str, Calling]:
    """Calls by what they do. Each waits for the gateway's own answer, however busy the machine is."""
    registrar, staff, unit = api.registrar, api.staff, api.registrar.unit

    def calling(client: ApiClient, method: Any, new: Callable[[], Message]) -> Calling:
        return lambda: send(client, method, new(), timeout=PATIENCE)

    save_ = registrar.registrations.RegisterCustomer
    list_ = registrar.registrations.ListRegistrations
    return {
        "list": calling(registrar, list_, lambda: ListRegistrationsRequest(parent=unit)),
        "unit": calling(registrar, registrar.units.GetUnit, lambda: GetUnitRequest(name=unit)),
        "work": calling(staff, staff.work.ListWorkItems, ListWorkItemsRequest),
        "save": calling(registrar, save_, lambda: save_request(unit, adult())),
        "tips": calling(staff, staff.book_tips.GetBookTips, lambda: GetBookTipsRequest(name="bookTips/fi")),
        "figures": calling(staff, staff.work.GetFigures, GetFiguresRequest),
        "feedback": calling(
            api.anybody,
            api.anybody.feedback.SendFeedback,
            lambda: SendFeedbackRequest(request_id=new_request_id(), text="Taulukolla ei ole otsikoita."),
        ),
    }


NEEDING = {
    "notification": {"tips", "figures"},
    # It says of each call with an account whether the session still holds.
    "identity": {"list", "unit", "work", "save", "tips", "figures"},
    "registration": {"list", "unit", "work", "save", "figures", "feedback"},
    "temporal": {"save", "feedback"},
}
"""The calls that need a part; all others do without it."""


@pytest.mark.parametrize("away", NEEDING)
async def test_who_does_not_need_what_is_away_is_answered_among_many_who_do(
    stack: Stack, api: Api, away: str
) -> None:
    calls = _calls(api)
    await stack.stop_component(away)
    outcomes: dict[str, set[tuple[grpc.StatusCode, str]]] = {name: set() for name in calls}

    async def caller(name: str) -> None:
        try:
            await calls[name]()
        except grpc.aio.AioRpcError as error:
            outcomes[name].add(told(error))
        else:
            outcomes[name].add((grpc.StatusCode.OK, ""))

    needing = NEEDING[away]
    # First those that wait until the part is known to be away, then all behind them.
    names = sorted(calls, key=needing.__contains__, reverse=True)
    await asyncio.gather(*(caller(name) for name in names for _ in range(FEW.get(name, ALL_AT_ONCE))))
    await stack.start_component(away)

    refused = {(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")}
    assert outcomes == {name: refused if name in needing else {(grpc.StatusCode.OK, "")} for name in calls}
    for name in needing:
        await _until_back(calls[name])


async def _until_back(call: Calling) -> None:
    """Repeats a call until what it needs is back."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await call()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                return
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("how", ["restarted", "killed"])
async def test_postgresql_is_restarted_under_load(
    stack: Stack, api: Api, mails: MailCounter, amount: Amount, how: str
) -> None:
    saves = amount(30, long=300)
    persons = [adult() for _ in range(saves)]
    waiting = iter(persons)
    saved: list[Registration] = []

    async def caller() -> None:
        while person := next(waiting, None):
            saved.append(await save_through(api.registrar, person))

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await eventually(lambda: asyncio.sleep(0, len(saved)), lambda number: number >= CALLERS, PATIENCE)
    if how == "restarted":
        await stack.stop_component("postgres")
    else:
        await stack.kill_component("postgres")
    assert len(saved) < saves
    await stack.start_component("postgres")
    await asyncio.gather(*callers)

    for registration in saved:
        await reaches(api.registrar, registration.name, STAGE_WELCOMED)
    names = [await only_registration(stack, person) for person in persons]
    assert sorted(names) == sorted(registration.name for registration in saved)
    assert [mails.templates(person) for person in persons] == [OF_AN_ADULT] * saves
