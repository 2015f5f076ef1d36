"""The mails of the registration on DBOS: Liity's templates, rendered and sent by Liity's own modules."""

import uuid
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from liity.notification.v1.notification_service_pb2 import (
    ConsentQuestion,
    Credentials,
    SendMessageRequest,
    Welcome,
)
from liity.v1.customer_form_pb2 import CustomerForm
from services.notification.mail.message import build
from services.notification.mail.rendering import render
from services.notification.mail.smtp import Sent, Transport
from services.notification.settings import MailSettings


class Mails:
    """Sends the mails. ConnectionError if the mail server has not accepted one."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self._transport = Transport(settings)

    async def request_consent(self, form: CustomerForm, customer_id: str) -> None:
        """Asks the guardian for consent."""
        consent_request = ConsentQuestion(
            first_names=form.first_names,
            unit_display_name="Testikoulu",
            deadline=_in_two_weeks(),
            link_token=customer_id,
        )
        await self._send(form, customer_id, SendMessageRequest(consent_request=consent_request))

    async def send_credentials(self, form: CustomerForm, customer_id: str, user_name: str) -> None:
        """Sends the user name and a link to choose a password."""
        credentials = Credentials(
            first_names=form.first_names,
            user_name=user_name,
            link_token=customer_id,
            expire_time=_in_two_weeks(),
        )
        await self._send(form, customer_id, SendMessageRequest(credentials=credentials))

    async def send_welcome(self, form: CustomerForm, customer_id: str) -> None:
        """Sends the welcome mail."""
        welcome = Welcome(first_names=form.first_names, link_token=customer_id)
        await self._send(form, customer_id, SendMessageRequest(welcome=welcome))

    async def _send(self, form: CustomerForm, customer_id: str, request: SendMessageRequest) -> None:
        request.language = form.language
        recipient = form.email or form.related_person.email
        # A repeated step sends the same Message-ID, so that readers see the mail once.
        message_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{customer_id} {request.WhichOneof('content')}")
        message = build(message_id, recipient, render(request, self._settings), self._settings)
        outcome = await self._transport.send(message, recipient, self._settings.mail_from)
        if not isinstance(outcome, Sent):
            raise ConnectionError(outcome.error)


def _in_two_weeks() -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) + timedelta(days=14))
    return moment
