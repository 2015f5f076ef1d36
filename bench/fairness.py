"""Single Saves beside class lists, and how soon lists are accepted and done."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.class_lists import ended, list_file
from bench.load import Run, measure, stack_cpu_times
from bench.people import LISTED_AT_ONCE, codes
from bench.save import SaveCaller
from bench.sizes import Sizes
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CancelClassListRequest,
    GetClassListRequest,
    RegisterClassListRequest,
)
from liity.v1.reason_pb2 import REASON_CLASS_LIST_HAS_ENDED
from liity.v1.unit_service_pb2 import CreateUnitRequest, UnitKind

_LONGEST_UPLOAD = 120.0
"""Seconds until an upload is given up."""


@dataclass
class Fairness:
    """Results. Times are in seconds."""

    lists: int
    """Number of lists running at a time, each of its own unit."""
    idle: Run
    """Saves on an idle system, before the lists and after them."""
    idle_refused: int
    busy: Run
    """Saves while the lists ran. A refused Save counts with the time until its refusal."""
    busy_refused: int
    rows_per_second: float
    """Rows of the lists decided per second meanwhile."""
    accepted_alone: float
    """Time until a list was accepted on an idle system."""
    accepted_at_once: list[float]
    """Time until each of the lists was accepted, all uploaded at once."""
    accepted_beside: float
    """Time until one more list was accepted while they ran."""
    short_rows: int
    """Rows of a short list of another unit, uploaded while they ran."""
    short_ended: float
    """Time until the short list ended."""


async def measure_fairness(stack: Stack, caller: SaveCaller, staff: ApiClient, sizes: Sizes) -> Fairness:
    """Measures Saves of one caller, on an idle system and while lists run; then cancels the lists.

    `staff` is logged in as customer service, and creates the units and uploads their lists.
    """
    people = codes(*LISTED_AT_ONCE)
    units = [await _unit(staff) for _ in range(sizes.fair_lists + 1)]
    alone, accepted_alone = await _upload(staff, units[-1], people, sizes.list_rows)
    await _cancel(staff, alone)
    idle, idle_refused = await _saves(stack, caller, sizes.fair_saves)
    uploads = [_upload(staff, unit, people, sizes.list_rows) for unit in units[:-1]]
    uploaded = await asyncio.gather(*uploads)
    names = [name for name, _ in uploaded]
    before = await _decided(staff, names)
    busy, busy_refused = await _saves(stack, caller, sizes.fair_saves)
    rows_per_second = (await _decided(staff, names) - before) / busy.seconds
    beside, accepted_beside = await _upload(staff, units[0], people, sizes.list_rows)
    started = time.perf_counter()
    short, _ = await _upload(staff, units[-1], people, sizes.fair_short_rows)
    await ended(staff, short)
    short_ended = time.perf_counter() - started
    for name in (*names, beside):
        await _cancel(staff, name)
    for name in (*names, beside):
        await ended(staff, name)
    afterwards, afterwards_refused = await _saves(stack, caller, sizes.fair_saves)
    # The machine's speed drifts: compare with Saves both before and after the lists.
    idle.latencies += afterwards.latencies
    return Fairness(
        lists=sizes.fair_lists,
        idle=idle,
        idle_refused=idle_refused + afterwards_refused,
        busy=busy,
        busy_refused=busy_refused,
        rows_per_second=rows_per_second,
        accepted_alone=accepted_alone,
        accepted_at_once=[seconds for _, seconds in uploaded],
        accepted_beside=accepted_beside,
        short_rows=sizes.fair_short_rows,
        short_ended=short_ended,
    )


async def _saves(stack: Stack, caller: SaveCaller, number: int) -> tuple[Run, int]:
    """Saves one after another; returns the results and the number of refusals."""
    refused = 0

    async def save() -> None:
        nonlocal refused
        try:
            await caller.save()
        except Refusal:
            refused += 1

    async def nothing_left() -> None:
        pass

    return await measure(1, number, save, nothing_left, lambda: stack_cpu_times(stack)), refused


async def _unit(staff: ApiClient) -> str:
    """Creates a unit; returns its name."""
    request = CreateUnitRequest(
        request_id=new_request_id(), display_name="Toinen kirjasto", kind=UnitKind.UNIT_KIND_LIBRARY
    )
    return (await staff.call(staff.units.CreateUnit, request)).unit.name


async def _upload(staff: ApiClient, unit: str, people: Iterator[str], rows: int) -> tuple[str, float]:
    """Uploads a list; returns its name, and the seconds until it was accepted."""
    request = RegisterClassListRequest(
        parent=unit,
        request_id=new_request_id(),
        content=list_file(people, rows),
        format=CLASS_LIST_FORMAT_CSV,
    )
    started = time.perf_counter()
    answer = await staff.call(staff.class_lists.RegisterClassList, request, timeout=_LONGEST_UPLOAD)
    assert answer.HasField("class_list"), answer.report
    return answer.class_list.name, time.perf_counter() - started


async def _decided(staff: ApiClient, names: list[str]) -> int:
    """Number of decided rows of the lists."""

    async def decided(name: str) -> int:
        request = GetClassListRequest(name=name)
        counts = (await staff.call(staff.class_lists.GetClassList, request)).class_list.counts
        return counts.total - counts.remaining

    return sum([await decided(name) for name in names])


async def _cancel(staff: ApiClient, name: str) -> None:
    """Cancels a list, unless it is done."""
    request = CancelClassListRequest(name=name, request_id=new_request_id())
    try:
        await staff.call(staff.class_lists.CancelClassList, request)
    except Refusal as refusal:
        if refusal.reason != REASON_CLASS_LIST_HAS_ENDED:
            raise
