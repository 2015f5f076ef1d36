"""Units and registrars on a terminal."""

from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from rich.table import Table

from deploy.output import console
from deploy.registration_output import moment, print_json
from liity.v1.auth_service_pb2 import Role
from liity.v1.unit_service_pb2 import Registrar, Unit, UnitKind


def print_units(units: Sequence[Unit], *, as_json: bool) -> None:
    """A table, or a JSON array."""
    if as_json:
        print_json([MessageToDict(unit) for unit in units])
        return
    table = Table("Name", "Kind", "Closed", "ID")
    for unit in units:
        closed = moment(unit.close_time) if unit.HasField("close_time") else ""
        table.add_row(unit.display_name, _kind(unit), closed, unit.name.rpartition("/")[2])
    # IDs are there to be copied: never cut, however narrow the terminal.
    table.columns[-1].overflow = "fold"
    console().print(table)


def print_unit(unit: Unit, *, as_json: bool) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        print_json(MessageToDict(unit))
        return
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Name", unit.name)
    table.add_row("Unit", unit.display_name)
    table.add_row("Kind", _kind(unit))
    table.add_row("Made", moment(unit.create_time))
    if unit.HasField("close_time"):
        table.add_row("Closed", moment(unit.close_time))
    console().print(table)


def print_registrars(registrars: Sequence[Registrar], *, as_json: bool) -> None:
    """A table, or a JSON array."""
    if as_json:
        print_json([MessageToDict(registrar) for registrar in registrars])
        return
    table = Table("Name", "E-mail", "Role", "Invited until", "ID")
    for registrar in registrars:
        invited = registrar.HasField("invitation_expire_time")
        table.add_row(
            registrar.display_name,
            registrar.email,
            Role.Name(registrar.role).removeprefix("ROLE_"),
            moment(registrar.invitation_expire_time) if invited else "",
            registrar.name.rpartition("/")[2],
        )
    table.columns[-1].overflow = "fold"
    console().print(table)


def _kind(unit: Unit) -> str:
    return UnitKind.Name(unit.kind).removeprefix("UNIT_KIND_")
