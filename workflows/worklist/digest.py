"""`WorkDigestWorkflow`: customer service is told what in its work list is late, or will be soon."""

from temporalio import workflow

from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import WorkDigestWorkflowNames
from workflows.support.steps import HEARTBEAT, MAIL, RETRY, noted
from workflows.worklist.digest_activities import WorkDigestActivities


@workflow.defn(name=WorkDigestWorkflowNames.WORKFLOW)
class WorkDigestWorkflow:
    """Reminds customer service of all of it by one mail. A schedule starts it once a day."""

    @workflow.run
    async def run(self) -> None:
        """Mails once, if anything is due. A refused step is left to the next day's run."""
        workflow.set_current_details("**Tells customer service what is due in the work list**.")
        telling = "Tell customer service"
        await noted(
            workflow.execute_activity_method(
                WorkDigestActivities.tell_what_is_due,
                start_to_close_timeout=MAIL,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRY,
                summary=OperatorText(telling),
            ),
            telling,
        )
