"""Units and registrars on a terminal."""

from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from rich.table import Table

from frontends.cli.render.console import console
from frontends.cli.render.registrations import lines, print_json
from frontends.dates import moment
from liity.v1.auth_service_pb2 import Role, Session
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
    table = lines()
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
            _role(registrar.role),
            moment(registrar.invitation_expire_time) if invited else "",
            registrar.name.rpartition("/")[2],
        )
    table.columns[-1].overflow = "fold"
    console().print(table)


def print_account(session: Session, *, as_json: bool) -> None:
    """Line by line, or a JSON object; never the tokens."""
    if as_json:
        public = Session(
            display_name=session.display_name, roles=session.roles, memberships=session.memberships
        )
        print_json(MessageToDict(public))
        return
    table = lines()
    table.add_row("Name", session.display_name)
    for role in session.roles:
        table.add_row("Role", _role(role))
    for unit in session.memberships:
        table.add_row("Unit", f"{unit.unit_display_name}, as {_role(unit.role)}\n{unit.unit}")
    console().print(table)


def _role(role: Role.ValueType) -> str:
    return Role.Name(role).removeprefix("ROLE_")


def _kind(unit: Unit) -> str:
    return UnitKind.Name(unit.kind).removeprefix("UNIT_KIND_")
