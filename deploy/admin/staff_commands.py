"""`liity staff`: accounts of customer service and operators, created at installation."""

import asyncio
from typing import Annotated

import typer

from deploy.admin.staff import create_staff
from deploy.ending import ending_clearly
from frontends import refusals
from frontends.cli.console import FAILED
from frontends.client import new_request_id
from liity.identity.v1.account_service_pb2 import CreateAccountRequest
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_OPERATOR
from liity.v1.customer_form_pb2 import LANGUAGE_EN, Language
from services.runtime.rpc.errors import Refusal

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """Accounts of customer service and operators."""


@app.command()
def create(
    email: Annotated[str, typer.Argument(help="E-mail address: the user name.")],
    name: Annotated[str, typer.Option(help="Name of the person.")],
    operator: Annotated[
        bool, typer.Option("--operator", help="Keeps the system running, and sees no personal data.")
    ] = False,
    mail_language: Annotated[str, typer.Option(help="fi, sv or en.")] = "fi",
    request_id: Annotated[
        str, typer.Option(help="A UUID that makes repeating the command safe; a new one if missing.")
    ] = "",
) -> None:
    """Creates an account of customer service, or of an operator. Asks for its password.

    Needs LIITY_KEYS_DIR with the key of the service identity `seed`, and LIITY_IDENTITY_TARGET. Customer
    service then creates units with `liity units create`, and invites registrars.
    """
    if mail_language not in {"fi", "sv", "en"}:
        raise typer.BadParameter("--mail-language takes one of fi, sv, en")
    request = CreateAccountRequest(
        request_id=request_id or new_request_id(),
        email=email,
        display_name=name,
        # Not an option: options stay in the shell's history, and every user of the machine can see them.
        password=typer.prompt("Password", hide_input=True, confirmation_prompt=True),
        language=Language.Value(f"LANGUAGE_{mail_language.upper()}"),
        roles=[ROLE_OPERATOR if operator else ROLE_CUSTOMER_SERVICE],
    )
    with ending_clearly():
        try:
            account = asyncio.run(create_staff(request))
        except Refusal as refusal:
            told = refusals.Refusal.from_status(refusal.to_status(LANGUAGE_EN))
            typer.echo("\n".join(told.lines() if told else [refusal.summary]), err=True)
            raise typer.Exit(FAILED) from None
    typer.echo(f"{account.email} can log in.")
