"""`DisclosureWorkflow`: one export of a person's data, from the request until it is erased."""

from datetime import UTC, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from liity.workflows.v1.disclosure_workflow_pb2 import DisclosureWorkflowInput, DisclosureWorkflowResult
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import DisclosureWorkflowNames
from workflows.privacy.disclosure_activities import DisclosureActivities
from workflows.support.operators import Operated, set_details
from workflows.support.steps import MAIL, RETRY, insist, mail_step


@workflow.defn(name=DisclosureWorkflowNames.WORKFLOW)
class DisclosureWorkflow(Operated):
    """Gathers an export, keeps it until it expires, and erases it."""

    @workflow.run
    async def run(self, disclosure: DisclosureWorkflowInput) -> DisclosureWorkflowResult:
        """Runs as long as the export exists."""
        end = disclosure.expire_time.ToDatetime(UTC)
        await self._gather(disclosure, end - workflow.now())
        set_details(f"**Export kept** until {end:%Y-%m-%d %H:%M} UTC.")
        await workflow.sleep(
            max(end - workflow.now(), timedelta(0)), summary=OperatorText("Wait until the export expires")
        )
        erasing = "Erase the export"
        await insist(lambda: mail_step(DisclosureActivities.delete_disclosure, disclosure, erasing), erasing)
        return DisclosureWorkflowResult()

    async def _gather(self, disclosure: DisclosureWorkflowInput, lifetime: timedelta) -> None:
        """Gathers the export; gives up when it would have expired, or if the person is erased meanwhile."""
        if lifetime <= timedelta(0):
            return
        try:
            await workflow.execute_activity_method(
                DisclosureActivities.gather_disclosure,
                disclosure,
                start_to_close_timeout=MAIL,
                schedule_to_close_timeout=lifetime,
                retry_policy=RETRY,
                summary=OperatorText("Gather the export from every service"),
            )
        except ActivityError:
            workflow.logger.warning("the disclosure could not be gathered")
