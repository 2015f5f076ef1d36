"""Waiting for customer service: a reactivation (R19) or an identity check (R24)."""

from collections.abc import Mapping
from datetime import UTC

from temporalio import workflow

from liity.registration.v1.customer_service_pb2 import TransferCustomerResponse
from liity.v1.reason_pb2 import REASON_NOT_WAITING_FOR_DECISION
from liity.v1.registration_pb2 import (
    STAGE_LAPSED,
    STAGE_LINKED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WITHDRAWN,
    Stage,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    ApprovalStep,
    DecisionStep,
    LinkStep,
    LinkToCustomerRequest,
    Moved,
    RejectRequest,
    StageResponse,
)
from liity.workflows.v1.transfer_workflow_pb2 import TransferStep
from services.runtime.stages import BEGUN
from services.runtime.temporal.names import RegistrationWorkflowNames
from workflows.customers.transfer_activities import TransferActivities
from workflows.registration.decision_activities import DecisionActivities
from workflows.registration.state import FOR_CUSTOMER_SERVICE, RegistrationRun, refusal
from workflows.support.steps import quick_step, signal_registration, signal_removal


class DecisionPhase:
    """Mails customer service the request and a reminder; handles the decision and the lapse."""

    def __init__(self, run: RegistrationRun) -> None:
        self._run = run

    async def run(self, awaited: Stage.ValueType) -> None:
        """Mails the request and a reminder, until a decision, a withdrawal or the lapse (R19, R24)."""
        lapse = self._run.registration.deadline.ToDatetime(UTC)
        asked = DecisionStep(
            step=self._run.step(lapse, self._run.event_id("decision asked")), awaited=awaited, stage=awaited
        )
        self._run.show(FOR_CUSTOMER_SERVICE[awaited], lapse)
        if not self._run.asked:
            await self._run.mail_while(
                awaited,
                DecisionActivities.ask_customer_service,
                asked,
                "Request a decision from customer service",
                lapse,
            )
        reminder = lapse - self._run.created.timetable.decision_reminder.ToTimedelta()
        if reminder > workflow.now():
            await self._run.wait_while(awaited, reminder, "Customer service: reminder")
            again = DecisionStep(
                step=self._run.step(lapse, self._run.event_id("decision reminder")),
                awaited=awaited,
                stage=awaited,
            )
            await self._run.mail_while(
                awaited,
                DecisionActivities.remind_customer_service,
                again,
                "Remind customer service",
                lapse,
            )
        await self._run.wait_while(awaited, lapse, "Customer service: timeout")

        async def lapse_decision() -> None:
            await self._run.end([awaited], STAGE_LAPSED, self._run.step())

        await self._run.decide_at_last(awaited, lapse_decision, "Lapse the registration")
        self._run.asked = False

    def mail_outcome(self, awaited: Stage.ValueType) -> None:
        """Mails the outcome to the registrar, and a lapse to customer service as well."""
        stage = self._run.registration.stage
        if stage == STAGE_WITHDRAWN:
            self._run.mail_withdrawal()
            return
        decided = DecisionStep(step=self._run.step(), awaited=awaited, stage=stage)
        self._run.mails.mail(
            DecisionActivities.tell_how_it_was_decided, decided, "Notify the registrar of the decision"
        )
        if stage == STAGE_LAPSED:
            missed = DecisionStep(step=self._run.step(), awaited=awaited, stage=stage)
            self._run.mails.mail(
                DecisionActivities.tell_what_was_missed, missed, "Notify customer service of the lapse"
            )
        if stage == STAGE_LINKED:
            self._mail_previous_unit()

    async def tell_return(self) -> None:
        """Ends the removal of the reactivated customer, and mails the previous unit (R19)."""
        await signal_removal(self._run.registration.customer_id)
        self._mail_previous_unit()

    @property
    def is_back(self) -> bool:
        """Whether the reactivated customership has begun."""
        return self._run.returning and self._run.registration.stage in BEGUN

    def _mail_previous_unit(self) -> None:
        previous = self._run.previous
        if not previous.unit_id:
            return
        moved = TransferCustomerResponse(
            registration_id=previous.registration_id,
            registration_create_time=previous.registration_create_time,
            previous_unit_id=previous.unit_id,
            previous_registrar_account_id=previous.registrar_account_id,
        )
        step = TransferStep(moved=moved, event_id=str(workflow.uuid4()))
        self._run.mails.mail(TransferActivities.tell_previous_unit, step, "Notify the previous unit")

    async def approve(self, awaited: Stage.ValueType, request_id: str) -> None:
        """Approves the registration, if this approval is still awaited once the lock is held."""
        async with self._run.decision_lock:
            if self._run.registration.stage != awaited:
                return
            # The activity moves it to the end of a day: it reads the time zone, whose rules change.
            consent_lapse = workflow.now() + self._run.created.timetable.consent_lapse.ToTimedelta()
            approval = ApprovalStep(step=self._run.step(consent_lapse, request_id))
            approval.decide_time.FromDatetime(workflow.now())
            approved = await quick_step(
                DecisionActivities.approve_registration, approval, _APPROVALS[awaited]
            )
            self._run.decided_for_unit = False
            self._run.created.consent_outgrown_time.CopyFrom(approved.consent_outgrown_time)
            self._run.previous.CopyFrom(approved.previous)
            self._run.registration.CopyFrom(approved.registration)
            if self._run.registration.stage != STAGE_WAITING_FOR_CONSENT:
                self._run.show("Decided", None)

    async def link(self, request: LinkToCustomerRequest) -> None:
        """Links the registration to a customer, if an identity check is still awaited."""
        async with self._run.decision_lock:
            if self._run.registration.stage != STAGE_WAITING_FOR_IDENTITY_CHECK:
                return
            link = LinkStep(step=self._run.step(event_id=request.request_id), link=request)
            linked = await quick_step(
                DecisionActivities.link_registration, link, "Link to the existing customer"
            )
            self._run.previous.CopyFrom(linked.previous)
            self._run.registration.CopyFrom(linked.registration)
            self._run.show("Ended", None)
        if self._run.previous.unit_id:
            moved = Moved(unit_id=self._run.registration.unit_id)
            person_id = self._run.registration.person_id
            await signal_registration(person_id, RegistrationWorkflowNames.MOVED, moved)

    async def reject(self, request: RejectRequest) -> None:
        """Ends and erases the registration, if customer service's decision is still awaited."""
        step = self._run.step(event_id=request.request_id)
        await self._run.end(FOR_CUSTOMER_SERVICE, STAGE_REJECTED, step, note=request.note)

    def require(self, *stages: Stage.ValueType) -> None:
        """Refuses a decision that is not awaited."""
        if self._run.registration.stage not in stages:
            raise refusal(REASON_NOT_WAITING_FOR_DECISION)

    def answer(self, request_id: str) -> StageResponse:
        """The registration, if this request decided it."""
        decided = self._run.registration.decision_request_id == request_id
        return self._run.answer(REASON_NOT_WAITING_FOR_DECISION, decided=decided)


_APPROVALS: Mapping[Stage.ValueType, str] = {
    STAGE_WAITING_FOR_REACTIVATION: "Reactivate the customer",
    STAGE_WAITING_FOR_IDENTITY_CHECK: "Confirm the identity",
}
"""Summaries of the approvals, for operators."""
