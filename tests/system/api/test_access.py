"""Who is let in where: every RPC of every service, of the contracts and of the access table alike."""

import asyncio
import importlib
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from joserfc import jwt
from joserfc.jwk import OKPKey

import liity
from deploy.demo.forms import DemoPerson
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import ApiClient
from frontends.refusals import Refusal, reason_name
from liity.v1.auth_service_pb2 import (
    ROLE_CUSTOMER_SERVICE,
    ROLE_MAIN_USER,
    ROLE_OPERATOR,
    ROLE_REGISTRAR,
)
from liity.v1.customer_form_pb2 import SCHOOL_SUPPORT_PUPIL_SPECIFIC
from liity.v1.registration_service_pb2 import UpdateRegistrationRequest
from services.runtime.security.access import ACCESS, Accounts, Anyone, Services, Whose
from services.runtime.security.service_identity import ALGORITHM, SERVICES, ServiceIdentity
from tests.system.conftest import Api
from tests.system.support.calls import right
from tests.system.support.public_api import (
    METHODS,
    Gateway,
    Stores,
    authorization,
    is_for_staff,
    methods_of,
    outcome,
    request_class,
)
from tests.system.support.public_api_facts import Facts
from tests.system.support.registering import adult, pupil, save, save_request
from tests.system.support.walks import walk, walk_storing_nothing

INNER = ("identity", "registration", "notification")
_EVERY_SERVERS = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
_CODEC = "/codec/decode"
"""Not gRPC, but let in by the same table."""


def _all_services() -> dict[str, list[str]]:
    """Full names of the services in the contracts, by the component that serves them."""
    found: dict[str, list[str]] = {"gateway": [], **{component: [] for component in INNER}}
    folder = Path(next(iter(liity.__path__)))
    for path in folder.rglob("*_service_pb2.py"):
        module = ".".join(("liity", *path.relative_to(folder).with_suffix("").parts))
        file = importlib.import_module(module).DESCRIPTOR
        for service in file.services_by_name.values():
            package = file.package.removeprefix("liity.").rpartition(".")[0]
            found[package or "gateway"].append(service.full_name)
    return found


ALL_SERVICES = _all_services()
INNER_PATHS = sorted(path for component in INNER for path in methods_of(ALL_SERVICES[component]))


def component_of(path: str) -> str:
    """The inner service an RPC belongs to."""
    return path.split(".")[1]


# The table


def test_every_rpc_is_in_the_table_and_every_entry_is_an_rpc() -> None:
    ours = {path for path in ACCESS if not path.startswith(_EVERY_SERVERS)} - {_CODEC}
    assert ours == set(methods_of(name for names in ALL_SERVICES.values() for name in names))
    every_servers = {path for path in ACCESS if path.startswith(_EVERY_SERVERS)}
    assert every_servers == set(methods_of(name.strip("/") for name in _EVERY_SERVERS))


def test_inner_rpcs_are_for_components_that_there_are_and_public_ones_for_people() -> None:
    for path, rule in ACCESS.items():
        if path in INNER_PATHS:
            assert isinstance(rule, Services), path
            assert rule.names, path
            assert rule.names <= set(SERVICES), path
        else:
            assert isinstance(rule, Anyone | Accounts), path


# The inner services


Channels = Callable[..., grpc.aio.Channel]


@pytest.fixture(scope="session")
async def channels(stack: Stack) -> AsyncIterator[Channels]:
    """Gives the channel to a component that serves gRPC, as another one calls it."""
    made: dict[tuple[str, str], grpc.aio.Channel] = {}

    def channel(component: str, as_component: str = "seed") -> grpc.aio.Channel:
        if (component, as_component) not in made:
            made[component, as_component] = stack.channel(component, as_component)
        return made[component, as_component]

    yield channel
    for channel_made in made.values():
        await channel_made.close()


def service_token(stack: Stack, name: str, audience: str, *, lifetime: int = 300, key: Any = None) -> str:
    """A token of a component, signed with its own key unless with another."""
    text = (stack.keys_dir / f"service-{name}.jwk.json").read_text("utf-8") if key is None else ""
    now = int(time.time())
    claims = {"iss": name, "aud": audience, "iat": now, "exp": now + lifetime}
    signer = key or OKPKey.import_key(json.loads(text))
    return jwt.encode({"alg": ALGORITHM, "kid": name}, claims, signer, algorithms=[ALGORITHM])


async def refused(
    channel: grpc.aio.Channel, path: str, metadata: list[tuple[str, str]], body: bytes = b""
) -> tuple[str, str]:
    """Code and reason of a refusal."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await method(body, metadata=metadata, timeout=60)
    refusal = Refusal.from_rpc_error(error.value)
    return refusal.code.name, reason_name(refusal.reason)


async def test_no_inner_rpc_without_a_service_identity(
    stack: Stack, channels: Channels, gateway: Gateway, stores: Stores
) -> None:
    another_key = OKPKey.generate_key("Ed25519")

    async def check(path: str) -> None:
        rule = ACCESS[path]
        assert isinstance(rule, Services)
        component, allowed = component_of(path), min(rule.names)
        elsewhere = next(name for name in INNER if name != component)
        strangers = {
            "no token": [],
            "empty": authorization(""),
            "no scheme": [("authorization", service_token(stack, allowed, component)[:40])],
            "an account's": authorization(gateway.token("staff")),
            "forged": authorization(service_token(stack, allowed, component, key=another_key)),
            "of a component unknown": authorization(
                service_token(stack, "mailbox", component, key=another_key)
            ),
            "expired": authorization(service_token(stack, allowed, component, lifetime=-60)),
            "for another callee": authorization(service_token(stack, allowed, elsewhere)),
            "for the accounts' audience": authorization(service_token(stack, allowed, "liity")),
            "header of a wrong type": authorization("eyJhbGciOiJFZDI1NTE5IiwiY3JpdCI6MX0.e30.AAAA"),
        }
        channel = channels(component, allowed)
        answers = {name: await refused(channel, path, token) for name, token in strangers.items()}
        assert answers == dict.fromkeys(strangers, ("UNAUTHENTICATED", "UNAUTHENTICATED"))

    await walk_storing_nothing(stores, {path: partial(check, path) for path in INNER_PATHS})


async def test_inner_rpcs_let_in_whom_the_table_names_and_nobody_else(
    stack: Stack, channels: Channels, stores: Stores
) -> None:
    identities = {name: ServiceIdentity(name, stack.keys_dir) for name in SERVICES}

    async def check(path: str) -> None:
        rule = ACCESS[path]
        assert isinstance(rule, Services)
        component = component_of(path)
        answers = {}
        for name, identity in identities.items():
            token = authorization(identity.token(component))
            # What is no message tells apart who comes as far as being read.
            answers[name] = (await refused(channels(component, name), path, token, b"\xff\xff\xff"))[0]
        allowed = {name for name, code in answers.items() if code == "INVALID_ARGUMENT"}
        assert allowed == rule.names
        assert {answers[name] for name in set(SERVICES) - allowed} == {"PERMISSION_DENIED"}

    await walk_storing_nothing(stores, {path: partial(check, path) for path in INNER_PATHS})


async def test_one_component_cannot_speak_for_another(stack: Stack, channels: Channels) -> None:
    key = OKPKey.import_key(json.loads((stack.keys_dir / "service-notification.jwk.json").read_text("utf-8")))
    now = int(time.time())
    claims = {"iss": "worker", "aud": "identity", "iat": now, "exp": now + 300}
    for kid in ("worker", "notification"):
        token = jwt.encode({"alg": ALGORITHM, "kid": kid}, claims, key, algorithms=[ALGORITHM])
        path = "/liity.identity.v1.PersonService/ErasePerson"
        answer = await refused(channels("identity", "notification"), path, authorization(token))
        assert answer == ("UNAUTHENTICATED", "UNAUTHENTICATED")


# Registrars, teachers, staff


_OF_EVERY_UNIT = "/liity.v1.RegistrationService/FindRegistrations"
OF_REGISTRARS = sorted(
    path for path in METHODS if path.startswith("/liity.v1.RegistrationService/") and path != _OF_EVERY_UNIT
)
DECISIONS = [path for path in OF_REGISTRARS if is_for_staff(path)]
"""What customer service alone does."""
MATRIX = {
    ("registrar", "library"): "OK",
    ("registrar", "school"): "NOT_FOUND UNIT_NOT_FOUND",
    ("teacher", "library"): "NOT_FOUND UNIT_NOT_FOUND",
    ("teacher", "school"): "OK",
    ("staff", "library"): "OK",
    ("staff", "school"): "OK",
    ("operator", "library"): "NOT_FOUND UNIT_NOT_FOUND",
    ("operator", "school"): "NOT_FOUND UNIT_NOT_FOUND",
    ("anybody", "library"): "UNAUTHENTICATED UNAUTHENTICATED",
    ("anybody", "school"): "UNAUTHENTICATED UNAUTHENTICATED",
}
"""Who gets what in which unit, whatever the RPC."""


def _for_unit(person: DemoPerson, unit: str, facts: Facts) -> DemoPerson:
    if unit == facts.school:
        person.form.school_support = SCHOOL_SUPPORT_PUPIL_SPECIFIC
    else:
        person.form.ClearField("school_support")
    return person


async def _right_in(path: str, unit: str, client: ApiClient, facts: Facts) -> Any:
    """A request that is done for whoever may do it in the unit."""
    if path.endswith("/RegisterCustomer"):
        return save_request(unit, _for_unit(adult(), unit, facts))
    if "parent" in request_class(path).DESCRIPTOR.fields_by_name:
        request = right(path, facts, parent=unit)
    else:
        waiting = await save(client, _for_unit(pupil(), unit, facts))
        request = right(path, facts, name=waiting.name)
    if isinstance(request, UpdateRegistrationRequest):
        # As it is already: nothing changes, whatever the etag.
        request.ClearField("form")
    return request


async def test_everyone_gets_what_is_theirs(gateway: Gateway, api: Api, facts: Facts) -> None:
    units = {"library": (facts.library, api.registrar), "school": (facts.school, api.teacher)}

    async def check(path: str) -> None:
        answers = {}
        for caller, key in MATRIX:
            request = await _right_in(path, *units[key], facts)
            try:
                await gateway.call(path, request, caller)
                answers[caller, key] = "OK"
            except grpc.aio.AioRpcError as error:
                answers[caller, key] = " ".join(outcome(Refusal.from_rpc_error(error)))
        assert answers == MATRIX

    await walk({path: partial(check, path) for path in OF_REGISTRARS if path not in DECISIONS})


async def test_customer_service_alone_decides(gateway: Gateway, facts: Facts) -> None:
    units = {"library": facts.active, "school": facts.waiting}
    told = {**MATRIX, ("registrar", "library"): "PERMISSION_DENIED PERMISSION_DENIED"}
    told["teacher", "school"] = "PERMISSION_DENIED PERMISSION_DENIED"

    async def check(path: str) -> None:
        for (caller, key), answer in told.items():
            refusal = await gateway.refusal(path, right(path, facts, name=units[key].name), caller)
            # Those of the facts wait for nobody's decision.
            expected = "FAILED_PRECONDITION NOT_WAITING_FOR_DECISION" if answer == "OK" else answer
            assert " ".join(outcome(refusal)) == expected, (caller, key)

    await walk({path: partial(check, path) for path in DECISIONS})


# What the running servers tell of themselves: nothing that comes later is forgotten


def _told(stack: Stack, component: str) -> dict[str, type[Message]]:
    """The request of every RPC that a running server tells of, by the RPC's path."""
    way = stack.way_to(component)
    with (
        grpc.secure_channel(way.target, way.credentials, way.options)
        if way.credentials
        else grpc.insecure_channel(way.target)
    ) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(database)
        services: list[Any] = [pool.FindServiceByName(name) for name in database.get_services()]
        return {
            f"/{service.full_name}/{method.name}": message_factory.GetMessageClass(method.input_type)
            for service in services
            for method in service.methods
        }


def _empty_request(kind: type[Message], unit: str) -> Message:
    """A request that names a unit and says nothing else."""
    names = {"parent": unit, "name": f"{unit}/registrations/none"}
    fields = kind.DESCRIPTOR.fields_by_name
    field = next((name for name in names if name in fields), None)
    return kind(**{field: names[field]}) if field else kind()


@pytest.mark.parametrize("component", ["gateway", *INNER])
async def test_every_rpc_that_a_server_tells_of_is_in_the_table(stack: Stack, component: str) -> None:
    told = await asyncio.to_thread(_told, stack, component)
    assert set(methods_of(ALL_SERVICES[component])) < set(told)
    assert set(told) <= set(ACCESS)


async def test_every_rpc_that_the_gateway_tells_of_is_closed_to_whom_the_table_does_not_name(
    stack: Stack, gateway: Gateway, accounts: dict[str, DemoAccount], facts: Facts
) -> None:
    told = await asyncio.to_thread(_told, stack, "gateway")

    async def check(caller: str) -> None:
        everywhere = {"staff": {ROLE_CUSTOMER_SERVICE}, "operator": {ROLE_OPERATOR}}.get(caller, set())
        membership = {"registrar": ROLE_REGISTRAR, "teacher": ROLE_MAIN_USER}
        expected, answers = {}, {}
        for path, request in told.items():
            rule = ACCESS[path]
            if isinstance(rule, Anyone):
                continue
            assert isinstance(rule, Accounts), path
            for unit in (facts.library, facts.school):
                own = unit == _unit_of(accounts, caller)
                anywhere = rule.whose is Whose.NOBODY and caller in membership
                held = everywhere | ({membership[caller]} if own or anywhere else set())
                known = own or rule.whose is not Whose.UNIT
                outside = "PERMISSION_DENIED" if known else "NOT_FOUND UNIT_NOT_FOUND"
                refused_with = "UNAUTHENTICATED" if caller == "anybody" else outside
                expected[path, unit] = "let in" if rule.roles & held else refused_with
                body = _empty_request(request, unit)
                answers[path, unit] = await _let_in(gateway, path, body.SerializeToString(), caller)
        assert answers == expected
        assert ("let in" in answers.values()) == (caller != "anybody")

    callers = ("registrar", "teacher", "staff", "operator", "anybody")
    await walk({caller: partial(check, caller) for caller in callers})


def _unit_of(accounts: dict[str, DemoAccount], caller: str) -> str:
    return accounts[caller].unit if caller in accounts else ""


async def _let_in(gateway: Gateway, path: str, body: bytes, caller: str) -> str:
    try:
        await gateway.call(path, body, caller)
    except grpc.aio.AioRpcError as error:
        code, reason = outcome(Refusal.from_rpc_error(error))
        if code in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            return code
        if reason == "UNIT_NOT_FOUND":
            return f"{code} {reason}"
    return "let in"


# Health


@pytest.mark.parametrize("component", ["gateway", *INNER])
async def test_health_answers_anybody(channels: Channels, component: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channels(component))
    for service in ("", *ALL_SERVICES[component]):
        request = health_pb2.HealthCheckRequest(service=service)
        assert (await stub.Check(request, timeout=60)).status == health_pb2.HealthCheckResponse.SERVING
        watched = stub.Watch(request, timeout=60)
        assert (await anext(aiter(watched))).status == health_pb2.HealthCheckResponse.SERVING
        watched.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.Check(health_pb2.HealthCheckRequest(service="liity.v1.Nothing"), timeout=60)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
