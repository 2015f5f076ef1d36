"""How a workflow has its steps done: quick ones at once, those that mail for as long as it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from google.protobuf.message import Message
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from liity.v1.actor_pb2 import Actor
from liity.workflows.v1.need_workflow_pb2 import NeedChanged
from liity.workflows.v1.registration_workflow_pb2 import AddressChanged, CustomershipEnded, Merged, Moved
from liity.workflows.v1.removal_workflow_pb2 import Returned
from services.runtime.rpc.context import set_current_actor
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import NeedWorkflowNames, RegistrationWorkflowNames, RemovalWorkflowNames
from workflows.support.actor_context import asked_by

QUICK = timedelta(seconds=15)
"""For a local step: a few calls to services that are there."""

_LOCALLY = timedelta(seconds=12)
"""For all tries of a local step: a workflow task that lasts longer adds three events every eight seconds."""

_LOCAL_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_attempts=5
)
"""Enough for a service that restarts."""

FIRST_MESSAGE = timedelta(minutes=10)
"""How long a run that is started by an update waits for it: far longer than any caller repeats it."""

UPDATES_PER_RUN = 1000
"""A run takes 2,000 updates at most: one that may live long goes on in a new run after so many."""

AGAIN = timedelta(hours=1)
"""How long until a step is tried again that a service has refused, and that must be done."""

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
    """Does a quick step within the workflow's own task.

    A step that cannot succeed so soon goes on as an ordinary activity, which adds no event while it is tried.
    Raises FailureError if a service refuses it for good.
    """
    try:
        return await workflow.execute_local_activity_method(
            step,
            argument,
            schedule_to_close_timeout=_LOCALLY,
            retry_policy=_LOCAL_RETRY,
            summary=OperatorText(summary),
        )
    except FailureError as error:
        if is_cancelled_exception(error) or is_refused(error):
            raise
    return await workflow.execute_activity_method(
        step,
        argument,
        start_to_close_timeout=QUICK,
        retry_policy=RETRY,
        summary=OperatorText(summary),
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


async def mail_while(
    awaited: Callable[[], bool],
    step: Callable[[StepsT, ArgumentT], Awaitable[ResultT]],
    argument: ArgumentT,
    summary: str,
    until: datetime,
) -> ResultT | None:
    """Mails somebody who is waited for. An answer, or the end of the wait, does not wait for the mail.

    None if nobody is waited for any more, or if the mail was refused, or could not go out until a moment.
    """
    if not awaited():
        return None
    mail = workflow.start_activity_method(
        step,
        argument,
        start_to_close_timeout=MAIL,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=RETRY,
        summary=OperatorText(summary),
    )
    try:
        await workflow.wait_condition(
            lambda: mail.done() or not awaited(),
            timeout=until - workflow.now(),
            timeout_summary=OperatorText(f"{summary}: mail"),
        )
    except TimeoutError:
        workflow.logger.warning("mail not sent in time: %s", summary)
    if mail.done():
        return await noted(mail, summary)
    mail.cancel()
    # How it ends is of no interest; asyncio would log an error nobody has looked at.
    mail.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return None


async def noted(step: Awaitable[ResultT], summary: str) -> ResultT | None:
    """What a step brings. None if it is refused for good: that is logged, and the run goes on."""
    try:
        return await step
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
        _log_refusal(error, summary)
        return None


async def insist(step: Callable[[], Awaitable[ResultT]], summary: str) -> ResultT:
    """What a step brings that a run cannot do without: it is tried again every hour after a refusal."""
    while True:
        try:
            return await step()
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            _log_refusal(error, summary)
        await workflow.sleep(AGAIN, summary=OperatorText(f"{summary}: again"))


def _log_refusal(error: FailureError, summary: str) -> None:
    # No more than its type: what else a failure tells may be personal data.
    reason = _application_error(error)
    workflow.logger.error("step refused, the run goes on: %s: %s", summary, reason.type if reason else "")


def is_refused(error: FailureError) -> bool:
    """Whether a service has refused a step for good: it would refuse it again."""
    reason = _application_error(error)
    return reason is not None and reason.non_retryable


def _application_error(error: FailureError) -> ApplicationError | None:
    # The SDK wraps the failure of an ordinary activity in an ActivityError, that of a local one not.
    cause = error.cause if isinstance(error, ActivityError) else error
    return cause if isinstance(cause, ApplicationError) else None


async def first_message(
    taken: Callable[[], bool],
    request: ArgumentT | None = None,
    perform: Callable[[ArgumentT], Awaitable[object]] | None = None,
) -> bool:
    """Waits for the update or signal that a run is started for. False if none comes in ten minutes.

    Temporal loses an update if the worker and Temporal die before the update is recorded, though a local
    activity may have changed a service by then. So a run whose input is the update performs it then, on
    behalf of the update's actor.
    """
    while not taken():
        if not workflow.all_handlers_finished():
            await workflow.wait_condition(lambda: taken() or workflow.all_handlers_finished())
        elif not workflow.patched("end-without-first-message"):
            await workflow.wait_condition(taken)
        else:
            try:
                await workflow.wait_condition(
                    lambda: taken() or not workflow.all_handlers_finished(),
                    timeout=FIRST_MESSAGE,
                    timeout_summary=OperatorText("Nothing has come that this run was started for"),
                )
            except TimeoutError:
                actor = asked_by()
                if request is not None and perform is not None and actor is not None:
                    workflow.logger.warning("update lost: the run performs it from its input")
                    await noted(asyncio.ensure_future(_as(actor, perform(request))), "Perform update")
                    return taken()
                workflow.logger.warning("run ended: the message that it was started for never came")
                workflow.set_current_details("**Ended**: the message that it was started for never came.")
                return False
    return True


async def _as(actor: Actor, action: Awaitable[ResultT]) -> ResultT:
    """Awaits something on behalf of an actor, in a task of its own, whose context does not last."""
    set_current_actor(actor)
    return await action


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
