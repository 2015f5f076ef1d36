"""One message, and its answer."""

from starlette.responses import Response

from frontends.web.pages import Visit
from liity.v1.message_service_pb2 import CustomerServiceMessage, GetMessageRequest


async def show(visit: Visit) -> Response:
    """What was written and answered."""
    return visit.render("messages/one.html", message=await _get(visit))


async def show_sent(visit: Visit) -> Response:
    """After writing: the reference, and by when there is an answer."""
    return visit.render("messages/sent.html", message=await _get(visit))


async def _get(visit: Visit) -> CustomerServiceMessage:
    request = GetMessageRequest(name=f"units/{visit.part('unit')}/messages/{visit.part('message')}")
    return (await visit.call(visit.site.api.messages.GetMessage, request)).message
