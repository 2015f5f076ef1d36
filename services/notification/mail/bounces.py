"""Mail that comes back after a mail server has accepted it."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_RETURNED,
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_UNDELIVERABLE,
)
from liity.v1.work_service_pb2 import (
    DELIVERY_REPORT_OUTCOME_NOTHING,
    DELIVERY_REPORT_OUTCOME_RETURNED,
    DELIVERY_REPORT_OUTCOME_UNDELIVERABLE,
    DeliveryReportOutcome,
)
from services.notification.mail.deliveries import MessageStore
from services.notification.mail.refusals import Speaks
from services.notification.mail.reports import Report, read_report
from services.notification.mail.return_address import is_secret, read_token

log = structlog.get_logger()


class Bounces:
    """Records what reports say. Those that came by mail count only with the secret of the mail they name."""

    def __init__(
        self, store: MessageStore, bounce_address: str | None, delays: Sequence[timedelta] = ()
    ) -> None:
        self._delays = delays
        self._store = store
        self._bounce_address = bounce_address

    async def take_mail(self, raw: bytes) -> bool:
        """Records a report that anybody may have sent. Whether it is a report of a mail of ours."""
        report = read_report(raw)
        token = (
            read_token(self._bounce_address, report.addresses) if report and self._bounce_address else None
        )
        if report is None or token is None:
            return False
        request_id, secret = token
        delivery = await self._store.find(request_id)
        if delivery is None or not is_secret(delivery.return_secret, secret):
            return False
        await self.record(request_id, report)
        return True

    async def find(self, report: Report) -> UUID | None:
        """The mail that a report names, by an authenticated caller; None if none of ours."""
        token = read_token(self._bounce_address, report.addresses) if self._bounce_address else None
        request_id = token[0] if token else report.request_id
        known = request_id is not None and await self._store.find(request_id) is not None
        return request_id if known else None

    async def record(self, request_id: UUID, report: Report) -> DeliveryReportOutcome.ValueType:
        """Records a report of a mail that is known."""
        if report.complaint:
            log.error("a reader calls our mail unwanted", message=str(request_id))
        if report.failed is None:
            return DELIVERY_REPORT_OUTCOME_NOTHING
        of_us = report.failed is Speaks.OF_US
        # What comes back for a full mailbox, say, and comes back again, does not reach the address.
        state = DELIVERY_STATE_RETURNED if of_us else DELIVERY_STATE_UNDELIVERABLE
        delays = () if report.failed is Speaks.OF_ADDRESS else self._delays
        recorded = await self._store.bounce(request_id, state, f"came back: {report.status}", delays)
        if recorded is None:
            return await self._outcome_before(request_id)
        if of_us:
            log.error(
                "mail has come back because of us: see docs/operating.md, Mail that is refused",
                status=report.status,
            )
        if recorded.state == DELIVERY_STATE_UNDELIVERABLE:
            return DELIVERY_REPORT_OUTCOME_UNDELIVERABLE
        return DELIVERY_REPORT_OUTCOME_RETURNED

    async def _outcome_before(self, request_id: UUID) -> DeliveryReportOutcome.ValueType:
        """The answer to a repeated report."""
        delivery = await self._store.find(request_id)
        state = DELIVERY_STATE_SENT if delivery is None else delivery.state
        return {
            DELIVERY_STATE_UNDELIVERABLE: DELIVERY_REPORT_OUTCOME_UNDELIVERABLE,
            DELIVERY_STATE_RETURNED: DELIVERY_REPORT_OUTCOME_RETURNED,
        }.get(state, DELIVERY_REPORT_OUTCOME_NOTHING)
