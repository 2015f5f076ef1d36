"""Class lists on a terminal."""

import asyncio
from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from frontends.cli.render.console import console
from frontends.cli.render.registrations import lines, print_json
from frontends.client import ApiClient
from frontends.dates import moment
from frontends.refusals import reason_name
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
    ClassList,
    ClassListCounts,
    ClassListReport,
    ClassListState,
    GetClassListRequest,
    RegisterClassListResponse,
)

_PAUSE = 0.5
"""Seconds between two looks at a list that is followed."""


def print_report(report: ClassListReport, *, as_json: bool) -> None:
    """Every error by row and column, or a JSON object."""
    if as_json:
        print_json(MessageToDict(report))
        return
    if report.errors:
        table = Table("Row", "Column", "Reason", "What to do")
        for error in report.errors:
            table.add_row(str(error.row), error.column, reason_name(error.reason), error.message)
        console().print(table)
    if report.omitted_error_count:
        console().print(f"… and {report.omitted_error_count:,} errors more")
    console().print(f"{report.row_count:,} rows, {report.wrong_row_count:,} of them with errors")


def print_one(class_list: ClassList, *, as_json: bool) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        print_json(MessageToDict(class_list))
        return
    table = lines()
    table.add_row("Name", class_list.name)
    table.add_row("State", _state(class_list))
    table.add_row("Rows", f"{class_list.counts.total:,}")
    for outcome, number in _outcomes(class_list.counts):
        table.add_row(outcome.capitalize(), f"{number:,}")
    table.add_row("Uploaded by", class_list.registrar_display_name)
    table.add_row("Uploaded", moment(class_list.create_time))
    if class_list.HasField("end_time"):
        table.add_row("Ended", moment(class_list.end_time))
    table.add_row("Kept until", moment(class_list.expire_time))
    console().print(table)


def print_many(class_lists: Sequence[ClassList], *, as_json: bool) -> None:
    """A table, or a JSON array."""
    if as_json:
        print_json([MessageToDict(class_list) for class_list in class_lists])
        return
    table = Table("Uploaded", "State", "Rows", "Outcomes", "Uploaded by", "ID")
    for class_list in class_lists:
        outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in _outcomes(class_list.counts))
        table.add_row(
            moment(class_list.create_time),
            _state(class_list),
            f"{class_list.counts.total:,}",
            outcomes,
            class_list.registrar_display_name,
            class_list.name.rpartition("/")[2],
        )
    # IDs are there to be copied: never cut, however narrow the terminal.
    table.columns[-1].overflow = "fold"
    console().print(table)


def print_answer(answer: RegisterClassListResponse) -> None:
    """A JSON object."""
    print_json(MessageToDict(answer))


async def follow(api: ApiClient, class_list: ClassList) -> ClassList:
    """Shows how far a list has come, until it is done or cancelled."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[refused]} refused"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console()) as progress:
        task = progress.add_task("Registers", total=class_list.counts.total, refused=0)
        while True:
            counts = class_list.counts
            done = counts.total - counts.remaining
            progress.update(task, completed=done, total=counts.total, refused=f"{counts.refused:,}")
            if class_list.state in {CLASS_LIST_STATE_DONE, CLASS_LIST_STATE_CANCELLED}:
                return class_list
            await asyncio.sleep(_PAUSE)
            request = GetClassListRequest(name=class_list.name)
            class_list = (await api.call(api.class_lists.GetClassList, request)).class_list


def _state(class_list: ClassList) -> str:
    return ClassListState.Name(class_list.state).removeprefix("CLASS_LIST_STATE_")


def _outcomes(counts: ClassListCounts) -> list[tuple[str, int]]:
    """What rows have come to, without what none has."""
    return [(field.name, number) for field, number in counts.ListFields() if field.name != "total"]
