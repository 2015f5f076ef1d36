"""Context of the call being served: caller, language, actor."""

import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from liity.v1.actor_pb2 import ACTOR_KIND_SYSTEM, Actor
from liity.v1.customer_form_pb2 import LANGUAGE_FI, Language
from services.runtime.security.access import Caller


@dataclass(frozen=True)
class RequestContext:
    """Caller, language and data subjects of the call being served."""

    caller: Caller
    language: Language.ValueType = LANGUAGE_FI
    subjects: set[str] = field(default_factory=set)
    """IDs of persons whose data the call touches, beyond those its response names: for the log of use."""
    invisible_signs: Mapping[str, int] = field(default_factory=dict)
    """How many signs that nobody sees were removed from the call's texts, by path."""


_current: ContextVar[RequestContext] = ContextVar("liity_request")

_actor: ContextVar[Actor] = ContextVar("liity_actor")
_SYSTEM = Actor(kind=ACTOR_KIND_SYSTEM)


def current_request() -> RequestContext:
    """The context of the call being served; an anonymous one outside of any call."""
    return _current.get(RequestContext(Caller()))


def set_current_request(context: RequestContext) -> None:
    """Sets the context for the task that serves the call."""
    _current.set(context)


def current_actor() -> Actor:
    """The actor for whom this task works; by default the system. Must not be changed."""
    return _actor.get(_SYSTEM)


def set_current_actor(actor: Actor) -> None:
    """Sets the actor for whom this task works; every call it makes names that actor."""
    _actor.set(actor)


def own_request_id(request_id: str, account_id: str) -> str:
    """The `request_id` by which inner services know an account's call.

    A repeated ID gets the first call's answer: it must not answer another account.
    """
    return str(uuid.uuid5(uuid.UUID(request_id), account_id))
