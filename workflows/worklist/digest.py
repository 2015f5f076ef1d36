"""`WorkDigestWorkflow`: mails customer service the items of its work list that are due."""

from temporalio import workflow

from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import WorkDigestWorkflowNames
from workflows.support.operators import set_details
from workflows.support.steps import HEARTBEAT, MAIL, RETRY, noted
from workflows.worklist.digest_activities import WorkDigestActivities


@workflow.defn(name=WorkDigestWorkflowNames.WORKFLOW)
class WorkDigestWorkflow:
    """Mails customer service one digest. A schedule starts it once a day."""

    @workflow.run
    async def run(self) -> None:
        """Mails once, if an item is due. A refused activity is left to the next day's run."""
        set_details("**Mails customer service the work that is due**.")
        telling = "Mail customer service the digest"
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
