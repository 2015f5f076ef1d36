"""What comes from Temporal UI and CLI: signals typed by hand, so they may be wrong, and cancellations."""

import asyncio
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
from workflows.support.operators import Operated

_SAYING = frozenset({RegistrationWorkflowNames.MOVED, RegistrationWorkflowNames.RESUMED})
"""Signals of runs that mean nothing without a body. The others of runs only have a run look how it stands."""


CANCELLATION_IGNORED = "A cancellation was asked for, and ignored: this run cannot be cancelled now."
"""What the details of a run tell then."""


class SignalInterceptor(Interceptor):
    """Lets a wrong signal change nothing, and a cancellation break nothing off.

    Without it the run would get stuck on the one, or fail, and be lost by the other.
    """

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type["_SignalInbound"]:  # noqa: A002, ARG002
        """Wraps every run."""
        return _SignalInbound


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
                    # The worker lets go of the run.
                    raise
                taking = asyncio.ensure_future(_take_cancellation(run))
        if taking is not None:
            await taking
        return story.result()

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002, ANN401
        if [isinstance(argument, Message) for argument in input.args] != [True]:
            # The handler's own error would fail the workflow task, again and again.
            raise ApplicationError("The body is not the one message that it takes", non_retryable=True)
        return await super().handle_update_handler(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        if [type(argument) for argument in input.args] != list(_body(input.signal)) or not input.args:
            workflow.logger.warning("signal dropped: its body is not the one message that it takes")
            return
        body = input.args[0]
        if input.signal in _SAYING and not body.ByteSize() and workflow.patched("refuse-empty-signals"):
            workflow.logger.warning("signal dropped: its body is empty")
            return
        try:
            await super().handle_signal(input)
        except FailureError:
            workflow.logger.warning("signal dropped: a service refused what it asks for")


def _body(signal: str) -> Sequence[type]:
    """The types of what the run's handler of a signal takes: one message. Empty if it has no such handler."""
    # The SDK has no public way to a definition.
    handler = workflow._Definition.must_from_class(type(workflow.instance())).signals.get(signal)
    return handler.arg_types or () if handler else ()


async def _take_cancellation(run: Operated) -> None:
    set_current_actor(Actor(kind=ACTOR_KIND_OPERATOR))
    try:
        taken = await run.take_cancellation()
    except FailureError:
        workflow.logger.warning("cancellation ignored: a service refused what it asks for")
        taken = False
    if not taken:
        details = workflow.get_current_details()
        workflow.set_current_details(f"{details}\n\n{CANCELLATION_IGNORED}")
