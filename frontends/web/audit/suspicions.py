"""What the rules of suspicious use have found."""

from starlette.responses import Response

from frontends.web.pages import Visit
from liity.v1.use_log_service_pb2 import ListSuspicionsRequest


async def show(visit: Visit) -> Response:
    """What was found in the last 30 days, the most recent first."""
    found = await visit.call(visit.site.api.uses.ListSuspicions, ListSuspicionsRequest())
    return visit.render("audit/suspicions.html", found=found)
