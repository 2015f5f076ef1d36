"""Sending updates to workflow runs: retries, and the meaning of refusals."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError as UpdateTimeoutError
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from liity.registration.v1.registration_service_pb2 import CreateRegistrationRequest, Registration
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_INTERNAL,
    REASON_PERSON_NOT_FOUND,
    REASON_TOO_MANY_EDITS,
    REASON_UNAVAILABLE,
    REASON_UNIT_NOT_FOUND,
    Reason,
)
from liity.v1.registration_pb2 import STAGE_RECEIVED
from liity.workflows.v1.registration_workflow_pb2 import RegistrationWorkflowInput, SaveRequest, SaveResponse
from services.runtime.logs import RareWarnings
from services.runtime.rpc.errors import Refusal, reason_value, unavailable
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import TASK_QUEUE
from services.runtime.temporal.names import RegistrationWorkflowNames as Names
from services.runtime.temporal.search_attributes import KIND, STAGE, UNIT, kind_name, stage_name

_CODES = {
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT: grpc.StatusCode.ALREADY_EXISTS,
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT: grpc.StatusCode.ALREADY_EXISTS,
    REASON_BEING_REGISTERED: grpc.StatusCode.ALREADY_EXISTS,
    REASON_PERSON_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    REASON_CUSTOMER_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    REASON_UNIT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    REASON_TOO_MANY_EDITS: grpc.StatusCode.RESOURCE_EXHAUSTED,
    REASON_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    REASON_INTERNAL: grpc.StatusCode.INTERNAL,
}
"""Status codes by reason of a workflow's refusal; FAILED_PRECONDITION for other reasons."""


_PASSING = frozenset(
    {
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.ABORTED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
    }
)
"""Statuses by which Temporal refuses an update now, but may accept it soon."""

_PATIENCE = 10.0
"""Seconds that a caller waits for the outcome."""

_SLOWED_DOWN = timedelta(minutes=1)
"""Retry delay when a run accepts no more updates for now."""

_PAUSE = 0.1
"""Seconds between two attempts."""

MOST_WAITING = 200
"""Most calls that wait for Temporal at a time: half of what a server takes, so that calls which do not need
Temporal have room while it is away."""

_warnings = RareWarnings()
_waiting: set[object] = set()

ResponseT = TypeVar("ResponseT")


async def save_registration(temporal: Client, request: CreateRegistrationRequest) -> Registration:
    """Starts the person's registration, or finds the running one; returns once the outcome is decided.

    The request's ID is the update's ID: a repeated request gets the first answer.
    """

    def start() -> WithStartWorkflowOperation[object, object]:
        return WithStartWorkflowOperation(
            Names.WORKFLOW,
            RegistrationWorkflowInput(person_id=request.person_id),
            id=Names.workflow_id(request.person_id),
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=OperatorText("Registration of a customer"),
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(STAGE, stage_name(STAGE_RECEIVED)),
                    SearchAttributePair(UNIT, request.unit_id),
                    SearchAttributePair(KIND, kind_name(request.form.kind)),
                ]
            ),
        )

    response = await update_with_start(
        temporal,
        start,
        Names.SAVE,
        SaveRequest(registration=request),
        request.request_id,
        SaveResponse,
        closed=REASON_PERSON_NOT_FOUND,
    )
    if response.refusal:
        raise refused(response.refusal)
    return response.registration


async def update_with_start(
    temporal: Client,
    start: Callable[[], WithStartWorkflowOperation[object, object]],
    name: str,
    message: Message,
    request_id: str,
    result_type: type[ResponseT],
    *,
    closed: Reason.ValueType,
) -> ResponseT:
    """Sends an update to a run, starting it if none is running; returns the answer or raises the refusal.

    `request_id` is the update's ID: a repeated request gets the first answer. `closed` is the reason of the
    refusal if the run ends before it accepts the update.
    """

    async def send() -> ResponseT:
        operation = start()
        # The handle is not needed, but asyncio logs an error in it that was never retrieved.
        handle = asyncio.ensure_future(operation.workflow_handle())
        handle.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            answer: ResponseT = await temporal.execute_update_with_start_workflow(
                name, message, id=request_id, start_workflow_operation=operation, result_type=result_type
            )
        finally:
            handle.cancel()
        return answer

    return await patiently(send, closed)


async def patiently(send: Callable[[], Awaitable[ResponseT]], closed: Reason.ValueType) -> ResponseT:
    """Sends an update, and again while the run or the server is not ready; its ID makes repeating safe.

    An update is lost, and must be repeated, if another event reaches the run just as it ends.
    """
    with waiting_for_temporal():
        return await _patiently(send, closed)


@contextmanager
def waiting_for_temporal() -> Iterator[None]:
    """Counts a call that waits for Temporal. Raises UNAVAILABLE at once if too many wait."""
    if len(_waiting) >= MOST_WAITING:
        _warnings.warning("temporal holds too many calls")
        raise unavailable()
    call = object()
    _waiting.add(call)
    try:
        yield
    finally:
        _waiting.discard(call)


async def _patiently(send: Callable[[], Awaitable[ResponseT]], closed: Reason.ValueType) -> ResponseT:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                return await send()
        except (WorkflowUpdateFailedError, UpdateTimeoutError, RPCError) as error:
            passing = isinstance(error, RPCError) and error.status in _PASSING
            if not passing or time.monotonic() + _PAUSE > deadline:
                raise _refusal(error, closed) from None
        except RuntimeError:
            # A client that has not connected yet, as the connection was cut in its first call.
            if time.monotonic() + _PAUSE > deadline:
                raise unavailable() from None
        except TimeoutError:
            raise unavailable() from None
        await asyncio.sleep(_PAUSE)


def _refusal(
    error: WorkflowUpdateFailedError | UpdateTimeoutError | RPCError, closed: Reason.ValueType
) -> Refusal:
    """The refusal for a failed call; `closed` if the workflow had ended."""
    if isinstance(error, RPCError) and error.status == RPCStatusCode.NOT_FOUND:
        return refused(closed)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.type:
            return refused(reason_value(cause.type))
        cause = cause.__cause__
    return unavailable()


def refused(reason: Reason.ValueType) -> Refusal:
    """The refusal for a workflow's reason."""
    code = _CODES.get(reason, grpc.StatusCode.FAILED_PRECONDITION)
    exhausted = code is grpc.StatusCode.RESOURCE_EXHAUSTED
    return Refusal(code, reason, retry_after=_SLOWED_DOWN if exhausted else None)
