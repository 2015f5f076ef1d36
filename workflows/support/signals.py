"""Signals and cancellations from Temporal UI and CLI, which may be wrong."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from liity.v1.actor_pb2 import ACTOR_KIND_OPERATOR, Actor
from services.runtime.rpc.context import set_current_actor
from services.runtime.temporal.names import RegistrationWorkflowNames
from workflows.support.operators import CANCELLATION_IGNORED, Operated

_SAYING = frozenset({RegistrationWorkflowNames.MOVED, RegistrationWorkflowNames.RESUMED})
"""Signals of other runs that need a body. These, too, only make a run check its row."""


class SignalInterceptor(Interceptor):
    """Drops wrong signals and handles cancellations.

    Otherwise a wrong signal would block or fail the run, and a cancellation would end it.
    """

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type["_SignalInbound"]:  # noqa: A002, ARG002
        """Wraps every run."""
        return _SignalInbound


class DroppedSignals(logging.Filter):
    """The SDK logs a signal whose body is no message as an error with a stack trace: a warning is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keeps every line."""
        if "dropping the signal" in record.getMessage():
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
            record.exc_info = None
        return True


class _SignalInbound(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002, ANN401
        run = workflow.instance()
        if not isinstance(run, Operated):
            return await super().execute_workflow(input)
        story = asyncio.ensure_future(super().execute_workflow(input))
        taking: asyncio.Task[None] | None = None
        while not story.done():
            try:
                await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.cancelled() or story.cancelling():
                    # The worker evicts the run.
                    raise
                taking = asyncio.ensure_future(_take_cancellation(run))
        if taking is not None:
            await taking
        return story.result()

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002, ANN401
        if [isinstance(argument, Message) for argument in input.args] != [True]:
            # The handler's own error would fail the workflow task repeatedly.
            raise ApplicationError("The body must be one message of the expected type", non_retryable=True)
        return await super().handle_update_handler(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        if [type(argument) for argument in input.args] != list(_body(input.signal)) or not input.args:
            workflow.logger.warning("signal dropped: its body must be one message of the expected type")
            return
        body = input.args[0]
        if input.signal in _SAYING and not body.ByteSize() and workflow.patched("refuse-empty-signals"):
            workflow.logger.warning("signal dropped: its body is empty")
            return
        try:
            await super().handle_signal(input)
        except FailureError:
            workflow.logger.warning("signal dropped: a service refused the change")


def _body(signal: str) -> Sequence[type]:
    """The type that the run's handler of a signal takes: one message. Empty if there is no such handler."""
    # The SDK has no public access to definitions.
    handler = workflow._Definition.must_from_class(type(workflow.instance())).signals.get(signal)
    return handler.arg_types or () if handler else ()


async def _take_cancellation(run: Operated) -> None:
    set_current_actor(Actor(kind=ACTOR_KIND_OPERATOR))
    try:
        taken = await run.take_cancellation()
    except FailureError:
        workflow.logger.warning("cancellation ignored: a service refused the change")
        taken = False
    if not taken:
        run.cancellation_ignored = True
        details = workflow.get_current_details()
        workflow.set_current_details(f"{details}\n\n{CANCELLATION_IGNORED}")
