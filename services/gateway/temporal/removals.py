"""Starts and updates the workflows of one customer: removal, and temporary need."""

import contextlib
from datetime import datetime

from google.type.date_pb2 import Date
from temporalio.common import SearchAttributePair
from temporalio.service import RPCError

from liity.registration.v1.customer_service_pb2 import EndCustomershipRequest
from liity.workflows.v1.need_workflow_pb2 import ExtendRequest, ExtendResponse, NeedWorkflowInput
from liity.workflows.v1.removal_workflow_pb2 import (
    EndRequest,
    EndResponse,
    RemovalWorkflowInput,
    RemovedCustomer,
    UndoRequest,
    UndoResponse,
)
from services.gateway.temporal.starter import AT_ONCE, Run, WorkflowStarter
from services.runtime.temporal.names import NeedWorkflowNames, RemovalWorkflowNames
from services.runtime.temporal.search_attributes import DEADLINE, UNIT


class RemovalWorkflows(WorkflowStarter):
    """Ends customerships, undoes removals and extends temporary needs."""

    async def end(self, end: EndCustomershipRequest, link_id: str = "") -> RemovedCustomer:
        """Ends a customership (R19); `link_id` is the link used, if any."""
        update = EndRequest(end=end, link_id=link_id)
        run = _removal(end.customer_id, end.unit_id)
        name = RemovalWorkflowNames.END
        return (await self._update(run, name, update, end.request_id, EndResponse)).kept

    async def undo(self, customer_id: str, unit_id: str, request_id: str) -> None:
        """Undoes a removal (R19)."""
        update = UndoRequest(request_id=request_id)
        run = _removal(customer_id, unit_id)
        await self._update(run, RemovalWorkflowNames.UNDO, update, update.request_id, UndoResponse)

    async def erase_time(self, customer_id: str) -> datetime | None:
        """When an ended customership's data is to be erased; None while Temporal is unreachable."""
        run = self._temporal.get_workflow_handle(RemovalWorkflowNames.workflow_id(customer_id))
        # A client that has not connected yet raises RuntimeError.
        with contextlib.suppress(RPCError, RuntimeError):
            return (await run.describe(rpc_timeout=AT_ONCE)).typed_search_attributes.get(DEADLINE)
        return None

    async def extend_need(self, extend: ExtendRequest, unit_id: str) -> Date:
        """Extends a temporary customership (R21); returns its new expected end."""
        run = Run(
            NeedWorkflowNames.WORKFLOW,
            NeedWorkflowNames.workflow_id(extend.customer_id),
            "Temporary need",
            NeedWorkflowInput(customer_id=extend.customer_id),
            [SearchAttributePair(UNIT, unit_id)],
        )
        name = NeedWorkflowNames.EXTEND
        return (await self._update(run, name, extend, extend.request_id, ExtendResponse)).expected_end_date


def _removal(customer_id: str, unit_id: str) -> Run:
    return Run(
        RemovalWorkflowNames.WORKFLOW,
        RemovalWorkflowNames.workflow_id(customer_id),
        "Removal of a customer",
        RemovalWorkflowInput(customer_id=customer_id),
        [SearchAttributePair(UNIT, unit_id)],
    )
