"""`liity links`: uses mailed links, for people without an account, through the public API.

Prompts for the link, or the token at its end: it is the only credential.
"""

from datetime import datetime
from typing import Annotated

import typer

from frontends.cli import render
from frontends.cli.commands import Commands
from frontends.cli.form_edits import Changes, Etag, form_of
from frontends.cli.session import call, group, link_token, new_password, nobody_options
from frontends.client import ApiClient, new_request_id
from frontends.dates import to_proto_date
from liity.v1 import (
    auth_service_pb2,
    consent_service_pb2,
    credential_service_pb2,
    customer_service_pb2,
    customership_link_service_pb2,
)
from liity.v1.auth_service_pb2 import (
    AcceptInvitationRequest,
    GetInvitationRequest,
    GetInvitationResponse,
    Membership,
)
from liity.v1.consent_service_pb2 import (
    AcceptConsentRequest,
    GetConsentRequestRequest,
    GetConsentRequestResponse,
)
from liity.v1.customership_link_service_pb2 import UpdateOwnContactDataRequest, UpdateOwnContactDataResponse

app = group(nobody_options)
consent = typer.Typer(help="A guardian's consent.", no_args_is_help=True)
customership = typer.Typer(help="A customer's own customership: show, extend, end.", no_args_is_help=True)
invitation = typer.Typer(help="An invitation of a registrar: show, accept.", no_args_is_help=True)
app.add_typer(consent, name="consent")
app.add_typer(customership, name="customership")
app.add_typer(invitation, name="invitation")

_consents = Commands(consent, consent_service_pb2.DESCRIPTOR.services_by_name["ConsentService"])
_consents.add("show", "GetConsentRequest")
_consents.add("status", "GetConsentStatus")
_consents.add(
    "new-link",
    "RequestNewConsentLink",
    done="If the registration still waits, the link is mailed to the guardian's address on file.",
)
_consents.add(
    "not-mine",
    "ReportWrongRecipient",
    confirm="The unit is told that the address is wrong, and the link is closed. Report it?",
    done="Reported: no more mail about the child goes to this address.",
)
_consents.add(
    "decline",
    "DeclineConsent",
    confirm="What was saved of the child is erased. Decline?",
    done="The consent is declined. Can be taken back until: {take_back_deadline|'no more'}.",
)
_consents.add("take-back", "TakeBackDecline", done="The answer is awaited again.")

_consents.add(
    "withdraw",
    "WithdrawConsent",
    confirm="The child's customership ends. Withdraw the consent?",
    done="The consent is withdrawn: the customership has ended. Erased at: {erase_time|'as told before'}.",
)

_customerships = Commands(
    customership, customership_link_service_pb2.DESCRIPTOR.services_by_name["CustomershipLinkService"]
)
_customerships.add("show", "GetCustomershipLink")
_customerships.add(
    "extend",
    "ExtendNeed",
    options={"expected_end_date": "until"},
    done="It goes on until {expected_end_date}; then it is asked again.",
)
_customerships.add(
    "end",
    "EndOwnCustomership",
    confirm="Only customer service can take this back. End the customership?",
    done="Ended. The data is kept until the end of {erase_time}.",
)

_customerships.add("data", "GetOwnContactData")
_customerships.add("uses", "ListOwnUses")

Commands(invitation, auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"]).add("show", "GetInvitation")
_credentials = Commands(app, credential_service_pb2.DESCRIPTOR.services_by_name["CredentialService"])
_credentials.add("choose-password", "ChoosePassword", done="It is chosen. Your user name is {user_name}.")
_credentials.add(
    "order-password",
    "OrderCustomerPassword",
    options={"user_name_or_email": "customer"},
    done="If the library knows it, a link is on its way to the address on file.",
)
Commands(app, customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]).add(
    "confirm-email", "ConfirmEmail", done="The address is confirmed."
)


@consent.command("accept")
def accept_consent(
    context: typer.Context,
    guardian: Annotated[str, typer.Option(help="Name of the guardian who consents.")],
    yes: Annotated[bool, typer.Option("--yes", help="The text has been read: do not ask.")] = False,
) -> None:
    """Consents, after showing the question: the customership begins."""
    token = link_token()

    async def read(api: ApiClient) -> GetConsentRequestResponse:
        return await api.call(api.consents.GetConsentRequest, GetConsentRequestRequest(token=token))

    asked = call(context.obj, read)
    if not yes:
        render.show(asked, as_json=False)
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

    call(context.obj, accept)
    typer.echo("The consent is given.")


@customership.command("correct")
def correct_own_data(
    context: typer.Context,
    birth_date: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The customer's date of birth, such as 2012-12-31.")
    ],
    changes: Changes,
    etag: Etag,
) -> None:
    """Corrects the customer's own contact data. A new e-mail is confirmed there."""
    form, mask = form_of(changes)
    request = UpdateOwnContactDataRequest(
        token=link_token(),
        birth_date=to_proto_date(birth_date),
        request_id=new_request_id(),
        etag=etag,
        update_mask=mask,
        form=form,
    )

    async def correct(api: ApiClient) -> UpdateOwnContactDataResponse:
        return await api.call(api.customership_links.UpdateOwnContactData, request)

    corrected = call(context.obj, correct)
    typer.echo("Corrected.")
    for each in corrected.address_suggestions:
        typer.echo(f"Did you mean {each.suggested}?")


@invitation.command("accept")
def accept_invitation(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Yours; asked for if missing, unless you have an account.")] = "",
) -> None:
    """Accepts. A person without an account gets one, and is asked to choose a password."""
    token = link_token()

    async def read(api: ApiClient) -> GetInvitationResponse:
        return await api.call(api.auth.GetInvitation, GetInvitationRequest(token=token))

    request = AcceptInvitationRequest(token=token, request_id=new_request_id())
    if not call(context.obj, read).has_account:
        request.display_name = name or typer.prompt("Your name", err=True)
        request.password = new_password()

    async def accept(api: ApiClient) -> Membership:
        return (await api.call(api.auth.AcceptInvitation, request)).membership

    unit = call(context.obj, accept)
    typer.echo(f"You belong to {unit.unit_display_name}, {unit.unit}.")
