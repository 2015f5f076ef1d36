"""How many persons somebody may look up, and that a look-up which is refused tells nothing."""

import secrets
from uuid import uuid4

from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_SYSTEM, Actor
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_TOO_MANY_LOOK_UPS,
)
from liity.v1.registration_service_pb2 import STANDING_NOT_REGISTERED
from services.runtime.rpc.context import set_current_actor
from tests.services.conftest import refused
from tests.services.registration.conftest import ServiceFactory
from tests.support.registration_forms import adult_form
from tests.support.registration_service import Service


def act(unit: Unit, account_id: str | None = None) -> str:
    """Has the test's next calls made on behalf of an account, for a unit."""
    account_id = account_id or uuid4().hex
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id=account_id, unit_id=unit.unit_id))
    return account_id


async def known_person(service: Service, unit: Unit) -> str:
    """Somebody who is registered in the unit."""
    person_id = secrets.token_hex(16)
    set_current_actor(Actor(kind=ACTOR_KIND_SYSTEM))
    await service.create(unit.unit_id, adult_form(), person_id=person_id)
    return person_id


async def test_an_account_may_look_up_so_many(service_with: ServiceFactory) -> None:
    """In all its units together, whether anybody is found or not; wherever it calls."""
    async with service_with(look_ups_per_account=4) as one, service_with(look_ups_per_account=4) as other:
        unit, second = await one.unit(), await one.unit()
        person_id = await known_person(one, unit)
        account_id = act(unit)
        await one.look_up(person_id, unit.unit_id)
        assert (await other.look_up("", unit.unit_id)).standing == STANDING_NOT_REGISTERED
        act(second, account_id)
        await one.look_up(secrets.token_hex(16), second.unit_id)
        await other.look_up(person_id, second.unit_id)
        refusals = [
            await refused(service.look_up(whom, second.unit_id))
            for service in (one, other)
            for whom in (person_id, "", secrets.token_hex(16))
        ]
        assert {(refusal.code.name, refusal.reason, refusal.violations) for refusal in refusals} == {
            ("RESOURCE_EXHAUSTED", REASON_TOO_MANY_LOOK_UPS, ())
        }
        assert all(refusal.retry_after for refusal in refusals)
        act(unit)
        await one.look_up(person_id, unit.unit_id)


async def test_a_unit_may_look_up_so_many(service_with: ServiceFactory) -> None:
    async with service_with(look_ups_per_unit=3) as service:
        unit, second = await service.unit(), await service.unit()
        for _ in range(3):
            act(unit)
            await service.look_up("", unit.unit_id)
        act(unit)
        assert (await refused(service.look_up("", unit.unit_id))).reason == REASON_TOO_MANY_LOOK_UPS
        act(second)
        await service.look_up("", second.unit_id)


async def test_a_refused_save_counts_as_a_look_up(service_with: ServiceFactory) -> None:
    async with service_with(look_ups_per_account=2) as service:
        unit = await service.unit()
        person_id = await known_person(service, unit)
        act(unit)
        for _ in range(2):
            refusal = await refused(service.prepare(unit.unit_id, adult_form(), person_id=person_id))
            assert refusal.reason == REASON_ALREADY_REGISTERED_IN_THIS_UNIT
        assert (await refused(service.look_up("", unit.unit_id))).reason == REASON_TOO_MANY_LOOK_UPS


async def test_a_save_tells_no_more_than_a_look_up_would(service_with: ServiceFactory) -> None:
    async with service_with(look_ups_per_account=1) as service:
        unit = await service.unit()
        person_id = await known_person(service, unit)
        act(unit)
        await service.look_up("", unit.unit_id)
        for whom in (person_id, secrets.token_hex(16)):
            refusal = await refused(service.prepare(unit.unit_id, adult_form(), person_id=whom))
            assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", REASON_TOO_MANY_LOOK_UPS)


async def test_whoever_saves_strangers_is_not_limited(service_with: ServiceFactory) -> None:
    async with service_with(look_ups_per_account=1) as service:
        unit = await service.unit()
        act(unit)
        for _ in range(4):
            await service.prepare(unit.unit_id, adult_form(), person_id=secrets.token_hex(16))
        await service.look_up("", unit.unit_id)


async def test_a_save_that_comes_too_late_counts_and_is_told_why(service_with: ServiceFactory) -> None:
    """A step that were refused the count would be tried again, to no end."""
    async with service_with(look_ups_per_account=2) as service:
        unit = await service.unit()
        person_id = await known_person(service, unit)
        act(unit)
        for _ in range(4):
            refusal = await refused(service.create(unit.unit_id, adult_form(), person_id=person_id))
            assert refusal.reason == REASON_ALREADY_REGISTERED_IN_THIS_UNIT
        assert (await refused(service.look_up("", unit.unit_id))).reason == REASON_TOO_MANY_LOOK_UPS


async def test_a_repeated_save_is_answered_beyond_the_limit(service_with: ServiceFactory) -> None:
    async with service_with(look_ups_per_account=1) as service:
        unit = await service.unit()
        person_id, request_id = secrets.token_hex(16), str(uuid4())
        made = await service.create(unit.unit_id, adult_form(), person_id=person_id, request_id=request_id)
        act(unit)
        await service.look_up("", unit.unit_id)
        again = await service.prepare(unit.unit_id, adult_form(), person_id=person_id, request_id=request_id)
        assert again == made.registration


async def test_what_runs_do_by_themselves_is_not_limited(service_with: ServiceFactory) -> None:
    async with service_with(look_ups_per_account=1, look_ups_per_unit=1) as service:
        unit = await service.unit()
        set_current_actor(Actor(kind=ACTOR_KIND_SYSTEM))
        for _ in range(3):
            await service.look_up("", unit.unit_id)
