"""What is known of the call being served: who calls, in which language, and on whose behalf."""

import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field

from liity.v1.actor_pb2 import ACTOR_KIND_SYSTEM, Actor
from liity.v1.customer_form_pb2 import LANGUAGE_FI, Language
from services.runtime.security.access import Caller


@dataclass(frozen=True)
class RequestContext:
    """The call being served."""

    caller: Caller
    language: Language.ValueType = LANGUAGE_FI
    subjects: set[str] = field(default_factory=set)
    """IDs of those whose data the call touches, beyond those its answer names: for the log of use."""


_current: ContextVar[RequestContext] = ContextVar("liity_request")

_actor: ContextVar[Actor] = ContextVar("liity_actor")
_SYSTEM = Actor(kind=ACTOR_KIND_SYSTEM)


def current_request() -> RequestContext:
    """The call being served; an anonymous one outside of any."""
    return _current.get(RequestContext(Caller()))


def set_current_request(context: RequestContext) -> None:
    """Remembers the call for the task that serves it."""
    _current.set(context)


def current_actor() -> Actor:
    """On whose behalf this task works; the system's own if on nobody's. Not to be changed."""
    return _actor.get(_SYSTEM)


def set_current_actor(actor: Actor) -> None:
    """Remembers on whose behalf this task works: every call it makes says so."""
    _actor.set(actor)


def own_request_id(request_id: str, account_id: str) -> str:
    """An account's own `request_id`, as all that serves the call knows it.

    A repeated ID is answered with what the first call has come to: it must not answer to another account.
    """
    return str(uuid.uuid5(uuid.UUID(request_id), account_id))
