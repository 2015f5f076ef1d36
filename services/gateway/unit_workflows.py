"""The gateway's way to the workflows about units and their registrars."""

import contextlib
import uuid
from typing import TypeVar

from google.protobuf.message import Message
from temporalio.client import WithStartWorkflowOperation
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from liity.identity.v1.registrar_service_pb2 import Invitation, InviteRegistrarRequest
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.reason_pb2 import REASON_UNAVAILABLE
from liity.workflows.v1.invitation_workflow_pb2 import (
    InvitationAccepted,
    InviteRequest,
    InviteResponse,
    WithdrawInvitation,
)
from liity.workflows.v1.unit_closing_workflow_pb2 import CloseRequest, CloseResponse
from services.gateway.workflow_starter import WorkflowStarter
from services.runtime.refused import to_refusal
from services.runtime.search_attributes import UNIT
from services.runtime.temporal import InvitationWorkflowNames, UnitClosingWorkflowNames
from services.runtime.updates import update_with_start

AnswerT = TypeVar("AnswerT", InviteResponse, CloseResponse)


class UnitWorkflows(WorkflowStarter):
    """Starts invitations and closings, and tells invitations what has become of them."""

    async def invite(self, request: InviteRegistrarRequest) -> Invitation:
        """Invites somebody to be a registrar of a unit."""
        workflow_id = InvitationWorkflowNames.workflow_id(uuid.UUID(request.request_id).hex)
        answer = await self._answer(
            InvitationWorkflowNames.WORKFLOW,
            workflow_id,
            "Invitation of a registrar",
            InvitationWorkflowNames.INVITE,
            InviteRequest(invite=request),
            InviteResponse,
            request_id=request.request_id,
            unit_id=request.unit_id,
        )
        return answer.invitation

    async def close(self, unit_id: str, request_id: str) -> Unit:
        """Closes a unit."""
        answer = await self._answer(
            UnitClosingWorkflowNames.WORKFLOW,
            UnitClosingWorkflowNames.workflow_id(unit_id),
            "Closing of a unit",
            UnitClosingWorkflowNames.CLOSE,
            CloseRequest(unit_id=unit_id),
            CloseResponse,
            request_id=request_id,
            unit_id=unit_id,
        )
        return answer.unit

    async def invitation_accepted(self, invitation_id: str) -> None:
        """Ends the run of an invitation that was accepted."""
        await self._tell(invitation_id, InvitationWorkflowNames.ACCEPTED, InvitationAccepted())

    async def invitation_withdrawn(self, invitation_id: str) -> None:
        """Ends the run of an invitation that was taken back."""
        await self._tell(invitation_id, InvitationWorkflowNames.WITHDRAW, WithdrawInvitation())

    async def _tell(self, invitation_id: str, signal: str, message: Message) -> None:
        run = self._temporal.get_workflow_handle(InvitationWorkflowNames.workflow_id(invitation_id))
        # A run that is not told finds out by itself before it does anything; a client that has not connected
        # yet raises RuntimeError.
        with contextlib.suppress(RPCError, RuntimeError):
            await run.signal(signal, message)

    async def _answer(
        self,
        workflow: str,
        workflow_id: str,
        summary: str,
        update: str,
        message: Message,
        answer_type: type[AnswerT],
        *,
        request_id: str,
        unit_id: str,
    ) -> AnswerT:
        def start() -> WithStartWorkflowOperation[object, object]:
            return WithStartWorkflowOperation(
                workflow,
                id=workflow_id,
                task_queue=InvitationWorkflowNames.TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=summary,
                search_attributes=TypedSearchAttributes([SearchAttributePair(UNIT, unit_id)]),
            )

        answer = await update_with_start(
            self._temporal, start, update, message, request_id, answer_type, closed=REASON_UNAVAILABLE
        )
        if answer.HasField("refused"):
            raise to_refusal(answer.refused)
        return answer
