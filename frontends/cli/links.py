"""`liity links`: what a mailed link opens, for people without an account, through the public API.

The link, or the token at its end, is asked for: whoever has it is let in.
"""

from datetime import datetime
from typing import Annotated

import typer

from frontends.cli.render import links as render_links
from frontends.cli.session import AsJson, call_as_nobody, link_token, new_password, nobody_options
from frontends.client import ApiClient, new_request_id
from frontends.dates import iso_date, moment, to_proto_date
from liity.v1.auth_service_pb2 import (
    AcceptInvitationRequest,
    GetInvitationRequest,
    GetInvitationResponse,
    Membership,
)
from liity.v1.consent_service_pb2 import (
    AcceptConsentRequest,
    DeclineConsentRequest,
    GetConsentRequestRequest,
    GetConsentRequestResponse,
)
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.v1.customer_service_pb2 import ConfirmEmailRequest
from liity.v1.customership_link_service_pb2 import (
    EndOwnCustomershipRequest,
    EndOwnCustomershipResponse,
    ExtendNeedRequest,
    ExtendNeedResponse,
    GetCustomershipLinkRequest,
    GetCustomershipLinkResponse,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(nobody_options)
consent = typer.Typer(help="A guardian's consent: show, accept, decline.", no_args_is_help=True)
customership = typer.Typer(help="A customer's own customership: show, extend, end.", no_args_is_help=True)
invitation = typer.Typer(help="An invitation of a registrar: show, accept.", no_args_is_help=True)
app.add_typer(consent, name="consent")
app.add_typer(customership, name="customership")
app.add_typer(invitation, name="invitation")

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@consent.command("show")
def show_consent(context: typer.Context, as_json: AsJson = False) -> None:
    """What the guardian is asked, and until when."""
    render_links.print_consent(_consent_request(context, link_token()), as_json=as_json)


@consent.command("accept")
def accept_consent(
    context: typer.Context,
    guardian: Annotated[str, typer.Option(help="Name of the guardian who consents.")],
    yes: Annotated[bool, typer.Option("--yes", help="The text has been read: do not ask.")] = False,
) -> None:
    """Consents, after showing to what: the customership begins (R29, R31)."""
    token = link_token()
    asked = _consent_request(context, token)
    if not yes:
        render_links.print_consent(asked, as_json=False)
        typer.confirm("Do you consent to this?", abort=True)
    request = AcceptConsentRequest(
        token=token,
        request_id=new_request_id(),
        guardian_name=guardian,
        wording_version=asked.wording.version,
        language=asked.wording.language,
    )

    async def accept(api: ApiClient) -> None:
        await api.call(api.consents.AcceptConsent, request)

    call_as_nobody(context.obj, accept)
    typer.echo("The consent is given.")


@consent.command("decline")
def decline_consent(context: typer.Context, yes: Yes = False) -> None:
    """Declines: the registration ends, and what was held for it is erased (R30)."""
    request = DeclineConsentRequest(token=link_token(), request_id=new_request_id())
    if not yes:
        typer.confirm("What was saved of the child is erased. Decline?", abort=True)

    async def decline(api: ApiClient) -> None:
        await api.call(api.consents.DeclineConsent, request)

    call_as_nobody(context.obj, decline)
    typer.echo("The consent is declined.")


@customership.command("show")
def show_customership(context: typer.Context, as_json: AsJson = False) -> None:
    """Whose customership it is, and whether the need is temporary."""
    request = GetCustomershipLinkRequest(token=link_token())

    async def read(api: ApiClient) -> GetCustomershipLinkResponse:
        return await api.call(api.customership_links.GetCustomershipLink, request)

    render_links.print_customership(call_as_nobody(context.obj, read), as_json=as_json)


@customership.command()
def extend(
    context: typer.Context,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="A day in the future; some months if not given."),
    ] = None,
) -> None:
    """The temporary need goes on (R21)."""
    request = ExtendNeedRequest(token=link_token(), request_id=new_request_id())
    if until:
        request.expected_end_date.CopyFrom(to_proto_date(until.date()))

    async def go_on(api: ApiClient) -> ExtendNeedResponse:
        return await api.call(api.customership_links.ExtendNeed, request)

    day = iso_date(call_as_nobody(context.obj, go_on).expected_end_date)
    typer.echo(f"It goes on until {day}; then it is asked again.")


@customership.command()
def end(context: typer.Context, yes: Yes = False) -> None:
    """Ends the customership (R21): the data is kept for some years, then erased (R20)."""
    request = EndOwnCustomershipRequest(token=link_token(), request_id=new_request_id())
    if not yes:
        typer.confirm("Only customer service can take this back. End the customership?", abort=True)

    async def close(api: ApiClient) -> EndOwnCustomershipResponse:
        return await api.call(api.customership_links.EndOwnCustomership, request)

    typer.echo(f"Ended. The data is erased at {moment(call_as_nobody(context.obj, close).erase_time)}.")


@invitation.command("show")
def show_invitation(context: typer.Context, as_json: AsJson = False) -> None:
    """What the invitation is to, and until when."""
    render_links.print_invitation(_invitation(context, link_token()), as_json=as_json)


@invitation.command("accept")
def accept_invitation(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Yours; asked for if missing, unless you have an account.")] = "",
) -> None:
    """Accepts; whoever has no account gets one, and chooses a password, which is asked for."""
    token = link_token()
    request = AcceptInvitationRequest(token=token, request_id=new_request_id())
    if not _invitation(context, token).has_account:
        request.display_name = name or typer.prompt("Your name", err=True)
        request.password = new_password()

    async def accept(api: ApiClient) -> Membership:
        return (await api.call(api.auth.AcceptInvitation, request)).membership

    unit = call_as_nobody(context.obj, accept)
    typer.echo(f"You belong to {unit.unit_display_name}, {unit.unit}.")


@app.command("choose-password")
def choose_password(context: typer.Context) -> None:
    """A customer's way from the mail with the credentials to a password, which is asked for (R13)."""
    request = ChoosePasswordRequest(token=link_token(), request_id=new_request_id(), password=new_password())

    async def choose(api: ApiClient) -> str:
        return (await api.call(api.credentials.ChoosePassword, request)).user_name

    typer.echo(f"It is chosen. Your user name is {call_as_nobody(context.obj, choose)}.")


@app.command("confirm-email")
def confirm_email(context: typer.Context) -> None:
    """Confirms a changed e-mail address (R14)."""
    request = ConfirmEmailRequest(token=link_token(), request_id=new_request_id())

    async def confirm(api: ApiClient) -> None:
        await api.call(api.customers.ConfirmEmail, request)

    call_as_nobody(context.obj, confirm)
    typer.echo("The address is confirmed.")


def _consent_request(context: typer.Context, token: str) -> GetConsentRequestResponse:
    async def read(api: ApiClient) -> GetConsentRequestResponse:
        return await api.call(api.consents.GetConsentRequest, GetConsentRequestRequest(token=token))

    return call_as_nobody(context.obj, read)


def _invitation(context: typer.Context, token: str) -> GetInvitationResponse:
    async def read(api: ApiClient) -> GetInvitationResponse:
        return await api.call(api.auth.GetInvitation, GetInvitationRequest(token=token))

    return call_as_nobody(context.obj, read)
