"""Customer service answers feedback on accessibility."""

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.feedback_service_pb2 import AnswerFeedbackRequest, Feedback, GetFeedbackRequest


async def show(visit: Visit) -> Response:
    """Asks for the answer."""
    return await _page(visit, "answer")


async def answer(visit: Visit) -> Response:
    """Shows the answer as it will be mailed, and then sends it."""
    act = visit.typed.get("act", "")
    if visit.switches_language:
        return await _page(visit, "answer_check" if visit.typed.get("step") == "check" else "answer")
    if act == "change":
        return await _page(visit, "answer")
    text = visit.typed.get("answer", "").replace("\r\n", "\n").strip()
    if not text:
        return await _page(visit, "answer", {"answer": N_("Write the answer.")})
    if act != "send":
        return await _page(visit, "answer_check")
    request = AnswerFeedbackRequest(name=_name(visit), request_id=visit.request_id, answer=text)
    try:
        await visit.call(visit.site.api.feedback.AnswerFeedback, request)
    except Refusal as refusal:
        errors = {violation.field: violation.text for violation in refusal.violations}
        if not errors and refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        return await _page(visit, "answer", errors, [] if errors else [refusal.text])
    return visit.redirect(f"/{_name(visit)}/answered")


async def show_answered(visit: Visit) -> Response:
    """The feedback and its answer."""
    return await _page(visit, "answered")


async def _page(
    visit: Visit, template: str, errors: dict[str, str] | None = None, general: list[str] | None = None
) -> Response:
    status = 422 if errors or general else 200
    values = {"feedback": await _get(visit), "errors": errors or {}, "general": general or []}
    return visit.render(f"feedback/{template}.html", status, **values)


def _name(visit: Visit) -> str:
    return f"feedback/{visit.part('feedback')}"


async def _get(visit: Visit) -> Feedback:
    request = GetFeedbackRequest(name=_name(visit))
    return (await visit.call(visit.site.api.feedback.GetFeedback, request)).feedback
