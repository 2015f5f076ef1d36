"""A history: calls with their answers, mails, and which calls are one act."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from liity.v1.registration_pb2 import Registration
from liity.v1.registration_service_pb2 import RegisterCustomerResponse

ENDS = ("WithdrawRegistration", "DeclineConsent", "RejectRegistration", "EndCustomership")
"""The RPCs that may end a registration or a customership."""

EDITS = ("UpdateCustomer", "UpdateRegistration")
"""The RPCs that change one version of a form."""


@dataclass(frozen=True)
class Caller:
    """Who calls. Customer service sees all units; who has neither a unit nor that role calls by a link."""

    name: str
    units: frozenset[str] = frozenset()
    """`units/{unit}`."""
    staff: bool = False


class Refused(NamedTuple):
    """A refusal by the system; no answer at all, and UNAVAILABLE, are none."""

    code: grpc.StatusCode
    reason: str
    """As in docs/reasons.md."""


@dataclass(frozen=True)
class Call:
    """One call. With neither answer nor refusal nobody knows whether it had an effect."""

    caller: Caller
    request: Message
    about: str
    """The personal identity code of whom it is about, as the caller knows; empty for lists."""
    began: float
    ended: float
    """Seconds since the epoch, as `began`."""
    answer: Message | None = None
    refused: Refused | None = None
    hung: bool = False
    """The client gave up, though the deadline had passed long before."""

    @property
    def rpc(self) -> str:
        """The RPC's name, which the request's has."""
        return self.request.DESCRIPTOR.name.removesuffix("Request")

    @property
    def request_id(self) -> str:
        """What makes repetitions one act; empty for a call that changes nothing."""
        return str(getattr(self.request, "request_id", ""))

    def __str__(self) -> str:
        said = (
            "answered" if self.answer is not None else self.refused.reason if self.refused else "not answered"
        )
        return f"{self.rpc} by {self.caller.name} about {self.about or 'nobody'} at {self.began:.3f}: {said}"


class Mail(NamedTuple):
    """A mail as a mail server took it."""

    template: str
    recipient: str
    message_id: str
    text: str
    time: float


@dataclass(frozen=True)
class Act:
    """A call that changes something, with its repetitions, in the order of their beginnings."""

    calls: Sequence[Call]

    @property
    def rpc(self) -> str:
        """The RPC's name."""
        return self.calls[0].rpc

    @property
    def request(self) -> Message:
        """What every repetition asks."""
        return self.calls[0].request

    @property
    def request_id(self) -> str:
        """What its repetitions share."""
        return self.calls[0].request_id

    @property
    def about(self) -> str:
        """Whom it is about."""
        return self.calls[0].about

    @property
    def began(self) -> float:
        """When it can have had its effect at the earliest."""
        return self.calls[0].began

    @cached_property
    def acknowledged(self) -> Call | None:
        """The call that was answered first; None if none was."""
        return min(
            (call for call in self.calls if call.answer is not None),
            key=lambda call: call.ended,
            default=None,
        )

    @property
    def ended(self) -> float:
        """When it had had its effect for sure; infinity if that is not known."""
        return self.acknowledged.ended if self.acknowledged else math.inf

    @property
    def may_have_happened(self) -> bool:
        """Whether not every call was refused; of an edit, whether the last one was not.

        An edit that was refused after a lost call has not happened, and cannot any more: its version is over.
        """
        if self.rpc in EDITS and self.acknowledged is None:
            return self.calls[-1].refused is None
        return any(call.refused is None for call in self.calls)

    def __str__(self) -> str:
        return str(self.acknowledged or self.calls[-1])


@dataclass
class History:
    """All calls and mails of a run."""

    calls: list[Call] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)

    def acts(self) -> list[Act]:
        """The calls that change something, repetitions together, in the order of their beginnings."""
        groups: dict[tuple[str, str, str], list[Call]] = defaultdict(list)
        for call in sorted(self.calls, key=lambda call: call.began):
            if call.request_id:
                groups[call.caller.name, call.rpc, call.request_id].append(call)
        return [Act(tuple(calls)) for calls in groups.values()]

    def acts_by_person(self) -> dict[str, list[Act]]:
        """Acts that may have happened, by the personal identity code they are about."""
        found: dict[str, list[Act]] = defaultdict(list)
        for act in self.acts():
            if act.may_have_happened and act.about:
                found[act.about].append(act)
        return found


def those(acts: Iterable[Act], *rpcs: str) -> list[Act]:
    """The acts by these RPCs."""
    return [act for act in acts if act.rpc in rpcs]


def last_part(name: str) -> str:
    """The ID at the end of a resource's name."""
    return name.rpartition("/")[2]


def unit_of(name: str) -> str:
    """`units/{unit}` of a resource's name."""
    return "/".join(name.split("/")[:2])


def messages_in(message: Message) -> Iterator[Message]:
    """A message and all messages in it."""
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.type == FieldDescriptor.TYPE_MESSAGE:
            for part in value if descriptor.is_repeated else (value,):
                yield from messages_in(part)


def texts_in(message: Message) -> Iterator[str]:
    """All texts in a message."""
    for part in messages_in(message):
        for descriptor, value in part.ListFields():
            if descriptor.type == FieldDescriptor.TYPE_STRING:
                yield from value if descriptor.is_repeated else (value,)


def registrations_in(message: Message) -> Iterator[Registration]:
    """All registrations in an answer."""
    for part in messages_in(message):
        if isinstance(part, Registration):
            yield part


def registration_of(act: Act) -> str:
    """The ID of the registration that an acknowledged Save was answered with; empty for other acts."""
    answer = act.acknowledged.answer if act.acknowledged else None
    return last_part(answer.registration.name) if isinstance(answer, RegisterCustomerResponse) else ""
