"""Activities of an invitation. The link stays in them: it never enters a history."""

import uuid
from datetime import UTC, timedelta

from google.protobuf.message import Message
from temporalio import activity

from liity.identity.v1.registrar_service_pb2 import (
    INVITATION_STATE_ACCEPTED,
    INVITATION_STATE_EXPIRED,
    INVITATION_STATE_OPEN,
    GetInvitationRequest,
    Invitation,
    InviteRegistrarRequest,
    IssueInvitationLinkRequest,
    IssueInvitationLinkResponse,
    VoidInvitationRequest,
)
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.notification.v1.notification_service_pb2 import (
    InvitationLink,
    InvitationNotice,
    SendMessageRequest,
)
from liity.registration.v1.unit_service_pb2 import GetUnitRequest, Unit
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.reason_pb2 import REASON_UNIT_CLOSED
from liity.workflows.v1.invitation_workflow_pb2 import InvitationStep, InvitationStepResult, InviteResponse
from liity.workflows.v1.registration_workflow_pb2 import RegistrationStep
from services.runtime.clock import now
from services.runtime.rpc.errors import failed_precondition
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing, key
from workflows.support.refusals import answers_refusals


class InvitationActivities:
    """Activities that call the three services."""

    def __init__(
        self, identity: Peer, registration: Peer, mailing: Mailing, remind_before_end: timedelta
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._remind_before_end = remind_before_end
        self._registrars = RegistrarServiceStub(identity.channel)
        self._units = UnitServiceStub(registration.channel)

    @activity.defn
    @answers_refusals(InviteResponse)
    async def invite_registrar(self, request: InviteRegistrarRequest) -> InviteResponse:
        """Makes the invitation. A permanent refusal is returned, not raised."""
        invited = await self._identity.call(self._registrars.InviteRegistrar, request)
        await self._require_open_unit(invited.invitation)
        answer = InviteResponse(
            invitation=invited.invitation, voided_invitation_ids=invited.voided_invitation_ids
        )
        remind_at = invited.invitation.expire_time.ToDatetime(UTC) - self._remind_before_end
        if remind_at > now():
            answer.remind_time.FromDatetime(remind_at)
        return answer

    @activity.defn
    async def mail_invitation(self, step: InvitationStep) -> InvitationStepResult:
        """Mails the link. If the mail is undeliverable, ends the invitation and notifies the inviter."""
        issued = await self._issued(step)
        if issued.invitation.state != INVITATION_STATE_OPEN:
            return InvitationStepResult()
        unit = await self._unit(issued.invitation)
        content = InvitationLink(
            unit_display_name=unit.display_name,
            link_token=issued.link_token,
            expire_time=issued.invitation.expire_time,
        )
        if await self._mail(issued.invitation, "invitation", registrar_invitation=content):
            return InvitationStepResult(open=True)
        await self._void(step)
        await self._tell_undeliverable(issued.invitation, unit)
        return InvitationStepResult()

    async def end_undeliverable(self, step: InvitationStep) -> None:
        """Notifies the inviter that the mail came back, and voids the invitation, if it is still open."""
        get = GetInvitationRequest(invitation_id=step.invitation_id)
        invitation = (await self._identity.call(self._registrars.GetInvitation, get)).invitation
        if invitation.state == INVITATION_STATE_OPEN:
            # Notify first: a retry after voiding would find nothing to notify of.
            await self._tell_undeliverable(invitation, await self._unit(invitation))
            await self._void(step)

    @activity.defn
    async def remind_of_invitation(self, step: InvitationStep) -> InvitationStepResult:
        """Mails the link again, if it is still valid."""
        issued = await self._issued(step)
        if issued.invitation.state != INVITATION_STATE_OPEN:
            return InvitationStepResult()
        content = InvitationLink(
            unit_display_name=(await self._unit(issued.invitation)).display_name,
            link_token=issued.link_token,
            expire_time=issued.invitation.expire_time,
        )
        await self._mail(issued.invitation, "invitation reminder", invitation_reminder=content)
        return InvitationStepResult(open=True)

    @activity.defn
    async def look_whether_accepted(self, step: InvitationStep) -> InvitationStepResult:
        """Whether the invitation was accepted."""
        get = GetInvitationRequest(invitation_id=step.invitation_id)
        state = (await self._identity.call(self._registrars.GetInvitation, get)).invitation.state
        return InvitationStepResult(
            open=state == INVITATION_STATE_OPEN, accepted=state == INVITATION_STATE_ACCEPTED
        )

    @activity.defn
    async def void_invitation(self, step: InvitationStep) -> None:
        """Voids the invitation, unless it has been accepted."""
        await self._void(step)

    @activity.defn
    async def end_invitation(self, step: InvitationStep) -> None:
        """Notifies the inviter and voids the invitation, if it has been neither accepted nor withdrawn."""
        get = GetInvitationRequest(invitation_id=step.invitation_id)
        invitation = (await self._identity.call(self._registrars.GetInvitation, get)).invitation
        if invitation.state not in {INVITATION_STATE_OPEN, INVITATION_STATE_EXPIRED}:
            return
        content = InvitationNotice(
            unit_display_name=(await self._unit(invitation)).display_name, email=invitation.email
        )
        # Notify first: a retry after voiding would find nothing to notify of.
        await self._tell_inviter(invitation, "invitation expired", invitation_expired=content)
        await self._void(step)

    async def _require_open_unit(self, invitation: Invitation) -> None:
        """Raises FAILED_PRECONDITION (UNIT_CLOSED) and voids the invitation if the unit is closed.

        The invitation is made before this check: a unit that closes later voids it itself.
        """
        unit = await self._unit(invitation)
        if unit.HasField("close_time"):
            await self._void(InvitationStep(invitation_id=invitation.invitation_id))
            raise failed_precondition(REASON_UNIT_CLOSED)

    async def _issued(self, step: InvitationStep) -> IssueInvitationLinkResponse:
        issue = IssueInvitationLinkRequest(invitation_id=step.invitation_id)
        return await self._identity.call(self._registrars.IssueInvitationLink, issue)

    async def _unit(self, invitation: Invitation) -> Unit:
        get = GetUnitRequest(unit_id=invitation.unit_id)
        return (await self._registration.call(self._units.GetUnit, get)).unit

    async def _void(self, step: InvitationStep) -> None:
        void = VoidInvitationRequest(invitation_id=step.invitation_id)
        await self._identity.call(self._registrars.VoidInvitation, void)

    async def _mail(self, invitation: Invitation, name: str, **content: Message) -> bool:
        return await self._mailing.send(
            SendMessageRequest(
                request_id=key(invitation.invitation_id, name),
                subject_id=invitation.invitation_id,
                recipient_email=invitation.email,
                language=invitation.language,
                **content,  # type: ignore[arg-type] # one field of the oneof, by its name
            )
        )

    async def _tell_undeliverable(self, invitation: Invitation, unit: Unit) -> None:
        content = InvitationNotice(unit_display_name=unit.display_name, email=invitation.email)
        await self._tell_inviter(invitation, "invitation undeliverable", invitation_undeliverable=content)

    async def _tell_inviter(self, invitation: Invitation, name: str, **content: Message) -> None:
        step = RegistrationStep(
            registration_id=invitation.invitation_id, event_id=str(uuid.UUID(invitation.invitation_id))
        )
        responsible = await self._mailing.responsible(invitation.unit_id, invitation.inviter_account_id)
        await self._mailing.tell_all(step, responsible, name, resource="", **content)
