"""Registrations while components are killed, frozen and restarted at random: all are made, each once."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from deploy.demo.forms import DemoPerson
from deploy.local.stack import Stack
from frontends.client import ApiClient
from liity.v1.registration_pb2 import STAGE_WELCOMED
from services.runtime.clock import now
from tests.conftest import Amount
from tests.system.conftest import Api
from tests.system.support.careful_callers import accept_through, only_registration, save_through
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import (
    MailCounter,
    adult,
    link_token,
    persistently,
    pupil,
    reaches,
    settings,
)

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))

COMPONENTS = (
    "identity",
    "registration",
    "notification",
    "gateway",
    "worker",
    "temporal",
    "postgres",
    "mailbox",
)
FAULTS = ("killed", "frozen", "restarted")

PATIENCE = 900.0
"""Seconds until a registration must be welcomed: what reconciliation repairs takes it up to seven minutes."""

OF_AN_ADULT = {"credentials", "welcome"}
OF_A_CHILD = {"consent_request", "consent_given", "consent_receipt_given", "credentials", "welcome"}

ENDED_WRONGLY = (
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT,
    WorkflowExecutionStatus.CANCELED,
)


@pytest.fixture(scope="module", autouse=True)
async def _short_welcome(stack: Stack) -> AsyncIterator[None]:
    async with settings(stack, {"LIITY_WORKFLOWS_WELCOME_DELAY": "PT5S"}, "worker"):
        yield


@pytest.mark.timeout(3600)
async def test_random_faults_lose_double_and_stop_nothing(
    stack: Stack, api: Api, mails: MailCounter, amount: Amount
) -> None:
    print(f"CHAOS_SEED={SEED}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(SEED)  # noqa: S311 - nobody's secret
    rounds = amount(6, soak=100)
    began, logged = now(), {path: path.stat().st_size for path in stack.logs.glob("*.log")}
    faults = [(component, fault) for component in COMPONENTS for fault in FAULTS]
    adults: list[DemoPerson] = []
    children: list[DemoPerson] = []
    going_on: list[asyncio.Task[None]] = []

    for number in range(rounds):
        if number % len(faults) == 0:
            chance.shuffle(faults)
        adults += [adult(), adult()]
        children.append(pupil())
        going_on += [asyncio.create_task(_register(api.registrar, person)) for person in adults[-2:]]
        going_on.append(asyncio.create_task(_register_child(api, mails, children[-1])))
        await asyncio.sleep(chance.uniform(0, 0.4))
        await _suffer(stack, *faults[number % len(faults)], chance.uniform(0, 2))
    await asyncio.gather(*going_on)

    for person in adults + children:
        await reaches(api.staff, await only_registration(stack, person), STAGE_WELCOMED, patience=PATIENCE)
    # A mail server that is killed after it has taken a mail gets it again, with the same Message-ID.
    assert [_messages(mails, person) for person in adults] == [sorted(OF_AN_ADULT)] * len(adults)
    assert [_messages(mails, person) for person in children] == [sorted(OF_A_CHILD)] * len(children)
    assert await _ended_wrongly(stack, f"StartTime >= '{began.isoformat()}'") == []
    said = {path.name: path.read_bytes()[size:] for path, size in logged.items()}
    assert [name for name, log in said.items() if b"rpc failed" in log] == []


async def _register(client: ApiClient, person: DemoPerson) -> None:
    await persistently(lambda: client.renew_session(timedelta(minutes=5)))
    await save_through(client, person, gateway_dies=True)


async def _register_child(api: Api, mails: MailCounter, child: DemoPerson) -> None:
    """To the guardian's yes."""
    await _register(api.teacher, child)
    asked = await mails.wait_for(child, "consent_request")
    await accept_through(api.anybody, link_token(asked), child, gateway_dies=True)


async def _suffer(stack: Stack, component: str, fault: str, seconds: float) -> None:
    """A component is away for some seconds."""
    if fault == "frozen":
        pid = stack.pid(component)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
        return
    if fault == "killed":
        await stack.kill_component(component)
    else:
        await stack.stop_component(component)
    await asyncio.sleep(seconds)
    await stack.start_component(component)


def _messages(mails: MailCounter, person: DemoPerson) -> Sequence[str]:
    """The template of each mail that came, whose repetition is no mail of its own."""
    return sorted(
        template for template, _ in {(copy.template, copy.message_id) for copy in mails.copies(person)}
    )


async def _ended_wrongly(stack: Stack, query: str) -> list[str]:
    client = await connect_temporal(stack)
    return [run.id async for run in client.list_workflows(query) if run.status in ENDED_WRONGLY]
