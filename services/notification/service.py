"""NotificationService: mail, delivery state, book tips."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, timedelta
from email.message import EmailMessage
from uuid import UUID

import grpc
import structlog
from prometheus_client import Counter, Gauge
from typing_extensions import override

from liity.notification.v1 import notification_service_pb2 as pb
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceServicer
from liity.v1.book_tips_service_pb2 import BookTip
from liity.v1.customer_form_pb2 import Language
from liity.v1.reason_pb2 import (
    REASON_LINK_EXPIRED,
    REASON_MAIL_NOT_ACCEPTED,
    REASON_MESSAGE_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
    REASON_UNAVAILABLE,
)
from liity.v1.work_service_pb2 import DELIVERY_REPORT_OUTCOME_NOTHING, MailFigures
from services.notification.book_tips.store import BookTipsStore
from services.notification.mail.addresses import recipient, recipient_key
from services.notification.mail.bounces import Bounces
from services.notification.mail.deliveries import DeliveryRow, MessageStore
from services.notification.mail.hold import Hold
from services.notification.mail.message import build
from services.notification.mail.rendering import render, template_of
from services.notification.mail.reports import Report, read_report, request_id_of, status_speaks
from services.notification.mail.return_address import return_address
from services.notification.mail.smtp import NotAccepted, Outcome, Refused, Transport
from services.notification.privacy_export import DELIVERIES
from services.notification.settings import MailSettings
from services.runtime.clock import helsinki_day, helsinki_moment, now
from services.runtime.data.privacy import with_records
from services.runtime.data.rate_limits import Limit, Limiter
from services.runtime.mail_addresses import recipient_digest
from services.runtime.rpc.errors import Refusal, already_exists, failed_precondition, not_found, unavailable
from services.runtime.text.email_addresses import fold

log = structlog.get_logger()

_MAILS = Counter("liity_mails", "Attempts to send a mail, by what became of it.", ["template", "outcome"])
_OUTCOMES = ("sent", "refused", "not_accepted", "refuses_us")
_PENDING = Gauge("liity_mails_pending", "Mails that no mail server has accepted yet.")
_OLDEST_PENDING = Gauge(
    "liity_mail_oldest_pending_timestamp_seconds",
    "When the oldest of them came in; now if there is none.",
)

_MARGIN = 5.0
"""Seconds by which a lease outlasts the longest sending."""

_SendingKey = tuple[UUID, str, str]


class NotificationService(NotificationServiceServicer):
    """Sends each mail once: claims it in the database, sends it, records the outcome.

    A sending goes on when its caller has given up. If the process dies between the server's answer and the
    recording, the next call sends again after the lease, with the same Message-ID.
    """

    def __init__(
        self,
        store: MessageStore,
        book_tips: BookTipsStore,
        limiter: Limiter,
        transport: Transport,
        settings: MailSettings,
    ) -> None:
        self._store = store
        self._book_tips = book_tips
        self._limiter = limiter
        self._transport = transport
        self._settings = settings
        self._hold = Hold(settings.mail_pause)
        self._bounces = Bounces(store, settings.bounce_address, settings.mail_again)
        self._lease = timedelta(seconds=settings.smtp_timeout + _MARGIN)
        self._sendings: dict[_SendingKey, asyncio.Task[pb.Delivery]] = {}
        # From nought: Prometheus sees no increase in a number that it has not seen before.
        for content in pb.SendMessageRequest.DESCRIPTOR.oneofs_by_name["content"].fields:
            for outcome in _OUTCOMES:
                _MAILS.labels(content.name, outcome)

    @override
    async def SendMessage(self, request: pb.SendMessageRequest, _context: object) -> pb.SendMessageResponse:
        """Sends a mail, or returns its delivery. Calls during its sending share the answer."""
        address = recipient(request.recipient_email)
        key = (UUID(request.request_id), request.subject_id, template_of(request))
        sending = self._sendings.get(key)
        if sending is None:
            sending = asyncio.create_task(self._send(request, key, address))
            self._sendings[key] = sending
            sending.add_done_callback(lambda done: self._finished(key, done))
        return pb.SendMessageResponse(delivery=await asyncio.shield(sending))

    @override
    async def GetDelivery(self, request: pb.GetDeliveryRequest, _context: object) -> pb.GetDeliveryResponse:
        """The delivery state of one mail."""
        row = await self._store.find(UUID(request.request_id))
        if row is None:
            raise not_found(REASON_MESSAGE_NOT_FOUND)
        return pb.GetDeliveryResponse(delivery=_delivery(row))

    @override
    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, _context: object
    ) -> pb.ListDeliveriesResponse:
        """The delivery states of all mail about one subject, oldest first."""
        rows = await self._store.list_of(request.subject_id)
        return pb.ListDeliveriesResponse(deliveries=[_delivery(row) for row in rows])

    @override
    async def ReportDelivery(
        self, request: pb.ReportDeliveryRequest, _context: object
    ) -> pb.ReportDeliveryResponse:
        """Records what a report says of a mail that was sent."""
        if request.WhichOneof("report") == "raw_report":
            report = read_report(request.raw_report)
            if report is None:
                return pb.ReportDeliveryResponse(outcome=DELIVERY_REPORT_OUTCOME_NOTHING)
        else:
            report = Report(
                request_id_of(request.message_id), "", status_speaks(request.status), request.status
            )
        request_id = await self._bounces.find(report)
        if request_id is None:
            raise not_found(REASON_MESSAGE_NOT_FOUND)
        return pb.ReportDeliveryResponse(outcome=await self._bounces.record(request_id, report))

    @override
    async def ListReturnedMail(
        self, request: pb.ListReturnedMailRequest, _context: object
    ) -> pb.ListReturnedMailResponse:
        """Mails that came back because of the address, and of which nobody was told yet."""
        rows = await self._store.returned(request.page_size)
        mails = [
            pb.ReturnedMail(
                request_id=str(row["request_id"]),
                subject_id=row["subject_id"],
                template=row["template"],
                recipient_digest=row["recipient_digest"] or b"",
            )
            for row in rows
        ]
        return pb.ListReturnedMailResponse(returned_mail=mails)

    @override
    async def SettleReturnedMail(
        self, request: pb.SettleReturnedMailRequest, _context: object
    ) -> pb.SettleReturnedMailResponse:
        """Records that the addresses are marked and the registrars told."""
        await self._store.settle([UUID(request_id) for request_id in request.request_ids])
        return pb.SettleReturnedMailResponse()

    @override
    async def ListMailToSendAgain(
        self, request: pb.ListMailToSendAgainRequest, _context: object
    ) -> pb.ListMailToSendAgainResponse:
        """Mails that came back because of us and are due to be sent again."""
        rows = await self._store.to_send_again(request.page_size)
        mails = [pb.MailToSendAgain(request_id=str(row["request_id"]), origin=row["origin"]) for row in rows]
        return pb.ListMailToSendAgainResponse(mails=mails)

    @override
    async def SettleMailToSendAgain(
        self, request: pb.SettleMailToSendAgainRequest, _context: object
    ) -> pb.SettleMailToSendAgainResponse:
        """Records that a mail was sent again, or is not to be."""
        await self._store.settle_again(UUID(request.request_id))
        return pb.SettleMailToSendAgainResponse()

    @override
    async def GetMailFigures(
        self, request: pb.GetMailFiguresRequest, _context: object
    ) -> pb.GetMailFiguresResponse:
        """How much mail was refused, and how much waits."""
        return pb.GetMailFiguresResponse(figures=MailFigures(**await self._store.figures()))

    @override
    async def ExportSubjects(
        self, request: pb.ExportSubjectsRequest, _context: object
    ) -> pb.ExportSubjectsResponse:
        """All data stored about mail on some subjects."""
        section = DELIVERIES.section(await self._store.told_of(request.subject_ids))
        return pb.ExportSubjectsResponse(sections=with_records([section]))

    @override
    async def EraseSubjects(
        self, request: pb.EraseSubjectsRequest, _context: object
    ) -> pb.EraseSubjectsResponse:
        """Deletes all data about mail on some subjects."""
        await self._store.erase(request.subject_ids)
        return pb.EraseSubjectsResponse()

    @override
    async def GetBookTips(self, request: pb.GetBookTipsRequest, _context: object) -> pb.GetBookTipsResponse:
        """The book tips in one language (R28)."""
        return pb.GetBookTipsResponse(book_tips=await self._book_tips.read(request.name))

    @override
    async def UpdateBookTips(
        self, request: pb.UpdateBookTipsRequest, _context: object
    ) -> pb.UpdateBookTipsResponse:
        """Replaces the book tips in one language (R28)."""
        replaced = await self._book_tips.replace(UUID(request.request_id), request.book_tips)
        return pb.UpdateBookTipsResponse(book_tips=replaced)

    async def measure(self) -> None:
        """Counts the mails that wait, for metrics."""
        counts = await self._store.figures()
        _PENDING.set(counts["pending"])
        _OLDEST_PENDING.set((counts["oldest_pending_time"] or now()).timestamp())

    async def finish(self) -> None:
        """Waits, for a lease at most, until running sendings are recorded."""
        if self._sendings:
            await asyncio.wait(self._sendings.values(), timeout=self._lease.total_seconds())

    async def _send(self, request: pb.SendMessageRequest, key: _SendingKey, address: str) -> pb.Delivery:
        request_id, subject_id, template = key
        rendered = render(request, self._settings, await self._tips_of(request))
        message = build(request_id, address, rendered, self._settings)
        if _is_over(request):
            return await self._sent_before(key)
        # As the caller knows the address: the mail server is told its domain in ASCII.
        digest = recipient_digest(request_id, request.recipient_email)
        claimed = await self._store.claim(
            request_id,
            subject_id,
            template,
            self._lease,
            digest,
            recipient_key(subject_id, address),
            request.origin,
        )
        if claimed is None:
            return await self._finished_before(key)
        if claimed.attempts == 1:
            await self._admit(request_id, address)
        sender = self._sender(request_id, claimed)
        outcome = self._at_last(claimed, await self._attempt(request_id, message, address, sender))
        recorded = await self._store.record(request_id, claimed.attempts, outcome)
        if recorded is None:
            return await self._finished_before(key)
        _MAILS.labels(template, _name(outcome)).inc()
        if isinstance(outcome, NotAccepted):
            log.warning("mail not accepted", template=template, attempts=claimed.attempts)
            raise unavailable(REASON_MAIL_NOT_ACCEPTED)
        return _delivery(recorded)

    async def _attempt(self, request_id: UUID, message: EmailMessage, address: str, sender: str) -> Outcome:
        """Sends a mail, unless all mail is held back because the server refuses us."""
        if not self._hold.take_turn():
            return NotAccepted("held back: the mail server refuses our mail", refuses_us=True)
        outcome = await self._transport.send(message, address, sender)
        if isinstance(outcome, NotAccepted) and outcome.refuses_us:
            self._hold.refused(request_id, outcome.error)
        elif not isinstance(outcome, NotAccepted):
            self._hold.accepted()
        return outcome

    def _sender(self, request_id: UUID, claimed: DeliveryRow) -> str:
        """The envelope sender, which gets the mail's bounces."""
        bounce_address = self._settings.bounce_address
        if bounce_address is None or claimed.return_secret is None:
            return self._settings.mail_from
        return return_address(bounce_address, request_id, claimed.return_secret)

    def _at_last(self, claimed: DeliveryRow, outcome: Outcome) -> Outcome:
        """The outcome of an attempt: a mail put off for longer than `mail_patience` is refused."""
        long_ago = now() - self._settings.mail_patience
        if isinstance(outcome, NotAccepted) and outcome.put_off and claimed.create_time <= long_ago:
            return Refused(outcome.error)
        return outcome

    async def _tips_of(self, request: pb.SendMessageRequest) -> Sequence[BookTip]:
        """The current book tips for a welcome; other mails have none."""
        if not request.HasField("welcome"):
            return ()
        language = Language.Name(request.language).removeprefix("LANGUAGE_").lower()
        return (await self._book_tips.read(f"bookTips/{language}")).tips

    async def _admit(self, request_id: UUID, address: str) -> None:
        """Counts a new mail. RESOURCE_EXHAUSTED (TOO_MANY_MAILS) beyond the address's daily limit.

        Customer service has no limit: all notices about waiting work go to its one address.
        """
        if fold(address) == fold(self._settings.customer_service_email):
            return
        today = helsinki_day(now())
        share = Limit(
            f"mail:{today}:{fold(address)}",
            self._settings.mails_per_address,
            helsinki_moment(today + timedelta(days=1)),
        )
        try:
            await self._limiter.admit(share)
        except Refusal:
            # Tomorrow's attempt must count as new.
            await self._store.forget(request_id)
            raise

    async def _finished_before(self, key: _SendingKey) -> pb.Delivery:
        """The result of another attempt. UNAVAILABLE while it runs, ALREADY_EXISTS if it is another mail's.

        ABORTED if the subject was erased meanwhile: the caller must check whether to mail anybody.
        """
        request_id, subject_id, template = key
        row = await self._store.find(request_id)
        if row is not None and (row.subject_id, row.template) != (subject_id, template):
            raise already_exists(REASON_REQUEST_ID_REUSED)
        if row is None:
            # UNAVAILABLE would make the caller send the same mail again.
            raise Refusal(grpc.StatusCode.ABORTED, REASON_UNAVAILABLE)
        if row.state == pb.DELIVERY_STATE_PENDING:
            raise unavailable()
        return _delivery(row)

    async def _sent_before(self, key: _SendingKey) -> pb.Delivery:
        """The delivery of a mail whose link is over by now. FAILED_PRECONDITION (LINK_EXPIRED) if unsent."""
        row = await self._store.find(key[0])
        if row is None or row.state == pb.DELIVERY_STATE_PENDING:
            raise failed_precondition(REASON_LINK_EXPIRED)
        return await self._finished_before(key)

    def _finished(self, key: _SendingKey, sending: asyncio.Task[pb.Delivery]) -> None:
        del self._sendings[key]
        # Retrieve the error: if the caller has gone, nobody else does.
        if not sending.cancelled():
            sending.exception()


def _is_over(request: pb.SendMessageRequest) -> bool:
    """Whether the link in a mail does not work any more: such a mail is of no use."""
    content = getattr(request, template_of(request))
    fields = content.DESCRIPTOR.fields_by_name
    end = next((name for name in ("expire_time", "deadline") if name in fields), None)
    if "link_token" not in fields or end is None:
        return False
    return bool(getattr(content, end).ToDatetime(UTC) <= now())


def _name(outcome: Outcome) -> str:
    if isinstance(outcome, NotAccepted):
        return "refuses_us" if outcome.refuses_us else "not_accepted"
    return "refused" if isinstance(outcome, Refused) else "sent"


def _delivery(row: DeliveryRow) -> pb.Delivery:
    return pb.Delivery(
        request_id=str(row.request_id),
        template=row.template,
        state=row.state,
        attempts=row.attempts,
        last_error=row.last_error,
        create_time=row.create_time,
        update_time=row.update_time,
    )
