"""The gateway's way to the workflows of messages to customer service."""

from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from liity.workflows.v1.message_workflow_pb2 import MessageClosed, MessageWorkflowInput
from services.gateway.workflow_starter import WorkflowStarter
from services.runtime.errors import unavailable
from services.runtime.search_attributes import UNIT
from services.runtime.temporal import MessageWorkflowNames as Names
from services.runtime.temporal import RegistrationWorkflowNames


class MessageWorkflows(WorkflowStarter):
    """Starts the runs of messages, and tells them of answers."""

    async def look(self, message_id: str, unit_id: str) -> None:
        """Has a message's run look at the message; starts it unless it runs. UNAVAILABLE without Temporal.

        One that is started anew finds what is done, and mails nobody twice.
        """
        try:
            await self._temporal.start_workflow(
                Names.WORKFLOW,
                MessageWorkflowInput(message_id=message_id),
                id=Names.workflow_id(message_id),
                task_queue=RegistrationWorkflowNames.TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary="Message to customer service",
                search_attributes=TypedSearchAttributes([SearchAttributePair(UNIT, unit_id)]),
                start_signal=Names.CLOSED,
                start_signal_args=[MessageClosed()],
            )
        except (RPCError, RuntimeError):
            # A client that has not connected yet raises RuntimeError.
            raise unavailable() from None
