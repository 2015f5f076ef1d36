"""Signals from Temporal UI and CLI: typed by hand, so they may be wrong."""

from temporalio import workflow
from temporalio.exceptions import FailureError
from temporalio.worker import (
    HandleSignalInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from liity.workflows.v1.class_list_workflow_pb2 import CancelClassListRequest
from liity.workflows.v1.invitation_workflow_pb2 import InvitationAccepted, WithdrawInvitation
from liity.workflows.v1.message_workflow_pb2 import MessageClosed
from liity.workflows.v1.need_workflow_pb2 import NeedChanged
from liity.workflows.v1.registration_workflow_pb2 import (
    AddressChanged,
    Adopt,
    CustomershipEnded,
    DeclineConsentRequest,
    Merged,
    Moved,
    ReactivateRequest,
    RecordConsentRequest,
    RejectRequest,
    Resumed,
    VerifyIdentityRequest,
    WithdrawRequest,
)
from liity.workflows.v1.removal_workflow_pb2 import Returned, UndoRequest
from services.runtime.temporal import (
    ClassListWorkflowNames,
    InvitationWorkflowNames,
    MessageWorkflowNames,
    NeedWorkflowNames,
    RegistrationWorkflowNames,
    RemovalWorkflowNames,
)

_BODIES = {
    RegistrationWorkflowNames.RECORD_CONSENT: RecordConsentRequest,
    RegistrationWorkflowNames.DECLINE_CONSENT: DeclineConsentRequest,
    RegistrationWorkflowNames.WITHDRAW: WithdrawRequest,
    RegistrationWorkflowNames.MOVED: Moved,
    RegistrationWorkflowNames.ADDRESS_CHANGED: AddressChanged,
    ClassListWorkflowNames.CANCEL: CancelClassListRequest,
    RegistrationWorkflowNames.CUSTOMERSHIP_ENDED: CustomershipEnded,
    RegistrationWorkflowNames.RESUMED: Resumed,
    RemovalWorkflowNames.UNDO: UndoRequest,
    RemovalWorkflowNames.RETURNED: Returned,
    NeedWorkflowNames.CHANGED: NeedChanged,
    RegistrationWorkflowNames.REACTIVATE: ReactivateRequest,
    RegistrationWorkflowNames.VERIFY_IDENTITY: VerifyIdentityRequest,
    RegistrationWorkflowNames.REJECT: RejectRequest,
    InvitationWorkflowNames.WITHDRAW: WithdrawInvitation,
    InvitationWorkflowNames.ACCEPTED: InvitationAccepted,
    MessageWorkflowNames.CLOSED: MessageClosed,
    RegistrationWorkflowNames.MERGED: Merged,
    RegistrationWorkflowNames.ADOPT: Adopt,
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
