"""A message or feedback is found by the reference that somebody quotes (R12)."""

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.feedback_service_pb2 import GetFeedbackRequest
from liity.v1.message_service_pb2 import FindMessageRequest

_FEEDBACK = "P"
_SIGNS = 8
"""Letters and digits of a reference behind its first letter, which people leave out of a message's."""
_LONGEST = 40


async def show(visit: Visit) -> Response:
    """Asks for the reference."""
    return _page(visit)


async def find(visit: Visit) -> Response:
    """Opens what has the reference."""
    if visit.switches_language:
        return _page(visit)
    typed = visit.typed.get("reference", "").upper()
    reference = "".join(sign for sign in typed if sign.isascii() and sign.isalnum())
    if not reference:
        return _page(visit, N_("Write the reference, such as L-7K3M-92QF."))
    try:
        name = await _name_of(visit, reference)
    except Refusal as refusal:
        if refusal.code is not grpc.StatusCode.NOT_FOUND:
            raise
        name = ""
    if not name:
        return _page(visit, N_("Nothing has this reference. Check each letter and digit."))
    return visit.redirect(f"/{name}/answer")


def is_of_feedback(reference: str) -> bool:
    """Whether the letters and digits of a reference are those of feedback: a message's may begin alike."""
    return reference.startswith(_FEEDBACK) and len(reference) == 1 + _SIGNS


async def _name_of(visit: Visit, reference: str) -> str:
    if len(reference) > _LONGEST:
        return ""
    if is_of_feedback(reference):
        asked = GetFeedbackRequest(name=f"feedback/{reference.lower()}")
        return (await visit.call(visit.site.api.feedback.GetFeedback, asked)).feedback.name
    quoted = FindMessageRequest(reference=reference)
    return (await visit.call(visit.site.api.messages.FindMessage, quoted)).message.name


def _page(visit: Visit, error: str = "") -> Response:
    errors = {"reference": error} if error else {}
    return visit.render("worklist/find.html", 422 if error else 200, errors=errors)
