"""Activity of the work list's daily digest: counts only, no personal data."""

import uuid
from collections.abc import Mapping
from datetime import timedelta

from temporalio import activity

from liity.notification.v1.notification_service_pb2 import WorkCount, WorkDigest
from liity.registration.v1.work_service_pb2 import CountDueWorkRequest
from liity.registration.v1.work_service_pb2_grpc import WorkServiceStub
from liity.v1.work_service_pb2 import (
    WORK_ITEM_KIND_DISSENT,
    WORK_ITEM_KIND_FEEDBACK,
    WORK_ITEM_KIND_IDENTITY_CHECK,
    WORK_ITEM_KIND_MESSAGE,
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE,
    WORK_ITEM_KIND_REACTIVATION,
    WORK_ITEM_KIND_UNDELIVERABLE_MAIL,
    WorkItemKind,
)
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, RegistrationStep
from services.runtime.clock import now
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing

_FIELDS: Mapping[WorkItemKind.ValueType, str] = {
    WORK_ITEM_KIND_REACTIVATION: "reactivations",
    WORK_ITEM_KIND_IDENTITY_CHECK: "identity_checks",
    WORK_ITEM_KIND_UNDELIVERABLE_MAIL: "undeliverable_mail",
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE: "possible_duplicates",
    WORK_ITEM_KIND_MESSAGE: "messages",
    WORK_ITEM_KIND_FEEDBACK: "feedback",
    WORK_ITEM_KIND_DISSENT: "dissents",
}
"""The mail's field for each kind."""


class WorkDigestActivities:
    """The activity. `notice` is how long before its deadline an item counts as due soon."""

    def __init__(self, registration: Peer, mailing: Mailing, notice: timedelta) -> None:
        self._registration = registration
        self._mailing = mailing
        self._notice = notice
        self._work = WorkServiceStub(registration.channel)

    @activity.defn
    async def tell_what_is_due(self) -> MailStepResult:
        """Mails customer service how much is overdue or due soon; no mail if nothing is."""
        request = CountDueWorkRequest()
        request.until.FromDatetime(now() + self._notice)
        due = (await self._registration.call(self._work.CountDueWork, request)).due
        if not due:
            return MailStepResult()
        counts = {_FIELDS[each.kind]: WorkCount(due_soon=each.due_soon, overdue=each.overdue) for each in due}
        # One mail per run, however often the activity is retried.
        run = uuid.UUID(activity.info().workflow_run_id)
        once = RegistrationStep(registration_id=run.hex, event_id=str(run))
        digest = WorkDigest(**counts)
        return await self._mailing.tell(
            once, self._mailing.customer_service, "work digest", work_digest=digest
        )
