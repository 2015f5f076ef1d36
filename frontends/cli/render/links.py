"""What a mailed link opens, on a terminal."""

from google.protobuf.json_format import MessageToDict

from frontends.cli.render.console import console
from frontends.cli.render.registrations import lines, print_json
from frontends.dates import iso_date, moment
from liity.v1.auth_service_pb2 import GetInvitationResponse, Role
from liity.v1.consent_service_pb2 import GetConsentRequestResponse
from liity.v1.customership_link_service_pb2 import GetCustomershipLinkResponse


def print_consent(asked: GetConsentRequestResponse, *, as_json: bool) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        print_json(MessageToDict(asked))
        return
    table = lines()
    table.add_row("Child", asked.child_first_names)
    table.add_row("Registered by", asked.unit_display_name)
    table.add_row("Until", moment(asked.deadline))
    table.add_row("Text", f"{asked.wording.text} ({asked.wording.version})")
    console().print(table)


def print_customership(found: GetCustomershipLinkResponse, *, as_json: bool) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        print_json(MessageToDict(found))
        return
    table = lines()
    table.add_row("Customer", found.first_names)
    table.add_row("Temporary", "yes" if found.temporary else "no")
    if found.HasField("expected_end_date"):
        table.add_row("Until", iso_date(found.expected_end_date))
    console().print(table)


def print_invitation(found: GetInvitationResponse, *, as_json: bool) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        print_json(MessageToDict(found))
        return
    table = lines()
    table.add_row("Unit", found.unit_display_name)
    table.add_row("Role", Role.Name(found.role).removeprefix("ROLE_"))
    table.add_row("E-mail", found.email)
    table.add_row("Account", "there is one: accept without a password" if found.has_account else "none yet")
    table.add_row("Until", moment(found.expire_time))
    console().print(table)
