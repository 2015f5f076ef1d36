"""`PasswordReminderWorkflow`: reminds of old passwords (R22), and of those never chosen (R13)."""

from temporalio import workflow

from liity.workflows.v1.password_reminder_workflow_pb2 import UnusedLinksStep
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import PasswordReminderWorkflowNames
from workflows.accounts.password_reminder_activities import PasswordReminderActivities
from workflows.support.operators import set_details
from workflows.support.steps import HEARTBEAT, MAIL, RETRY, mail_step, noted


@workflow.defn(name=PasswordReminderWorkflowNames.WORKFLOW)
class PasswordReminderWorkflow:
    """Reminds accounts, then customers, in batches until none is left. A schedule starts it once a day."""

    @workflow.run
    async def run(self) -> None:
        """Continues as new before the history grows long: identity records who was told what.

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
                break
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new()
        if workflow.patched("tell-of-unused-links"):
            await self._tell_of_unused_links()

    async def _tell_of_unused_links(self) -> None:
        """Reminds customers who have not chosen a password, and tells registrars of links that have ended."""
        set_details("**Reminds customers of links to choose a password**.")
        telling, step = "Tell of a batch of unused links", UnusedLinksStep()
        while True:
            told = await noted(
                mail_step(PasswordReminderActivities.tell_of_unused_links, step, telling), telling
            )
            if told is None or not told.next_page_token:
                return
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new()
            step = UnusedLinksStep(page_token=told.next_page_token)
