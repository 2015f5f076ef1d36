"""The step of a run that sends a mail: by it the mail is sent again if it comes back because of us.

Notification keeps it sealed with the mail's row, as it keeps neither text nor address. A repeated step makes
the same calls, with the same keys, on the data of that moment: it sends what came back, and nothing twice.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, get_type_hints

import tink
from google.protobuf.message import DecodeError
from temporalio import activity
from temporalio.api.common.v1 import Payloads
from temporalio.converter import DataConverter, WorkflowSerializationContext
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

Step = Callable[[Any], Awaitable[object]]

_PLACE = "mail-sent-again"
"""Stands for the workflow to which a sealed payload is bound."""

_step: ContextVar[tuple[str, Any] | None] = ContextVar("mailing_step", default=None)


class OriginInterceptor(Interceptor):
    """Remembers which step is running, and its input."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps every activity."""
        return _OriginInbound(next)


class _OriginInbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        (argument,) = input.args or (None,)
        with mailed_by(activity.info().activity_type, argument):
            return await super().execute_activity(input)


@contextmanager
def mailed_by(step: str, argument: object) -> Iterator[None]:
    """Mails within are sent again by this step."""
    token = _step.set((step, argument))
    try:
        yield
    finally:
        _step.reset(token)


async def sealed_origin() -> bytes:
    """The running step, sealed; empty if it has no input to be repeated with."""
    running = _step.get()
    if running is None or running[1] is None:
        return b""
    sealed = await _converter().encode(running)
    return Payloads(payloads=sealed).SerializeToString()


async def send_again(origin: bytes, steps: Mapping[str, Step]) -> bool:
    """Repeats the step that sent a mail. False if it is none that may be repeated."""
    try:
        payloads = Payloads.FromString(origin).payloads
        (name,) = await _converter().decode(payloads[:1], [str])
    except (DecodeError, ValueError, RuntimeError, tink.TinkError):
        # For example, its key is no longer in the keyset.
        return False
    step = steps.get(name)
    if step is None:
        return False
    hints = get_type_hints(step)
    hints.pop("return", None)
    (input_type,) = hints.values()
    (argument,) = await _converter().decode(payloads[1:], [input_type])
    with mailed_by(name, argument):
        await step(argument)
    return True


def _converter() -> DataConverter:
    client = activity.client()
    return client.data_converter.with_context(
        WorkflowSerializationContext(namespace=client.namespace, workflow_id=_PLACE)
    )
