"""`liity units`: what customer service does with units, through the public API."""

from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from frontends.cli.render import units as render_units
from frontends.cli.session import AsJson, account_options, call
from frontends.client import ApiClient, new_request_id
from liity.v1.unit_service_pb2 import (
    UNIT_KIND_UNSPECIFIED,
    CloseUnitRequest,
    CreateUnitRequest,
    GetUnitRequest,
    ListUnitsRequest,
    Unit,
    UnitKind,
    UpdateUnitRequest,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)

Name = Annotated[str, typer.Argument(help="The unit's ID, or units/ID.")]
Kind = Annotated[str, typer.Option(help="library, school, higher-education or other.")]
DisplayName = Annotated[str, typer.Option("--name", help="The unit's name.")]


@app.command("list")
def list_units(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="Beginnings of words of the name; all if missing.")] = "",
    closed: Annotated[bool, typer.Option("--closed", help="Closed ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Units by name."""

    async def read(api: ApiClient) -> list[Unit]:
        found: list[Unit] = []
        request = ListUnitsRequest(query=query, show_closed=closed, page_size=200)
        while True:
            page = await api.call(api.units.ListUnits, request)
            found += page.units
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found

    render_units.print_units(call(context.obj, read), as_json=as_json)


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The unit's name.")],
    kind: Kind,
    as_json: AsJson = False,
) -> None:
    """Makes a unit."""
    request = CreateUnitRequest(request_id=new_request_id(), display_name=name, kind=_kind(kind))

    async def make(api: ApiClient) -> Unit:
        return (await api.call(api.units.CreateUnit, request)).unit

    _print(call(context.obj, make), as_json=as_json)


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """One unit."""

    async def read(api: ApiClient) -> Unit:
        return await _read(api, name)

    _print(call(context.obj, read), as_json=as_json)


@app.command()
def edit(
    context: typer.Context,
    name: Name,
    display_name: DisplayName = "",
    kind: Kind = "",
    as_json: AsJson = False,
) -> None:
    """Changes a unit's name, its kind, or both."""
    paths = [path for path, value in (("display_name", display_name), ("kind", kind)) if value]
    if not paths:
        raise typer.BadParameter("give --name, --kind or both")

    async def change(api: ApiClient) -> Unit:
        unit = await _read(api, name)
        request = UpdateUnitRequest(
            name=unit.name,
            request_id=new_request_id(),
            etag=unit.etag,
            update_mask=FieldMask(paths=paths),
            display_name=display_name,
            kind=_kind(kind) if kind else UNIT_KIND_UNSPECIFIED,
        )
        return (await api.call(api.units.UpdateUnit, request)).unit

    _print(call(context.obj, change), as_json=as_json)


@app.command()
def close(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Closes a unit: it registers nobody any more, and its registrars lose it at once."""
    if not yes:
        typer.confirm("A closed unit cannot be opened again. Close it?", abort=True)
    request = CloseUnitRequest(name=_full_name(name), request_id=new_request_id())

    async def end(api: ApiClient) -> Unit:
        return (await api.call(api.units.CloseUnit, request)).unit

    _print(call(context.obj, end), as_json=as_json)


async def _read(api: ApiClient, name: str) -> Unit:
    return (await api.call(api.units.GetUnit, GetUnitRequest(name=_full_name(name)))).unit


def _full_name(name: str) -> str:
    return name if "/" in name else f"units/{name}"


def _kind(text: str) -> UnitKind.ValueType:
    prefix = "UNIT_KIND_"
    kinds = {
        key.removeprefix(prefix).lower().replace("_", "-"): value for key, value in UnitKind.items() if value
    }
    if text not in kinds:
        raise typer.BadParameter(f"--kind takes one of {', '.join(kinds)}")
    return kinds[text]


def _print(unit: Unit, *, as_json: bool) -> None:
    render_units.print_unit(unit, as_json=as_json)
