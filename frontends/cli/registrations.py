"""`liity registrations`: work with registrations, for staff and registrars, through the public API."""

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import descriptor_pool
from google.protobuf.json_format import Parse, ParseError

from frontends.cli import example_forms, render
from frontends.cli.commands import Commands
from frontends.cli.form_edits import Changes, Etag, GuardianEmailConfirmed, form_of
from frontends.cli.session import (
    AsJson,
    RequestId,
    Unit,
    call,
    chosen,
    full_name,
    group,
    identity_code,
    own_unit,
)
from frontends.cli.sibling_edits import AtSiblings, offer
from frontends.client import ApiClient, new_request_id
from frontends.dates import to_proto_date, today
from liity.v1 import registration_service_pb2
from liity.v1.customer_form_pb2 import CustomerForm, PaperConsent
from liity.v1.registration_pb2 import Registration
from liity.v1.registration_service_pb2 import (
    MissingPersonalIdentityCode,
    RecordConsentRequest,
    RegisterCustomerRequest,
    RegisterCustomerResponse,
    UpdateRegistrationRequest,
    UpdateRegistrationResponse,
)

app = group()

_registrations = Commands(app, registration_service_pb2.DESCRIPTOR.services_by_name["RegistrationService"])
_registrations.add(
    "list",
    "ListRegistrations",
    options={"stages": "stage", "due_before_date": "due-before", "order_by": "order"},
)
_registrations.add("show", "GetRegistration", ["name"])
# Of any unit: only its whole name opens it.
_registrations.add("find", "FindRegistrations", ["reference"], in_full=True)
_registrations.add("explain", "ExplainRegistration", ["name"])
_registrations.add("remind", "RemindGuardian", ["name"])
_registrations.add(
    "withdraw",
    "WithdrawRegistration",
    ["name"],
    confirm="This cannot be taken back, and what was saved of the person is erased. Withdraw?",
)
_registrations.add("reactivate", "Reactivate", ["name"])
_registrations.add("verify", "VerifyIdentity", ["name"])
_registrations.add("link", "LinkToCustomer", ["name"])
_registrations.add(
    "reject",
    "RejectRegistration",
    ["name"],
    confirm="This cannot be taken back, and the registration ends. Reject it?",
)

Name = Annotated[
    str, typer.Argument(help="ID in your own unit, or units/UNIT/registrations/ID for another one.")
]


@app.command()
def form(
    pupil: Annotated[bool, typer.Option("--pupil", help="A school's pupil's, with a guardian.")] = False,
) -> None:
    """Prints an invented form to start from, as JSON for `save`. Nothing is ticked in advance.

    A day is {"year": 2027, "month": 5, "day": 31}; null is a field that may stay empty.
    """
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
    """Saves the form of a new customer; prompts for the personal identity code.

    Without a code, customer service first checks the identity. For urgent matters use `liity messages
    send --context form`, not additional_information.
    """
    request = RegisterCustomerRequest(request_id=request_id or new_request_id(), form=_form_in(file))
    if no_code:
        request.missing_personal_identity_code.CopyFrom(_missing_code(birth_date, reason))
    elif birth_date or reason:
        raise typer.BadParameter("--birth-date and --reason go with --no-code")
    else:
        request.personal_identity_code = identity_code()

    async def register(api: ApiClient) -> RegisterCustomerResponse:
        request.parent = unit or own_unit(api)
        return await api.call(api.registrations.RegisterCustomer, request)

    saved = call(context.obj, register, request_id=request.request_id)
    render.show(saved, as_json=as_json)


@app.command()
def edit(
    context: typer.Context,
    name: Name,
    changes: Changes,
    etag: Etag,
    guardian_email_confirmed: GuardianEmailConfirmed = False,
    at_siblings: AtSiblings = False,
    as_json: AsJson = False,
) -> None:
    """Edits the form while it waits. A changed guardian's address gets a new consent request."""
    form, mask = form_of(changes)

    async def change(api: ApiClient) -> UpdateRegistrationResponse:
        request = UpdateRegistrationRequest(
            name=full_name(api, "registrations", name),
            request_id=new_request_id(),
            etag=etag,
            update_mask=mask,
            form=form,
            guardian_email_confirmed=guardian_email_confirmed,
        )
        return await api.call(api.registrations.UpdateRegistration, request)

    edited = call(context.obj, change)
    render.show(edited, as_json=as_json)
    offer(
        context.obj,
        edited.same_address,
        form.related_person.email,
        at_siblings=at_siblings,
        confirmed=guardian_email_confirmed,
    )


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
    """Records a guardian's consent given on paper or otherwise."""
    day = signed.date() if signed else today()

    async def record(api: ApiClient) -> Registration:
        request = RecordConsentRequest(
            name=full_name(api, "registrations", name),
            request_id=new_request_id(),
            consent=PaperConsent(guardian_name=guardian, sign_date=to_proto_date(day)),
        )
        return (await api.call(api.registrations.RecordConsent, request)).registration

    render.show(call(context.obj, record), as_json=as_json)


def _form_in(file: Path) -> CustomerForm:
    try:
        return Parse(file.read_text("utf-8"), CustomerForm())
    except (UnicodeDecodeError, ParseError) as error:
        # The parser lists the fields in another spelling than `form` prints.
        why, unknown, _ = str(error).partition(" Available Fields")
        fields = f" The fields are {', '.join(CustomerForm.DESCRIPTOR.fields_by_name)}" if unknown else ""
        raise typer.BadParameter(
            f"{file} holds no form as `form` prints it: {why}{fields}{_values(why)}"
        ) from None


def _values(why: str) -> str:
    """The values that an enum has, if the parser complains of another one."""
    named = re.search(r"for enum type ([\w.]+\w)", why)
    if named is None:
        return ""
    values = descriptor_pool.Default().FindEnumTypeByName(named[1]).values_by_name
    return f" The values are {', '.join(values)}"


def _missing_code(birth_date: datetime | None, reason: str) -> MissingPersonalIdentityCode:
    """The reason why there is no code. The gateway reports missing parts with the form's other errors."""
    missing = MissingPersonalIdentityCode()
    if birth_date:
        missing.birth_date.CopyFrom(to_proto_date(birth_date.date()))
    if reason:
        missing.reason = chosen(missing.DESCRIPTOR.fields_by_name["reason"], "--reason", reason)
    return missing
