"""Class lists take turns, and leave registrars' Saves theirs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowHandle

from deploy.demo.polling import eventually
from liity.registration.v1 import class_list_service_pb2 as pb
from liity.v1.registration_pb2 import STAGE_ACTIVE
from services.runtime.rpc.errors import Refusal
from tests.workflows.class_lists.class_lists import Lists, address
from tests.workflows.conftest import World, adult_form, born
from workflows.class_lists import activities

SaveRow = Callable[[pb.ClassList, pb.ClassListRow], Awaitable[pb.RowDecision | Refusal]]


@pytest.fixture
def lists(world: World) -> Lists:
    return Lists(world)


class Rows:
    """The rows that are being saved."""

    def __init__(self, save: SaveRow) -> None:
        self._save = save
        self._under_way = 0
        self.most_under_way = 0
        self.saved: list[str] = []
        """Of each row that was saved the list, in the order of the rows."""
        self.held = asyncio.Event()
        """Set once a row is held."""
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def save(self, of: pb.ClassList, row: pb.ClassListRow) -> pb.RowDecision | Refusal:
        """Saves a row as soon as it may go."""
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        try:
            if not self.may_go.is_set():
                self.held.set()
                await self.may_go.wait()
            decided = await self._save(of, row)
            self.saved.append(of.class_list_id)
            return decided
        finally:
            self._under_way -= 1

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Holds every row that comes meanwhile."""
        self.may_go.clear()
        try:
            yield
        finally:
            self.may_go.set()


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    rows = Rows(activities._save)
    monkeypatch.setattr(activities, "_save", rows.save)
    return rows


async def started_batches(*runs: WorkflowHandle[object, object]) -> list[bool]:
    """Of each list that has a batch to do, whether a worker does it."""
    pending = [
        activity
        for run in runs
        for activity in (await run.describe()).raw_description.pending_activities
        if activity.activity_type.name == "register_rows"
    ]
    return [activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED for activity in pending]


async def test_one_row_is_under_way_however_many_lists_there_are(lists: Lists, rows: Rows) -> None:
    stored = [await lists.store(await lists.adults(5)) for _ in range(3)]
    await asyncio.gather(*(lists.run(of) for of in stored))
    assert [(await lists.get(of)).counts.registered for of in stored] == [5] * 3
    assert rows.most_under_way == 1


async def test_a_save_gets_through_while_lists_are_held(world: World, lists: Lists, rows: Rows) -> None:
    """Batches that wait take no place of a step in the worker that Saves need."""
    stored = [await lists.store(await lists.adults(1)) for _ in range(3)]
    async with rows.hold():
        runs = [await lists.start(of) for of in stored]
        await rows.held.wait()
        batches = await eventually(lambda: started_batches(*runs), lambda found: len(found) == 3, 60)
        assert batches.count(True) == 1
        email = address()
        registration, _ = await world.save(adult_form(email), born(30))
        assert registration.stage >= STAGE_ACTIVE
        assert len(world.mails_to(email)) == 1
        assert [(await lists.get(of)).counts.registered for of in stored] == [0] * 3
    for run in runs:
        await run.result()


async def test_a_short_list_of_another_unit_does_not_wait_for_long_ones_that_came_first(
    world: World, lists: Lists, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Many batches: Temporal keeps the order of a queue nearly, not strictly.
    monkeypatch.setattr(activities, "_BATCH", 1)
    long_ones = [await lists.store(await lists.adults(15)) for _ in range(2)]
    short = await lists.store(await lists.adults(1), unit_id=await world.unit())
    async with rows.hold():
        runs = [await lists.start(of) for of in long_ones]
        await rows.held.wait()
        await eventually(lambda: started_batches(*runs), lambda found: len(found) == 2, 60)
        runs.append(await lists.start(short))
        await eventually(lambda: started_batches(*runs), lambda found: len(found) == 3, 60)

    for run in runs:
        await run.result()
    saved_afterwards = rows.saved[rows.saved.index(short.class_list_id) :]
    assert {of.class_list_id for of in long_ones} <= set(saved_afterwards)


async def test_lists_come_behind_saves_and_units_take_turns(world: World, lists: Lists) -> None:
    """By Temporal's own means, where more waits than the workers can take."""
    of = await lists.store(await lists.adults(1), unit_id=await world.unit())
    described = await (await lists.run(of)).describe()
    of_list = described.raw_description.workflow_execution_info.priority
    assert (of_list.priority_key, of_list.fairness_key) == (4, of.unit_id)
    _, run = await world.save(adult_form(address()), born(30))
    of_save = (await run.describe()).raw_description.workflow_execution_info.priority
    assert of_save.priority_key in {0, 3}, "Temporal's default"
