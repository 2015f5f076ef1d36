"""What is known of the call being served: who calls, in which language, under which trace."""

from contextvars import ContextVar
from dataclasses import dataclass

from liity.v1.customer_form_pb2 import LANGUAGE_FI, Language
from services.runtime.access import Caller


@dataclass(frozen=True)
class RequestContext:
    """The call being served."""

    caller: Caller
    language: Language.ValueType = LANGUAGE_FI
    trace_id: str = ""
    peer: str = ""


_current: ContextVar[RequestContext] = ContextVar("liity_request")


def current_request() -> RequestContext:
    """The call being served; an anonymous one outside of any."""
    return _current.get(RequestContext(Caller()))


def set_current_request(context: RequestContext) -> None:
    """Remembers the call for the task that serves it."""
    _current.set(context)
