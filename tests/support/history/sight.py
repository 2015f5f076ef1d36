"""Nobody sees what is not theirs: other units' resources, and who has moved away (R16) or ended (R19)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from google.protobuf.message import Message

from liity.v1.registration_service_pb2 import RegisterCustomerRequest
from tests.support.history.records import Act, History, texts_in, those, unit_of
from tests.support.history.registers import Write, possible

_PREFIX = "units/"
_ENDS = ("WithdrawRegistration", "RejectRegistration", "EndCustomership")


class _Person(NamedTuple):
    code: str
    units: Sequence[Write]
    """Where the person is a customer or waits; a Save adds a unit, a transfer leaves only one."""
    hidden: float
    """From when on registrars find the person no more; infinity if never."""


def judge(history: History) -> Iterator[str]:
    """Tells which answers to registrars name another unit's resource or person."""
    persons = _persons(history.acts_by_person())
    for call in history.calls:
        if call.answer is None or call.caller.staff or not call.caller.units:
            continue
        texts = list(texts_in(call.answer))
        for text in texts:
            if text.startswith(_PREFIX) and unit_of(text) not in call.caller.units:
                yield f"names {text}, which is not the caller's: {call}"
        for person in _named(texts, persons):
            if call.caller.units.isdisjoint(possible(person.units, call.began, call.ended)):
                yield f"tells {person.code}, who is in no unit of the caller: {call}"
            if person.hidden < call.began:
                yield f"tells {person.code}, whose registration or customership has ended: {call}"


def _persons(acts: Mapping[str, Sequence[Act]]) -> dict[str, _Person]:
    """Persons by their first names, which are nobody else's."""
    found = {}
    for code, about in acts.items():
        units = [
            Write(_unit(act.request), act.began, act.ended, replaces=act.rpc == "TransferCustomer")
            for act in those(about, "RegisterCustomer", "TransferCustomer")
        ]
        for save in those(about, "RegisterCustomer"):
            assert isinstance(save.request, RegisterCustomerRequest)
            found[save.request.form.first_names] = _Person(code, units, _hidden(about))
    return found


def _hidden(acts: Sequence[Act]) -> float:
    """When an end was acknowledged, if nothing may have made the person seen again."""
    again = len(those(acts, "RegisterCustomer")) > 1 or those(acts, "UndoRemoval", "Reactivate")
    return math.inf if again else min((end.ended for end in those(acts, *_ENDS)), default=math.inf)


def _unit(request: Message) -> str:
    return str(request.parent)  # type: ignore[attr-defined]


def _named(texts: Sequence[str], persons: Mapping[str, _Person]) -> list[_Person]:
    words = {word for text in texts for word in text.split()}
    return [persons[word] for word in words if word in persons]
