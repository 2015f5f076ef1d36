"""`liity work`: the work list of customer service, through the public API."""

from frontends.cli.commands import Commands
from frontends.cli.session import group
from liity.v1 import work_service_pb2

app = group()

_work = Commands(app, work_service_pb2.DESCRIPTOR.services_by_name["WorkService"])
_work.add("list", "ListWorkItems", options={"kinds": "kind"}, switches=["claims"])
_work.add("figures", "GetFigures")
_work.add("show", "GetWorkItem", ["name"])
_work.add("claim", "ClaimWorkItem", ["name"])
_work.add("release", "ReleaseWorkItem", ["name"], done="It is free for others.")
_work.add("dismiss", "DismissDuplicate", ["name"], done="They are two persons: the pair does not come back.")
