"""The gateway's way to the runs of one customer: the end of the customership, and the temporary need."""

import contextlib
import uuid
from datetime import datetime
from typing import TypeVar

from google.protobuf.message import Message
from google.type.date_pb2 import Date
from temporalio.client import WithStartWorkflowOperation
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from liity.registration.v1.customer_service_pb2 import EndCustomershipRequest
from liity.v1.reason_pb2 import REASON_UNAVAILABLE
from liity.workflows.v1.need_workflow_pb2 import ExtendRequest, ExtendResponse, NeedWorkflowInput
from liity.workflows.v1.removal_workflow_pb2 import (
    EndRequest,
    EndResponse,
    RemovalWorkflowInput,
    RemovedCustomer,
    UndoRequest,
    UndoResponse,
)
from services.gateway.workflow_starter import WorkflowStarter
from services.runtime.refused import to_refusal
from services.runtime.search_attributes import DEADLINE, UNIT
from services.runtime.temporal import NeedWorkflowNames, RegistrationWorkflowNames, RemovalWorkflowNames
from services.runtime.updates import update_with_start

AnswerT = TypeVar("AnswerT", EndResponse, UndoResponse, ExtendResponse)


class RemovalWorkflows(WorkflowStarter):
    """Starts or updates them. A repetition after a run's end starts one that finds all done."""

    async def end(self, end: EndCustomershipRequest, link_id: str = "") -> RemovedCustomer:
        """Ends a customership (R19), by a link if one was used."""
        end.request_id = _canonical(end.request_id)
        update = EndRequest(end=end, link_id=link_id)
        start = _removal(end.customer_id, end.unit_id)
        name = RemovalWorkflowNames.END
        return (await self._answer(start, name, update, end.request_id, EndResponse)).kept

    async def undo(self, customer_id: str, unit_id: str, request_id: str) -> None:
        """Takes that back (R19)."""
        update = UndoRequest(request_id=_canonical(request_id))
        start = _removal(customer_id, unit_id)
        await self._answer(start, RemovalWorkflowNames.UNDO, update, update.request_id, UndoResponse)

    async def erase_time(self, customer_id: str) -> datetime | None:
        """When the data of an ended customership is to be erased; not known while Temporal is away."""
        run = self._temporal.get_workflow_handle(RemovalWorkflowNames.workflow_id(customer_id))
        # A client that has not connected yet raises RuntimeError.
        with contextlib.suppress(RPCError, RuntimeError):
            return (await run.describe()).typed_search_attributes.get(DEADLINE)
        return None

    async def extend_need(self, extend: ExtendRequest, unit_id: str) -> Date:
        """A temporary need goes on (R21); gives until when."""
        extend.request_id = _canonical(extend.request_id)
        start = _Run(
            NeedWorkflowNames.WORKFLOW,
            NeedWorkflowNames.workflow_id(extend.customer_id),
            NeedWorkflowInput(customer_id=extend.customer_id),
            "Temporary need",
            unit_id,
        )
        name = NeedWorkflowNames.EXTEND
        return (await self._answer(start, name, extend, extend.request_id, ExtendResponse)).expected_end_date

    async def _answer(
        self, start: "_Run", name: str, update: Message, request_id: str, answer_type: type[AnswerT]
    ) -> AnswerT:
        answer = await update_with_start(
            self._temporal,
            start.operation,
            name,
            update,
            # A run knows its updates by ID alone.
            f"{name}/{request_id}",
            answer_type,
            closed=REASON_UNAVAILABLE,
        )
        if answer.HasField("refused"):
            raise to_refusal(answer.refused)
        return answer


class _Run:
    """A run to start, unless it runs."""

    def __init__(
        self,
        workflow: str,
        workflow_id: str,
        start_with: Message,
        summary: str,
        unit_id: str,
    ) -> None:
        self._workflow = workflow
        self._workflow_id = workflow_id
        self._start_with = start_with
        self._summary = summary
        self._unit_id = unit_id

    def operation(self) -> WithStartWorkflowOperation[object, object]:
        """What starts it: good for one call."""
        return WithStartWorkflowOperation(
            self._workflow,
            self._start_with,
            id=self._workflow_id,
            task_queue=RegistrationWorkflowNames.TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=self._summary,
            search_attributes=TypedSearchAttributes([SearchAttributePair(UNIT, self._unit_id)]),
        )


def _removal(customer_id: str, unit_id: str) -> _Run:
    return _Run(
        RemovalWorkflowNames.WORKFLOW,
        RemovalWorkflowNames.workflow_id(customer_id),
        RemovalWorkflowInput(customer_id=customer_id),
        "Removal of a customer",
        unit_id,
    )


def _canonical(request_id: str) -> str:
    """The UUID as all write it: in small letters or capitals, it is the same call."""
    return str(uuid.UUID(request_id))
