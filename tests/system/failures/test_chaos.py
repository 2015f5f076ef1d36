"""Callers of all kinds while components fail at random: the whole history is judged afterwards."""

import os
import random
from collections.abc import AsyncIterator

import pytest
from temporalio.client import WorkflowExecutionStatus

from deploy.local.stack import Stack
from services.runtime.clock import now
from tests.support.history.judgement import faults
from tests.support.history.told import lines
from tests.system.failures.chaos.run import run
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import MailCounter, settings

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
SECONDS = float(os.environ.get("CHAOS_SECONDS") or 20)

ENDED_WRONGLY = (
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT,
    WorkflowExecutionStatus.CANCELED,
)

_ANY = "1000000"
_SETTINGS = {
    "LIITY_WORKFLOWS_WELCOME_DELAY": "PT5S",
    "LIITY_WORKFLOWS_DECLINE_GRACE": "PT2S",
    # A run does in minutes what a unit does in months.
    "LIITY_LOOK_UPS_PER_ACCOUNT": _ANY,
    "LIITY_LOOK_UPS_PER_UNIT": _ANY,
    "LIITY_MAILS_PER_ADDRESS": _ANY,
    # The mail server refuses for seconds, not for hours.
    "LIITY_MAIL_PAUSE": "PT1S",
}


@pytest.fixture(scope="module", autouse=True)
async def _hurried(stack: Stack) -> AsyncIterator[None]:
    async with settings(stack, _SETTINGS, "registration", "notification", "worker"):
        yield


@pytest.mark.timeout(3 * SECONDS + 3600)
async def test_random_faults_lose_double_and_stop_nothing(stack: Stack, mails: MailCounter) -> None:
    print(f"CHAOS_SEED={SEED} CHAOS_SECONDS={SECONDS:.0f}")  # noqa: T201 - pytest shows it when the test fails
    began, logged = now(), {path: path.stat().st_size for path in stack.logs.glob("*.log")}

    ran = await run(stack, mails, SEED, SECONDS)

    print(ran.summary(), dict(sorted(ran.injected.items())))  # noqa: T201
    found = faults(ran.history)
    print(*lines(ran.history, found), sep="\n")  # noqa: T201
    assert found == []
    assert await _ended_wrongly(stack, f"StartTime >= '{began.isoformat()}'") == []
    said = {path.name: path.read_bytes()[size:] for path, size in logged.items()}
    assert [name for name, log in said.items() if b"rpc failed" in log] == []


async def _ended_wrongly(stack: Stack, query: str) -> list[str]:
    client = await connect_temporal(stack)
    return [run.id async for run in client.list_workflows(query) if run.status in ENDED_WRONGLY]
