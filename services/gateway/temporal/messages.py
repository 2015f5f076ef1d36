"""Starts and signals the workflows of messages to customer service."""

from temporalio.common import SearchAttributePair

from liity.workflows.v1.message_workflow_pb2 import MessageClosed, MessageWorkflowInput
from services.gateway.temporal.starter import Run, WorkflowStarter
from services.runtime.temporal.names import MessageWorkflowNames as Names
from services.runtime.temporal.search_attributes import UNIT


class MessageWorkflows(WorkflowStarter):
    """Starts the runs of messages, and signals answers to them."""

    async def look(self, message_id: str, unit_id: str) -> None:
        """Signals a message's run to read the message; starts it if needed. UNAVAILABLE without Temporal.

        A run started again finds what is done, and mails nobody twice.
        """
        run = Run(
            Names.WORKFLOW,
            Names.workflow_id(message_id),
            "Message to customer service",
            MessageWorkflowInput(message_id=message_id),
            [SearchAttributePair(UNIT, unit_id)],
        )
        await self._start(run, Names.CLOSED, MessageClosed())
