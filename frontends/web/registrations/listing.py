"""The registrations of the unit, newest first."""

from starlette.responses import Response

from frontends.web import words
from frontends.web.pages import Visit
from liity.v1.registration_service_pb2 import ListRegistrationsRequest


async def show(visit: Visit) -> Response:
    """A page of the list. What is filtered stands in the address, as it tells of nobody."""
    query = visit.request.query_params
    stage = query.get("stage", "")
    request = ListRegistrationsRequest(
        parent=visit.unit,
        page_size=50,
        page_token=query.get("page", "")[:200],
        stage=words.value_of("Stage", stage),  # type: ignore[arg-type]
    )
    found = await visit.call(visit.site.api.registrations.ListRegistrations, request)
    return visit.render(
        "registrations/list.html",
        found=found,
        stage=stage,
        stages=words.options("Stage"),
        is_first=not request.page_token,
    )
