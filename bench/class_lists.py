"""A class list compared with single Saves of adults, up to the credentials' mail."""

import asyncio
import csv
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.load import Run, measure, stack_cpu_times
from bench.people import LISTED, codes
from bench.save import SaveCaller
from bench.sizes import Sizes
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
    ClassList,
    GetClassListRequest,
    RegisterClassListRequest,
)

_COLUMNS = {
    "Etunimet": "Aada",
    "Sukunimi": "Esimerkki",
    "Katuosoite": "Esimerkkikatu 1 A 2",
    "Postinumero": "00100",
    "Postitoimipaikka": "Helsinki",
    "Kotikunta": "Helsinki",
    "Sähköposti": "luettelo@posti.example",
    "Puhelin": "040 123 4567",
    "Kieli": "suomi",
    "Asiakastyyppi": "verkkoasiakas",
    "Lukemiseste": "kyllä",
    "Hakija": "itse",
    "Tunnusten saaja": "asiakas",
    "Käyttöehdot hyväksytty": "kyllä",
}


@dataclass
class ListComparison:
    """Results of single Saves and of the list."""

    save: Run
    accepted: float
    """Seconds until the list was accepted: read, checked and stored."""
    rows: Run
    """Counts each row as a call."""


async def compare_lists(stack: Stack, caller: SaveCaller, api: ApiClient, sizes: Sizes) -> ListComparison:
    """Measures single Saves by several callers, then a list."""
    callers, calls = sorted(sizes.calls.items())[1]
    save = await measure(callers, calls, caller.save, caller.mailed, lambda: stack_cpu_times(stack))
    caller.expect(sizes.list_rows)
    before, started = stack_cpu_times(stack), time.perf_counter()
    request = RegisterClassListRequest(
        parent=api.unit,
        request_id=new_request_id(),
        content=list_file(codes(*LISTED), sizes.list_rows),
        format=CLASS_LIST_FORMAT_CSV,
    )
    answer = await api.call(api.class_lists.RegisterClassList, request, timeout=120)
    assert answer.HasField("class_list"), answer.report
    accepted = time.perf_counter() - started
    class_list = await ended(api, answer.class_list.name)
    assert class_list.counts.registered == sizes.list_rows, class_list.counts
    await caller.mailed()
    seconds = time.perf_counter() - started
    cpu = {name: used - before.get(name, 0.0) for name, used in stack_cpu_times(stack).items()}
    rows = Run(callers=1, seconds=seconds, latencies=[seconds / sizes.list_rows] * sizes.list_rows, cpu=cpu)
    return ListComparison(save, accepted, rows)


async def ended(api: ApiClient, name: str) -> ClassList:
    """Waits until a list is done or cancelled; returns it."""
    while True:
        request = GetClassListRequest(name=name)
        class_list: ClassList = (await api.call(api.class_lists.GetClassList, request)).class_list
        if class_list.state in {CLASS_LIST_STATE_DONE, CLASS_LIST_STATE_CANCELLED}:
            return class_list
        await asyncio.sleep(0.5)


def list_file(people: Iterator[str], rows: int) -> bytes:
    """A class-list file of `rows` adults. `people` gives their personal identity codes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";")
    writer.writerow(["Henkilötunnus", *_COLUMNS])
    writer.writerows([next(people), *_COLUMNS.values()] for _ in range(rows))
    return text.getvalue().encode()
