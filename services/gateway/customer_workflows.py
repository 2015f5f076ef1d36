"""The gateway's way to the workflows about customers: each call is a run of its own."""

import uuid
from typing import TypeVar

from google.protobuf.message import Message
from temporalio.client import WithStartWorkflowOperation
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from liity.registration.v1.customer_service_pb2 import (
    ConvertToOnlineRequest,
    MergeCustomersRequest,
    OrderCredentialsRequest,
    RecordCodeChangeRequest,
    TransferCustomerRequest,
    TransferCustomerResponse,
    UpdateCustomerRequest,
)
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.customer_service_pb2 import CodeOf
from liity.v1.reason_pb2 import REASON_UNAVAILABLE
from liity.v1.registration_pb2 import STAGE_ACTIVE
from liity.workflows.v1.address_workflow_pb2 import ChangeAddressRequest, ChangeAddressResponse
from liity.workflows.v1.code_change_workflow_pb2 import ChangeCodeRequest, ChangeCodeResponse
from liity.workflows.v1.credentials_workflow_pb2 import SendCredentialsRequest, SendCredentialsResponse
from liity.workflows.v1.merge_workflow_pb2 import MergeRequest, MergeResponse
from liity.workflows.v1.registration_workflow_pb2 import (
    ConvertRequest,
    ConvertResponse,
    RegistrationWorkflowInput,
)
from liity.workflows.v1.transfer_workflow_pb2 import TransferRequest, TransferResponse
from services.gateway.workflow_starter import WorkflowStarter
from services.runtime.refused import to_refusal
from services.runtime.search_attributes import KIND, STAGE, UNIT, kind_name, stage_name
from services.runtime.temporal import (
    AddressChangeWorkflowNames,
    CodeChangeWorkflowNames,
    CredentialsWorkflowNames,
    MergeWorkflowNames,
    RegistrationWorkflowNames,
    TransferWorkflowNames,
)
from services.runtime.updates import update_with_start

AnswerT = TypeVar(
    "AnswerT",
    TransferResponse,
    SendCredentialsResponse,
    ChangeAddressResponse,
    ChangeCodeResponse,
    MergeResponse,
)


class CustomerWorkflows(WorkflowStarter):
    """Starts what is done for customers. A repetition after a run's end starts one that finds all done."""

    async def transfer(self, request: TransferCustomerRequest) -> TransferCustomerResponse:
        """Moves a person to another unit (R16)."""
        request_id = request.request_id = _canonical(request.request_id)
        answer = await self._answer(
            TransferWorkflowNames.WORKFLOW,
            TransferWorkflowNames.workflow_id(request_id),
            "Transfer to another unit",
            TransferWorkflowNames.TRANSFER,
            TransferRequest(transfer=request),
            TransferResponse,
            request_id=request_id,
            unit_id=request.unit_id,
        )
        return answer.moved

    async def send_credentials(self, order: OrderCredentialsRequest, account_id: str) -> None:
        """Sends credentials anew (R17), ordered by an account."""
        request_id = order.request_id = _canonical(order.request_id)
        await self._answer(
            CredentialsWorkflowNames.WORKFLOW,
            CredentialsWorkflowNames.workflow_id(request_id),
            "Credentials sent anew",
            CredentialsWorkflowNames.SEND,
            SendCredentialsRequest(order=order, account_id=account_id),
            SendCredentialsResponse,
            request_id=request_id,
            unit_id=order.unit_id,
        )

    async def change_address(self, update: UpdateCustomerRequest, account_id: str) -> ChangeAddressResponse:
        """Makes an edit that may change the address for mail (R14), by an account."""
        request_id = update.request_id = _canonical(update.request_id)
        return await self._answer(
            AddressChangeWorkflowNames.WORKFLOW,
            AddressChangeWorkflowNames.workflow_id(request_id),
            "Change of a customer's address",
            AddressChangeWorkflowNames.CHANGE,
            ChangeAddressRequest(update=update, account_id=account_id),
            ChangeAddressResponse,
            request_id=request_id,
            unit_id=update.unit_id,
        )

    async def merge(self, request: MergeCustomersRequest, code_of: CodeOf.ValueType) -> None:
        """Makes one customer of two (R24, R34)."""
        request_id = request.request_id = _canonical(request.request_id)
        await self._answer(
            MergeWorkflowNames.WORKFLOW,
            MergeWorkflowNames.workflow_id(request_id),
            "Two customers become one",
            MergeWorkflowNames.MERGE,
            MergeRequest(merge=request, code_of=code_of),
            MergeResponse,
            request_id=request_id,
            unit_id=request.unit_id,
        )

    async def change_code(self, person_id: str, record: RecordCodeChangeRequest, unit_id: str) -> str:
        """Gives a person the code that identity keeps for the call (R24, R34).

        Answers who else has got the code meanwhile, if somebody has.
        """
        request_id = record.request_id = _canonical(record.request_id)
        answer = await self._answer(
            CodeChangeWorkflowNames.WORKFLOW,
            CodeChangeWorkflowNames.workflow_id(person_id),
            "Change of a personal identity code",
            CodeChangeWorkflowNames.CHANGE,
            ChangeCodeRequest(record=record),
            ChangeCodeResponse,
            request_id=request_id,
            unit_id=unit_id,
        )
        return answer.other_person_id

    async def convert_to_online(self, person_id: str, request: ConvertToOnlineRequest) -> None:
        """Makes an online customer of a CD borrower (R23): in the person's own run, as for a new customer."""
        request.request_id = _canonical(request.request_id)

        def start() -> WithStartWorkflowOperation[object, object]:
            return WithStartWorkflowOperation(
                RegistrationWorkflowNames.WORKFLOW,
                RegistrationWorkflowInput(person_id=person_id),
                id=RegistrationWorkflowNames.workflow_id(person_id),
                task_queue=RegistrationWorkflowNames.TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary="A CD borrower becomes an online customer",
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(STAGE, stage_name(STAGE_ACTIVE)),
                        SearchAttributePair(UNIT, request.unit_id),
                        SearchAttributePair(KIND, kind_name(CUSTOMER_KIND_ONLINE)),
                    ]
                ),
            )

        answer = await update_with_start(
            self._temporal,
            start,
            RegistrationWorkflowNames.CONVERT,
            ConvertRequest(conversion=request),
            # A run knows its updates by ID alone: a Save's must not answer for another message.
            f"{RegistrationWorkflowNames.CONVERT}/{request.request_id}",
            ConvertResponse,
            closed=REASON_UNAVAILABLE,
        )
        if answer.HasField("refused"):
            raise to_refusal(answer.refused)

    async def _answer(
        self,
        workflow: str,
        workflow_id: str,
        summary: str,
        update: str,
        message: Message,
        answer_type: type[AnswerT],
        *,
        request_id: str,
        unit_id: str,
    ) -> AnswerT:
        def start() -> WithStartWorkflowOperation[object, object]:
            return WithStartWorkflowOperation(
                workflow,
                id=workflow_id,
                task_queue=RegistrationWorkflowNames.TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=summary,
                search_attributes=TypedSearchAttributes([SearchAttributePair(UNIT, unit_id)]),
            )

        answer = await update_with_start(
            self._temporal, start, update, message, request_id, answer_type, closed=REASON_UNAVAILABLE
        )
        if answer.HasField("refused"):
            raise to_refusal(answer.refused)
        return answer


def _canonical(request_id: str) -> str:
    """The UUID as all write it: in small letters or capitals, it is the same call."""
    return str(uuid.UUID(request_id))
