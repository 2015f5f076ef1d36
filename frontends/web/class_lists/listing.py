"""The class lists of the unit, newest first."""

from starlette.responses import Response

from frontends.web.pages import Visit
from liity.v1.class_list_service_pb2 import ListClassListsRequest


async def show(visit: Visit) -> Response:
    """A page of the list."""
    request = ListClassListsRequest(
        parent=visit.unit, page_size=50, page_token=visit.request.query_params.get("page", "")[:200]
    )
    found = await visit.call(visit.site.api.class_lists.ListClassLists, request)
    return visit.render("class_lists/list.html", found=found, is_first=not request.page_token)
