"""Signals from Temporal UI and CLI: typed by hand, so they may be wrong."""

from temporalio import workflow
from temporalio.exceptions import FailureError
from temporalio.worker import (
    HandleSignalInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    RecordConsentRequest,
    WithdrawRequest,
)
from services.runtime.temporal import RegistrationWorkflowNames

_BODIES = {
    RegistrationWorkflowNames.RECORD_CONSENT: RecordConsentRequest,
    RegistrationWorkflowNames.DECLINE_CONSENT: DeclineConsentRequest,
    RegistrationWorkflowNames.WITHDRAW: WithdrawRequest,
}
"""The message that each signal takes."""


class SignalInterceptor(Interceptor):
    """Lets a wrong signal change nothing: without it, the run would get stuck on it, or fail."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type["_SignalInbound"]:  # noqa: A002, ARG002
        """Wraps every run."""
        return _SignalInbound


class _SignalInbound(WorkflowInboundInterceptor):
    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        if [type(argument) for argument in input.args] != [_BODIES.get(input.signal)]:
            workflow.logger.warning("signal dropped: its body is not the one message that it takes")
            return
        try:
            await super().handle_signal(input)
        except FailureError:
            workflow.logger.warning("signal dropped: a service refused what it asks for")
