"""Starts and updates registration workflows."""

import grpc
from google.protobuf.message import Message
from temporalio.common import SearchAttributePair

from liity.registration.v1.registration_service_pb2 import CreateRegistrationRequest, Registration
from liity.v1.reason_pb2 import (
    REASON_GUARDIAN_MAILED_RECENTLY,
    REASON_NOT_WAITING,
    REASON_NOT_WAITING_FOR_CONSENT,
    REASON_NOT_WAITING_FOR_DECISION,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    DissentRequest,
    EditRequest,
    EditResponse,
    LinkToCustomerRequest,
    MakeWayRequest,
    MakeWayResponse,
    ReactivateRequest,
    RecordConsentRequest,
    RegistrationWorkflowInput,
    RejectRequest,
    RemindGuardianRequest,
    RemindGuardianResponse,
    ReportWrongRecipientRequest,
    SendConsentLinkRequest,
    StageResponse,
    TakeBackDeclineRequest,
    VerifyIdentityRequest,
    WithdrawRequest,
)
from services.gateway.temporal.starter import Run, WorkflowStarter
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.refusal_message import to_refusal
from services.runtime.temporal.names import RegistrationWorkflowNames as Names
from services.runtime.temporal.search_attributes import KIND, STAGE, UNIT, kind_name, stage_name
from services.runtime.temporal.updates import patiently, save_registration, update_with_start

_CLOSED = {
    Names.RECORD_CONSENT: REASON_NOT_WAITING_FOR_CONSENT,
    Names.DECLINE_CONSENT: REASON_NOT_WAITING_FOR_CONSENT,
    Names.SEND_CONSENT_LINK: REASON_NOT_WAITING_FOR_CONSENT,
    Names.REPORT_WRONG_RECIPIENT: REASON_NOT_WAITING_FOR_CONSENT,
    Names.TAKE_BACK_DECLINE: REASON_NOT_WAITING_FOR_CONSENT,
    Names.WITHDRAW: REASON_NOT_WAITING,
    Names.REACTIVATE: REASON_NOT_WAITING_FOR_DECISION,
    Names.VERIFY_IDENTITY: REASON_NOT_WAITING_FOR_DECISION,
    Names.LINK_TO_CUSTOMER: REASON_NOT_WAITING_FOR_DECISION,
    Names.REJECT: REASON_NOT_WAITING_FOR_DECISION,
}
"""The reason for refusing a decision whose workflow has ended."""


class RegistrationWorkflows(WorkflowStarter):
    """Starts registrations, and sends decisions to waiting ones."""

    async def save(self, request: CreateRegistrationRequest) -> Registration:
        """Starts the person's registration or updates the running one; returns once the outcome is decided.

        The request's ID is the update's ID: a repeated call gets the first answer.
        """
        return await save_registration(self._temporal, request)

    async def make_way(self, person_id: str, request_id: str) -> None:
        """Ends the run of an ended customership, which may still wait to send the welcome mail."""
        handle = self._temporal.get_workflow_handle(Names.workflow_id(person_id))
        message = MakeWayRequest(request_id=request_id)
        update_id = f"{Names.MAKE_WAY}/{request_id}"

        async def send() -> MakeWayResponse:
            answer: MakeWayResponse = await handle.execute_update(
                Names.MAKE_WAY, message, id=update_id, result_type=MakeWayResponse
            )
            return answer

        try:
            await patiently(send, closed=REASON_NOT_WAITING)
        except Refusal as refusal:
            # No run: as expected.
            if refusal.reason != REASON_NOT_WAITING:
                raise

    async def edit(self, person_id: str, request: EditRequest) -> EditResponse:
        """Corrects the form of a waiting registration."""
        handle = self._temporal.get_workflow_handle(Names.workflow_id(person_id))
        response: EditResponse = await patiently(
            lambda: handle.execute_update(
                Names.EDIT, request, id=f"{Names.EDIT}/{request.request_id}", result_type=EditResponse
            ),
            closed=REASON_NOT_WAITING,
        )
        if response.HasField("refused"):
            raise to_refusal(response.refused)
        return response

    async def record_consent(self, person_id: str, request: RecordConsentRequest) -> Registration:
        """Gives the consent."""
        return await self._decide(person_id, Names.RECORD_CONSENT, request.request_id, request)

    async def remind_guardian(self, person_id: str, request: RemindGuardianRequest) -> RemindGuardianResponse:
        """Reminds the guardian. RESOURCE_EXHAUSTED (GUARDIAN_MAILED_RECENTLY) if a mail went recently."""
        handle = self._temporal.get_workflow_handle(Names.workflow_id(person_id))
        update_id = f"{Names.REMIND_GUARDIAN}/{request.request_id}"
        response: RemindGuardianResponse = await patiently(
            lambda: handle.execute_update(
                Names.REMIND_GUARDIAN, request, id=update_id, result_type=RemindGuardianResponse
            ),
            closed=REASON_NOT_WAITING_FOR_CONSENT,
        )
        if response.HasField("retry_after"):
            raise Refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                REASON_GUARDIAN_MAILED_RECENTLY,
                retry_after=response.retry_after.ToTimedelta(),
            )
        return response

    async def decline_consent(self, person_id: str, request: DeclineConsentRequest) -> Registration:
        """Declines the consent."""
        return await self._decide(person_id, Names.DECLINE_CONSENT, request.request_id, request)

    async def send_consent_link(self, person_id: str, request: SendConsentLinkRequest) -> Registration:
        """Mails the guardian's link anew."""
        return await self._decide(person_id, Names.SEND_CONSENT_LINK, request.request_id, request)

    async def report_wrong_recipient(
        self, person_id: str, request: ReportWrongRecipientRequest
    ) -> Registration:
        """Marks the guardian's address as wrong."""
        return await self._decide(person_id, Names.REPORT_WRONG_RECIPIENT, request.request_id, request)

    async def take_back_decline(self, person_id: str, request: TakeBackDeclineRequest) -> Registration:
        """Takes a decline back."""
        return await self._decide(person_id, Names.TAKE_BACK_DECLINE, request.request_id, request)

    async def dissent(self, registration: Registration, request: DissentRequest) -> Registration:
        """Records a guardian's dissent; begins a run for it if the registration's own has ended."""
        run = Run(
            Names.WORKFLOW,
            Names.workflow_id(registration.person_id),
            "Dissent of a guardian",
            RegistrationWorkflowInput(person_id=registration.person_id),
            [
                SearchAttributePair(STAGE, stage_name(registration.stage)),
                SearchAttributePair(UNIT, registration.unit_id),
                SearchAttributePair(KIND, kind_name(registration.kind)),
            ],
        )
        response = await update_with_start(
            self._temporal,
            run.operation,
            Names.DISSENT,
            request,
            f"{Names.DISSENT}/{request.request_id}",
            StageResponse,
            closed=REASON_NOT_WAITING_FOR_CONSENT,
        )
        return response.registration

    async def withdraw(self, person_id: str, request: WithdrawRequest) -> Registration:
        """Withdraws the registration."""
        return await self._decide(person_id, Names.WITHDRAW, request.request_id, request)

    async def reactivate(self, person_id: str, request: ReactivateRequest) -> Registration:
        """Activates a customer marked for deletion."""
        return await self._decide(person_id, Names.REACTIVATE, request.request_id, request)

    async def verify_identity(self, person_id: str, request: VerifyIdentityRequest) -> Registration:
        """Confirms the identity of a person without a personal identity code."""
        return await self._decide(person_id, Names.VERIFY_IDENTITY, request.request_id, request)

    async def link_to_customer(self, person_id: str, request: LinkToCustomerRequest) -> Registration:
        """Links the registration to an existing customer."""
        return await self._decide(person_id, Names.LINK_TO_CUSTOMER, request.request_id, request)

    async def reject(self, person_id: str, request: RejectRequest) -> Registration:
        """Rejects a registration that waits for customer service."""
        return await self._decide(person_id, Names.REJECT, request.request_id, request)

    async def _decide(self, person_id: str, name: str, request_id: str, request: Message) -> Registration:
        handle = self._temporal.get_workflow_handle(Names.workflow_id(person_id))
        # A run tells updates apart by ID alone: without the name, a Save's answer could stand for another
        # message's.
        update_id = f"{name}/{request_id}"
        response: StageResponse = await patiently(
            lambda: handle.execute_update(name, request, id=update_id, result_type=StageResponse),
            closed=_CLOSED[name],
        )
        return response.registration
