"""The seal of an actor: good for one message, for a while, under our keys."""

from datetime import timedelta

import pytest
import tink
from temporalio.api.common.v1 import Payload

from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from services.runtime.clock import now
from services.runtime.security.keys import TEMPLATES, KeysetPurpose
from services.runtime.temporal.actor_header import (
    HEADER,
    ActorSeal,
    activity_of,
    start_of,
    unsealed_actor,
    update_of,
)

ACTOR = Actor(kind=ACTOR_KIND_ACCOUNT, account_id="account-of-the-registrar", trace_id="tr1")
UPDATE = update_of("registration/p1", "withdraw", "withdraw/r1")
OTHERS = [
    update_of("registration/p1", "withdraw", "withdraw/r2"),
    update_of("registration/p1", "edit", "withdraw/r1"),
    update_of("registration/p2", "withdraw", "withdraw/r1"),
    activity_of("registration/p1", "withdraw"),
    start_of("registration/p1"),
]


def new_seal() -> ActorSeal:
    return ActorSeal(tink.new_keyset_handle(TEMPLATES[KeysetPurpose.PAYLOADS]))


def test_it_tells_the_actor_without_the_network_address() -> None:
    seal, told = new_seal(), Actor()
    told.CopyFrom(ACTOR)
    told.caller_address = "192.0.2.1"
    headers = seal.seal({}, told, UPDATE, now())
    assert seal.open(headers, UPDATE) == ACTOR
    assert ACTOR.account_id.encode() not in headers[HEADER].SerializeToString()


@pytest.mark.parametrize("message", OTHERS)
def test_it_is_good_for_its_message_alone(message: str) -> None:
    seal = new_seal()
    assert seal.open(seal.seal({}, ACTOR, UPDATE, now()), message) is None


def test_it_is_good_for_an_hour() -> None:
    seal, sealed = new_seal(), now()
    headers = seal.seal({}, ACTOR, UPDATE, sealed)
    assert seal.open(headers, UPDATE, sealed + timedelta(minutes=59)) == ACTOR
    assert seal.open(headers, UPDATE, sealed - timedelta(minutes=59)) == ACTOR
    assert seal.open(headers, UPDATE, sealed + timedelta(minutes=61)) is None
    assert seal.open(headers, UPDATE, sealed - timedelta(minutes=61)) is None


def test_it_needs_our_key() -> None:
    headers = new_seal().seal({}, ACTOR, UPDATE, now())
    assert new_seal().open(headers, UPDATE) is None


@pytest.mark.parametrize("data", [b"", b"\x01", bytes(100)])
def test_what_is_damaged_tells_nobody(data: bytes) -> None:
    seal = new_seal()
    header = seal.seal({}, ACTOR, UPDATE, now())[HEADER]
    headers = {HEADER: Payload(metadata=header.metadata, data=data)}
    assert seal.open(headers, UPDATE) is None
    assert unsealed_actor(headers) is None


def test_an_unsealed_one_tells_nobody_but_to_a_replay() -> None:
    headers = {HEADER: Payload(metadata={"encoding": b"binary/protobuf"}, data=ACTOR.SerializeToString())}
    assert new_seal().open(headers, UPDATE) is None
    assert unsealed_actor(headers) == ACTOR
    assert unsealed_actor({}) is None
