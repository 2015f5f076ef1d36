"""Customers on a terminal."""

from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from rich.table import Table

from frontends.cli.render.console import console
from frontends.cli.render.registrations import actions, add_contacts, lines, print_json
from frontends.dates import moment
from liity.v1.customer_form_pb2 import CustomerKind, Language
from liity.v1.customer_service_pb2 import (
    Customer,
    CustomerState,
    CustomerSummary,
    EmailState,
    TransferCustomerResponse,
)
from liity.v1.registration_pb2 import Stage
from liity.v1.registration_service_pb2 import CheckPersonalIdentityCodeResponse, Standing


def print_many(customers: Sequence[CustomerSummary], *, as_json: bool) -> None:
    """A table, or a JSON array."""
    if as_json:
        print_json([MessageToDict(customer) for customer in customers])
        return
    table = Table("Last name", "First names", "Municipality", "Kind", "ID")
    for customer in customers:
        table.add_row(
            customer.last_name,
            customer.first_names,
            customer.municipality,
            CustomerKind.Name(customer.kind).removeprefix("CUSTOMER_KIND_"),
            customer.name.rpartition("/")[2],
        )
    # IDs are there to be copied: never cut, however narrow the terminal.
    table.columns[-1].overflow = "fold"
    console().print(table)


def print_one(customer: Customer, *, as_json: bool) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        print_json(MessageToDict(customer))
        return
    form = customer.form
    table = lines()
    table.add_row("Name", customer.name)
    table.add_row("Customer", f"{form.first_names} {form.last_name}")
    table.add_row("State", CustomerState.Name(customer.state).removeprefix("CUSTOMER_STATE_"))
    table.add_row("Kind", CustomerKind.Name(form.kind).removeprefix("CUSTOMER_KIND_"))
    table.add_row("Language", Language.Name(form.language).removeprefix("LANGUAGE_").lower())
    for merged in customer.merged_customers:
        differing = ", ".join(merged.differing.paths) or "nothing"
        table.add_row("Merged", f"{merged.name} ({merged.unit_display_name}); differed in {differing}")
    if form.email:
        state = EmailState.Name(customer.email_state).removeprefix("EMAIL_STATE_").lower()
        table.add_row("E-mail", f"{form.email} ({state})")
    add_contacts(table, form)
    table.add_row("Since", moment(customer.create_time))
    table.add_row("Changed", moment(customer.update_time))
    table.add_row("Registration", customer.registration)
    table.add_row("Etag", customer.etag)
    console().print(table)


def print_standing(found: CheckPersonalIdentityCodeResponse, *, as_json: bool) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        print_json(MessageToDict(found))
        return
    table = lines()
    table.add_row("The person", Standing.Name(found.standing).removeprefix("STANDING_"))
    if found.stage:
        table.add_row("Stage", Stage.Name(found.stage).removeprefix("STAGE_"))
    if found.recognition:
        table.add_row("Known as", found.recognition)
    if found.customer:
        table.add_row("Customer", found.customer)
    if found.registration:
        table.add_row("Registration", found.registration)
    for action in actions(found.available_actions):
        table.add_row("Can be done", action)
    console().print(table)


def print_moved(moved: TransferCustomerResponse, *, as_json: bool) -> None:
    """The customer in the new unit, or the registration that still waits."""
    if as_json:
        print_json(MessageToDict(moved))
    elif moved.HasField("customer"):
        print_one(moved.customer, as_json=False)
    else:
        console().print(f"Moved: {moved.registration}, which still waits", soft_wrap=True)
