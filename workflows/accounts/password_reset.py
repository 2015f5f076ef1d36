"""`PasswordOrderWorkflow`: one order of a new password (R22)."""

from temporalio import workflow

from liity.workflows.v1.password_order_workflow_pb2 import (
    PasswordOrderWorkflowInput,
    PasswordOrderWorkflowResult,
)
from services.runtime.temporal.names import PasswordOrderWorkflowNames
from workflows.accounts.password_reset_activities import PasswordOrderActivities
from workflows.support.steps import mail_step, noted


@workflow.defn(name=PasswordOrderWorkflowNames.WORKFLOW)
class PasswordOrderWorkflow:
    """Mails a password link if an account has the address. It ends the same if none has."""

    @workflow.run
    async def run(self, order: PasswordOrderWorkflowInput) -> PasswordOrderWorkflowResult:
        """Runs its one activity."""
        await noted(
            mail_step(PasswordOrderActivities.mail_password_link, order, "Mail the password link"),
            "Mail the password link",
        )
        return PasswordOrderWorkflowResult()
