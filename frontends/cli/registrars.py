"""`liity registrars`: who registers for a unit, through the public API."""

from typing import Annotated

import typer

from frontends.cli.render import units as render_units
from frontends.cli.session import AsJson, account_options, call, own_unit
from frontends.client import ApiClient, new_request_id
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER, ROLE_REGISTRAR, Role
from liity.v1.customer_form_pb2 import Language
from liity.v1.unit_service_pb2 import (
    InviteRegistrarRequest,
    ListRegistrarsRequest,
    Registrar,
    RemoveRegistrarRequest,
    SetRegistrarRoleRequest,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)

Name = Annotated[
    str, typer.Argument(help="ID in your own unit, or units/UNIT/registrars/ID for another one.")
]
Unit = Annotated[str, typer.Option(help="units/UNIT; your own if you belong to one.")]
RoleName = Annotated[str, typer.Option(help="registrar or main-user.")]


@app.command("list")
def list_registrars(context: typer.Context, unit: Unit = "", as_json: AsJson = False) -> None:
    """A unit's registrars, and its open invitations."""

    async def read(api: ApiClient) -> list[Registrar]:
        request = ListRegistrarsRequest(parent=unit or own_unit(api))
        return list((await api.call(api.units.ListRegistrars, request)).registrars)

    _print(call(context.obj, read), as_json=as_json)


@app.command()
def invite(
    context: typer.Context,
    email: Annotated[str, typer.Argument(help="Where the invitation goes.")],
    unit: Unit = "",
    role: RoleName = "registrar",
    mail_language: Annotated[
        str, typer.Option(help="Of the invitation and of later mail: fi, sv or en.")
    ] = "fi",
    as_json: AsJson = False,
) -> None:
    """Invites somebody to be a registrar: a link by mail. Customer service names main users."""
    if mail_language not in {"fi", "sv", "en"}:
        raise typer.BadParameter("--mail-language takes one of fi, sv, en")

    async def send(api: ApiClient) -> list[Registrar]:
        request = InviteRegistrarRequest(
            parent=unit or own_unit(api),
            request_id=new_request_id(),
            email=email,
            language=Language.Value(f"LANGUAGE_{mail_language.upper()}"),
            role=_role(role),
        )
        return [(await api.call(api.units.InviteRegistrar, request)).registrar]

    _print(call(context.obj, send), as_json=as_json)


@app.command("role")
def set_role(context: typer.Context, name: Name, role: RoleName, as_json: AsJson = False) -> None:
    """Makes a registrar a main user, or a main user a registrar; they log in again. For customer service."""

    async def change(api: ApiClient) -> list[Registrar]:
        request = SetRegistrarRoleRequest(
            name=_full_name(api, name), request_id=new_request_id(), role=_role(role)
        )
        return [(await api.call(api.units.SetRegistrarRole, request)).registrar]

    _print(call(context.obj, change), as_json=as_json)


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Takes a registrar out of the unit, whose sessions end at once; or takes an invitation back."""

    async def take_out(api: ApiClient) -> None:
        request = RemoveRegistrarRequest(name=_full_name(api, name), request_id=new_request_id())
        await api.call(api.units.RemoveRegistrar, request)

    call(context.obj, take_out)
    typer.echo("Out of the unit.")


def _full_name(api: ApiClient, name: str) -> str:
    return name if "/" in name else f"{own_unit(api)}/registrars/{name}"


def _role(text: str) -> Role.ValueType:
    roles = {"registrar": ROLE_REGISTRAR, "main-user": ROLE_MAIN_USER}
    if text not in roles:
        raise typer.BadParameter(f"--role takes one of {', '.join(roles)}")
    return roles[text]


def _print(registrars: list[Registrar], *, as_json: bool) -> None:
    render_units.print_registrars(registrars, as_json=as_json)
