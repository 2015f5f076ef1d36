"""`liity links`: what a mailed link opens, for people without an account, through the public API.

The link, or the token at its end, is asked for: whoever has it is let in.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from frontends.cli.session import AsJson, call_as_nobody, link_token, new_password, nobody_options

if TYPE_CHECKING:
    from frontends.client import ApiClient
    from liity.v1.auth_service_pb2 import GetInvitationResponse, Membership
    from liity.v1.consent_service_pb2 import GetConsentRequestResponse
    from liity.v1.customership_link_service_pb2 import (
        EndOwnCustomershipResponse,
        ExtendNeedResponse,
        GetCustomershipLinkResponse,
    )

HELP = (
    "What a mailed link opens, without an account: consent, customership, invitation,"
    " choose-password, confirm-email."
)

app = typer.Typer(help=HELP, no_args_is_help=True)
app.callback(help=HELP)(nobody_options)
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
    from frontends.cli.render import links as render_links  # noqa: PLC0415

    render_links.print_consent(_consent_request(context, link_token()), as_json=as_json)


@consent.command("accept")
def accept_consent(
    context: typer.Context,
    guardian: Annotated[str, typer.Option(help="Name of the guardian who consents.")],
    yes: Annotated[bool, typer.Option("--yes", help="The text has been read: do not ask.")] = False,
) -> None:
    """Consents, after showing to what: the customership begins (R29, R31)."""
    from frontends.cli.render import links as render_links  # noqa: PLC0415
    from frontends.client import new_request_id  # noqa: PLC0415
    from liity.v1.consent_service_pb2 import AcceptConsentRequest  # noqa: PLC0415

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

    async def accept(api: "ApiClient") -> None:
        await api.call(api.consents.AcceptConsent, request)

    call_as_nobody(context.obj, accept)
    typer.echo("The consent is given.")


@consent.command("decline")
def decline_consent(context: typer.Context, yes: Yes = False) -> None:
    """Declines: the registration ends, and what was held for it is erased (R30)."""
    from frontends.client import new_request_id  # noqa: PLC0415
    from liity.v1.consent_service_pb2 import DeclineConsentRequest  # noqa: PLC0415

    request = DeclineConsentRequest(token=link_token(), request_id=new_request_id())
    if not yes:
        typer.confirm("What was saved of the child is erased. Decline?", abort=True)

    async def decline(api: "ApiClient") -> None:
        await api.call(api.consents.DeclineConsent, request)

    call_as_nobody(context.obj, decline)
    typer.echo("The consent is declined.")


@customership.command("show")
def show_customership(context: typer.Context, as_json: AsJson = False) -> None:
    """Whose customership it is, and whether the need is temporary."""
    from frontends.cli.render import links as render_links  # noqa: PLC0415
    from liity.v1.customership_link_service_pb2 import GetCustomershipLinkRequest  # noqa: PLC0415

    request = GetCustomershipLinkRequest(token=link_token())

    async def read(api: "ApiClient") -> "GetCustomershipLinkResponse":
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
    from frontends.client import new_request_id  # noqa: PLC0415
    from liity.v1.customership_link_service_pb2 import ExtendNeedRequest  # noqa: PLC0415
    from services.runtime.clock import from_proto_date, to_proto_date  # noqa: PLC0415

    request = ExtendNeedRequest(token=link_token(), request_id=new_request_id())
    if until:
        request.expected_end_date.CopyFrom(to_proto_date(until.date()))

    async def go_on(api: "ApiClient") -> "ExtendNeedResponse":
        return await api.call(api.customership_links.ExtendNeed, request)

    day = from_proto_date(call_as_nobody(context.obj, go_on).expected_end_date)
    typer.echo(f"It goes on until {day}; then it is asked again.")


@customership.command()
def end(context: typer.Context, yes: Yes = False) -> None:
    """Ends the customership (R21): the data is kept for some years, then erased (R20)."""
    from frontends.cli.render.registrations import moment  # noqa: PLC0415
    from frontends.client import new_request_id  # noqa: PLC0415
    from liity.v1.customership_link_service_pb2 import EndOwnCustomershipRequest  # noqa: PLC0415

    request = EndOwnCustomershipRequest(token=link_token(), request_id=new_request_id())
    if not yes:
        typer.confirm("Only customer service can take this back. End the customership?", abort=True)

    async def close(api: "ApiClient") -> "EndOwnCustomershipResponse":
        return await api.call(api.customership_links.EndOwnCustomership, request)

    typer.echo(f"Ended. The data is erased at {moment(call_as_nobody(context.obj, close).erase_time)}.")


@invitation.command("show")
def show_invitation(context: typer.Context, as_json: AsJson = False) -> None:
    """What the invitation is to, and until when."""
    from frontends.cli.render import links as render_links  # noqa: PLC0415

    render_links.print_invitation(_invitation(context, link_token()), as_json=as_json)


@invitation.command("accept")
def accept_invitation(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Yours; asked for if missing, unless you have an account.")] = "",
) -> None:
    """Accepts; whoever has no account gets one, and chooses a password, which is asked for."""
    from frontends.client import new_request_id  # noqa: PLC0415
    from liity.v1.auth_service_pb2 import AcceptInvitationRequest  # noqa: PLC0415

    token = link_token()
    request = AcceptInvitationRequest(token=token, request_id=new_request_id())
    if not _invitation(context, token).has_account:
        request.display_name = name or typer.prompt("Your name", err=True)
        request.password = new_password()

    async def accept(api: "ApiClient") -> "Membership":
        return (await api.call(api.auth.AcceptInvitation, request)).membership

    unit = call_as_nobody(context.obj, accept)
    typer.echo(f"You belong to {unit.unit_display_name}, {unit.unit}.")


@app.command("choose-password")
def choose_password(context: typer.Context) -> None:
    """A customer's way from the mail with the credentials to a password, which is asked for (R13)."""
    from frontends.client import new_request_id  # noqa: PLC0415
    from liity.v1.credential_service_pb2 import ChoosePasswordRequest  # noqa: PLC0415

    request = ChoosePasswordRequest(token=link_token(), request_id=new_request_id(), password=new_password())

    async def choose(api: "ApiClient") -> str:
        return (await api.call(api.credentials.ChoosePassword, request)).user_name

    typer.echo(f"It is chosen. Your user name is {call_as_nobody(context.obj, choose)}.")


@app.command("confirm-email")
def confirm_email(context: typer.Context) -> None:
    """Confirms a changed e-mail address (R14)."""
    from frontends.client import new_request_id  # noqa: PLC0415
    from liity.v1.customer_service_pb2 import ConfirmEmailRequest  # noqa: PLC0415

    request = ConfirmEmailRequest(token=link_token(), request_id=new_request_id())

    async def confirm(api: "ApiClient") -> None:
        await api.call(api.customers.ConfirmEmail, request)

    call_as_nobody(context.obj, confirm)
    typer.echo("The address is confirmed.")


def _consent_request(context: typer.Context, token: str) -> "GetConsentRequestResponse":
    from liity.v1.consent_service_pb2 import GetConsentRequestRequest  # noqa: PLC0415

    async def read(api: "ApiClient") -> "GetConsentRequestResponse":
        return await api.call(api.consents.GetConsentRequest, GetConsentRequestRequest(token=token))

    return call_as_nobody(context.obj, read)


def _invitation(context: typer.Context, token: str) -> "GetInvitationResponse":
    from liity.v1.auth_service_pb2 import GetInvitationRequest  # noqa: PLC0415

    async def read(api: "ApiClient") -> "GetInvitationResponse":
        return await api.call(api.auth.GetInvitation, GetInvitationRequest(token=token))

    return call_as_nobody(context.obj, read)
