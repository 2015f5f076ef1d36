"""Interceptors of all activities: heartbeats, and refusals as Temporal failures."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from services.runtime.logs import RareWarnings
from services.runtime.rpc.errors import Refusal, is_permanent, reason_name

_log = RareWarnings()
_EVERYDAY = ApplicationErrorCategory.BENIGN


class RefusalInterceptor(Interceptor):
    """Turns a service's refusal into a Temporal failure; permanent ones are not retried."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps every activity."""
        return _RefusalInbound(next)


class HeartbeatInterceptor(Interceptor):
    """Sends heartbeats, so that Temporal soon retries an activity whose worker has died."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps every activity."""
        return _HeartbeatInbound(next)


class _HeartbeatInbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        timeout = activity.info().heartbeat_timeout
        if not timeout:
            return await super().execute_activity(input)
        beating = asyncio.create_task(_beat(timeout / 3))
        try:
            return await super().execute_activity(input)
        finally:
            beating.cancel()


async def _beat(interval: timedelta) -> None:
    while True:
        await asyncio.sleep(interval.total_seconds())
        activity.heartbeat()


class _RefusalInbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        try:
            return await super().execute_activity(input)
        except Refusal as refusal:
            permanent = is_permanent(refusal.code)
            if not permanent:
                _log.warning(
                    "activity is tried again", activity=activity.info().activity_type, why=refusal.summary
                )
            raise ApplicationError(
                refusal.summary,
                type=reason_name(refusal.reason),
                non_retryable=permanent,
                # Each attempt of an outage would else be logged by the SDK, with a stack trace.
                category=_EVERYDAY if not permanent else ApplicationErrorCategory.UNSPECIFIED,
                next_retry_delay=_later_than_retries(refusal.retry_after),
            ) from None


def _later_than_retries(retry_after: timedelta | None) -> timedelta | None:
    """The delay that a service asks for, if it is longer than the retry policy's."""
    policy = activity.info().retry_policy
    longest = policy.maximum_interval if policy else None
    return retry_after if retry_after and longest and retry_after > longest else None
