"""The log of use on a terminal."""

from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from rich.table import Table

from frontends.cli.render.console import console
from frontends.cli.render.registrations import print_json
from frontends.dates import moment
from liity.v1.actor_pb2 import ActorKind
from liity.v1.auth_service_pb2 import Role
from liity.v1.use_log_service_pb2 import Suspicion, SuspicionRule, Use


def print_uses(uses: Sequence[Use], *, as_json: bool) -> None:
    """A table, or a JSON array."""
    if as_json:
        print_json([MessageToDict(use) for use in uses])
        return
    table = Table("When", "Who", "For", "What", "Whose data", "Outcome")
    for use in uses:
        who = use.account_display_name or ActorKind.Name(use.actor_kind).removeprefix("ACTOR_KIND_")
        role = f" ({Role.Name(use.role).removeprefix('ROLE_')})" if use.role else ""
        table.add_row(
            moment(use.time), who + role, use.unit, use.action, "\n".join(use.subject_ids), use.outcome
        )
    _print(table)


def print_suspicions(suspicions: Sequence[Suspicion], *, as_json: bool) -> None:
    """A table, or a JSON array."""
    if as_json:
        print_json([MessageToDict(suspicion) for suspicion in suspicions])
        return
    table = Table("From", "To", "Who", "For", "Rule", "Counted", "Allowed", "Account")
    for suspicion in suspicions:
        table.add_row(
            moment(suspicion.start_time),
            moment(suspicion.end_time),
            suspicion.account_display_name or "gone",
            suspicion.unit,
            SuspicionRule.Name(suspicion.rule).removeprefix("SUSPICION_RULE_"),
            str(suspicion.count),
            str(suspicion.threshold),
            suspicion.account_id,
        )
    _print(table)


def _print(table: Table) -> None:
    # IDs are there to be copied: never cut, however narrow the terminal.
    for column in table.columns:
        column.overflow = "fold"
    console().print(table)
