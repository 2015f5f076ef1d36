"""Long work in slices: other work goes on in between."""

import asyncio
import secrets

from liity.registration.v1 import class_list_service_pb2 as pb
from services.registration.class_lists.service import _stored_rows
from services.runtime.slices import one_by_one, some_by_some
from tests.support.registration_forms import adult_form
from tests.support.registration_service import BIRTH_OF_ADULT


class Others:
    """Other work of the same process: counts how often it has had its turn."""

    def __init__(self) -> None:
        self.turns = 0
        self._working = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)

    def stop(self) -> None:
        self._working.cancel()


async def test_others_have_a_turn_between_items() -> None:
    others = Others()
    assert [item async for item in one_by_one(range(100))] == list(range(100))
    assert others.turns >= 100
    others.stop()


async def test_some_items_are_taken_together() -> None:
    together = [list(some) async for some in some_by_some(range(120))]
    assert [item for some in together for item in some] == list(range(120))
    assert [len(some) for some in together] == [50, 50, 20]
    assert [some async for some in some_by_some([])] == []


async def test_others_have_turns_while_a_long_list_is_made_ready_to_be_stored() -> None:
    row = pb.ClassListRow(person_id=secrets.token_hex(16), birth_date=BIRTH_OF_ADULT, form=adult_form())
    request = pb.CreateClassListRequest(class_list_id="list", unit_id="unit", rows=[row] * 200)
    for number, each in enumerate(request.rows):
        each.row_number = number
    others = Others()
    assert len(await _stored_rows(request)) == 200
    assert others.turns >= 200
    others.stop()
