"""The wait for customer service: a reactivation (R19), or an identity check (R24)."""

from collections.abc import Mapping
from datetime import UTC

from temporalio import workflow

from liity.registration.v1.customer_service_pb2 import TransferCustomerResponse
from liity.registration.v1.registration_service_pb2 import PreviousCustomership
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
    ReactivateRequest,
    RegistrationState,
    RejectRequest,
    StageResponse,
    VerifyIdentityRequest,
)
from liity.workflows.v1.transfer_workflow_pb2 import TransferStep
from services.runtime.security.hetu_detector import looks_like_hetu
from services.runtime.stages import BEGUN
from services.runtime.temporal.names import RegistrationWorkflowNames
from workflows.customers.transfer_activities import TransferActivities
from workflows.registration.decision_activities import DecisionActivities
from workflows.registration.state import FOR_CUSTOMER_SERVICE, RegistrationRun, refusal
from workflows.support.deadlines import lapse_time
from workflows.support.steps import quick_step, signal_registration, signal_removal


class CustomerServiceWait(RegistrationRun):
    """Asks customer service, and takes its decision."""

    def __init__(self, person_id: str) -> None:
        super().__init__(person_id)
        self._returns = False
        """Whether the person was marked for deletion when saved."""
        self._previous = PreviousCustomership()

    async def _await_customer_service(self, awaited: Stage.ValueType) -> None:
        """Asks customer service, reminds, and lapses: until they, or a withdrawal, decide it (R19, R24)."""
        lapse = self._registration.deadline.ToDatetime(UTC)
        asked = DecisionStep(
            step=self._step(lapse, self._event("decision asked")), awaited=awaited, stage=awaited
        )
        self._show(FOR_CUSTOMER_SERVICE[awaited], lapse)
        if not self._asked:
            await self._mail_while(
                awaited, DecisionActivities.ask_customer_service, asked, "Ask customer service", lapse
            )
        reminder = lapse - self._created.timetable.decision_reminder.ToTimedelta()
        if reminder > workflow.now():
            await self._wait_while(awaited, reminder, "Customer service: reminder")
            again = DecisionStep(
                step=self._step(lapse, self._event("decision reminder")), awaited=awaited, stage=awaited
            )
            await self._mail_while(
                awaited,
                DecisionActivities.remind_customer_service,
                again,
                "Remind customer service",
                lapse,
            )
        await self._wait_while(awaited, lapse, "Customer service: lapse")

        async def lapse_decision() -> None:
            await self._end([awaited], STAGE_LAPSED, self._step())

        await self._see_to(awaited, lapse_decision, "Customer service: lapse")
        self._asked = False

    def _tell_how_it_was_decided(self, awaited: Stage.ValueType) -> None:
        """Tells the registrar, and customer service of what it has let lapse."""
        stage = self._registration.stage
        if stage == STAGE_WITHDRAWN:
            self._tell_of_the_withdrawal()
            return
        decided = DecisionStep(step=self._step(), awaited=awaited, stage=stage)
        self._tellings.mail(DecisionActivities.tell_how_it_was_decided, decided, "Tell the registrar")
        if stage == STAGE_LAPSED:
            missed = DecisionStep(step=self._step(), awaited=awaited, stage=stage)
            self._tellings.mail(DecisionActivities.tell_what_was_missed, missed, "Tell customer service")
        if stage == STAGE_LINKED:
            self._tell_previous_unit()

    async def _tell_of_the_return(self) -> None:
        """Of a customer who was marked for deletion: the removal ends, and the unit before is told (R19)."""
        await signal_removal(self._registration.customer_id)
        self._tell_previous_unit()

    @property
    def _is_back(self) -> bool:
        return self._returns and self._registration.stage in BEGUN

    def _tell_previous_unit(self) -> None:
        previous = self._previous
        if not previous.unit_id:
            return
        moved = TransferCustomerResponse(
            registration_id=previous.registration_id,
            registration_create_time=previous.registration_create_time,
            previous_unit_id=previous.unit_id,
            previous_registrar_account_id=previous.registrar_account_id,
        )
        step = TransferStep(moved=moved, event_id=str(workflow.uuid4()))
        self._tellings.mail(TransferActivities.tell_previous_unit, step, "Tell the previous unit")

    def _state(self) -> RegistrationState:
        state = super()._state()
        state.returning = self._returns
        state.previous.CopyFrom(self._previous)
        return state

    def _take_up(self, state: RegistrationState) -> None:
        super()._take_up(state)
        self._returns = state.returning
        self._previous.CopyFrom(state.previous)

    @workflow.update(name=RegistrationWorkflowNames.REACTIVATE)
    async def reactivate(self, request: ReactivateRequest) -> StageResponse:
        """Customer service activates somebody who was marked for deletion (R19)."""
        await self._approve(STAGE_WAITING_FOR_REACTIVATION, request.request_id)
        return self._decision(request.request_id)

    @workflow.update(name=RegistrationWorkflowNames.VERIFY_IDENTITY)
    async def verify_identity(self, request: VerifyIdentityRequest) -> StageResponse:
        """Customer service has made sure who the person is (R24)."""
        await self._approve(STAGE_WAITING_FOR_IDENTITY_CHECK, request.request_id)
        return self._decision(request.request_id)

    @workflow.update(name=RegistrationWorkflowNames.LINK_TO_CUSTOMER)
    async def link_to_customer(self, request: LinkToCustomerRequest) -> StageResponse:
        """Customer service has found that the person is a customer already (R24)."""
        await self._link(request)
        return self._decision(request.request_id)

    @workflow.update(name=RegistrationWorkflowNames.REJECT)
    async def reject(self, request: RejectRequest) -> StageResponse:
        """Customer service declines: the registration ends and is erased (R19, R24)."""
        await self._reject(request)
        return self._decision(request.request_id)

    @reactivate.validator
    def _reactivation_is_awaited(self, request: ReactivateRequest) -> None:  # noqa: ARG002
        self._require(STAGE_WAITING_FOR_REACTIVATION)

    @verify_identity.validator
    def _identity_check_is_awaited(self, request: VerifyIdentityRequest) -> None:  # noqa: ARG002
        self._require(STAGE_WAITING_FOR_IDENTITY_CHECK)

    @link_to_customer.validator
    def _identity_check_is_still_awaited(self, request: LinkToCustomerRequest) -> None:  # noqa: ARG002
        self._require(STAGE_WAITING_FOR_IDENTITY_CHECK)

    @reject.validator
    def _a_decision_is_awaited(self, request: RejectRequest) -> None:  # noqa: ARG002
        self._require(*FOR_CUSTOMER_SERVICE)

    # A signal has nobody to answer: where nothing waits any more, it changes nothing.

    @workflow.signal(name=RegistrationWorkflowNames.REACTIVATE)
    async def reactivate_by_signal(self, request: ReactivateRequest) -> None:  # noqa: ARG002
        """`reactivate` from Temporal UI or CLI; `{}` is enough."""
        await self._approve(STAGE_WAITING_FOR_REACTIVATION, "")

    @workflow.signal(name=RegistrationWorkflowNames.VERIFY_IDENTITY)
    async def verify_identity_by_signal(self, request: VerifyIdentityRequest) -> None:  # noqa: ARG002
        """`verify_identity` from Temporal UI or CLI; `{}` is enough."""
        await self._approve(STAGE_WAITING_FOR_IDENTITY_CHECK, "")

    @workflow.signal(name=RegistrationWorkflowNames.REJECT)
    async def reject_by_signal(self, request: RejectRequest) -> None:
        """`reject` from Temporal UI or CLI; `{}` is enough, and then the unit reads no reason."""
        request.request_id = ""
        if looks_like_hetu(request.note):
            workflow.logger.warning("signal dropped: its note holds what looks like a personal identity code")
            return
        await self._reject(request)

    async def _approve(self, awaited: Stage.ValueType, request_id: str) -> None:
        """Customer service says yes, if that is still awaited when it is this one's turn."""
        async with self._deciding:
            if self._registration.stage != awaited:
                return
            consent_lapse = lapse_time(workflow.now(), self._created.timetable)
            approval = ApprovalStep(step=self._step(consent_lapse, request_id))
            approval.decide_time.FromDatetime(workflow.now())
            approved = await quick_step(
                DecisionActivities.approve_registration, approval, _APPROVALS[awaited]
            )
            self._for_the_unit = False
            self._created.consent_outgrown_time.CopyFrom(approved.consent_outgrown_time)
            self._previous.CopyFrom(approved.previous)
            self._registration.CopyFrom(approved.registration)
            if self._registration.stage != STAGE_WAITING_FOR_CONSENT:
                self._show("Decided", None)

    async def _link(self, request: LinkToCustomerRequest) -> None:
        """Ends as another customer's, if an identity check is still awaited when it is this one's turn."""
        async with self._deciding:
            if self._registration.stage != STAGE_WAITING_FOR_IDENTITY_CHECK:
                return
            link = LinkStep(step=self._step(event_id=request.request_id), link=request)
            linked = await quick_step(
                DecisionActivities.link_registration, link, "Link to the customer there is"
            )
            self._previous.CopyFrom(linked.previous)
            self._registration.CopyFrom(linked.registration)
            self._show("Ended", None)
        if self._previous.unit_id:
            moved = Moved(unit_id=self._registration.unit_id)
            person_id = self._registration.person_id
            await signal_registration(person_id, RegistrationWorkflowNames.MOVED, moved)

    async def _reject(self, request: RejectRequest) -> None:
        step = self._step(event_id=request.request_id)
        await self._end(FOR_CUSTOMER_SERVICE, STAGE_REJECTED, step, note=request.note)

    def _require(self, *stages: Stage.ValueType) -> None:
        if self._registration.stage not in stages:
            raise refusal(REASON_NOT_WAITING_FOR_DECISION)

    def _decision(self, request_id: str) -> StageResponse:
        """The registration, if it was this call that has decided."""
        decided = self._registration.decision_request_id == request_id
        return self._answer(REASON_NOT_WAITING_FOR_DECISION, decided=decided)


_APPROVALS: Mapping[Stage.ValueType, str] = {
    STAGE_WAITING_FOR_REACTIVATION: "Activate the customer",
    STAGE_WAITING_FOR_IDENTITY_CHECK: "Confirm who it is",
}
"""Customer service's yes, in words for operators."""
