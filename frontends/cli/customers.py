"""`liity customers`: what staff and registrars do with customers, through the public API."""

from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from frontends.cli.form_edits import Changes, Etag, form_of, tell_what_changed
from frontends.cli.render import customers as render_customers
from frontends.cli.session import AsJson, account_options, call, choice, own_unit, secret
from frontends.client import ApiClient, new_request_id
from frontends.dates import moment
from frontends.refusals import Refusal
from liity.v1.customer_form_pb2 import CredentialsRecipient
from liity.v1.customer_service_pb2 import (
    CODE_OF_UNSPECIFIED,
    CodeChange,
    CodeOf,
    CodeOfAnotherPerson,
    ConvertToOnlineRequest,
    Customer,
    CustomerSummary,
    EndCustomershipRequest,
    EndCustomershipResponse,
    EndReason,
    GetCustomerRequest,
    MergeCustomersRequest,
    SearchCustomersRequest,
    SendCredentialsRequest,
    SetPersonalIdentityCodeRequest,
    TransferCustomerRequest,
    TransferCustomerResponse,
    UndoRemovalRequest,
    UpdateCustomerRequest,
)
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)

Name = Annotated[str, typer.Argument(help="ID in your own unit, or units/UNIT/customers/ID for another one.")]
Unit = Annotated[str, typer.Option(help="units/UNIT; your own if you belong to one.")]


@app.command()
def check(context: typer.Context, unit: Unit = "", as_json: AsJson = False) -> None:
    """Whether a person is registered, by the personal identity code, which is asked for (R10)."""
    code = secret("Personal identity code")

    async def ask(api: ApiClient) -> CheckPersonalIdentityCodeResponse:
        request = CheckPersonalIdentityCodeRequest(parent=unit or own_unit(api), personal_identity_code=code)
        return await api.call(api.registrations.CheckPersonalIdentityCode, request)

    render_customers.print_standing(call(context.obj, ask), as_json=as_json)


@app.command()
def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="Beginnings of parts of the name, such as 'mei virt'.")],
    unit: Unit = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Customers of a unit by name (R15)."""

    async def read(api: ApiClient) -> list[CustomerSummary]:
        found: list[CustomerSummary] = []
        request = SearchCustomersRequest(parent=unit or own_unit(api), query=query)
        while True:
            request.page_size = min(limit - len(found), 200)
            page = await api.call(api.customers.SearchCustomers, request)
            found += page.customers
            request.page_token = page.next_page_token
            if len(found) >= limit or not page.next_page_token:
                return found

    render_customers.print_many(call(context.obj, read), as_json=as_json)


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """One customer, with the data as it now stands, and the etag that `edit` takes."""

    async def read(api: ApiClient) -> Customer:
        return await _read(api, _full_name(api, name))

    _print_one(call(context.obj, read), as_json=as_json)


@app.command()
def edit(
    context: typer.Context,
    name: Name,
    changes: Changes,
    etag: Etag,
    as_json: AsJson = False,
) -> None:
    """Changes fields of a customer (R14). A changed e-mail is confirmed there and told to the old address."""
    form, paths = form_of(changes)

    async def change(api: ApiClient) -> Customer:
        request = UpdateCustomerRequest(
            name=_full_name(api, name),
            request_id=new_request_id(),
            etag=etag,
            update_mask=FieldMask(paths=paths),
            form=form,
        )
        return (await tell_what_changed(api.call(api.customers.UpdateCustomer, request))).customer

    _print_one(call(context.obj, change), as_json=as_json)


@app.command()
def transfer(context: typer.Context, unit: Unit = "", as_json: AsJson = False) -> None:
    """Moves a customer to a unit, by the personal identity code, which is asked for (R16)."""
    code = secret("Personal identity code")

    async def move(api: ApiClient) -> TransferCustomerResponse:
        request = TransferCustomerRequest(
            parent=unit or own_unit(api), request_id=new_request_id(), personal_identity_code=code
        )
        return await api.call(api.customers.TransferCustomer, request)

    render_customers.print_moved(call(context.obj, move), as_json=as_json)


@app.command("send-credentials")
def send_credentials(
    context: typer.Context,
    name: Name,
    to: Annotated[str, typer.Option(help="customer, related-person or registrar (you).")] = "customer",
) -> None:
    """Sends credentials anew: earlier links become void (R17)."""
    recipient = choice(CredentialsRecipient.items(), "CREDENTIALS_RECIPIENT_", "--to", to)

    async def order(api: ApiClient) -> None:
        request = SendCredentialsRequest(
            name=_full_name(api, name), request_id=new_request_id(), recipient=recipient
        )
        await api.call(api.customers.SendCredentials, request)

    call(context.obj, order)
    typer.echo("The credentials are on their way.")


@app.command()
def end(
    context: typer.Context,
    name: Name,
    reason: Annotated[
        str,
        typer.Option(
            help="own-wish, need-ended, not-entitled, consent-withdrawn, deceased (nobody is told) or other."
        ),
    ],
) -> None:
    """Ends a customership: the data is kept for some years, then erased (R19, R20)."""
    reasons = {
        key.removeprefix("END_REASON_").lower().replace("_", "-"): value
        for key, value in EndReason.items()
        if value
    }
    if reason not in reasons:
        raise typer.BadParameter(f"--reason takes one of {', '.join(reasons)}")

    async def close(api: ApiClient) -> EndCustomershipResponse:
        request = EndCustomershipRequest(
            name=_full_name(api, name), request_id=new_request_id(), reason=reasons[reason]
        )
        return await api.call(api.customers.EndCustomership, request)

    typer.echo(f"Ended. The data is erased at {moment(call(context.obj, close).erase_time)}.")


@app.command("undo-removal")
def undo_removal(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="units/UNIT/customers/ID.")],
    as_json: AsJson = False,
) -> None:
    """Takes the end of a customership back, for customer service alone (R19)."""

    async def undo(api: ApiClient) -> Customer:
        request = UndoRemovalRequest(name=_full_name(api, name), request_id=new_request_id())
        return (await api.call(api.customers.UndoRemoval, request)).customer

    _print_one(call(context.obj, undo), as_json=as_json)


@app.command("set-code")
def set_code(
    context: typer.Context,
    name: Name,
    change: Annotated[
        str,
        typer.Option(help="attached (there was none), corrected (a mistake) or renewed (a new one)."),
    ],
    as_json: AsJson = False,
) -> None:
    """Attaches or replaces the personal identity code, which is asked for (R24, R34)."""
    what = choice(CodeChange.items(), "CODE_CHANGE_", "--change", change)
    code = secret("Personal identity code")

    async def set_it(api: ApiClient) -> Customer:
        request = SetPersonalIdentityCodeRequest(
            name=_full_name(api, name),
            request_id=new_request_id(),
            personal_identity_code=code,
            change=what,
        )
        try:
            return (await api.call(api.customers.SetPersonalIdentityCode, request)).customer
        except Refusal as refusal:
            if isinstance(refusal.detail, CodeOfAnotherPerson):
                other = refusal.detail.customer or refusal.detail.registration
                typer.echo(f"The other person: {other or 'is being saved at this moment'}", err=True)
            raise

    _print_one(call(context.obj, set_it), as_json=as_json)


@app.command()
def merge(
    context: typer.Context,
    name: Name,
    merged: Annotated[str, typer.Argument(help="The one that becomes part of it: units/UNIT/customers/ID.")],
    code_of: Annotated[
        str, typer.Option(help="kept or merged: whose personal identity code counts, if both have one.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Makes one customer of two who are the same person: NAME stays as it is (R24, R34)."""
    whose = choice(CodeOf.items(), "CODE_OF_", "--code-of", code_of) if code_of else CODE_OF_UNSPECIFIED

    async def make_one(api: ApiClient) -> Customer:
        request = MergeCustomersRequest(
            name=_full_name(api, name),
            request_id=new_request_id(),
            merged_customer=_full_name(api, merged),
            personal_identity_code_of=whose,
        )
        return (await api.call(api.customers.MergeCustomers, request)).customer

    _print_one(call(context.obj, make_one), as_json=as_json)


@app.command("to-online")
def to_online(
    context: typer.Context,
    name: Name,
    email: Annotated[str, typer.Option(help="The customer's address, if none is on file.")] = "",
    to: Annotated[str, typer.Option(help="customer, related-person or registrar.")] = "customer",
    as_json: AsJson = False,
) -> None:
    """Makes an online customer of a CD borrower: credentials now, the welcome two weeks later (R23)."""
    recipient = choice(CredentialsRecipient.items(), "CREDENTIALS_RECIPIENT_", "--to", to)

    async def convert(api: ApiClient) -> Customer:
        request = ConvertToOnlineRequest(
            name=_full_name(api, name),
            request_id=new_request_id(),
            email=email,
            credentials_recipient=recipient,
        )
        return (await api.call(api.customers.ConvertToOnline, request)).customer

    _print_one(call(context.obj, convert), as_json=as_json)


async def _read(api: ApiClient, name: str) -> Customer:
    return (await api.call(api.customers.GetCustomer, GetCustomerRequest(name=name))).customer


def _full_name(api: ApiClient, name: str) -> str:
    return name if "/" in name else f"{own_unit(api)}/customers/{name}"


def _print_one(customer: Customer, *, as_json: bool) -> None:
    render_customers.print_one(customer, as_json=as_json)
