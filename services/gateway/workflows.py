"""The gateway's way to the registration workflows: start, update, and what their refusals mean."""

import grpc
from google.protobuf.message import Message
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError as UpdateTimeoutError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from liity.registration.v1.registration_service_pb2 import CreateRegistrationRequest, Registration
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_INTERNAL,
    REASON_NOT_WAITING,
    REASON_NOT_WAITING_FOR_CONSENT,
    REASON_PERSON_NOT_FOUND,
    REASON_UNAVAILABLE,
    REASON_UNIT_NOT_FOUND,
    Reason,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    RecordConsentRequest,
    RegistrationWorkflowInput,
    SaveRequest,
    SaveResponse,
    StageResponse,
    WithdrawRequest,
)
from services.runtime.errors import Refusal, reason_value, unavailable
from services.runtime.temporal import RegistrationWorkflowNames as Names

_CODES = {
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT: grpc.StatusCode.ALREADY_EXISTS,
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT: grpc.StatusCode.ALREADY_EXISTS,
    REASON_BEING_REGISTERED: grpc.StatusCode.ALREADY_EXISTS,
    REASON_PERSON_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    REASON_UNIT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    REASON_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    REASON_INTERNAL: grpc.StatusCode.INTERNAL,
}
"""The status of what a workflow refuses; FAILED_PRECONDITION for all else."""


_CLOSED = {
    Names.RECORD_CONSENT: REASON_NOT_WAITING_FOR_CONSENT,
    Names.DECLINE_CONSENT: REASON_NOT_WAITING_FOR_CONSENT,
    Names.WITHDRAW: REASON_NOT_WAITING,
}
"""What a decision meets that comes after the workflow's end."""


class RegistrationWorkflows:
    """Starts registrations and carries decisions to those that wait."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def save(self, request: CreateRegistrationRequest) -> Registration:
        """Starts the person's registration, or meets the one that runs; returns once the outcome is decided.

        The request's ID is the update's: whoever repeats it gets the first answer.
        """
        start: WithStartWorkflowOperation[object, object] = WithStartWorkflowOperation(
            Names.WORKFLOW,
            RegistrationWorkflowInput(person_id=request.person_id),
            id=Names.workflow_id(request.person_id),
            task_queue=Names.TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary="Registration of a customer",
        )
        try:
            response: SaveResponse = await self._temporal.execute_update_with_start_workflow(
                Names.SAVE,
                SaveRequest(registration=request),
                id=request.request_id,
                start_workflow_operation=start,
                result_type=SaveResponse,
            )
        except (WorkflowUpdateFailedError, UpdateTimeoutError, RPCError) as error:
            raise _refusal(error, REASON_PERSON_NOT_FOUND) from None
        if response.refusal:
            raise _refused(response.refusal)
        return response.registration

    async def record_consent(self, person_id: str, request: RecordConsentRequest) -> Registration:
        """Gives the consent."""
        return await self._update(person_id, Names.RECORD_CONSENT, request.request_id, request)

    async def decline_consent(self, person_id: str, request: DeclineConsentRequest) -> Registration:
        """Declines the consent."""
        return await self._update(person_id, Names.DECLINE_CONSENT, request.request_id, request)

    async def withdraw(self, person_id: str, request: WithdrawRequest) -> Registration:
        """Withdraws the registration."""
        return await self._update(person_id, Names.WITHDRAW, request.request_id, request)

    async def _update(self, person_id: str, name: str, update_id: str, request: Message) -> Registration:
        handle = self._temporal.get_workflow_handle(Names.workflow_id(person_id))
        try:
            response: StageResponse = await handle.execute_update(
                name, request, id=update_id, result_type=StageResponse
            )
        except (WorkflowUpdateFailedError, UpdateTimeoutError, RPCError) as error:
            raise _refusal(error, _CLOSED[name]) from None
        return response.registration


def _refusal(
    error: WorkflowUpdateFailedError | UpdateTimeoutError | RPCError, closed: Reason.ValueType
) -> Refusal:
    """What a failed call means; `closed` if it came after the workflow's end."""
    if isinstance(error, RPCError) and error.status == RPCStatusCode.NOT_FOUND:
        return _refused(closed)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.type:
            return _refused(reason_value(cause.type))
        cause = cause.__cause__
    return unavailable()


def _refused(reason: Reason.ValueType) -> Refusal:
    return Refusal(_CODES.get(reason, grpc.StatusCode.FAILED_PRECONDITION), reason)
