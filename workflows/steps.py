"""How a workflow has its steps done: quick ones at once, those that mail for as long as it takes."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from google.protobuf.message import Message
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

from liity.workflows.v1.need_workflow_pb2 import NeedChanged
from liity.workflows.v1.registration_workflow_pb2 import AddressChanged, CustomershipEnded, Merged, Moved
from liity.workflows.v1.removal_workflow_pb2 import Returned
from services.runtime.temporal import (
    NeedWorkflowNames,
    OperatorText,
    RegistrationWorkflowNames,
    RemovalWorkflowNames,
)

QUICK = timedelta(seconds=15)
"""For a local step: a few calls to services that are there."""

MAIL = timedelta(minutes=2)
"""For a step that mails: a mail server may take its time."""

HEARTBEAT = timedelta(seconds=15)
"""Without a sign of life for so long, a step that mails is given to another worker."""

RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=1)
)
"""Without limit: whatever is away comes back, and until then Temporal UI shows what is tried."""

StepsT = TypeVar("StepsT")
ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")


async def quick_step(
    step: Callable[[StepsT, ArgumentT], Awaitable[ResultT]], argument: ArgumentT, summary: str
) -> ResultT:
    """Does a quick step within the workflow's own task."""
    return await workflow.execute_local_activity_method(
        step, argument, start_to_close_timeout=QUICK, retry_policy=RETRY, summary=OperatorText(summary)
    )


async def mail_step(
    step: Callable[[StepsT, ArgumentT], Awaitable[ResultT]], argument: ArgumentT, summary: str
) -> ResultT:
    """Does a step that mails."""
    return await workflow.execute_activity_method(
        step,
        argument,
        start_to_close_timeout=MAIL,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=RETRY,
        summary=OperatorText(summary),
    )


async def signal_registration(
    person_id: str, name: str, message: Moved | AddressChanged | CustomershipEnded | Merged
) -> None:
    """Tells the person's registration, if it still runs."""
    await _signal(RegistrationWorkflowNames.workflow_id(person_id), name, message)


async def signal_removal(customer_id: str) -> None:
    """Tells the removal of a customer, if one runs, that the customer has come back (R19)."""
    await _signal(RemovalWorkflowNames.workflow_id(customer_id), RemovalWorkflowNames.RETURNED, Returned())


async def signal_need(customer_id: str) -> None:
    """Has the customer's temporary need looked at anew, if it is watched."""
    await _signal(NeedWorkflowNames.workflow_id(customer_id), NeedWorkflowNames.CHANGED, NeedChanged())


async def _signal(workflow_id: str, name: str, message: Message) -> None:
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal(name, message)
    except FailureError:
        workflow.logger.debug("nothing runs that could be told")
