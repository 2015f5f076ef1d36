"""A chaos run: lives beside faults, then quiet until all has settled, then a last reading of everything."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from deploy.local.stack import Stack
from liity.v1.customer_service_pb2 import GetCustomerRequest, SearchCustomersRequest
from liity.v1.registration_pb2 import STAGE_RECEIVED, Registration
from liity.v1.registration_service_pb2 import GetRegistrationRequest, RegisterCustomerResponse
from services.runtime.stages import STARTING
from tests.support.history.mailing import lost
from tests.support.history.records import History, last_part
from tests.system.failures.chaos.faults import Faults
from tests.system.failures.chaos.lives import AdultLife, ChildLife, look_around
from tests.system.failures.chaos.people import People, people_of
from tests.system.support.registering import MailCounter

_AT_ONCE = 24
"""Persons to whom something happens at the same time."""

_CHILDREN = 0.4

_SETTLED = 900.0
"""Seconds until all must have come to its end: what reconciliation repairs takes it up to seven minutes."""

_PAUSE = 1.0
"""Seconds between two looks at lists, and at what is not settled yet."""


@dataclass
class Ran:
    """A run that is over."""

    history: History
    injected: Counter[str]

    def summary(self) -> str:
        """Its figures, in one line."""
        calls = self.history.calls
        unanswered = sum(call.answer is None and call.refused is None for call in calls)
        saves = [act for act in self.history.acts() if act.rpc == "RegisterCustomer" and act.acknowledged]
        return (
            f"{len(calls)} calls ({unanswered} not answered), {len(saves)} Saves acknowledged,"
            f" {len(self.history.mails)} mails, {self.injected.total()} faults"
        )


async def run(stack: Stack, mails: MailCounter, seed: int, seconds: float) -> Ran:
    """Lets people live and components fail for some seconds."""
    chance = random.Random(seed)  # noqa: S311 - nobody's secret
    history = History()
    faults = Faults(stack, mails, random.Random(chance.random()))  # noqa: S311
    async with people_of(stack, history) as people, people.mailbox.watched():
        end = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(faults.inject_until(end))
            group.create_task(_look_until(people, random.Random(chance.random()), end))  # noqa: S311
            for _ in range(_AT_ONCE):
                group.create_task(_live_until(people, random.Random(chance.random()), end))  # noqa: S311
        await _settle(people)
        await _read_all(people)
    return Ran(history, faults.injected)


async def _live_until(people: People, chance: random.Random, end: float) -> None:
    while asyncio.get_running_loop().time() < end:
        kind = ChildLife if chance.random() < _CHILDREN else AdultLife
        await kind.of_somebody(people, chance).live()


async def _look_until(people: People, chance: random.Random, end: float) -> None:
    while asyncio.get_running_loop().time() < end:
        await look_around(people, chance)
        await asyncio.sleep(_PAUSE)


async def _settle(people: People) -> None:
    """Waits until nothing is on its way; after a generous time the judges tell what still is."""
    waiting = set(_saved(people))
    deadline = asyncio.get_running_loop().time() + _SETTLED
    while (waiting or any(lost(people.history))) and asyncio.get_running_loop().time() < deadline:
        for code, registration_id in sorted(waiting):
            found = await _read(people, code, registration_id)
            moving = found is not None and (
                found.stage in (STAGE_RECEIVED, *STARTING) or found.HasField("decline_end_time")
            )
            if not moving:
                waiting.remove((code, registration_id))
        await asyncio.sleep(_PAUSE)


async def _read_all(people: People) -> None:
    """Customer service reads every registration, and searches everybody in all units."""
    staff = people.staff
    for code, registration_id in sorted(_saved(people)):
        await _read(people, code, registration_id)
    for code, first_names in people.codes.items():
        search = SearchCustomersRequest(parent="units/-", query=first_names)
        found = await staff.call(staff.api.customers.SearchCustomers, search, code)
        for customer in found.customers if found is not None else ():
            request = GetCustomerRequest(name=customer.name)
            await staff.call(staff.api.customers.GetCustomer, request, code)
            owner = people.unit(customer.name).registrars[0]
            await owner.call(owner.api.customers.GetCustomer, request, code)


def _saved(people: People) -> set[tuple[str, str]]:
    """The codes and IDs of all registrations of acknowledged Saves."""
    return {
        (call.about, last_part(call.answer.registration.name))
        for call in people.history.calls
        if isinstance(call.answer, RegisterCustomerResponse)
    }


async def _read(people: People, code: str, registration_id: str) -> Registration | None:
    """A registration, in whichever unit it now is; None if it is in none."""
    staff = people.staff
    for unit in people.units:
        request = GetRegistrationRequest(name=f"{unit.name}/registrations/{registration_id}")
        found = await staff.call(staff.api.registrations.GetRegistration, request, code)
        if found is not None:
            return found.registration
    return None
