"""`liity units`: work with units, for customer service, through the public API."""

from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from frontends.cli import render
from frontends.cli.commands import Commands
from frontends.cli.session import AsJson, RequestId, call, chosen, group
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1 import unit_service_pb2
from liity.v1.reason_pb2 import REASON_UNIT_NAME_IN_USE
from liity.v1.unit_service_pb2 import (
    CreateUnitRequest,
    GetUnitRequest,
    Unit,
    UpdateUnitRequest,
)

app = group()

_units = Commands(app, unit_service_pb2.DESCRIPTOR.services_by_name["UnitService"])
_units.add("list", "ListUnits", ["query"], options={"show_closed": "closed"}, limit=0)
_units.add("show", "GetUnit", ["name"])
_units.add("summary", "GetUnitSummary", ["name"])
_units.add("closing", "GetUnitClosing", ["name"])
_units.add("close", "CloseUnit", ["name"], confirm="A closed unit cannot be opened again. Close it?")


@app.command()
def create(
    context: typer.Context,
    display_name: Annotated[str, typer.Argument(help="The unit's name.")],
    kind: Annotated[str, typer.Option(help="library, school, higher-education or other.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask if there is one of this name.")] = False,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Creates a unit. Asks first if an open one has the same name."""
    request = CreateUnitRequest(
        request_id=request_id or new_request_id(),
        display_name=display_name,
        kind=chosen(CreateUnitRequest.DESCRIPTOR.fields_by_name["kind"], "--kind", kind),
        name_must_be_new=not yes,
    )

    async def make(api: ApiClient) -> Unit:
        try:
            return (await api.call(api.units.CreateUnit, request)).unit
        except Refusal as refusal:
            if refusal.reason != REASON_UNIT_NAME_IN_USE:
                raise
            typer.confirm(refusal.text, abort=True)
            request.name_must_be_new = False
            return (await api.call(api.units.CreateUnit, request)).unit

    render.show(call(context.obj, make, request_id=request.request_id), as_json=as_json)


@app.command()
def edit(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="ID, or units/ID.")],
    display_name: Annotated[str, typer.Option("--name", help="The unit's name.")] = "",
    kind: Annotated[str, typer.Option(help="library, school, higher-education or other.")] = "",
    as_json: AsJson = False,
) -> None:
    """Changes a unit's name, its kind, or both."""
    paths = [path for path, value in (("display_name", display_name), ("kind", kind)) if value]
    if not paths:
        raise typer.BadParameter("give --name, --kind or both")
    request = UpdateUnitRequest(
        name=name if "/" in name else f"units/{name}",
        request_id=new_request_id(),
        update_mask=FieldMask(paths=paths),
        display_name=display_name,
    )
    if kind:
        request.kind = chosen(UpdateUnitRequest.DESCRIPTOR.fields_by_name["kind"], "--kind", kind)

    async def change(api: ApiClient) -> Unit:
        read = await api.call(api.units.GetUnit, GetUnitRequest(name=request.name))
        request.etag = read.unit.etag
        return (await api.call(api.units.UpdateUnit, request)).unit

    render.show(call(context.obj, change), as_json=as_json)
