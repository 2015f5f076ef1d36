"""Messages of units to customer service: read, answered and closed (R12)."""

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.message_service_pb2 import CloseMessageRequest, CustomerServiceMessage, GetMessageRequest

_LARGEST_ANSWER = 4000


async def show(visit: Visit) -> Response:
    """Asks for the answer."""
    return visit.render("worklist/answer.html", message=await _get(visit), errors={}, general=[])


async def answer(visit: Visit) -> Response:
    """Shows the answer as the unit will read it, and then sends it and closes the message."""
    message = await _get(visit)
    text = visit.typed.get("answer", "").strip()
    errors: dict[str, str] = {}
    general: list[str] = []
    if visit.switches_language or visit.typed.get("act") == "change":
        is_check = visit.typed.get("step") == "check" and visit.typed.get("act") != "change"
        template = "answer_check.html" if is_check else "answer.html"
        return visit.render(f"worklist/{template}", message=message, errors={}, general=[])
    if not text:
        errors["answer"] = N_("Write the answer.")
    elif len(text) > _LARGEST_ANSWER:
        errors["answer"] = N_("Write at most 4,000 characters.")
    elif visit.typed.get("act") != "send":
        return visit.render("worklist/answer_check.html", message=message, errors={}, general=[])
    else:
        request = CloseMessageRequest(name=message.name, request_id=visit.request_id, answer=text)
        try:
            await visit.call(visit.site.api.messages.CloseMessage, request)
        except Refusal as refusal:
            errors = {violation.field: violation.text for violation in refusal.violations}
            if not errors:
                if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
                general = [refusal.text]
        else:
            return visit.redirect(f"/{message.name}/answered")
    return visit.render("worklist/answer.html", 422, message=message, errors=errors, general=general)


async def show_answered(visit: Visit) -> Response:
    """The message is closed: what the unit reads, and how it gets to know."""
    return visit.render("worklist/answered.html", message=await _get(visit))


async def _get(visit: Visit) -> CustomerServiceMessage:
    name = f"units/{visit.part('unit')}/messages/{visit.part('message')}"
    return (await visit.call(visit.site.api.messages.GetMessage, GetMessageRequest(name=name))).message
