"""Starts and signals the workflows of units and invitations."""

import contextlib
import uuid

from google.protobuf.message import Message
from temporalio.common import SearchAttributePair
from temporalio.service import RPCError

from liity.identity.v1.registrar_service_pb2 import Invitation, InviteRegistrarRequest
from liity.registration.v1.unit_service_pb2 import Unit
from liity.workflows.v1.invitation_workflow_pb2 import (
    InvitationAccepted,
    InviteRequest,
    InviteResponse,
    WithdrawInvitation,
)
from liity.workflows.v1.unit_closing_workflow_pb2 import CloseRequest, CloseResponse
from services.gateway.temporal.starter import AT_ONCE, Run, WorkflowStarter
from services.runtime.temporal.names import InvitationWorkflowNames, UnitClosingWorkflowNames
from services.runtime.temporal.search_attributes import UNIT


class UnitWorkflows(WorkflowStarter):
    """Invites registrars, closes units, and signals the outcome of invitations."""

    async def invite(self, request: InviteRegistrarRequest) -> Invitation:
        """Invites a person to be a registrar of a unit."""
        run = Run(
            InvitationWorkflowNames.WORKFLOW,
            InvitationWorkflowNames.workflow_id(uuid.UUID(request.request_id).hex),
            "Invitation of a registrar",
            attributes=[SearchAttributePair(UNIT, request.unit_id)],
        )
        update = InviteRequest(invite=request)
        name = InvitationWorkflowNames.INVITE
        return (await self._update(run, name, update, request.request_id, InviteResponse)).invitation

    async def close(self, unit_id: str, request_id: str, successor_unit_id: str = "") -> Unit:
        """Closes a unit; with a successor, the run goes on until all that the unit has is moved there."""
        update = CloseRequest(unit_id=unit_id, successor_unit_id=successor_unit_id)
        run = Run(
            UnitClosingWorkflowNames.WORKFLOW,
            UnitClosingWorkflowNames.workflow_id(unit_id),
            "Closing of a unit",
            update,
            [SearchAttributePair(UNIT, unit_id)],
        )
        return (
            await self._update(run, UnitClosingWorkflowNames.CLOSE, update, request_id, CloseResponse)
        ).unit

    async def invitation_accepted(self, invitation_id: str) -> None:
        """Ends the run of an accepted invitation."""
        await self._tell(invitation_id, InvitationWorkflowNames.ACCEPTED, InvitationAccepted())

    async def invitation_withdrawn(self, invitation_id: str) -> None:
        """Ends the run of a withdrawn invitation."""
        await self._tell(invitation_id, InvitationWorkflowNames.WITHDRAW, WithdrawInvitation())

    async def _tell(self, invitation_id: str, signal: str, message: Message) -> None:
        run = self._temporal.get_workflow_handle(InvitationWorkflowNames.workflow_id(invitation_id))
        # A run that misses the signal checks the invitation before it acts. A client that has not connected
        # yet raises RuntimeError.
        with contextlib.suppress(RPCError, RuntimeError):
            await run.signal(signal, message, rpc_timeout=AT_ONCE)
