"""Refusals of activities: an outage writes one line in ten seconds, not a stack trace for each attempt."""

from typing import Any

import pytest
from grpc import StatusCode
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput
from typing_extensions import override

from liity.v1.reason_pb2 import REASON_NOT_WAITING, REASON_UNAVAILABLE
from services.runtime.rpc.errors import Refusal
from workflows.support.activity_interceptors import RefusalInterceptor


class _Refused(ActivityInboundInterceptor):
    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal

    @override
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        raise self._refusal


async def failure_of(refusal: Refusal) -> ApplicationError:
    inbound = RefusalInterceptor().intercept_activity(_Refused(refusal))
    given: Any = None
    with pytest.raises(ApplicationError) as failure:
        await ActivityEnvironment().run(inbound.execute_activity, given)
    return failure.value


async def test_attempts_during_an_outage_are_logged_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(20):
        failure = await failure_of(Refusal(StatusCode.UNAVAILABLE, REASON_UNAVAILABLE))
        assert (failure.category, failure.non_retryable) == (ApplicationErrorCategory.BENIGN, False)
    assert capsys.readouterr().out.count("activity is tried again") == 1


async def test_a_permanent_refusal_is_logged_by_the_sdk() -> None:
    failure = await failure_of(Refusal(StatusCode.FAILED_PRECONDITION, REASON_NOT_WAITING))
    assert (failure.category, failure.non_retryable) == (ApplicationErrorCategory.UNSPECIFIED, True)
