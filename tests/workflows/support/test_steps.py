"""An activity that keeps failing adds only a few events to its run, however long it is retried."""

import asyncio
import uuid

from temporalio.api.enums.v1 import EventType

from deploy.demo.polling import eventually
from liity.v1.registration_pb2 import STAGE_WELCOMED
from tests.workflows.conftest import World, adult_form, born

_STEP = "look_whose_address"
"""A local activity of a registration when the welcome mail is due."""

_AT_MOST = 10
"""The most events that an activity failing for long may add."""

_PATIENCE = 120
"""Seconds."""


async def test_a_service_that_is_away_for_long_adds_few_events(world: World) -> None:
    registration, run = await world.save(adult_form(f"{uuid.uuid4().hex}@example.org"), born(40))

    async def tries() -> list[bool]:
        return [local for step, of, local in world.faults.tried if (step, of) == (_STEP, run.id)]

    with world.faults.away(run.id, _STEP):
        skipping = asyncio.create_task(world.skip_to_end(run))
        await eventually(tries, lambda found: len(found) >= 7, _PATIENCE)
        events = (await run.fetch_history()).events
    await skipping
    await run.result()
    assert (await tries()).count(True) == 5
    due = max(
        number for number, event in enumerate(events) if event.event_type == EventType.EVENT_TYPE_TIMER_FIRED
    )
    assert len(events) - due <= _AT_MOST
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
