"""Components of one process call each other with the same results as over gRPC."""

import asyncio
import contextvars
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
import structlog
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import override

from liity.registration.v1.unit_service_pb2 import GetUnitRequest, GetUnitResponse
from liity.registration.v1.unit_service_pb2_grpc import (
    UnitServiceServicer,
    UnitServiceStub,
    add_UnitServiceServicer_to_server,
)
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_SYSTEM, Actor
from liity.v1.reason_pb2 import REASON_REQUIRED, REASON_TOO_LONG, REASON_UNAVAILABLE, REASON_UNIT_NOT_FOUND
from services.identity.server import SERVICES, compose
from services.identity.settings import IdentitySettings
from services.runtime.components import current_component, run_components
from services.runtime.rpc import in_process
from services.runtime.rpc.context import current_actor, set_current_actor
from services.runtime.rpc.errors import Contact, FieldViolation, Refusal, unavailable
from services.runtime.rpc.interceptor import RequestInterceptor, ServiceAuthenticator
from services.runtime.rpc.peer import Peer
from services.runtime.rpc.server import ServerSettings, serve
from services.runtime.security.access import ACCESS, Services
from services.runtime.security.service_identity import SERVICES as COMPONENTS
from services.runtime.security.service_identity import ServiceIdentity, ServiceVerifier
from tests.conftest import free_port
from tests.services.conftest import CONTACT, Component

PATIENCE = 60
UNITS = "liity.registration.v1.UnitService"


@dataclass
class Seen:
    """One call as the service has seen it."""

    request: GetUnitRequest
    actor: Actor
    component: str


class Units(UnitServiceServicer):
    """A service that does what a test asks it to."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.response = GetUnitResponse()
        self.raises: BaseException | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.cancelled = 0

    @override
    async def GetUnit(self, request: GetUnitRequest, _context: object) -> GetUnitResponse:
        component = structlog.contextvars.get_contextvars().get("component", "")
        self.seen.append(Seen(request, current_actor(), component))
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.raises is not None:
            raise self.raises
        return self.response


class Process:
    """A process of two components: `registration` serves, `gateway` is the test, which calls it."""

    def __init__(
        self, name: str, add_services: Callable[[grpc.aio.Server], None], services: list[str], keys_dir: Path
    ) -> None:
        self.name = name
        self.keys_dir = keys_dir
        self.target = f"127.0.0.1:{free_port()}"
        self._add_services = add_services
        self._services = services
        self._test_began = asyncio.Event()
        self._test_ended = asyncio.Event()
        self._context = contextvars.Context()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        runners = {self.name: self._serve, "gateway": self._call}
        self._running = asyncio.create_task(run_components(runners, (("gateway",), (self.name,))))
        await self._test_began.wait()
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._running
        self._test_ended.set()
        await self._running

    def peer(self, as_service: str = "gateway", *, within: bool) -> Peer:
        """The component as another one calls it: within the process, or over gRPC."""

        def make() -> Peer:
            return Peer(self.name, self.target, ServiceIdentity(as_service, self.keys_dir))

        return self._context.run(make) if within else make()

    async def _serve(self) -> None:
        structlog.contextvars.bind_contextvars(component=self.name)
        settings = ServerSettings.model_validate({"listen": self.target, "keys_dir": self.keys_dir})
        interceptor = RequestInterceptor(
            ServiceAuthenticator(ServiceVerifier(self.name, self.keys_dir).verify), CONTACT
        )
        await serve(settings, interceptor, self._services, self._add_services)

    async def _call(self) -> None:
        structlog.contextvars.bind_contextvars(component="gateway")
        own = current_component()
        assert own is not None
        beside = own.beside(self.name)
        assert beside is not None
        await beside.serving()
        self._context = contextvars.copy_context()
        self._test_began.set()
        await self._test_ended.wait()


@pytest.fixture
async def units() -> Units:
    return Units()


@pytest.fixture
async def process(units: Units, keys_dir: Path) -> AsyncIterator[Process]:
    def add(server: grpc.aio.Server) -> None:
        add_UnitServiceServicer_to_server(units, server)

    async with Process("registration", add, [UNITS], keys_dir) as running:
        yield running


async def ask(peer: Peer, unit_id: str = "un1", timeout: float = PATIENCE) -> GetUnitResponse:
    stub: Any = UnitServiceStub(peer.channel)
    answer: GetUnitResponse = await peer.call(stub.GetUnit, GetUnitRequest(unit_id=unit_id), timeout=timeout)
    return answer


def facts(refusal: Refusal) -> tuple[object, ...]:
    detail = refusal.detail
    return (
        refusal.code,
        refusal.reason,
        refusal.violations,
        refusal.retry_after,
        None if detail is None else (detail.DESCRIPTOR.full_name, detail.SerializeToString()),
        refusal.contact,
    )


async def outcome(call: Any) -> tuple[object, ...]:
    try:
        answer: Message = await call
    except Refusal as refusal:
        return facts(refusal)
    return ("OK", answer.DESCRIPTOR.full_name)


Both = Callable[..., Awaitable[list[tuple[object, ...]]]]


@pytest.fixture
async def both(process: Process) -> AsyncIterator[Both]:
    """Asks over gRPC and within the process."""
    peers = [process.peer(within=within) for within in (False, True)]

    async def ask_both(unit_id: str = "un1") -> list[tuple[object, ...]]:
        return [await outcome(ask(peer, unit_id)) for peer in peers]

    yield ask_both
    for peer in peers:
        await peer.close()


REFUSALS = [
    Refusal(
        code,
        REASON_UNIT_NOT_FOUND,
        violations=violations,
        retry_after=retry_after,
        detail=detail,
        contact=contact,
    )
    for code in grpc.StatusCode
    if code is not grpc.StatusCode.OK
    for violations, retry_after, detail, contact in (
        ((), None, None, None),
        (
            (FieldViolation("form.email", REASON_TOO_LONG), FieldViolation("unit_id", REASON_REQUIRED)),
            timedelta(seconds=7, milliseconds=5),
            Actor(account_id="ac1"),
            Contact("somebody@liity.example", "https://liity.example/somebody"),
        ),
    )
]


async def test_each_refusal_arrives_as_over_grpc(
    both: Both, units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_process, "FIRST_PAUSE", 0.001)
    for refusal in REFUSALS:
        units.raises = refusal
        over_grpc, within = await both()
        assert over_grpc == within, refusal.summary
        assert over_grpc[0] is refusal.code


async def test_each_fault_arrives_as_over_grpc(both: Both, units: Units) -> None:
    for fault in (RuntimeError("x"), TimeoutError()):
        units.raises = fault
        over_grpc, within = await both()
        assert over_grpc == within, repr(fault)
        assert over_grpc[0] in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
    units.raises, units.response = None, "no message"  # type: ignore[assignment]
    over_grpc, within = await both()
    assert over_grpc == within


async def test_a_request_that_breaks_the_contract_is_refused_as_over_grpc(both: Both) -> None:
    for unit_id in ("", "x" * 1000, "\x00", "å"):
        over_grpc, within = await both(unit_id)
        assert over_grpc == within
        assert over_grpc[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_every_rpc_of_identity_answers_as_over_grpc_whom_it_serves_and_whom_not(
    identity_engine: AsyncEngine, keys_dir: Path
) -> None:
    settings = IdentitySettings.model_validate(
        {
            "listen": "",
            "database_url": identity_engine.url.render_as_string(hide_password=False),
            "keys_dir": keys_dir,
        }
    )
    invalid = 0
    async with Process("identity", compose(settings, identity_engine), list(SERVICES), keys_dir) as process:
        component = Component("identity", process.target, keys_dir, SERVICES)
        peers = {name: [process.peer(name, within=within) for within in (False, True)] for name in COMPONENTS}
        for path in component.methods:
            rule = ACCESS[path]
            assert isinstance(rule, Services)
            request = component.empty_request(path)
            for caller in (min(rule.names), min(set(COMPONENTS) - rule.names)):
                over_grpc, within = [
                    await outcome(component.send(peer, path, request)) for peer in peers[caller]
                ]
                assert over_grpc == within, (caller, path)
                assert (over_grpc[0] is grpc.StatusCode.PERMISSION_DENIED) == (caller not in rule.names)
                invalid += over_grpc[0] is grpc.StatusCode.INVALID_ARGUMENT
        for peer in (peer for both in peers.values() for peer in both):
            await peer.close()
    assert invalid > len(component.methods) / 2


async def test_caller_and_callee_share_nothing_but_what_the_call_carries(
    process: Process, units: Units
) -> None:
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac1"))
    peer = process.peer(within=True)
    units.response = GetUnitResponse()
    stub: Any = UnitServiceStub(peer.channel)
    request = GetUnitRequest(unit_id="un1")
    answer = await peer.call(stub.GetUnit, request)

    assert answer == units.response
    assert answer is not units.response
    (seen,) = units.seen
    assert seen.request == request
    assert seen.request is not request
    assert seen.actor == Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac1")
    assert seen.actor is not current_actor()
    assert seen.component == "registration"
    # What the call has set there is not set here.
    set_current_actor(Actor(kind=ACTOR_KIND_SYSTEM))
    await peer.call(stub.GetUnit, request)
    assert current_actor() == Actor(kind=ACTOR_KIND_SYSTEM)


async def test_a_call_that_is_late_or_given_up_is_cancelled(process: Process, units: Units) -> None:
    units.may_answer.clear()
    peer = process.peer(within=True)
    late = await outcome(ask(peer, timeout=0.2))
    assert late[:2] == (grpc.StatusCode.UNAVAILABLE, REASON_UNAVAILABLE)

    given_up = asyncio.create_task(ask(peer))
    async with asyncio.timeout(PATIENCE):
        while len(units.seen) < 2:
            await asyncio.sleep(0.01)
        given_up.cancel()
        with suppress(asyncio.CancelledError):
            await given_up
        while units.cancelled < 2:
            await asyncio.sleep(0.01)


async def test_a_component_that_is_away_for_a_moment_is_asked_again(
    process: Process, units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_process, "FIRST_PAUSE", 0.001)
    units.raises = unavailable()
    call = asyncio.create_task(ask(process.peer(within=True)))
    async with asyncio.timeout(PATIENCE):
        while not units.seen:
            await asyncio.sleep(0)
        units.raises = None
        await call
    assert 1 < len(units.seen) <= in_process.ATTEMPTS


async def test_callers_stop_before_those_they_call_and_running_calls_are_answered(
    units: Units, keys_dir: Path
) -> None:
    ended: list[str] = []
    answers: list[GetUnitResponse] = []
    target = f"127.0.0.1:{free_port()}"
    units.may_answer.clear()

    async def callee() -> None:
        settings = ServerSettings.model_validate({"listen": target, "keys_dir": keys_dir})
        interceptor = RequestInterceptor(
            ServiceAuthenticator(ServiceVerifier("registration", keys_dir).verify), CONTACT
        )
        await serve(
            settings, interceptor, [UNITS], lambda server: add_UnitServiceServicer_to_server(units, server)
        )
        ended.append("registration")

    async def caller() -> None:
        component = current_component()
        assert component
        peer = Peer("registration", target, ServiceIdentity("gateway", keys_dir))
        call = asyncio.create_task(ask(peer))
        await component.stop_requested()
        # Begun after the signal: what it needs still serves.
        answers.append(await call)
        answers.append(await ask(peer))
        ended.append("gateway")

    running = asyncio.create_task(
        run_components({"registration": callee, "gateway": caller}, (("gateway",), ("registration",)))
    )
    async with asyncio.timeout(PATIENCE):
        while not units.seen:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        assert ended == []
        units.may_answer.set()
        await running
    assert ended == ["gateway", "registration"]
    assert len(answers) == 2


async def test_one_that_fails_ends_the_others_in_order_and_its_error_is_raised() -> None:
    ended: list[str] = []

    async def starting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("starting")

    async def serving() -> None:
        component = current_component()
        assert component
        await component.stop_requested()
        ended.append("serving")

    async def failing() -> None:
        await asyncio.sleep(0)
        raise LookupError("x")

    runners = {"a": serving, "b": failing, "c": starting}
    with pytest.raises(LookupError):
        await run_components(runners, (("c",), ("a", "b")))
    assert ended == ["starting", "serving"]
