"""The gateway's way to the class list workflows."""

from temporalio.client import WithStartWorkflowOperation
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from liity.v1.reason_pb2 import REASON_UNAVAILABLE
from liity.workflows.v1.class_list_workflow_pb2 import (
    CancelClassListRequest,
    CancelClassListResponse,
    ClassListInput,
)
from services.gateway.workflow_starter import WorkflowStarter
from services.runtime.errors import unavailable
from services.runtime.refused import to_refusal
from services.runtime.search_attributes import UNIT
from services.runtime.temporal import ClassListWorkflowNames as Names
from services.runtime.temporal import RegistrationWorkflowNames
from services.runtime.updates import update_with_start

_SUMMARY = "Registration of a class list"


class ClassListWorkflows(WorkflowStarter):
    """Starts class lists, and cancels them."""

    async def start(self, class_list: ClassListInput) -> None:
        """Starts a list's run, unless it runs. UNAVAILABLE while Temporal is away."""
        try:
            await self._temporal.start_workflow(
                Names.WORKFLOW,
                class_list,
                id=Names.workflow_id(class_list.class_list_id),
                task_queue=RegistrationWorkflowNames.TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=_SUMMARY,
                search_attributes=_attributes(class_list),
            )
        except (RPCError, RuntimeError):
            # A client that has not connected yet raises RuntimeError.
            raise unavailable() from None

    async def cancel(self, class_list: ClassListInput, request: CancelClassListRequest) -> None:
        """Cancels a list. FAILED_PRECONDITION (CLASS_LIST_HAS_ENDED) once it is done."""

        def start() -> WithStartWorkflowOperation[object, object]:
            return WithStartWorkflowOperation(
                Names.WORKFLOW,
                class_list,
                id=Names.workflow_id(class_list.class_list_id),
                task_queue=RegistrationWorkflowNames.TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=_SUMMARY,
                search_attributes=_attributes(class_list),
            )

        # With start: a list whose run was never started, or has just ended, is decided all the same.
        answer = await update_with_start(
            self._temporal,
            start,
            Names.CANCEL,
            request,
            f"{Names.CANCEL}/{request.request_id}",
            CancelClassListResponse,
            closed=REASON_UNAVAILABLE,
        )
        if answer.HasField("refused"):
            raise to_refusal(answer.refused)


def _attributes(class_list: ClassListInput) -> TypedSearchAttributes:
    return TypedSearchAttributes([SearchAttributePair(UNIT, class_list.unit_id)])
