"""`liity class-lists`: many customers at once from a file, through the public API."""

from pathlib import Path
from typing import Annotated

import typer

from frontends.cli.render import class_lists as render_class_lists
from frontends.cli.render.console import FAILED
from frontends.cli.session import AsJson, RequestId, account_options, call, own_unit
from frontends.client import ApiClient, new_request_id
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CLASS_LIST_FORMAT_XLSX,
    CancelClassListRequest,
    CheckClassListRequest,
    ClassList,
    ClassListFormat,
    ClassListReport,
    GetClassListRequest,
    GetClassListResultRequest,
    GetClassListTemplateRequest,
    ListClassListsRequest,
    RegisterClassListRequest,
    RegisterClassListResponse,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)

_WHOLE_LIST = 60.0
"""Seconds that a thousand rows may take to be checked on a busy day."""

Name = Annotated[str, typer.Argument(help="ID in your own unit, or units/UNIT/classLists/ID.")]
Unit = Annotated[str, typer.Option(help="units/UNIT; your own if you belong to one.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A .csv or .xlsx file.")]
Follow = Annotated[bool, typer.Option(help="Show the progress until the list is done.")]


@app.command()
def template(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The .csv or .xlsx file to write.")],
    unit: Unit = "",
) -> None:
    """Writes a file to start from: the headings and one example of nobody, in your language."""
    form = _format_of(file)

    async def read(api: ApiClient) -> bytes:
        request = GetClassListTemplateRequest(parent=unit or own_unit(api), format=form)
        return (await api.call(api.class_lists.GetClassListTemplate, request)).content

    _write(file, call(context.obj, read))


@app.command()
def check(context: typer.Context, file: File, unit: Unit = "", as_json: AsJson = False) -> None:
    """Checks a list: every error per row and field. Stores nothing. Ends with 1 if there are errors."""
    content, form = file.read_bytes(), _format_of(file)

    async def ask(api: ApiClient) -> ClassListReport:
        request = CheckClassListRequest(parent=unit or own_unit(api), content=content, format=form)
        return (await api.call(api.class_lists.CheckClassList, request, timeout=_WHOLE_LIST)).report

    report = call(context.obj, ask)
    render_class_lists.print_report(report, as_json=as_json)
    if report.errors:
        raise typer.Exit(FAILED)


@app.command()
def register(
    context: typer.Context,
    file: File,
    unit: Unit = "",
    skip_wrong_rows: Annotated[bool, typer.Option(help="Register the rows that are right.")] = False,
    follow: Follow = True,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Has a list registered. With errors nothing is stored, unless wrong rows are to be skipped."""
    content, form = file.read_bytes(), _format_of(file)
    request_id = request_id or new_request_id()

    async def order(api: ApiClient) -> RegisterClassListResponse:
        request = RegisterClassListRequest(
            parent=unit or own_unit(api),
            request_id=request_id,
            content=content,
            format=form,
            skip_wrong_rows=skip_wrong_rows,
        )
        answer = await api.call(api.class_lists.RegisterClassList, request, timeout=_WHOLE_LIST)
        if answer.HasField("class_list") and follow and not as_json:
            answer.class_list.CopyFrom(await render_class_lists.follow(api, answer.class_list))
        return answer

    answer = call(context.obj, order, request_id=request_id)
    if as_json:
        render_class_lists.print_answer(answer)
    else:
        if answer.report.errors:
            render_class_lists.print_report(answer.report, as_json=False)
        if answer.HasField("class_list"):
            render_class_lists.print_one(answer.class_list, as_json=False)
    if not answer.HasField("class_list"):
        raise typer.Exit(FAILED)


@app.command("list")
def list_lists(
    context: typer.Context,
    unit: Unit = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest lists of a unit."""

    async def read(api: ApiClient) -> list[ClassList]:
        request = ListClassListsRequest(parent=unit or own_unit(api), page_size=limit)
        return list((await api.call(api.class_lists.ListClassLists, request)).class_lists)

    render_class_lists.print_many(call(context.obj, read), as_json=as_json)


@app.command()
def show(context: typer.Context, name: Name, follow: Follow = False, as_json: AsJson = False) -> None:
    """How far a list has come."""

    async def read(api: ApiClient) -> ClassList:
        request = GetClassListRequest(name=_full_name(api, name))
        found = (await api.call(api.class_lists.GetClassList, request)).class_list
        return await render_class_lists.follow(api, found) if follow and not as_json else found

    render_class_lists.print_one(call(context.obj, read), as_json=as_json)


@app.command()
def result(
    context: typer.Context,
    name: Name,
    file: Annotated[
        Path | None, typer.Argument(dir_okay=False, help="The .csv file to write; standard output if none.")
    ] = None,
) -> None:
    """What became of each row, as CSV. It holds no personal identity code."""

    async def read(api: ApiClient) -> bytes:
        request = GetClassListResultRequest(name=_full_name(api, name))
        return (await api.call(api.class_lists.GetClassListResult, request)).content

    content = call(context.obj, read)
    if file is None:
        typer.echo(content.decode("utf-8-sig"), nl=False)
    else:
        _write(file, content)


@app.command()
def cancel(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Registers no more of a list. What is registered stays."""

    async def end(api: ApiClient) -> ClassList:
        request = CancelClassListRequest(name=_full_name(api, name), request_id=new_request_id())
        return (await api.call(api.class_lists.CancelClassList, request)).class_list

    render_class_lists.print_one(call(context.obj, end), as_json=as_json)


def _full_name(api: ApiClient, name: str) -> str:
    return name if "/" in name else f"{own_unit(api)}/classLists/{name}"


def _format_of(file: Path) -> ClassListFormat.ValueType:
    match file.suffix.lower():
        case ".csv":
            return CLASS_LIST_FORMAT_CSV
        case ".xlsx":
            return CLASS_LIST_FORMAT_XLSX
    raise typer.BadParameter(f"{file} must end with .csv or .xlsx")


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be written: {error.strerror}") from None
    typer.echo(f"Written: {file}")
