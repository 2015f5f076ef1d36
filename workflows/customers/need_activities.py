"""Activities that watch a temporary need (R21)."""

from datetime import UTC, timedelta

import grpc
from temporalio import activity

from liity.notification.v1.notification_service_pb2 import CustomerNotice, NeedQuestion
from liity.registration.v1.customer_service_pb2 import ExtendNeedRequest, GetCustomerRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from liity.workflows.v1.need_workflow_pb2 import (
    ExtendRequest,
    ExtendResponse,
    Need,
    NeedAsked,
    NeedChanged,
    NeedStep,
    NeedWorkflowInput,
)
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, RegistrationStep
from services.runtime.clock import (
    deadline_after,
    from_proto_date,
    helsinki_day,
    helsinki_moment,
    now,
    to_proto_date,
)
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import TASK_QUEUE, NeedWorkflowNames
from workflows.mail.customership_links import CustomershipLinks
from workflows.mail.notifier import Mailing, key
from workflows.support.refusals import answers_refusals
from workflows.support.spread import own_share

ASK_HOUR = 9
"""Hour of the question, in Helsinki."""


class NeedActivities:
    """Activities that call the three services.

    `patience` is how long an answer may take, `extension` how long a need is extended if no day is given,
    `spread` the time over which the questions of one morning are spread.
    """

    def __init__(
        self,
        registration: Peer,
        mailing: Mailing,
        links: CustomershipLinks,
        patience: timedelta,
        extension: timedelta,
        spread: timedelta,
    ) -> None:
        self._registration = registration
        self._mailing = mailing
        self._links = links
        self._patience = patience
        self._extension = extension
        self._spread = spread
        self._customers = CustomerServiceStub(registration.channel)

    @activity.defn
    async def watch_need(self, customer: NeedWorkflowInput) -> None:
        """Starts the run that watches a customer's need, or makes the open run read the need again."""
        await activity.client().start_workflow(
            NeedWorkflowNames.WORKFLOW,
            customer,
            id=NeedWorkflowNames.workflow_id(customer.customer_id),
            task_queue=TASK_QUEUE,
            start_signal=NeedWorkflowNames.CHANGED,
            start_signal_args=[NeedChanged()],
            static_summary=OperatorText("Temporary need"),
        )

    @activity.defn
    async def look_at_need(self, customer: NeedWorkflowInput) -> Need:
        """When to ask; empty for a customer without a temporary need that is expected to end."""
        request = GetCustomerRequest(customer_id=customer.customer_id)
        try:
            stored = (await self._registration.call(self._customers.GetCustomer, request)).customer
        except Refusal as refusal:
            if refusal.code is grpc.StatusCode.NOT_FOUND:
                return Need()
            raise
        form = stored.form
        if stored.state != CUSTOMER_STATE_ACTIVE or not form.temporary:
            return Need()
        if not form.HasField("expected_end_date"):
            return Need()
        need = Need(
            person_id=stored.person_id, registration_id=stored.registration_id, unit_id=stored.unit_id
        )
        asked = helsinki_moment(from_proto_date(form.expected_end_date), ASK_HOUR)
        need.ask_time.FromDatetime(asked)
        need.patience.FromTimedelta(self._patience)
        need.spread.FromTimedelta(own_share(self._spread, customer.customer_id))
        if self._patience >= timedelta(days=1):
            need.answer_due_time.FromDatetime(deadline_after(asked, self._patience))
            need.repeated_answer_due_time.FromDatetime(deadline_after(asked, 2 * self._patience))
        return need

    @activity.defn
    async def ask_whether_needed(self, need: NeedStep) -> NeedAsked:
        """Mails the customer a link for the answer; `somebody` is false if there is no address."""
        step = need.step
        details = await self._mailing.details(step)
        if details is None or not details.customer_email:
            return NeedAsked()
        token = await self._links.issue(
            key(step.event_id, "customership link"), step.registration_id, step.deadline.ToDatetime(UTC)
        )
        field = "need_reminder" if need.again else "need_question"
        asked = NeedQuestion(first_names=details.first_names, link_token=token, deadline=step.deadline)
        mail = self._mailing.mail(step, field, details.customer_email, details, **{field: asked})
        await self._mailing.send_or_tell(step, details, mail)
        return NeedAsked(somebody=True)

    @activity.defn
    async def tell_need_unanswered(self, step: RegistrationStep) -> MailStepResult:
        """Notifies the registrar that no answer came."""
        details = await self._mailing.details(step)
        if details is None:
            return MailStepResult()
        content = CustomerNotice(first_names=details.first_names, unit_display_name=details.unit_display_name)
        return await self._mailing.tell_registrar(step, details, "need unanswered", need_unanswered=content)

    @activity.defn
    @answers_refusals(ExtendResponse)
    async def extend_need(self, request: ExtendRequest) -> ExtendResponse:
        """Extends the need. A permanent refusal is returned, not raised."""
        extend = ExtendNeedRequest(
            request_id=request.request_id,
            customer_id=request.customer_id,
            expected_end_date=request.expected_end_date
            if request.HasField("expected_end_date")
            else to_proto_date(helsinki_day(now()) + self._extension),
        )
        extended = await self._registration.call(self._customers.ExtendNeed, extend)
        await self._links.use_up(request.link_id, request.request_id)
        return ExtendResponse(expected_end_date=extended.expected_end_date)
