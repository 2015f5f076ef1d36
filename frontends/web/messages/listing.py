"""The messages of the unit, newest first."""

from starlette.responses import Response

from frontends.web import words
from frontends.web.pages import Visit
from liity.v1.message_service_pb2 import ListMessagesRequest


async def show(visit: Visit) -> Response:
    """A page of the list. What is filtered stands in the address, as it tells of nobody."""
    query = visit.request.query_params
    chosen = words.value_of("MessageState", query.get("state", ""))
    request = ListMessagesRequest(
        parent=visit.unit,
        state=chosen,  # type: ignore[arg-type]
        page_size=50,
        page_token=query.get("page", "")[:200],
    )
    found = await visit.call(visit.site.api.messages.ListMessages, request)
    return visit.render(
        "messages/list.html",
        found=found,
        state=words.name_of("MessageState", chosen),
        states=words.options("MessageState"),
        is_first=not request.page_token,
    )
