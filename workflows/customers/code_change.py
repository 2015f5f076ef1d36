"""`CodeChangeWorkflow`: changes a person's personal identity code, which never enters a history."""

import asyncio

from temporalio import workflow

from liity.workflows.v1.code_change_workflow_pb2 import ChangeCodeRequest, ChangeCodeResponse
from services.runtime.temporal.names import CodeChangeWorkflowNames
from workflows.customers.code_change_activities import CodeChangeActivities
from workflows.support.operators import Operated
from workflows.support.steps import first_message, quick_step


@workflow.defn(name=CodeChangeWorkflowNames.WORKFLOW)
class CodeChangeWorkflow(Operated):
    """Coordinates changes of one person's code (R24, R34). Started by the update `change`."""

    def __init__(self) -> None:
        self._answered = False
        # Changes must be recorded in the order in which identity makes them.
        self._changing = asyncio.Lock()

    @workflow.run
    async def run(self, request: ChangeCodeRequest | None = None) -> None:
        """Runs until every change is made in both services, or in none."""
        if not await first_message(lambda: self._answered, request, self._perform):
            return
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=CodeChangeWorkflowNames.CHANGE)
    async def change(self, request: ChangeCodeRequest) -> ChangeCodeResponse:
        """Makes a change that identity holds. Answers with the refusal, if any."""
        return await self._perform(request)

    async def _perform(self, request: ChangeCodeRequest) -> ChangeCodeResponse:
        async with self._changing:
            answer = await quick_step(
                CodeChangeActivities.change_code, request, "Change the personal identity code"
            )
        self._answered = True
        return answer
