"""`liity account`: one's own account, through the public API."""

import typer

from frontends.cli.render import units
from frontends.cli.session import AsJson, account_options, call, call_as_nobody, link_token, new_password
from frontends.client import ApiClient, new_request_id
from liity.v1.auth_service_pb2 import ChooseAccountPasswordRequest, OrderPasswordRequest, Session

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)


@app.command()
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Who you are, and which units you may act for (R9)."""

    async def read(api: ApiClient) -> Session:
        return api.session

    units.print_account(call(context.obj, read), as_json=as_json)


@app.command("order-password")
def order_password(context: typer.Context) -> None:
    """Orders a new password by e-mail (R22): a link that works once, for an hour."""
    request = OrderPasswordRequest(email=context.obj.address(), request_id=new_request_id())

    async def order(api: ApiClient) -> None:
        await api.call(api.auth.OrderPassword, request)

    call_as_nobody(context.obj, order)
    typer.echo("If the address has an account, a link is on its way to it.")


@app.command("choose-password")
def choose_password(context: typer.Context) -> None:
    """Chooses the ordered password by the link, both asked for. You are logged out everywhere (R22)."""
    request = ChooseAccountPasswordRequest(
        token=link_token(), request_id=new_request_id(), password=new_password()
    )

    async def choose(api: ApiClient) -> None:
        await api.call(api.auth.ChooseAccountPassword, request)

    call_as_nobody(context.obj, choose)
    typer.echo("It is chosen: log in with it.")
