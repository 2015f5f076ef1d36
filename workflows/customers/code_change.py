"""`CodeChangeWorkflow`: a person is given a personal identity code, which no run ever sees."""

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
        # What is recorded must come in the order in which identity has changed the code.
        self._changing = asyncio.Lock()

    @workflow.run
    async def run(self, request: ChangeCodeRequest | None = None) -> None:
        """Lasts until every change is made in both services, or in none."""
        if not await first_message(lambda: self._answered, request, self._perform):
            return
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=CodeChangeWorkflowNames.CHANGE)
    async def change(self, request: ChangeCodeRequest) -> ChangeCodeResponse:
        """Makes a change that identity keeps. Answers with why nothing was changed, if so."""
        return await self._perform(request)

    async def _perform(self, request: ChangeCodeRequest) -> ChangeCodeResponse:
        async with self._changing:
            answer = await quick_step(CodeChangeActivities.change_code, request, "Change the code")
        self._answered = True
        return answer
