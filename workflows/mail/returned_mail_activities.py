"""Activity that tells of mail that came back after a mail server had accepted it, or sends it again."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import grpc
from temporalio import activity

from liity.notification.v1.notification_service_pb2 import (
    ListMailToSendAgainRequest,
    ListReturnedMailRequest,
    ReturnedMail,
    SettleMailToSendAgainRequest,
    SettleReturnedMailRequest,
)
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.registration.v1.registration_service_pb2 import GetRegistrationRequest
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.workflows.v1.invitation_workflow_pb2 import InvitationStep
from liity.workflows.v1.reconciliation_workflow_pb2 import ReconciliationCount
from liity.workflows.v1.registration_workflow_pb2 import RegistrationStep
from services.runtime.guardians import OTHER_GUARDIAN
from services.runtime.mail_addresses import recipient_digest
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing
from workflows.mail.origin import Step, send_again
from workflows.units.invitation_activities import InvitationActivities

_PAGE = 100

_INVITATIONS = {"registrar_invitation", "invitation_reminder"}


class ReturnedMailActivities:
    """An activity that calls the services. Addresses stay within it."""

    def __init__(
        self,
        registration: Peer,
        notification: Peer,
        mailing: Mailing,
        invitations: InvitationActivities,
        mailing_steps: Sequence[Step],
    ) -> None:
        self._mailing_steps: Mapping[str, Step] = {step.__name__: step for step in mailing_steps}
        self._registration = registration
        self._notification = notification
        self._mailing = mailing
        self._invitations = invitations
        self._registrations = RegistrationServiceStub(registration.channel)
        self._notifications = NotificationServiceStub(notification.channel)

    @activity.defn
    async def tell_of_returned_mail(self) -> ReconciliationCount:
        """Marks the address of each mail that came back, and notifies the registrar.

        A mail of which nobody could be told is tried again in the next round.
        """
        count = ReconciliationCount()
        listing = ListReturnedMailRequest(page_size=_PAGE)
        mails = (await self._notification.call(self._notifications.ListReturnedMail, listing)).returned_mail
        for mail in mails:
            count.checked += 1
            try:
                await self._tell(mail)
            except Refusal as refusal:
                activity.logger.warning("nobody told of returned mail: %s", refusal.summary)
                count.failed += 1
                continue
            settled = SettleReturnedMailRequest(request_ids=[mail.request_id])
            await self._notification.call(self._notifications.SettleReturnedMail, settled)
            count.mended += 1
            activity.heartbeat()
        await self._send_again(count)
        return count

    async def _send_again(self, count: ReconciliationCount) -> None:
        """Repeats the steps whose mail came back because of us, once its time has come.

        Notification sends such a mail, and no other of the same step. One that the step no longer sends is
        settled; of one that is not accepted now, notification says again when its time comes.
        """
        listing = ListMailToSendAgainRequest(page_size=_PAGE)
        mails = (await self._notification.call(self._notifications.ListMailToSendAgain, listing)).mails
        for mail in mails:
            count.checked += 1
            try:
                if not await send_again(mail.origin, self._mailing_steps):
                    activity.logger.warning("mail that came back is of no step that can be repeated")
            except Refusal as refusal:
                activity.logger.warning("returned mail not sent again: %s", refusal.summary)
                if not is_permanent(refusal.code):
                    count.failed += 1
                    continue
            settle = SettleMailToSendAgainRequest(request_id=mail.request_id)
            await self._notification.call(self._notifications.SettleMailToSendAgain, settle)
            count.mended += 1
            activity.heartbeat()

    async def _tell(self, mail: ReturnedMail) -> None:
        """The same as if the mail had been refused at once; nothing if its subject has ended."""
        if mail.template in _INVITATIONS:
            await self._invitations.end_undeliverable(InvitationStep(invitation_id=mail.subject_id))
            return
        step = RegistrationStep(registration_id=mail.subject_id, event_id=mail.request_id)
        try:
            get = GetRegistrationRequest(registration_id=mail.subject_id)
            registration = (
                await self._registration.call(self._registrations.GetRegistration, get)
            ).registration
        except Refusal as refusal:
            if refusal.code is grpc.StatusCode.NOT_FOUND:
                # About a message, an account, or somebody who was erased.
                return
            raise
        step.person_id = registration.person_id
        details = await self._mailing.details(step)
        if details is None:
            return
        for address in dict.fromkeys((details.related_person_email, details.customer_email)):
            if address and recipient_digest(UUID(mail.request_id), address) == mail.recipient_digest:
                await self._mailing.tell_undeliverable(step, details, address, mail.template)
                return
        other = details.other_guardian_email
        if other and recipient_digest(UUID(mail.request_id), other) == mail.recipient_digest:
            step.guardian = OTHER_GUARDIAN
            details = await self._mailing.details(step) or details
            await self._mailing.tell_undeliverable(step, details, other, mail.template)
            return
        # The address was corrected meanwhile, or is a registrar's own.
