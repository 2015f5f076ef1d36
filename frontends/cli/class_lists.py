"""`liity class-lists`: many customers at once from a file, through the public API."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from frontends.cli import render
from frontends.cli.commands import Commands
from frontends.cli.console import FAILED, console
from frontends.cli.session import AsJson, RequestId, Unit, call, full_name, group, own_unit
from frontends.client import ApiClient, new_request_id
from liity.v1 import class_list_service_pb2
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CLASS_LIST_FORMAT_XLSX,
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
    CheckClassListRequest,
    CheckClassListResponse,
    ClassList,
    ClassListError,
    ClassListFormat,
    ClassListGone,
    ClassListPerson,
    ClassListReport,
    GetClassListRequest,
    GetClassListResultRequest,
    GetClassListTemplateRequest,
    RegisterClassListRequest,
    RegisterClassListResponse,
)

app = group()

_class_lists = Commands(app, class_list_service_pb2.DESCRIPTOR.services_by_name["ClassListService"])
_class_lists.add("list", "ListClassLists", limit=20)
_class_lists.add(
    "cancel",
    "CancelClassList",
    ["name"],
    confirm="Rows that are not registered yet will not be. Cancel the rest of the list?",
)

_PAUSE = 0.5
"""Seconds between two reads of a list that is followed."""

_WHOLE_LIST = 60.0
"""Timeout in seconds for checking a whole list."""

Name = Annotated[str, typer.Argument(help="ID in your own unit, or units/UNIT/classLists/ID.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A .csv or .xlsx file.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")]
Follow = Annotated[bool, typer.Option(help="Show the progress until the list is done.")]


@app.command()
def template(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The .csv or .xlsx file to write.")],
    unit: Unit = "",
    force: Force = False,
) -> None:
    """Writes a file to start from: the headings and one invented example, in your language."""
    form = _format_of(file)
    _require_new(file, force=force)

    async def read(api: ApiClient) -> bytes:
        request = GetClassListTemplateRequest(parent=unit or own_unit(api), format=form)
        return (await api.call(api.class_lists.GetClassListTemplate, request)).content

    _write(file, call(context.obj, read))


@app.command()
def check(
    context: typer.Context,
    file: File,
    unit: Unit = "",
    annotated: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Save the list there, with the remarks in it.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Checks a list: every error per row and field. Stores nothing. Ends with 1 if there are errors."""
    content, form = file.read_bytes(), _sent_as(file)
    if annotated is not None:
        _require_new(annotated, force=force)

    async def ask(api: ApiClient) -> CheckClassListResponse:
        request = CheckClassListRequest(
            parent=unit or own_unit(api), content=content, format=form, annotate=annotated is not None
        )
        return await api.call(api.class_lists.CheckClassList, request, timeout=_WHOLE_LIST)

    answer = call(context.obj, ask)
    _print_report(answer.report, as_json=as_json)
    if annotated is not None:
        _write_annotated(annotated, answer)
    if answer.report.errors:
        raise typer.Exit(FAILED)


@app.command()
def register(  # noqa: PLR0913, PLR0917 - an option each
    context: typer.Context,
    file: File,
    unit: Unit = "",
    skip_wrong_rows: Annotated[bool, typer.Option(help="Register the rows that are right.")] = False,
    transfer: Annotated[
        list[int] | None, typer.Option(help="A row whose person is moved from another unit to yours.")
    ] = None,
    confirm_address: Annotated[
        list[int] | None,
        typer.Option(help="A row whose guardian's address is meant, though it is yours or many families'."),
    ] = None,
    follow: Follow = True,
    request_id: RequestId = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Registers a list. If it has errors nothing is stored, unless wrong rows are to be skipped."""
    content, form = file.read_bytes(), _sent_as(file)
    request_id = request_id or new_request_id()

    async def check(api: ApiClient) -> ClassListReport:
        request = CheckClassListRequest(parent=unit or own_unit(api), content=content, format=form)
        return (await api.call(api.class_lists.CheckClassList, request, timeout=_WHOLE_LIST)).report

    if not yes:
        _ask(call(context.obj, check), skip_wrong_rows=skip_wrong_rows)

    async def order(api: ApiClient) -> RegisterClassListResponse:
        request = RegisterClassListRequest(
            parent=unit or own_unit(api),
            request_id=request_id,
            content=content,
            format=form,
            skip_wrong_rows=skip_wrong_rows,
            transfer_rows=transfer or (),
            confirmed_address_rows=confirm_address or (),
        )
        answer = await api.call(api.class_lists.RegisterClassList, request, timeout=_WHOLE_LIST)
        if answer.HasField("class_list") and follow and not as_json:
            answer.class_list.CopyFrom(await _follow(api, answer.class_list))
        return answer

    answer = call(context.obj, order, request_id=request_id)
    if as_json:
        render.show(answer, as_json=True)
    else:
        if answer.HasField("report"):
            _print_report(answer.report, as_json=False)
        if answer.HasField("class_list"):
            render.show(answer.class_list, as_json=False)
    if not answer.HasField("class_list"):
        raise typer.Exit(FAILED)


def _ask(report: ClassListReport, *, skip_wrong_rows: bool) -> None:
    """Asks whether a list is to be registered. One that would be refused is not asked about."""
    told = report.consequences
    if told.ByteSize() and (skip_wrong_rows or not report.errors):
        mails = told.credentials_mails + told.consent_requests
        people = told.customers + told.waiting_for_consent + told.waiting_for_identity_check
        typer.confirm(
            f"Persons to register: {people}. Mails that go out now: {mails}. Register them?", abort=True
        )


@app.command()
def show(context: typer.Context, name: Name, follow: Follow = False, as_json: AsJson = False) -> None:
    """Shows the progress of a list."""

    async def read(api: ApiClient) -> ClassList:
        request = GetClassListRequest(name=full_name(api, "classLists", name))
        found = (await api.call(api.class_lists.GetClassList, request)).class_list
        return await _follow(api, found) if follow and not as_json else found

    render.show(call(context.obj, read), as_json=as_json)


@app.command()
def result(
    context: typer.Context,
    name: Name,
    file: Annotated[
        Path | None, typer.Argument(dir_okay=False, help="The .csv file to write; standard output if none.")
    ] = None,
    force: Force = False,
) -> None:
    """Saves the outcome of each row as CSV, without personal identity codes."""
    if file is not None:
        _require_new(file, force=force)

    async def read(api: ApiClient) -> bytes:
        request = GetClassListResultRequest(name=full_name(api, "classLists", name))
        return (await api.call(api.class_lists.GetClassListResult, request)).content

    content = call(context.obj, read)
    if file is None:
        typer.echo(content.decode("utf-8-sig"), nl=False)
    else:
        _write(file, content)


_FORMATS = {".csv": CLASS_LIST_FORMAT_CSV, ".xlsx": CLASS_LIST_FORMAT_XLSX}


def _format_of(file: Path) -> ClassListFormat.ValueType:
    """The format to write a file in."""
    if file.suffix.lower() not in _FORMATS:
        raise typer.BadParameter(f"{file} must end with .csv or .xlsx")
    return _FORMATS[file.suffix.lower()]


def _sent_as(file: Path) -> ClassListFormat.ValueType:
    """The format to send a file as: the API tells by the content what it is."""
    return _FORMATS.get(file.suffix.lower(), CLASS_LIST_FORMAT_CSV)


def _require_new(file: Path, *, force: bool) -> None:
    """Ends the program rather than overwrite a list that somebody may have filled in."""
    if file.exists() and not force:
        raise typer.BadParameter(f"{file} exists already: choose another name, or overwrite it with --force")


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be written: {error.strerror}") from None
    typer.echo(f"Written: {file}")


def _write_annotated(file: Path, answer: CheckClassListResponse) -> None:
    """Saves a list with the remarks in it, if there are any that can stand in it."""
    ending = Path(answer.annotated_file_name).suffix
    if not answer.annotated_content:
        typer.echo(
            "Nothing is written: there is no remark, or none can stand in this file.",
            err=True,
        )
    elif file.suffix.lower() != ending:
        raise typer.BadParameter(f"{file} must end with {ending}, as the list does")
    else:
        _write(file, answer.annotated_content)


def _print_report(report: ClassListReport, *, as_json: bool) -> None:
    """Every error by row and column, or a JSON object."""
    if as_json:
        render.show(report, as_json=True)
        return
    if report.errors:
        render.show_list(report.errors, ClassListError.DESCRIPTOR, as_json=False)
    if report.omitted_error_count:
        console().print(f"… and {report.omitted_error_count:,} errors more")
    if report.notices:
        console().print("Mended, or not read:")
        render.show_list(report.notices, ClassListError.DESCRIPTOR, as_json=False)
    if report.persons:
        console().print("Known already; a row that can be transferred may be given by --transfer:")
        render.show_list(report.persons, ClassListPerson.DESCRIPTOR, as_json=False)
    if report.gone:
        console().print("In the list before and not in this one; nothing is done to them:")
        render.show_list(report.gone, ClassListGone.DESCRIPTOR, as_json=False)
    standings = report.standings
    console().print(
        f"{report.row_count:,} rows: {standings.new:,} new, {standings.in_this_unit:,} yours already,"
        f" {standings.in_another_unit:,} of other units, {standings.being_registered:,} being registered,"
        f" {report.wrong_row_count:,} with errors"
    )
    at_once = report.consequences
    console().print(
        f"Registering them: {at_once.customers:,} customers at once"
        f" ({at_once.credentials_mails:,} mails with credentials),"
        f" {at_once.waiting_for_consent:,} waiting for consent"
        f" ({at_once.consent_requests:,} mails to guardians),"
        f" {at_once.waiting_for_identity_check:,} waiting for customer service"
    )


async def _follow(api: ApiClient, class_list: ClassList) -> ClassList:
    """Shows the progress of a list until it is done or cancelled."""
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
