"""Writing to customer service, about a registration, a customer, or nobody in the system."""

import re

from starlette.exceptions import HTTPException
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import words
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.customer_service_pb2 import GetCustomerRequest
from liity.v1.message_service_pb2 import SendMessageRequest
from liity.v1.registration_service_pb2 import GetRegistrationRequest

_SUBJECT = re.compile(r"(units/[a-z0-9]{1,32})/(registrations|customers)/[a-z0-9]{1,32}")


async def show(visit: Visit) -> Response:
    """Asks what to write."""
    return await _page(visit, visit.request.query_params.get("about", ""), {})


async def send(visit: Visit) -> Response:
    """Sends the message."""
    about = visit.typed.get("about", "")
    if visit.switches_language:
        return await _page(visit, about, {})
    text = visit.typed.get("text", "").replace("\r\n", "\n").strip()
    context = words.value_of("MessageContext", visit.typed.get("context", ""))
    errors = {}
    if not about and not context:
        errors["context"] = N_("Choose what the message is about.")
    if not text:
        errors["text"] = N_("Write the message.")
    if errors:
        return await _page(visit, about, errors, 422)
    request = SendMessageRequest(parent=visit.unit, request_id=visit.request_id, text=text)
    if about:
        request.parent, kind = _parts(about)
        setattr(request, kind.removesuffix("s"), about)
    else:
        request.context = context  # type: ignore[assignment]
    try:
        sent = (await visit.call(visit.site.api.messages.SendMessage, request)).message
    except Refusal as refusal:
        errors = {violation.field: violation.text for violation in refusal.violations}
        if errors.keys() != {"text"}:
            raise
        return await _page(visit, about, errors, 422)
    return visit.redirect(f"/{sent.name}/sent")


async def _page(visit: Visit, about: str, errors: dict[str, str], status: int = 200) -> Response:
    name = await _display_name(visit, about) if about else ""
    return visit.render(
        "messages/new.html",
        status,
        about=about,
        name=name,
        errors=errors,
        contexts=words.options("MessageContext"),
    )


async def _display_name(visit: Visit, about: str) -> str:
    """The name of whom the message is about; empty if it is erased."""
    _, kind = _parts(about)
    api = visit.site.api
    if kind == "customers":
        form = (await visit.call(api.customers.GetCustomer, GetCustomerRequest(name=about))).customer.form
        return f"{form.first_names} {form.last_name}".strip()
    found = await visit.call(api.registrations.GetRegistration, GetRegistrationRequest(name=about))
    return found.registration.customer_display_name


def _parts(about: str) -> tuple[str, str]:
    """The unit and the kind of a resource name. Not found if it is none that can be written about."""
    found = _SUBJECT.fullmatch(about)
    if found is None:
        raise HTTPException(404)
    return found[1], found[2]
