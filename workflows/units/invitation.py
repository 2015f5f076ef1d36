"""`InvitationWorkflow`: invites a person to be a registrar."""

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
    """Coordinates one invitation. Started by the update `invite`, answered once it is decided.

    It ends when the invitation is accepted, withdrawn, replaced by a newer one, or expired.
    """

    def __init__(self) -> None:
        self._answer: InviteResponse | None = None
        self._accepted = False
        self._withdrawn = False

    @workflow.run
    async def run(self) -> None:
        """Mails the link and a reminder; notifies the inviter if the invitation expires."""
        if not await first_message(lambda: self._answer is not None):
            return
        if self._answer is not None and self._answer.HasField("invitation"):
            for replaced in self._answer.voided_invitation_ids:
                await withdraw_invitation(replaced)
            await self._await_acceptance(self._answer)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=InvitationWorkflowNames.INVITE)
    async def invite(self, request: InviteRequest) -> InviteResponse:
        """Makes the invitation. Answers with it, or with the refusal."""
        self._answer = await quick_step(
            InvitationActivities.invite_registrar, request.invite, "Create the invitation"
        )
        return self._answer

    @workflow.signal(name=InvitationWorkflowNames.WITHDRAW)
    def withdraw(self, _message: WithdrawInvitation) -> None:
        """Withdraws the invitation."""
        self._withdrawn = True

    async def take_cancellation(self) -> bool:
        """Withdraws an open invitation."""
        self._withdrawn = self._answer is not None and not self._accepted
        return self._withdrawn

    @workflow.signal(
        name=InvitationWorkflowNames.ACCEPTED,
        description="Sent by the gateway, not by people: the run checks whether the invitation was accepted.",
    )
    async def accepted(self, _message: InvitationAccepted) -> None:
        """Ends the run if the invitation was accepted."""
        if workflow.patched("look-whether-it-is-accepted"):
            if self._answer is None:
                return
            step = InvitationStep(invitation_id=self._answer.invitation.invitation_id)
            looked = await quick_step(
                InvitationActivities.look_whether_accepted, step, "Check whether the invitation was accepted"
            )
            if not looked.accepted:
                return
        self._accepted = True

    async def _await_acceptance(self, answer: InviteResponse) -> None:
        invitation = answer.invitation
        step = InvitationStep(invitation_id=invitation.invitation_id)
        end = invitation.expire_time.ToDatetime(UTC)
        self._show(invitation, "Waits for an answer to the invitation", end)
        waits = await self._mails(InvitationActivities.mail_invitation, step, "Mail the invitation", end)
        if waits and answer.HasField("remind_time"):
            waits = await self._waits_until(answer.remind_time.ToDatetime(UTC), "Invitation: reminder")
            if waits:
                waits = await self._mails(
                    InvitationActivities.remind_of_invitation, step, "Remind the invited person", end
                )
        if waits:
            await self._waits_until(end, "Invitation: expiry")
        if self._withdrawn:
            voiding = "Withdraw the invitation"
            await insist(lambda: quick_step(InvitationActivities.void_invitation, step, voiding), voiding)
        elif not self._accepted:
            ending = "Notify the inviter"
            await noted(mail_step(InvitationActivities.end_invitation, step, ending), ending)
        self._show(invitation, "Complete", None)

    async def _mails(
        self,
        activity: Callable[[InvitationActivities, InvitationStep], Awaitable[InvitationStepResult]],
        step: InvitationStep,
        summary: str,
        end: datetime,
    ) -> bool:
        """Sends a mail; an answer does not wait for it. Whether the invitation is still open."""
        if workflow.patched("hear-while-mail-is-on-its-way"):
            mailed = await mail_while(lambda: not self._is_answered, activity, step, summary, end)
        else:
            mailed = await noted(mail_step(activity, step, summary), summary)
        return not self._is_answered and (mailed is None or mailed.open)

    @property
    def _is_answered(self) -> bool:
        return self._accepted or self._withdrawn

    async def _waits_until(self, moment: datetime, summary: str) -> bool:
        """Whether the invitation is still unanswered at a moment."""
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
        """Shows operators what the run waits for, and until when."""
        show(
            what,
            f"Unit `{invitation.unit_id}`, invitation `{invitation.invitation_id}`.",
            until,
            stage="WAITING_FOR_ACCEPTANCE" if until else "COMPLETE",
        )


async def withdraw_invitation(invitation_id: str) -> None:
    """Ends the run of a replaced invitation or of a closed unit's, if it is open."""
    run = workflow.get_external_workflow_handle(InvitationWorkflowNames.workflow_id(invitation_id))
    try:
        await run.signal(InvitationWorkflowNames.WITHDRAW, WithdrawInvitation())
    except FailureError:
        workflow.logger.debug("signal not sent: the invitation's run has ended")
