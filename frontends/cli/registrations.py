"""`liity registrations`: what staff and registrars do with registrations, through the public API."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import Parse, ParseError

from frontends.cli import example_forms
from frontends.cli.form_edits import Changes, Etag, form_of, tell_what_changed
from frontends.cli.render import registrations as render_registrations
from frontends.cli.render import worklist
from frontends.cli.session import AsJson, RequestId, account_options, call, choice, own_unit, secret
from frontends.client import ApiClient, new_request_id
from frontends.dates import to_proto_date, today
from liity.v1.customer_form_pb2 import CustomerForm, PaperConsent
from liity.v1.registration_pb2 import MissingCodeReason, Registration, Stage
from liity.v1.registration_service_pb2 import (
    ExplainRegistrationRequest,
    ExplainRegistrationResponse,
    GetRegistrationRequest,
    GetRegistrationResponse,
    LinkToCustomerRequest,
    ListRegistrationsRequest,
    MissingPersonalIdentityCode,
    ReactivateRequest,
    RecordConsentRequest,
    RegisterCustomerRequest,
    RegisterCustomerResponse,
    RejectRegistrationRequest,
    UpdateRegistrationRequest,
    VerifyIdentityRequest,
    WithdrawRegistrationRequest,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)

Name = Annotated[
    str, typer.Argument(help="ID in your own unit, or units/UNIT/registrations/ID for another one.")
]
Unit = Annotated[str, typer.Option(help="units/UNIT; your own if you belong to one.")]


@app.command()
def form(
    pupil: Annotated[bool, typer.Option("--pupil", help="A school's pupil's, with a guardian.")] = False,
) -> None:
    """Prints a form of nobody to start from, as JSON: what `save` takes. Nothing is ticked in advance."""
    example = example_forms.pupil() if pupil else example_forms.adult()
    typer.echo(example_forms.as_json(example_forms.unticked(example)), nl=False)


@app.command()
def save(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON, as `form` prints it.")],
    unit: Unit = "",
    no_code: Annotated[
        bool,
        typer.Option("--no-code", help="The person has no personal identity code, or it cannot be given."),
    ] = False,
    birth_date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="With --no-code: the date of birth.")
    ] = None,
    reason: Annotated[
        str,
        typer.Option(
            help="With --no-code: not-yet-given, no-finnish-code, not-known, not-disclosed or other."
        ),
    ] = "",
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Saves the form of a new customer (R11); the personal identity code is asked for.

    Without a code customer service first makes sure who it is (R24). What is urgent does not belong in
    additional_information: write with `liity messages send --context form` (R12).
    """
    request = RegisterCustomerRequest(request_id=request_id or new_request_id(), form=_form_in(file))
    if no_code:
        request.missing_personal_identity_code.CopyFrom(_missing_code(birth_date, reason))
    elif birth_date or reason:
        raise typer.BadParameter("--birth-date and --reason go with --no-code")
    else:
        request.personal_identity_code = secret("Personal identity code")

    async def register(api: ApiClient) -> RegisterCustomerResponse:
        request.parent = unit or own_unit(api)
        return await api.call(api.registrations.RegisterCustomer, request)

    saved = call(context.obj, register, request_id=request.request_id)
    render_registrations.print_saved(saved, as_json=as_json)


@app.command("list")
def list_registrations(
    context: typer.Context,
    unit: Unit = "",
    stage: Annotated[str, typer.Option(help="Only this stage, such as WAITING_FOR_CONSENT.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The registrations of a unit, newest first."""
    stages = {name.removeprefix("STAGE_"): value for name, value in Stage.items()}
    if stage and stage.upper() not in stages:
        raise typer.BadParameter(f"--stage takes one of {', '.join(list(stages)[1:])}")

    async def read(api: ApiClient) -> list[Registration]:
        found: list[Registration] = []
        request = ListRegistrationsRequest(
            parent=unit or own_unit(api), stage=stages[stage.upper() or "UNSPECIFIED"]
        )
        while True:
            request.page_size = min(limit - len(found), 200)
            page = await api.call(api.registrations.ListRegistrations, request)
            found += page.registrations
            request.page_token = page.next_page_token
            if len(found) >= limit or not page.next_page_token:
                return found

    render_registrations.print_many(call(context.obj, read), as_json=as_json)


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """One registration: its stage, deadline, what it waits for, who can act, and what to do next (R28)."""

    async def read(api: ApiClient) -> GetRegistrationResponse:
        request = GetRegistrationRequest(name=_full_name(api, name))
        return await api.call(api.registrations.GetRegistration, request)

    render_registrations.print_answer(call(context.obj, read), as_json=as_json)


@app.command()
def edit(context: typer.Context, name: Name, changes: Changes, etag: Etag, as_json: AsJson = False) -> None:
    """Corrects the form while it waits (R14). A guardian whose address changes is asked anew."""
    form, paths = form_of(changes)

    async def change(api: ApiClient) -> Registration:
        request = UpdateRegistrationRequest(
            name=_full_name(api, name),
            request_id=new_request_id(),
            etag=etag,
            update_mask=FieldMask(paths=paths),
            form=form,
        )
        editing = api.call(api.registrations.UpdateRegistration, request)
        return (await tell_what_changed(editing)).registration

    _print_one(call(context.obj, change), as_json=as_json)


@app.command()
def explain(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Why: what has happened, what it waits for, who can do what. Also units/UNIT/customers/ID."""

    async def read(api: ApiClient) -> ExplainRegistrationResponse:
        request = ExplainRegistrationRequest(name=_full_name(api, name))
        return await api.call(api.registrations.ExplainRegistration, request)

    worklist.print_explanation(call(context.obj, read), as_json=as_json)


@app.command()
def consent(
    context: typer.Context,
    name: Name,
    guardian: Annotated[str, typer.Option(help="Name of the guardian who consented.")],
    signed: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day they did; today if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Records a guardian's consent that came on paper or otherwise (R29)."""
    day = signed.date() if signed else today()

    async def record(api: ApiClient) -> Registration:
        request = RecordConsentRequest(
            name=_full_name(api, name),
            request_id=new_request_id(),
            consent=PaperConsent(guardian_name=guardian, sign_date=to_proto_date(day)),
        )
        return (await api.call(api.registrations.RecordConsent, request)).registration

    _print_one(call(context.obj, record), as_json=as_json)


@app.command()
def withdraw(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Withdraws a registration that waits; what was held for it is erased (R30)."""

    async def end(api: ApiClient) -> Registration:
        request = WithdrawRegistrationRequest(name=_full_name(api, name), request_id=new_request_id())
        return (await api.call(api.registrations.WithdrawRegistration, request)).registration

    _print_one(call(context.obj, end), as_json=as_json)


@app.command()
def reactivate(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Activates a customer who is marked for deletion, with the form's data (R19). For customer service."""

    async def decide(api: ApiClient) -> Registration:
        request = ReactivateRequest(name=_full_name(api, name), request_id=new_request_id())
        return (await api.call(api.registrations.Reactivate, request)).registration

    _print_one(call(context.obj, decide), as_json=as_json)


@app.command()
def verify(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Confirms who a person without a personal identity code is (R24). For customer service."""

    async def decide(api: ApiClient) -> Registration:
        request = VerifyIdentityRequest(name=_full_name(api, name), request_id=new_request_id())
        return (await api.call(api.registrations.VerifyIdentity, request)).registration

    _print_one(call(context.obj, decide), as_json=as_json)


@app.command()
def link(
    context: typer.Context,
    name: Name,
    customer: Annotated[str, typer.Option(help="units/UNIT/customers/ID: the customer that the person is.")],
    as_json: AsJson = False,
) -> None:
    """Ends a registration without a code as that of a customer there is (R24). For customer service."""

    async def decide(api: ApiClient) -> Registration:
        request = LinkToCustomerRequest(
            name=_full_name(api, name), request_id=new_request_id(), customer=customer
        )
        return (await api.call(api.registrations.LinkToCustomer, request)).registration

    _print_one(call(context.obj, decide), as_json=as_json)


@app.command()
def reject(
    context: typer.Context,
    name: Name,
    note: Annotated[str, typer.Option(help="Why, for the unit to read: no code, and better no names.")],
    as_json: AsJson = False,
) -> None:
    """Declines a registration that waits for customer service; its form is erased (R19, R24)."""

    async def decide(api: ApiClient) -> Registration:
        request = RejectRegistrationRequest(
            name=_full_name(api, name), request_id=new_request_id(), note=note
        )
        return (await api.call(api.registrations.RejectRegistration, request)).registration

    _print_one(call(context.obj, decide), as_json=as_json)


def _form_in(file: Path) -> CustomerForm:
    try:
        return Parse(file.read_text("utf-8"), CustomerForm())
    except (UnicodeDecodeError, ParseError) as error:
        raise typer.BadParameter(f"{file} holds no form as `form` prints it: {error}") from None


def _missing_code(birth_date: datetime | None, reason: str) -> MissingPersonalIdentityCode:
    """What is told instead of a code. What is missing of it is told with all that is wrong with the form."""
    missing = MissingPersonalIdentityCode()
    if birth_date:
        missing.birth_date.CopyFrom(to_proto_date(birth_date.date()))
    if reason:
        missing.reason = choice(MissingCodeReason.items(), "MISSING_CODE_REASON_", "--reason", reason)
    return missing


def _full_name(api: ApiClient, name: str) -> str:
    return name if "/" in name else f"{own_unit(api)}/registrations/{name}"


def _print_one(registration: Registration, *, as_json: bool) -> None:
    render_registrations.print_one(registration, as_json=as_json)
