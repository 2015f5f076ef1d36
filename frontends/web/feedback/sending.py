"""The form for feedback on accessibility, which needs no account."""

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.feedback_service_pb2 import SendFeedbackRequest

_FIELDS = ("text", "sender_name", "sender_email")


async def show(visit: Visit) -> Response:
    """Asks what hinders."""
    return visit.render("feedback/new.html", errors={})


async def send(visit: Visit) -> Response:
    """Sends the feedback, and tells its reference."""
    if visit.switches_language:
        return await show(visit)
    given = {name: visit.typed.get(name, "").replace("\r\n", "\n").strip() for name in _FIELDS}
    if not given["text"]:
        return visit.render("feedback/new.html", 422, errors={"text": N_("Write what hinders you.")})
    request = SendFeedbackRequest(request_id=visit.request_id, **given)
    try:
        sent = await visit.call(visit.site.api.feedback.SendFeedback, request)
    except Refusal as refusal:
        errors = {violation.field: violation.text for violation in refusal.violations}
        if not errors or not errors.keys() <= set(_FIELDS):
            raise
        return visit.render("feedback/new.html", 422, errors=errors)
    return visit.render("feedback/sent.html", sent=sent, has_email=bool(given["sender_email"]))
