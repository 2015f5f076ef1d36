"""Starts and updates class list workflows."""

from temporalio.common import SearchAttributePair

from liity.workflows.v1.class_list_workflow_pb2 import (
    CancelClassListRequest,
    CancelClassListResponse,
    ClassListInput,
)
from services.gateway.temporal.starter import Run, WorkflowStarter
from services.runtime.temporal.names import ClassListWorkflowNames as Names
from services.runtime.temporal.names import behind_saves
from services.runtime.temporal.search_attributes import UNIT


class ClassListWorkflows(WorkflowStarter):
    """Starts and cancels class lists."""

    async def start(self, class_list: ClassListInput) -> None:
        """Starts a list's run unless it is running. UNAVAILABLE while Temporal is unreachable."""
        await self._start(_run(class_list))

    async def cancel(self, class_list: ClassListInput, request: CancelClassListRequest) -> None:
        """Cancels a list. FAILED_PRECONDITION (CLASS_LIST_HAS_ENDED) once it is done."""
        # Update with start: a list whose run was never started, or has just ended, is cancelled all the same.
        await self._update(
            _run(class_list), Names.CANCEL, request, request.request_id, CancelClassListResponse
        )


def _run(class_list: ClassListInput) -> Run:
    return Run(
        Names.WORKFLOW,
        Names.workflow_id(class_list.class_list_id),
        "Registration of a class list",
        class_list,
        [SearchAttributePair(UNIT, class_list.unit_id)],
        behind_saves(class_list.unit_id),
    )
