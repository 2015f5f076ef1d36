"""`liity customers`: work with customers, for staff and registrars, through the public API."""

from typing import Annotated

import typer

from frontends.cli import render
from frontends.cli.commands import Commands
from frontends.cli.form_edits import Changes, Etag, GuardianEmailConfirmed, form_of
from frontends.cli.session import AsJson, call, full_name, group
from frontends.cli.sibling_edits import AtSiblings, offer
from frontends.client import ApiClient, new_request_id
from liity.v1 import customer_service_pb2, registration_service_pb2
from liity.v1.customer_service_pb2 import UpdateCustomerRequest, UpdateCustomerResponse

app = group()

_registrations = Commands(app, registration_service_pb2.DESCRIPTOR.services_by_name["RegistrationService"])
_registrations.add("check", "CheckPersonalIdentityCode")

_customers = Commands(app, customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"])
_customers.add("search", "SearchCustomers", ["query"], options={"need_ends_before_date": "need-ends-before"})
_customers.add("show", "GetCustomer", ["name"])
_customers.add("transfer", "TransferCustomer", instead_of_prompt="message")
_customers.add(
    "send-credentials",
    "SendCredentials",
    ["name"],
    options={"recipient": "to"},
    defaults={"recipient": "customer"},
    done="The credentials are on their way.",
)
_customers.add(
    "end",
    "EndCustomership",
    ["name"],
    confirm="Only customer service can take this back. End the customership?",
    done="Ended. The data is kept until the end of {erase_time}.",
)
_customers.add("undo-removal", "UndoRemoval", ["name"])
_customers.add("set-code", "SetPersonalIdentityCode", ["name"])
_customers.add(
    "correct-birth-date", "CorrectBirthDate", ["name"], done="The date of birth is {birth_date} now."
)
_customers.add(
    "merge",
    "MergeCustomers",
    ["name", "merged_customer"],
    options={"personal_identity_code_of": "code-of"},
)
_customers.add("undo-merge", "UndoMerge", ["name", "merged_customer"])
_customers.add(
    "to-online",
    "ConvertToOnline",
    ["name"],
    options={"credentials_recipient": "to"},
    defaults={"credentials_recipient": "customer"},
)
_customers.add("protect", "MarkProtected", ["name"], done="The person is protected.")
_customers.add(
    "unprotect",
    "RemoveProtection",
    ["name"],
    confirm="The unit sees address and telephone again. Take the protection back?",
    done="The person is protected no longer.",
)
_customers.add("protected-details", "GetProtectedDetails", ["name"], instead_of_prompt="name")


@app.command()
def edit(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="ID in your own unit, or units/UNIT/customers/ID for another one.")
    ],
    changes: Changes,
    etag: Etag,
    guardian_email_confirmed: GuardianEmailConfirmed = False,
    at_siblings: AtSiblings = False,
    as_json: AsJson = False,
) -> None:
    """Changes fields of a customer. A new e-mail is confirmed there, and the old one notified."""
    form, mask = form_of(changes)

    async def change(api: ApiClient) -> UpdateCustomerResponse:
        request = UpdateCustomerRequest(
            name=full_name(api, "customers", name),
            request_id=new_request_id(),
            etag=etag,
            update_mask=mask,
            form=form,
            guardian_email_confirmed=guardian_email_confirmed,
        )
        return await api.call(api.customers.UpdateCustomer, request)

    edited = call(context.obj, change)
    render.show(edited.customer, as_json=as_json)
    for notice in edited.notices:
        typer.echo(f"{notice.field}: {notice.message}", err=True)
    offer(
        context.obj,
        edited.same_address,
        form.related_person.email,
        at_siblings=at_siblings,
        confirmed=guardian_email_confirmed,
    )
