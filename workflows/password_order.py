"""`PasswordOrderWorkflow`: one order of a new password (R22)."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from liity.workflows.v1.password_order_workflow_pb2 import (
    PasswordOrderWorkflowInput,
    PasswordOrderWorkflowResult,
)
from services.runtime.temporal import OperatorText, PasswordOrderWorkflowNames
from workflows.password_order_activities import PasswordOrderActivities

_MAIL = timedelta(minutes=2)
"""One try: a mail server may take its time."""

_HEARTBEAT = timedelta(seconds=15)
"""Without a sign of life for so long, the step is given to another worker."""

_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=1)
)
"""Until the mail is out, or its link is over."""


@workflow.defn(name=PasswordOrderWorkflowNames.WORKFLOW)
class PasswordOrderWorkflow:
    """Mails a link to whoever has the address. It ends the same if nobody has."""

    @workflow.run
    async def run(self, order: PasswordOrderWorkflowInput) -> PasswordOrderWorkflowResult:
        """One step."""
        await workflow.execute_activity_method(
            PasswordOrderActivities.mail_password_link,
            order,
            start_to_close_timeout=_MAIL,
            heartbeat_timeout=_HEARTBEAT,
            retry_policy=_RETRY,
            summary=OperatorText("Mail the link"),
        )
        return PasswordOrderWorkflowResult()
