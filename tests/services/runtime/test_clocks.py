"""Clocks of two machines differ by seconds, and a component that is not recognised is no ended session."""

import time
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from typing_extensions import override

from liity.identity.v1 import account_service_pb2_grpc
from liity.identity.v1.account_service_pb2 import (
    Account,
    CheckSessionRequest,
    CheckSessionResponse,
    GetJwksRequest,
    GetJwksResponse,
)
from liity.v1.reason_pb2 import REASON_SESSION_ENDED, REASON_TOKEN_EXPIRED, REASON_UNAVAILABLE
from services.identity.accounts.token_issue import AccessTokens
from services.runtime.rpc.errors import Refusal, unauthenticated
from services.runtime.security import service_identity
from services.runtime.security.access_tokens import AccessTokenVerifier
from services.runtime.security.service_identity import (
    LEEWAY,
    ServiceIdentity,
    ServiceVerifier,
    create_service_keys,
)
from tests.services.conftest import peer, serving

OFF = LEEWAY - 5
"""Seconds by which the other machine's clock is off: as far as a token is still taken."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    return Clock(monkeypatch)


class Clock:
    """The clock of the machine that makes tokens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._time = time.time

    def be_off(self, seconds: float) -> None:
        """Sets the clock wrong."""
        self._monkeypatch.setattr(time, "time", lambda: self._time() + seconds)

    def be_right(self) -> None:
        """Sets the clock right."""
        self._monkeypatch.setattr(time, "time", self._time)


@pytest.mark.parametrize("seconds", [OFF, 2, -OFF - service_identity._LIFETIME])
def test_a_component_is_known_though_the_clocks_differ(keys_dir: Path, clock: Clock, seconds: int) -> None:
    clock.be_off(seconds)
    token = ServiceIdentity("gateway", keys_dir).token("identity")
    clock.be_right()
    assert ServiceVerifier("identity", keys_dir).verify(token) == "gateway"


@pytest.mark.parametrize("seconds", [LEEWAY + 10, -LEEWAY - 10 - service_identity._LIFETIME])
def test_a_clock_that_is_minutes_off_is_not_forgiven(keys_dir: Path, clock: Clock, seconds: int) -> None:
    clock.be_off(seconds)
    token = ServiceIdentity("gateway", keys_dir).token("identity")
    clock.be_right()
    with pytest.raises(Refusal):
        ServiceVerifier("identity", keys_dir).verify(token)


class Sessions(account_service_pb2_grpc.AccountServiceServicer):
    """Identity, as far as those who read access tokens call it."""

    def __init__(self, jwks: str) -> None:
        self._jwks = jwks
        self.ended = False

    @override
    async def GetJwks(self, _request: GetJwksRequest, _context: object) -> GetJwksResponse:
        return GetJwksResponse(jwks_json=self._jwks)

    @override
    async def CheckSession(self, _request: CheckSessionRequest, _context: object) -> CheckSessionResponse:
        if self.ended:
            raise unauthenticated(REASON_SESSION_ENDED)
        return CheckSessionResponse()


async def test_an_account_is_known_though_the_clocks_differ(keys_dir: Path, clock: Clock) -> None:
    tokens = AccessTokens(keys_dir, timedelta(minutes=5))
    sessions = Sessions(tokens.jwks_json)

    def add(server: grpc.aio.Server) -> None:
        account_service_pb2_grpc.add_AccountServiceServicer_to_server(sessions, server)

    async with (
        serving("identity", add, keys_dir) as target,
        peer("identity", target, keys_dir, "gateway") as identity,
    ):
        verifier = AccessTokenVerifier(identity)
        for seconds in (OFF, 2, -OFF - 300):
            clock.be_off(seconds)
            token = tokens.sign(Account(account_id="ac1", display_name="Riikka"), "se1").token
            clock.be_right()
            assert (await verifier.caller(token)).account_id == "ac1", seconds
        clock.be_off(-LEEWAY - 10 - 300)
        token = tokens.sign(Account(account_id="ac1", display_name="Riikka"), "se1").token
        clock.be_right()
        with pytest.raises(Refusal) as refused:
            await verifier.caller(token)
        assert refused.value.reason == REASON_TOKEN_EXPIRED


async def test_a_component_that_is_not_recognised_is_no_ended_session(keys_dir: Path, tmp_path: Path) -> None:
    """Keys being exchanged: the caller of the gateway repeats the call, and does not log in again."""
    create_service_keys(tmp_path)
    tokens = AccessTokens(keys_dir, timedelta(minutes=5))
    sessions = Sessions(tokens.jwks_json)
    token = tokens.sign(Account(account_id="ac1", display_name="Riikka"), "se1").token

    def add(server: grpc.aio.Server) -> None:
        account_service_pb2_grpc.add_AccountServiceServicer_to_server(sessions, server)

    async with serving("identity", add, keys_dir) as target:
        async with peer("identity", target, tmp_path, "gateway") as identity:
            with pytest.raises(Refusal) as refused:
                await AccessTokenVerifier(identity).caller(token)
        assert (refused.value.code, refused.value.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            REASON_UNAVAILABLE,
        )
        sessions.ended = True
        async with peer("identity", target, keys_dir, "gateway") as identity:
            with pytest.raises(Refusal) as refused:
                await AccessTokenVerifier(identity).caller(token)
        assert refused.value.reason == REASON_SESSION_ENDED
