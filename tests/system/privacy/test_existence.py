"""Who may not know whether somebody or something exists is not told: not by the answer, not by the work.

The work is what the components log of it: which RPCs each call led to, found by the call's trace ID.
"""

import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import grpc
import pytest
from google.protobuf.message import Message

from deploy.demo.polling import eventually
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.auth_service_pb2 import LogInRequest, RefreshSessionRequest
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    ListRegistrationsRequest,
)
from tests.system.support.calls import CALLS, right
from tests.system.support.public_api import Gateway, Stores, authorization
from tests.system.support.public_api_facts import Facts
from tests.system.support.registering import PATIENCE, save_request, settings
from tests.system.support.walks import walk

SERVERS = ("gateway", "identity", "registration", "notification")
NOBODYS = "0" * 32

pytestmark = pytest.mark.usefixtures("forgiven")


@pytest.fixture(scope="module", autouse=True)
async def _talkative(stack: Stack) -> AsyncIterator[None]:
    """Every RPC is logged, also those that succeed."""
    async with settings(stack, {"LIITY_LOG_LEVEL": "DEBUG"}, *SERVERS):
        yield


@dataclass(frozen=True)
class Pair:
    """Two requests of one caller, about what is there and about what is not."""

    rpc: str
    caller: str
    there: Callable[[Facts, dict[str, DemoAccount]], Message]
    not_there: Callable[[Facts, dict[str, DemoAccount]], Message]
    code: str = "NOT_FOUND"


def _log_in(email: str) -> LogInRequest:
    return LogInRequest(email=email, password="not the password")


def _check(unit: str, code: str) -> CheckPersonalIdentityCodeRequest:
    return CheckPersonalIdentityCodeRequest(parent=unit, personal_identity_code=code)


def _forged(token: str) -> str:
    """A real link's token with one bit of its seal wrong."""
    sealed = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    sealed[-1] ^= 1
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _made_up(token: str) -> str:
    """A token as long as a real one, of nothing."""
    return base64.urlsafe_b64encode(bytes(range(200)))[: len(token)].decode()


def _elsewhere(name: str, facts: Facts) -> str:
    """A registration of the library, named as if it were the school's."""
    return f"{facts.school}/registrations/{name.rpartition('/')[2]}"


_REGISTRATIONS = "liity.v1.RegistrationService"
_OTHERS = ("GetRegistration", "RecordConsent", "UpdateRegistration", "WithdrawRegistration")
_LINKS = tuple(path.removeprefix("/") for path, call in CALLS.items() if call.link == "consent")
_CHOOSE = "liity.v1.CredentialService/ChoosePassword"


def _pair(
    rpc: str,
    caller: str,
    field: str,
    there: Callable[[Facts], str],
    not_there: Callable[[Facts], str],
) -> Pair:
    """A pair of requests that differ in a name or a token."""
    return Pair(
        rpc,
        caller,
        lambda facts, _: right(f"/{rpc}", facts, **{field: there(facts)}),
        lambda facts, _: right(f"/{rpc}", facts, **{field: not_there(facts)}),
    )


PAIRS = {
    "account at log-in": Pair(
        "liity.v1.AuthService/LogIn",
        "anybody",
        lambda _, accounts: _log_in(accounts["teacher"].email),
        lambda *_: _log_in(f"{uuid.uuid4().hex}@koulu.example"),
        "UNAUTHENTICATED",
    ),
    "another's unit, listed": Pair(
        f"{_REGISTRATIONS}/ListRegistrations",
        "teacher",
        lambda facts, _: ListRegistrationsRequest(parent=facts.library),
        lambda *_: ListRegistrationsRequest(parent=f"units/{NOBODYS}"),
    ),
    "person, asked for another's unit": Pair(
        f"{_REGISTRATIONS}/CheckPersonalIdentityCode",
        "teacher",
        lambda facts, _: _check(facts.library, facts.adult.personal_identity_code),
        lambda facts, _: _check(facts.library, facts.newcomer.personal_identity_code),
    ),
    "person, asked for by an operator": Pair(
        f"{_REGISTRATIONS}/CheckPersonalIdentityCode",
        "operator",
        lambda facts, _: _check(facts.library, facts.adult.personal_identity_code),
        lambda facts, _: _check(facts.library, facts.newcomer.personal_identity_code),
    ),
    "person, asked for by nobody": Pair(
        f"{_REGISTRATIONS}/CheckPersonalIdentityCode",
        "anybody",
        lambda facts, _: _check(facts.library, facts.adult.personal_identity_code),
        lambda facts, _: _check(facts.library, facts.newcomer.personal_identity_code),
        "UNAUTHENTICATED",
    ),
    "person, saved in another's unit": Pair(
        f"{_REGISTRATIONS}/RegisterCustomer",
        "teacher",
        lambda facts, _: save_request(facts.library, facts.adult),
        lambda facts, _: save_request(facts.library, facts.newcomer),
    ),
    **{
        f"another's registration, {rpc}": _pair(
            f"{_REGISTRATIONS}/{rpc}",
            "teacher",
            "name",
            lambda facts: facts.active.name,
            lambda facts: f"{facts.library}/registrations/{NOBODYS}",
        )
        for rpc in _OTHERS
    },
    **{
        f"another's registration by one's own unit's name, {rpc}": _pair(
            f"{_REGISTRATIONS}/{rpc}",
            "teacher",
            "name",
            lambda facts: _elsewhere(facts.active.name, facts),
            lambda facts: f"{facts.school}/registrations/{NOBODYS}",
        )
        for rpc in _OTHERS
    },
    **{
        f"link, {rpc}": _pair(
            rpc,
            "anybody",
            "token",
            lambda facts: _forged(facts.consent.good),
            lambda facts: _made_up(facts.consent.good),
        )
        for rpc in _LINKS
    },
    **{
        f"link for another purpose, {rpc}": _pair(
            rpc,
            "anybody",
            "token",
            lambda facts: facts.password.good,
            lambda facts: _made_up(facts.password.good),
        )
        for rpc in _LINKS
    },
    "link, ChoosePassword": _pair(
        _CHOOSE,
        "anybody",
        "token",
        lambda facts: _forged(facts.password.good),
        lambda facts: _made_up(facts.password.good),
    ),
    "session": Pair(
        "liity.v1.AuthService/RefreshSession",
        "anybody",
        lambda facts, _: RefreshSessionRequest(refresh_token=facts.consent.good, request_id=new_request_id()),
        lambda facts, _: RefreshSessionRequest(
            refresh_token=_made_up(facts.consent.good), request_id=new_request_id()
        ),
        "UNAUTHENTICATED",
    ),
}


async def test_neither_answer_nor_work_tell_whether_it_is_there(
    stack: Stack, gateway: Gateway, facts: Facts, accounts: dict[str, DemoAccount], stores: Stores
) -> None:
    async def check(pair: Pair) -> None:
        there = await _tried(stack, gateway, pair, pair.there(facts, accounts))
        not_there = await _tried(stack, gateway, pair, pair.not_there(facts, accounts))
        assert there == not_there
        (code, _, _), work = there
        assert code == pair.code
        assert work[-1] == ("gateway", f"/{pair.rpc}")
        await stores.forget_attempts()

    await walk({what: partial(check, pair) for what, pair in PAIRS.items()})


async def test_the_work_of_a_call_is_seen(stack: Stack, gateway: Gateway, facts: Facts) -> None:
    trace_id, logs = uuid.uuid4().hex, NewLines(stack)
    check = _check(facts.library, facts.adult.personal_identity_code)
    token = authorization(gateway.token("registrar"))
    path = f"/{_REGISTRATIONS}/CheckPersonalIdentityCode"
    await gateway.send(path, check, ("x-request-id", trace_id), *token)

    assert await _work(logs, trace_id, path) == [
        ("identity", "/liity.identity.v1.AccountService/CheckSession"),
        ("identity", "/liity.identity.v1.PersonService/FindPerson"),
        ("registration", "/liity.registration.v1.RegistrationService/LookUpPerson"),
        ("registration", "/liity.registration.v1.UseLogService/RecordUse"),
        ("gateway", path),
    ]


async def _tried(
    stack: Stack, gateway: Gateway, pair: Pair, request: Message
) -> tuple[tuple[str, str | None, tuple[tuple[str, bytes | str], ...]], list[tuple[str, str]]]:
    """All of the refusal, and the RPCs it took."""
    trace_id, logs = uuid.uuid4().hex, NewLines(stack)
    metadata = authorization(gateway.token(pair.caller))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await gateway.send(f"/{pair.rpc}", request, ("x-request-id", trace_id), *metadata)
    answer = (error.value.code().name, error.value.details(), tuple(error.value.trailing_metadata() or ()))
    return answer, await _work(logs, trace_id, f"/{pair.rpc}")


class NewLines:
    """What the servers log from now on."""

    def __init__(self, stack: Stack) -> None:
        self._logs = {name: stack.logs / f"{name}.log" for name in SERVERS}
        self._begins = {name: path.stat().st_size for name, path in self._logs.items()}

    def read(self) -> Iterator[tuple[str, str]]:
        """Each line, with the server whose it is."""
        for name, path in self._logs.items():
            with path.open("rb") as log:
                log.seek(self._begins[name])
                for line in log:
                    yield name, line.decode()


async def _work(logs: NewLines, trace_id: str, path: str) -> list[tuple[str, str]]:
    """The RPCs that a call led to, in the order they ended; once the call's own line is there."""

    async def read() -> list[tuple[str, str]]:
        found = []
        for name, line in logs.read():
            told = json.loads(line) if trace_id in line else {}
            # The keys of tokens are fetched now and then, whatever the call.
            if told.get("event") == "rpc" and not told["method"].endswith("/GetJwks"):
                found.append((told["timestamp"], name, told["method"]))
        return [(name, method) for _, name, method in sorted(found)]

    return await eventually(read, lambda work: ("gateway", path) in work, PATIENCE)
