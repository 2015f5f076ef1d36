"""The gateway's way to the disclosure workflows."""

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from liity.workflows.v1.disclosure_workflow_pb2 import DisclosureWorkflowInput
from services.gateway.workflow_starter import WorkflowStarter
from services.runtime.errors import unavailable
from services.runtime.temporal import DisclosureWorkflowNames as Names


class DisclosureWorkflows(WorkflowStarter):
    """Starts disclosures."""

    async def start(self, disclosure: DisclosureWorkflowInput) -> None:
        """Starts a disclosure's run, unless it runs. UNAVAILABLE while Temporal is away."""
        try:
            await self._temporal.start_workflow(
                Names.WORKFLOW,
                disclosure,
                id=Names.workflow_id(disclosure.disclosure_id),
                task_queue=Names.TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary="Disclosure of a person's data",
            )
        except (RPCError, RuntimeError):
            # A client that has not connected yet raises RuntimeError.
            raise unavailable() from None
