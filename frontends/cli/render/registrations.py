"""Registrations on a terminal."""

import json
from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from rich.table import Table

from frontends.cli.render.console import console
from frontends.dates import iso_date, moment
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.getting_started_pb2 import GettingStartedStep
from liity.v1.registration_pb2 import (
    Action,
    AvailableAction,
    ConsentState,
    MissingCodeReason,
    Party,
    Registration,
    Stage,
)
from liity.v1.registration_service_pb2 import (
    GetRegistrationResponse,
    PossibleDuplicate,
    RegisterCustomerResponse,
)


def print_many(registrations: Sequence[Registration], *, as_json: bool) -> None:
    """A table, or a JSON array."""
    if as_json:
        print_json([MessageToDict(registration) for registration in registrations])
        return
    table = Table("Saved", "Customer", "Stage", "Until", "Waits for", "ID")
    for registration in registrations:
        table.add_row(
            moment(registration.create_time),
            registration.customer_display_name,
            Stage.Name(registration.stage).removeprefix("STAGE_"),
            moment(registration.deadline) if registration.HasField("deadline") else "",
            parties(registration.waiting_for),
            registration.name.rpartition("/")[2],
        )
    # IDs are there to be copied: never cut, however narrow the terminal.
    table.columns[-1].overflow = "fold"
    console().print(table)


def print_answer(answer: GetRegistrationResponse, *, as_json: bool) -> None:
    """A registration with its form, what to do next, and for customer service who may be the person."""
    print_one(
        answer.registration,
        as_json=as_json,
        duplicates=answer.possible_duplicates,
        steps=answer.getting_started,
        form=answer.form if answer.HasField("form") else None,
        etag=answer.etag,
        birth_date=iso_date(answer.birth_date) if answer.HasField("birth_date") else "",
    )


def print_saved(answer: RegisterCustomerResponse, *, as_json: bool) -> None:
    """A registration with what to do next (R28)."""
    print_one(answer.registration, as_json=as_json, steps=answer.getting_started)


def print_one(
    registration: Registration,
    *,
    as_json: bool,
    duplicates: Sequence[PossibleDuplicate] = (),
    steps: Sequence[GettingStartedStep] = (),
    form: CustomerForm | None = None,
    etag: str = "",
    birth_date: str = "",
) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        besides = {"possibleDuplicates": duplicates, "gettingStarted": steps}
        found = {key: [MessageToDict(one) for one in several] for key, several in besides.items() if several}
        stored = {"form": MessageToDict(form), "etag": etag} if form else {}
        born = {"birthDate": birth_date} if birth_date else {}
        print_json(MessageToDict(registration) | found | stored | born)
        return
    table = lines()
    table.add_row("Name", registration.name)
    table.add_row("Customer", registration.customer_display_name or "erased")
    table.add_row("Stage", Stage.Name(registration.stage).removeprefix("STAGE_"))
    table.add_row("Consent", ConsentState.Name(registration.consent_state).removeprefix("CONSENT_STATE_"))
    table.add_row("Saved", f"{moment(registration.create_time)} by {registration.registrar_display_name}")
    table.add_row("Since", moment(registration.update_time))
    if registration.HasField("deadline"):
        table.add_row("Until", moment(registration.deadline))
    if registration.waiting_for:
        table.add_row("Waits for", parties(registration.waiting_for))
    for action in actions(registration.available_actions):
        table.add_row("Can be done", action)
    _add_instead_of_a_code(table, registration, birth_date)
    if registration.rejection_note:
        table.add_row("Declined", registration.rejection_note)
    for one in duplicates:
        table.add_row(
            "May be",
            f"{one.customer_display_name}, {one.unit_display_name}\n{one.customer or one.registration}",
        )
    for number, step in enumerate(steps, 1):
        table.add_row("To do next" if number == 1 else "", f"{number}. {step.text}")
    if form:
        table.add_row("E-mail", form.email)
        add_contacts(table, form)
        table.add_row("Etag", etag)
    console().print(table)


def _add_instead_of_a_code(table: Table, registration: Registration, birth_date: str) -> None:
    """Why somebody has no personal identity code, and when they were born."""
    if registration.missing_code_reason:
        reason = MissingCodeReason.Name(registration.missing_code_reason)
        table.add_row("No code", reason.removeprefix("MISSING_CODE_REASON_"))
    if birth_date:
        table.add_row("Born", birth_date)


def add_contacts(table: Table, form: CustomerForm) -> None:
    """Where somebody is reached, as a form says, but for the own e-mail address."""
    address = form.address
    if form.phone:
        table.add_row("Phone", form.phone)
    table.add_row("Address", f"{address.street_address}, {address.postcode} {address.post_office}")
    if form.HasField("related_person"):
        related = form.related_person
        table.add_row("Related person", " ".join(filter(None, (related.full_name, related.email))))


def lines() -> Table:
    """A table of one thing: what each line is, and its value."""
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def actions(available: Sequence[AvailableAction]) -> list[str]:
    """What can be done, and by whom."""
    return [
        f"{Action.Name(one.action).removeprefix('ACTION_')} by {parties(one.parties)}" for one in available
    ]


def parties(found: Sequence[Party.ValueType]) -> str:
    """Who, by name."""
    return ", ".join(Party.Name(party).removeprefix("PARTY_") for party in found)


def print_json(value: object) -> None:
    """JSON for another program."""
    console().print_json(json.dumps(value), ensure_ascii=False)
