"""`InvitationWorkflow`: somebody is invited to be a registrar, and answers or does not."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from liity.identity.v1.registrar_service_pb2 import Invitation
from liity.workflows.v1.invitation_workflow_pb2 import (
    InvitationAccepted,
    InvitationStep,
    InvitationStepResult,
    InviteRequest,
    InviteResponse,
    WithdrawInvitation,
)
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import InvitationWorkflowNames
from workflows.support.operators import Operated, show
from workflows.support.steps import first_message, insist, mail_step, mail_while, noted, quick_step
from workflows.units.invitation_activities import InvitationActivities


@workflow.defn(name=InvitationWorkflowNames.WORKFLOW)
class InvitationWorkflow(Operated):
    """Coordinates one invitation. Started by the update `invite`, which answers once it is decided.

    It ends when the invitation is accepted, taken back, replaced by a newer one, or over.
    """

    def __init__(self) -> None:
        self._answer: InviteResponse | None = None
        self._accepted = False
        self._withdrawn = False

    @workflow.run
    async def run(self) -> None:
        """Mails the link, reminds of it, and tells whoever invited if nobody has come."""
        if not await first_message(lambda: self._answer is not None):
            return
        if self._answer is not None and self._answer.HasField("invitation"):
            for replaced in self._answer.voided_invitation_ids:
                await withdraw_invitation(replaced)
            await self._await_acceptance(self._answer)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=InvitationWorkflowNames.INVITE)
    async def invite(self, request: InviteRequest) -> InviteResponse:
        """Makes the invitation. Answers with it, or with why there is none."""
        self._answer = await quick_step(
            InvitationActivities.invite_registrar, request.invite, "Make the invitation"
        )
        return self._answer

    @workflow.signal(name=InvitationWorkflowNames.WITHDRAW)
    def withdraw(self, _message: WithdrawInvitation) -> None:
        """Takes the invitation back."""
        self._withdrawn = True

    async def take_cancellation(self) -> bool:
        """Takes an open invitation back."""
        self._withdrawn = self._answer is not None and not self._accepted
        return self._withdrawn

    @workflow.signal(
        name=InvitationWorkflowNames.ACCEPTED,
        description="Sent by the gateway, not by people: the invitation was accepted.",
    )
    def accepted(self, _message: InvitationAccepted) -> None:
        """The invitation was accepted: nothing is left to do."""
        self._accepted = True

    async def _await_acceptance(self, answer: InviteResponse) -> None:
        invitation = answer.invitation
        step = InvitationStep(invitation_id=invitation.invitation_id)
        end = invitation.expire_time.ToDatetime(UTC)
        self._show(invitation, "Waits for an answer to the invitation", end)
        waits = await self._mails(InvitationActivities.mail_invitation, step, "Mail the invitation", end)
        if waits and answer.HasField("remind_time"):
            waits = await self._waits_until(answer.remind_time.ToDatetime(UTC), "Reminder of the invitation")
            if waits:
                waits = await self._mails(
                    InvitationActivities.remind_of_invitation, step, "Remind of the invitation", end
                )
        if waits:
            await self._waits_until(end, "End of the invitation")
        if self._withdrawn:
            voiding = "Take the invitation back"
            await insist(lambda: quick_step(InvitationActivities.void_invitation, step, voiding), voiding)
        elif not self._accepted:
            ending = "Tell whoever invited"
            await noted(mail_step(InvitationActivities.end_invitation, step, ending), ending)
        self._show(invitation, "Complete", None)

    async def _mails(
        self,
        activity: Callable[[InvitationActivities, InvitationStep], Awaitable[InvitationStepResult]],
        step: InvitationStep,
        summary: str,
        end: datetime,
    ) -> bool:
        """Mails; an answer does not wait for a mail server. Whether the invitation still waits for one."""
        if workflow.patched("hear-while-mail-is-on-its-way"):
            mailed = await mail_while(lambda: not self._is_answered, activity, step, summary, end)
        else:
            mailed = await noted(mail_step(activity, step, summary), summary)
        return not self._is_answered and (mailed is None or mailed.open)

    @property
    def _is_answered(self) -> bool:
        return self._accepted or self._withdrawn

    async def _waits_until(self, moment: datetime, summary: str) -> bool:
        """Whether the invitation still waits for an answer at a moment."""
        try:
            await workflow.wait_condition(
                lambda: self._is_answered,
                timeout=max(moment - workflow.now(), timedelta(0)),
                timeout_summary=OperatorText(summary),
            )
        except TimeoutError:
            return True
        return False

    @staticmethod
    def _show(invitation: Invitation, what: str, until: datetime | None) -> None:
        """Tells operators what this run waits for, and until when."""
        show(
            what,
            f"Unit `{invitation.unit_id}`, invitation `{invitation.invitation_id}`.",
            until,
            stage="WAITING_FOR_ACCEPTANCE" if until else "COMPLETE",
        )


async def withdraw_invitation(invitation_id: str) -> None:
    """Ends the run of an invitation that counts no more, if it still runs."""
    run = workflow.get_external_workflow_handle(InvitationWorkflowNames.workflow_id(invitation_id))
    try:
        await run.signal(InvitationWorkflowNames.WITHDRAW, WithdrawInvitation())
    except FailureError:
        workflow.logger.debug("no invitation runs that could be ended")
