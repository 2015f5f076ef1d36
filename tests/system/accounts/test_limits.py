"""How much of anything a caller gets of the running system, and that it answers everybody afterwards."""

import asyncio
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.message import Message

from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.auth_service_pb2 import LogInRequest, LogOutRequest, OrderPasswordRequest
from liity.v1.consent_service_pb2 import GetConsentRequestRequest
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_NOT_REGISTERED,
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
)
from tests.system.support.public_api import Gateway, outcome
from tests.system.support.public_api_facts import Facts
from tests.system.support.registering import save_request, settings

CHECK = "/liity.v1.RegistrationService/CheckPersonalIdentityCode"
REGISTER = "/liity.v1.RegistrationService/RegisterCustomer"
CONSENT = "/liity.v1.ConsentService/GetConsentRequest"
LOG_IN = "/liity.v1.AuthService/LogIn"
LOG_OUT = "/liity.v1.AuthService/LogOut"
ORDER = "/liity.v1.AuthService/OrderPassword"
PER_CALLER = (
    "LIITY_LINK_FAILURES_PER_CALLER",
    "LIITY_LOGIN_FAILURES_PER_CALLER",
    "LIITY_PASSWORD_ORDERS_PER_CALLER",
)
TOO_MANY_LOOK_UPS = ("RESOURCE_EXHAUSTED", "TOO_MANY_LOOK_UPS")

pytestmark = pytest.mark.usefixtures("forgiven")


def check(facts: Facts, code: str) -> CheckPersonalIdentityCodeRequest:
    return CheckPersonalIdentityCodeRequest(parent=facts.school, personal_identity_code=code)


async def test_a_registrar_looks_up_so_many_persons_and_learns_nothing_after_that(
    stack: Stack, gateway: Gateway, facts: Facts
) -> None:
    known, unknown = facts.child.personal_identity_code, facts.newcomer.personal_identity_code
    async with settings(stack, {"LIITY_LOOK_UPS_PER_ACCOUNT": "3"}, "registration"):
        for code, standing in (
            (known, STANDING_BEING_REGISTERED),
            (unknown, STANDING_NOT_REGISTERED),
        ):
            answer = await gateway.call(CHECK, check(facts, code), "teacher")
            assert isinstance(answer, CheckPersonalIdentityCodeResponse)
            assert answer.standing == standing
        # A Save that is refused tells who is registered, too.
        refusal = await gateway.refusal(REGISTER, save_request(facts.school, facts.child), "teacher")
        assert outcome(refusal) == ("ALREADY_EXISTS", "BEING_REGISTERED")
        for code in (known, unknown):
            refusal = await gateway.refusal(CHECK, check(facts, code), "teacher")
            assert outcome(refusal) == TOO_MANY_LOOK_UPS
            assert refusal.retry_after
        for person in (facts.child, facts.new_pupil):
            refusal = await gateway.refusal(REGISTER, save_request(facts.school, person), "teacher")
            assert outcome(refusal) == TOO_MANY_LOOK_UPS
        await gateway.call(CHECK, check(facts, known), "staff")


async def test_limits_count_the_address_that_a_trusted_frontend_names_and_no_other(
    stack: Stack, gateway: Gateway, facts: Facts
) -> None:
    """Wrong links, wrong passwords and orders of a password: each browser behind a frontend by itself."""
    good = GetConsentRequestRequest(token=facts.consent.good)
    wrong = GetConsentRequestRequest(token="x" * 50)

    def log_in() -> LogInRequest:
        return LogInRequest(email=f"{new_request_id()}@koulu.example", password="not the password")

    def order() -> OrderPasswordRequest:
        email = f"{new_request_id()}@koulu.example"
        return OrderPasswordRequest(email=email, request_id=new_request_id())

    tries: list[tuple[str, Callable[[], Message], str]] = [
        (CONSENT, lambda: wrong, "NOT_FOUND"),
        (LOG_IN, log_in, "UNAUTHENTICATED"),
        (ORDER, order, "OK"),
    ]

    async def tried(method: str, request: Message, forwarded: str) -> str:
        try:
            await gateway.send(method, request, ("x-forwarded-for", forwarded))
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    async with settings(stack, dict.fromkeys(PER_CALLER, "2"), "identity"):
        async with settings(stack, {"LIITY_TRUSTED_PROXIES": '["127.0.0.0/8"]'}, "gateway"):
            for method, request, admitted in tries:
                for number in range(2):
                    # What the caller adds itself changes nothing.
                    assert await tried(method, request(), f"198.51.100.{number}, 192.0.2.1") == admitted
                assert await tried(method, request(), "198.51.100.9, 192.0.2.1") == "RESOURCE_EXHAUSTED"
                assert await tried(method, request(), "192.0.2.2") == admitted
            assert await tried(CONSENT, good, "192.0.2.1") == "OK"
        async with settings(stack, {"LIITY_TRUSTED_PROXIES": "[]"}, "gateway"):
            # Nobody is believed any more: all are one caller, who has done nothing wrong yet.
            for method, request, admitted in tries:
                for number in range(2):
                    assert await tried(method, request(), f"203.0.113.{number}") == admitted
                assert await tried(method, request(), "203.0.113.9") == "RESOURCE_EXHAUSTED"
            assert await tried(CONSENT, good, "203.0.113.9") == "OK"


async def test_headers_too_large_are_refused_and_the_next_call_is_answered(gateway: Gateway) -> None:
    request = LogOutRequest(refresh_token="none of ours")
    for size in (20 * 1024, 200 * 1024):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await gateway.send(LOG_OUT, request, ("x-filler", "x" * size))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await gateway.send(LOG_OUT, request)


async def test_more_calls_than_a_connection_carries_take_turns_or_are_to_be_repeated(
    gateway: Gateway,
) -> None:
    request = LogOutRequest(refresh_token="none of ours")
    calls = (gateway.send(LOG_OUT, request) for _ in range(600))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) < len(answers)
    assert {error.code() if isinstance(error, grpc.aio.AioRpcError) else error for error in refused} <= {
        grpc.StatusCode.UNAVAILABLE
    }
    await gateway.send(LOG_OUT, request)
