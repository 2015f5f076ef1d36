"""`liity audit`: the log of use (R36)."""

from frontends.cli.commands import Commands
from frontends.cli.session import group
from liity.v1 import use_log_service_pb2

app = group()

_uses = Commands(app, use_log_service_pb2.DESCRIPTOR.services_by_name["UseLogService"])
_uses.add(
    "search",
    "ListUses",
    options={"subject_id": "subject", "account_id": "account", "start_time": "since", "end_time": "before"},
)
_uses.add("suspicions", "ListSuspicions", options={"start_time": "since"})
