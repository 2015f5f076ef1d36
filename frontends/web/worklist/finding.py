"""A message, feedback or a registration is found by the reference that somebody quotes (R12)."""

from collections.abc import Awaitable, Callable, Sequence

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.feedback_service_pb2 import GetFeedbackRequest
from liity.v1.message_service_pb2 import FindMessageRequest
from liity.v1.registration_pb2 import Registration
from liity.v1.registration_service_pb2 import FindRegistrationsRequest

_FEEDBACK, _REGISTRATION = "P", "R"
_SIGNS = 8
"""Letters and digits of a reference behind its first letter, which people leave out of a message's."""
_LONGEST = 40


async def show(visit: Visit) -> Response:
    """Asks for the reference."""
    return _page(visit)


async def find(visit: Visit) -> Response:
    """Opens what has the reference; if several registrations share it, lists them."""
    if visit.switches_language:
        return _page(visit)
    typed = visit.typed.get("reference", "").upper()
    reference = "".join(sign for sign in typed if sign.isascii() and sign.isalnum())
    if not reference:
        return _page(visit, N_("Write the reference, such as L-7K3M-92QF."))
    if len(reference) <= _LONGEST:
        for look_up in _look_ups(reference):
            try:
                return await look_up(visit, reference)
            except Refusal as refusal:
                if refusal.code is not grpc.StatusCode.NOT_FOUND:
                    raise
    return _page(visit, N_("Nothing has this reference. Check each letter and digit."))


def _look_ups(reference: str) -> Sequence[Callable[[Visit, str], Awaitable[Response]]]:
    """Where a reference is looked up, in order: each look-up is recorded."""
    if is_of_feedback(reference):
        return (_feedback,)
    if reference.startswith(_REGISTRATION) and len(reference) == 1 + _SIGNS:
        return (_registrations,)
    return (_message, _registrations)


def is_of_feedback(reference: str) -> bool:
    """Whether the letters and digits of a reference are those of feedback: a message's may begin alike."""
    return reference.startswith(_FEEDBACK) and len(reference) == 1 + _SIGNS


async def _feedback(visit: Visit, reference: str) -> Response:
    asked = GetFeedbackRequest(name=f"feedback/{reference.lower()}")
    found = await visit.call(visit.site.api.feedback.GetFeedback, asked)
    return visit.redirect(f"/{found.feedback.name}/answer")


async def _message(visit: Visit, reference: str) -> Response:
    found = await visit.call(visit.site.api.messages.FindMessage, FindMessageRequest(reference=reference))
    return visit.redirect(f"/{found.message.name}/answer")


async def _registrations(visit: Visit, reference: str) -> Response:
    asked = FindRegistrationsRequest(reference=reference)
    found = (await visit.call(visit.site.api.registrations.FindRegistrations, asked)).registrations
    return _page(visit, found=found) if len(found) > 1 else visit.redirect(f"/{found[0].name}")


def _page(visit: Visit, error: str = "", found: Sequence[Registration] = ()) -> Response:
    errors = {"reference": error} if error else {}
    return visit.render("worklist/find.html", 422 if error else 200, errors=errors, found=found)
