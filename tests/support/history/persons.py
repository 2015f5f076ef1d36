"""One customer per person (R18): over all units, readers and moments."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

from google.protobuf.message import Message

from liity.v1.customer_service_pb2 import Customer, SearchCustomersResponse
from liity.v1.registration_service_pb2 import ListRegistrationsResponse
from services.runtime.stages import NOT_BEGUN
from tests.support.history.records import ENDS, Act, History, last_part, messages_in, registration_of, those


def judge(history: History) -> Iterator[str]:
    """Tells where a person is two customers, or has two registrations in force."""
    yield from _one_customer(history)
    yield from _one_on_each_list(history)
    yield from _one_registration(history)


def _one_customer(history: History) -> Iterator[str]:
    found: dict[str, set[str]] = defaultdict(set)
    for call in history.calls:
        if call.answer is not None and call.about:
            found[call.about] |= set(_customers_in(call.answer))
    for code, customers in found.items():
        if len(customers) > 1:
            yield f"{code} is {len(customers)} customers: {', '.join(sorted(customers))}"


def _customers_in(answer: Message) -> Iterator[str]:
    for part in messages_in(answer):
        if isinstance(part, Customer):
            yield last_part(part.name)
        elif isinstance(part, SearchCustomersResponse):
            yield from (last_part(customer.name) for customer in part.customers)
        elif (name := getattr(part, "customer", "")) and isinstance(name, str):
            yield last_part(name)


def _one_on_each_list(history: History) -> Iterator[str]:
    """A page is one reading: nobody waits twice on it."""
    for call in history.calls:
        if isinstance(call.answer, ListRegistrationsResponse):
            waiting: dict[str, set[str]] = defaultdict(set)
            for registration in call.answer.registrations:
                if registration.stage in NOT_BEGUN and registration.customer_display_name:
                    waiting[registration.customer_display_name].add(registration.name)
            for name, registrations in waiting.items():
                if len(registrations) > 1:
                    yield f"{name} waits {len(registrations)} times on a page: {call}"


def _one_registration(history: History) -> Iterator[str]:
    """Two Saves make two registrations only if the first one has ended in between."""
    for code, acts in history.acts_by_person().items():
        saves = [save for save in those(acts, "RegisterCustomer") if save.acknowledged]
        ends = those(acts, *ENDS)
        for one, other in combinations(saves, 2):
            if registration_of(one) == registration_of(other):
                yield f"{code}: two Saves were answered with one registration: {one}; {other}"
            elif not any(_between(end, one, other) for end in ends):
                yield f"{code}: two Saves were acknowledged, and nothing ended between them: {one}; {other}"


def _between(end: Act, one: Act, other: Act) -> bool:
    return end.began <= max(one.ended, other.ended)
