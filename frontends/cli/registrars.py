"""`liity registrars`: the registrars of a unit, through the public API."""

from frontends.cli.commands import Commands
from frontends.cli.session import group
from liity.v1 import unit_service_pb2

app = group()

_registrars = Commands(app, unit_service_pb2.DESCRIPTOR.services_by_name["UnitService"])
_registrars.add("list", "ListRegistrars")
_registrars.add(
    "invite",
    "InviteRegistrar",
    ["email"],
    options={"language": "mail-language"},
    defaults={"language": "fi", "role": "registrar"},
    as_table=True,
)
_registrars.add("role", "SetRegistrarRole", ["name"], as_table=True)
_registrars.add("remove", "RemoveRegistrar", ["name"], done="Out of the unit.")
