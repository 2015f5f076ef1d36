"""Activity options: local activities for service calls, regular ones for e-mail."""

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
from services.runtime.temporal.search_attributes import STAGE
from workflows.support.actor_context import asked_by

QUICK = timedelta(seconds=15)
"""Timeout of a quick activity: a few calls to available services."""

_LOCALLY = timedelta(seconds=12)
"""Of all attempts of a local activity: a longer workflow task adds three events every eight seconds."""

_LOCAL_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_attempts=5
)
"""Enough for a service that restarts."""

FIRST_MESSAGE = timedelta(minutes=10)
"""How long a run waits for the update that started it: far longer than any caller repeats it."""

NEVER_BEGUN = "NEVER_BEGUN"
"""Stage, for operators, of a run that has ended because its first message never came."""

UPDATES_PER_RUN = 1000
"""Updates after which a long-lived run continues as new. Temporal accepts 2,000 per run."""

AGAIN = timedelta(hours=1)
"""Interval at which an activity is retried that must be done but was refused."""

MAIL = timedelta(minutes=2)
"""Timeout of an activity that mails: a mail server may be slow."""

HEARTBEAT = timedelta(seconds=15)
"""Heartbeat timeout: after it, an activity that mails is given to another worker."""

RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=1)
)
"""Without limit: what is unavailable comes back, and until then Temporal UI shows the retries."""

StepsT = TypeVar("StepsT")
ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")


async def quick_step(
    step: Callable[[StepsT, ArgumentT], Awaitable[ResultT]], argument: ArgumentT, summary: str
) -> ResultT:
    """Runs a quick activity as a local activity.

    If that does not succeed in time, it runs as a regular activity, whose retries add no events. Raises
    FailureError if a service refuses it permanently.
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
    """Runs an activity that mails."""
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
    """Sends a mail while an answer is awaited. Neither the answer nor the end of the wait waits for it.

    None if nothing is awaited any more, the mail was refused, or it was not sent by `until`.
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
    # Ignore its outcome; otherwise asyncio would log an unretrieved exception.
    mail.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return None


async def noted(step: Awaitable[ResultT], summary: str) -> ResultT | None:
    """The result of an activity; None if it is refused permanently, which is logged."""
    try:
        return await step
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
        _log_refusal(error, summary)
        return None


async def insist(step: Callable[[], Awaitable[ResultT]], summary: str) -> ResultT:
    """The result of an activity that a run needs: retried every hour after a refusal."""
    while True:
        try:
            return await step()
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            _log_refusal(error, summary)
        await workflow.sleep(AGAIN, summary=OperatorText(f"{summary}: retry"))


def _log_refusal(error: FailureError, summary: str) -> None:
    # Only its type: the rest of a failure may be personal data.
    reason = _application_error(error)
    workflow.logger.error(
        "activity refused, the run continues: %s: %s", summary, reason.type if reason else ""
    )


def is_refused(error: FailureError) -> bool:
    """Whether a service has refused an activity permanently."""
    reason = _application_error(error)
    return reason is not None and reason.non_retryable


def _application_error(error: FailureError) -> ApplicationError | None:
    # The SDK wraps failures of regular activities in an ActivityError, those of local ones not.
    cause = error.cause if isinstance(error, ActivityError) else error
    return cause if isinstance(cause, ApplicationError) else None


async def first_message(
    taken: Callable[[], bool],
    request: ArgumentT | None = None,
    perform: Callable[[ArgumentT], Awaitable[object]] | None = None,
) -> bool:
    """Waits for the update or signal that starts the run. False if none comes in ten minutes.

    Temporal loses an update if the worker and Temporal die before recording it, although a local activity may
    already have changed a service. A run whose input is the update then performs it itself, on behalf of the
    update's actor.
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
                    timeout_summary=OperatorText("Wait for the first message"),
                )
            except TimeoutError:
                actor = asked_by()
                if request is not None and perform is not None and actor is not None:
                    workflow.logger.warning("update lost: the run performs it from its input")
                    await noted(
                        asyncio.ensure_future(_as(actor, perform(request))), "Perform the lost update"
                    )
                    return taken()
                workflow.logger.warning("run ended: its first message never came")
                if workflow.patched("count-what-was-never-begun"):
                    workflow.upsert_search_attributes([STAGE.value_set(NEVER_BEGUN)])
                workflow.set_current_details("**Ended**: its first message never came.")
                return False
    return True


async def _as(actor: Actor, action: Awaitable[ResultT]) -> ResultT:
    """Awaits an action on behalf of an actor, in its own task so that the context ends with it."""
    set_current_actor(actor)
    return await action


async def signal_registration(
    person_id: str, name: str, message: Moved | AddressChanged | CustomershipEnded | Merged
) -> None:
    """Signals the person's registration, if it runs."""
    await _signal(RegistrationWorkflowNames.workflow_id(person_id), name, message)


async def signal_removal(customer_id: str) -> None:
    """Signals the customer's removal, if it runs, that the customer has returned (R19)."""
    await _signal(RemovalWorkflowNames.workflow_id(customer_id), RemovalWorkflowNames.RETURNED, Returned())


async def signal_need(customer_id: str) -> None:
    """Makes the run that watches the customer's temporary need read it again."""
    await _signal(NeedWorkflowNames.workflow_id(customer_id), NeedWorkflowNames.CHANGED, NeedChanged())


async def _signal(workflow_id: str, name: str, message: Message) -> None:
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal(name, message)
    except FailureError:
        workflow.logger.debug("signal not sent: the run has ended")
