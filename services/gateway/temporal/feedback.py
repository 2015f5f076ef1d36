"""Starts and signals the workflows of feedback on accessibility."""

from liity.workflows.v1.feedback_workflow_pb2 import FeedbackAnswered, FeedbackWorkflowInput
from services.gateway.temporal.starter import Run, WorkflowStarter
from services.runtime.temporal.names import FeedbackWorkflowNames as Names


class FeedbackWorkflows(WorkflowStarter):
    """Starts the runs of feedback, and signals answers to them."""

    async def look(self, feedback_id: str) -> None:
        """Signals the run to read its feedback; starts it if needed. UNAVAILABLE without Temporal.

        A run started again finds what is done, and mails nobody twice.
        """
        run = Run(
            Names.WORKFLOW,
            Names.workflow_id(feedback_id),
            "Feedback on accessibility",
            FeedbackWorkflowInput(feedback_id=feedback_id),
        )
        await self._start(run, Names.ANSWERED, FeedbackAnswered())
