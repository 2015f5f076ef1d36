"""Single Saves while class lists run, beside Saves on an idle system, and how soon a list is accepted."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.class_lists import list_file
from bench.load import Run, measure, stack_cpu_times
from bench.people import LISTED_AT_ONCE, codes
from bench.save import SaveCaller
from bench.sizes import Sizes
from deploy.api_client import ApiClient, new_request_id
from deploy.stack import Stack
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CancelClassListRequest,
    GetClassListRequest,
    RegisterClassListRequest,
)
from liity.v1.reason_pb2 import REASON_CLASS_LIST_HAS_ENDED
from services.runtime.errors import Refusal

_LONGEST_UPLOAD = 120.0
"""Seconds after which an upload is given up."""


@dataclass
class Fairness:
    """What was seen. Times are in seconds."""

    lists: int
    """Lists that ran at a time."""
    idle: Run
    """Saves on an idle system."""
    idle_refused: int
    busy: Run
    """Saves while the lists ran. One that was refused counts with the time until it was."""
    busy_refused: int
    rows_per_second: float
    """Rows of the lists that were decided meanwhile."""
    accepted_alone: float
    """Time until a list was accepted on an idle system."""
    accepted_at_once: list[float]
    """The same of each of the lists, all uploaded at once."""
    accepted_beside: float
    """The same of one more, while they ran."""


async def measure_fairness(stack: Stack, caller: SaveCaller, api: ApiClient, sizes: Sizes) -> Fairness:
    """Measures Saves by one caller, first on an idle system, then while lists run, which are cancelled then."""
    people = codes(*LISTED_AT_ONCE)
    alone, accepted_alone = await _upload(api, people, sizes.list_rows)
    await _end(api, alone)
    idle, idle_refused = await _saves(stack, caller, sizes.fair_saves)
    uploads = [_upload(api, people, sizes.list_rows) for _ in range(sizes.fair_lists)]
    uploaded = await asyncio.gather(*uploads)
    names = [name for name, _ in uploaded]
    before = await _decided(api, names)
    busy, busy_refused = await _saves(stack, caller, sizes.fair_saves)
    rows_per_second = (await _decided(api, names) - before) / busy.seconds
    beside, accepted_beside = await _upload(api, people, sizes.list_rows)
    for name in (*names, beside):
        await _end(api, name)
    return Fairness(
        lists=sizes.fair_lists,
        idle=idle,
        idle_refused=idle_refused,
        busy=busy,
        busy_refused=busy_refused,
        rows_per_second=rows_per_second,
        accepted_alone=accepted_alone,
        accepted_at_once=[seconds for _, seconds in uploaded],
        accepted_beside=accepted_beside,
    )


async def _saves(stack: Stack, caller: SaveCaller, number: int) -> tuple[Run, int]:
    """Saves one after another, and how many of them were refused."""
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


async def _upload(api: ApiClient, people: Iterator[str], rows: int) -> tuple[str, float]:
    """Uploads a list; its name, and the seconds until it was accepted."""
    request = RegisterClassListRequest(
        parent=api.unit,
        request_id=new_request_id(),
        content=list_file(people, rows),
        format=CLASS_LIST_FORMAT_CSV,
    )
    started = time.perf_counter()
    answer = await api.call(api.class_lists.RegisterClassList, request, timeout=_LONGEST_UPLOAD)
    assert answer.HasField("class_list"), answer.report
    return answer.class_list.name, time.perf_counter() - started


async def _decided(api: ApiClient, names: list[str]) -> int:
    """How many rows of some lists are decided."""

    async def decided(name: str) -> int:
        request = GetClassListRequest(name=name)
        counts = (await api.call(api.class_lists.GetClassList, request)).class_list.counts
        return counts.total - counts.remaining

    return sum([await decided(name) for name in names])


async def _end(api: ApiClient, name: str) -> None:
    """Cancels a list, unless it is done already."""
    request = CancelClassListRequest(name=name, request_id=new_request_id())
    try:
        await api.call(api.class_lists.CancelClassList, request)
    except Refusal as refusal:
        if refusal.reason != REASON_CLASS_LIST_HAS_ENDED:
            raise
