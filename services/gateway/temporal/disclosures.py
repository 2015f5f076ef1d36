"""Starts disclosure workflows."""

from liity.workflows.v1.disclosure_workflow_pb2 import DisclosureWorkflowInput
from services.gateway.temporal.starter import Run, WorkflowStarter
from services.runtime.temporal.names import DisclosureWorkflowNames as Names


class DisclosureWorkflows(WorkflowStarter):
    """Starts disclosures."""

    async def start(self, disclosure: DisclosureWorkflowInput) -> None:
        """Starts a disclosure's run unless it is running. UNAVAILABLE while Temporal is unreachable."""
        run = Run(
            Names.WORKFLOW,
            Names.workflow_id(disclosure.disclosure_id),
            "Disclosure of a person's data",
            disclosure,
        )
        await self._start(run)
