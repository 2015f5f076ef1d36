"""`PasswordReminderWorkflow`: asks the owners of old passwords to change them (R22)."""

from temporalio import workflow

from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import PasswordReminderWorkflowNames
from workflows.accounts.password_reminder_activities import PasswordReminderActivities
from workflows.support.operators import set_details
from workflows.support.steps import HEARTBEAT, MAIL, RETRY, noted


@workflow.defn(name=PasswordReminderWorkflowNames.WORKFLOW)
class PasswordReminderWorkflow:
    """Reminds accounts in batches until none is left. A schedule starts it once a day."""

    @workflow.run
    async def run(self) -> None:
        """Continues as new before the history grows long: identity records who was reminded.

        A refused activity is left to the next day's run.
        """
        set_details("**Reminds registrars and staff to change old passwords**.")
        reminding = "Remind a batch of accounts"
        while True:
            step = await noted(
                workflow.execute_activity_method(
                    PasswordReminderActivities.remind_of_passwords,
                    start_to_close_timeout=MAIL,
                    heartbeat_timeout=HEARTBEAT,
                    retry_policy=RETRY,
                    summary=OperatorText(reminding),
                ),
                reminding,
            )
            if step is None or not step.reminded:
                return
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new()
