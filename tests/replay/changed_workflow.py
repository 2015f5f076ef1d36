"""Workflows as nobody may change them: histories of before no longer fit."""

from datetime import timedelta

from temporalio import workflow

from liity.workflows.v1.registration_workflow_pb2 import RegistrationWorkflowInput, RegistrationWorkflowResult
from services.runtime.temporal.names import RegistrationWorkflowNames
from workflows.registration.workflow import RegistrationWorkflow


@workflow.defn(name=RegistrationWorkflowNames.WORKFLOW)
class WaitsFirst(RegistrationWorkflow):
    """Waits for a moment before anything else."""

    @workflow.init
    def __init__(self, input: RegistrationWorkflowInput) -> None:  # noqa: A002
        super().__init__(input)

    @workflow.run
    async def run(self, input: RegistrationWorkflowInput) -> RegistrationWorkflowResult:  # noqa: A002
        """A timer that no history knows."""
        await workflow.sleep(timedelta(seconds=1))
        return await super().run(input)


@workflow.defn(name=RegistrationWorkflowNames.WORKFLOW)
class EndsAtOnce(RegistrationWorkflow):
    """Leaves out everything after the Save."""

    @workflow.init
    def __init__(self, input: RegistrationWorkflowInput) -> None:  # noqa: A002
        super().__init__(input)

    @workflow.run
    async def run(self, input: RegistrationWorkflowInput) -> RegistrationWorkflowResult:  # noqa: A002, ARG002
        """No wait, no mail."""
        await workflow.wait_condition(lambda: self._run.created.ByteSize() > 0)
        return RegistrationWorkflowResult(stage=self._run.registration.stage)
