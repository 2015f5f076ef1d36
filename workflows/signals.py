"""Signals from Temporal UI and CLI: typed by hand, so they may be wrong."""

from inspect import signature

from temporalio import workflow
from temporalio.exceptions import FailureError
from temporalio.worker import (
    HandleSignalInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)


class SignalInterceptor(Interceptor):
    """Lets a wrong signal change nothing: without it, the run would get stuck on it, or fail."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type["_SignalInbound"]:  # noqa: A002, ARG002
        """Wraps every run."""
        return _SignalInbound


class _SignalInbound(WorkflowInboundInterceptor):
    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        if not _is_understood(input):
            workflow.logger.warning("signal dropped: its body is not the one message that it takes")
            return
        try:
            await super().handle_signal(input)
        except FailureError:
            workflow.logger.warning("signal dropped: a service refused what it asks for")


def _is_understood(signal: HandleSignalInput) -> bool:
    handler = workflow.get_signal_handler(signal.signal)
    if handler is None:
        return False
    wanted = [parameter.annotation for parameter in signature(handler).parameters.values()]
    return [type(argument) for argument in signal.args] == wanted
