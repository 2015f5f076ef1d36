"""`liity account`: one's own account, through the public API."""

import typer

from frontends.cli import render
from frontends.cli.commands import Commands
from frontends.cli.session import AsJson, call, group
from frontends.client import ApiClient, new_request_id
from liity.v1 import auth_service_pb2
from liity.v1.auth_service_pb2 import OrderPasswordRequest, Session

app = group()


@app.command()
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Shows your account, and the units you may act for."""

    async def read(api: ApiClient) -> Session:
        # Never show the tokens.
        known = api.session
        return Session(display_name=known.display_name, roles=known.roles, memberships=known.memberships)

    render.show(call(context.obj, read), as_json=as_json)


@app.command("order-password")
def order_password(context: typer.Context) -> None:
    """Orders a new password by e-mail: a link that works once, for an hour."""
    request = OrderPasswordRequest(email=context.obj.address(), request_id=new_request_id())

    async def order(api: ApiClient) -> None:
        await api.call(api.auth.OrderPassword, request)

    call(context.obj, order, anonymous=True)
    typer.echo("If the address has an account, a link is on its way to it.")


Commands(app, auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"]).add(
    "choose-password", "ChooseAccountPassword", anonymous=True, done="It is chosen: log in with it."
)
