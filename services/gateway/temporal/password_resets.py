"""Starts the workflows of password orders."""

import contextlib

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from liity.workflows.v1.password_order_workflow_pb2 import PasswordOrderWorkflowInput
from services.gateway.temporal.starter import WorkflowStarter
from services.runtime.rpc.errors import unavailable
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import TASK_QUEUE
from services.runtime.temporal.names import PasswordOrderWorkflowNames as Names
from services.runtime.temporal.updates import waiting_for_temporal


class PasswordOrderWorkflows(WorkflowStarter):
    """Starts password orders."""

    async def start(self, order: PasswordOrderWorkflowInput) -> None:
        """Starts an order's run unless it runs or has run. UNAVAILABLE while Temporal is unreachable."""
        try:
            with waiting_for_temporal(), contextlib.suppress(WorkflowAlreadyStartedError):
                await self._temporal.start_workflow(
                    Names.WORKFLOW,
                    order,
                    id=Names.workflow_id(order.request_id),
                    task_queue=TASK_QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    static_summary=OperatorText("Password reset"),
                )
        except (RPCError, RuntimeError):
            # A client that has not connected yet raises RuntimeError.
            raise unavailable() from None
