"""A service that is away for long while runs wake: their histories stay short, and all go on afterwards."""

import asyncio
from collections.abc import Sequence

import pytest
from temporalio.client import Client

from deploy.local.stack import Stack
from liity.v1.registration_pb2 import STAGE_WELCOMED
from tests.conftest import Amount
from tests.system.conftest import Api
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import MailCounter, adult, reaches, save, settings, workflow_id

MOST_EVENTS = 10
"""By which a history may grow while the service is away: what woke the run, and the step that is tried."""


@pytest.mark.timeout(3600)
async def test_runs_that_wake_in_a_long_outage_write_little_and_go_on(
    stack: Stack, api: Api, mails: MailCounter, amount: Amount
) -> None:
    persons = [adult() for _ in range(amount(8, long=200))]
    # Longer than it takes to save them all.
    welcome = {"LIITY_WORKFLOWS_WELCOME_DELAY": f"PT{amount(15, long=180)}S"}
    async with settings(stack, welcome, "worker"):
        registrations = [await save(api.registrar, person) for person in persons]
        workflow_ids = [await workflow_id(stack, registration) for registration in registrations]
        client = await connect_temporal(stack)

        await stack.stop_component("registration")
        before = await _events(client, workflow_ids)
        # They wake, and their local tries end: from then on a step is tried as an ordinary activity.
        await asyncio.sleep(amount(30, long=1800))
        grown = [after - was for was, after in zip(before, await _events(client, workflow_ids), strict=True)]
        await stack.start_component("registration")

        assert min(grown) > 0
        assert max(grown) <= MOST_EVENTS
        for registration in registrations:
            await reaches(api.registrar, registration.name, STAGE_WELCOMED)
    assert [mails.templates(person) for person in persons] == [{"credentials": 1, "welcome": 1}] * len(
        persons
    )


async def _events(client: Client, workflow_ids: Sequence[str]) -> list[int]:
    """How many events the history of each run has."""
    described = await asyncio.gather(*(client.get_workflow_handle(each).describe() for each in workflow_ids))
    return [description.history_length for description in described]
