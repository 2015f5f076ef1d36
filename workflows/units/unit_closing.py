"""`UnitClosingWorkflow`: closes a unit and removes its registrars."""

from temporalio import workflow

from liity.workflows.v1.unit_closing_workflow_pb2 import CloseRequest, CloseResponse
from services.runtime.temporal.names import UnitClosingWorkflowNames
from workflows.support.operators import Operated
from workflows.support.steps import first_message, quick_step
from workflows.units.invitation import withdraw_invitation
from workflows.units.unit_closing_activities import UnitClosingActivities


@workflow.defn(name=UnitClosingWorkflowNames.WORKFLOW)
class UnitClosingWorkflow(Operated):
    """Coordinates one closing: two services change, or neither.

    Started by the update `close`, answered once all is done.
    """

    def __init__(self) -> None:
        self._answer: CloseResponse | None = None

    @workflow.run
    async def run(self, request: CloseRequest | None = None) -> None:
        """Ends the runs of the unit's open invitations, once it is closed."""
        if not await first_message(lambda: self._answer is not None, request, self._perform):
            return
        for invitation_id in self._answer.voided_invitation_ids if self._answer else ():
            await withdraw_invitation(invitation_id)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=UnitClosingWorkflowNames.CLOSE)
    async def close(self, request: CloseRequest) -> CloseResponse:
        """Closes the unit. Answers with it, or with the refusal."""
        return await self._perform(request)

    async def _perform(self, request: CloseRequest) -> CloseResponse:
        self._answer = await quick_step(UnitClosingActivities.close_unit, request, "Close the unit")
        return self._answer
