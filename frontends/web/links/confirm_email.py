"""Confirming a new e-mail address (R17)."""

from starlette.responses import Response

from frontends.web.language import N_
from frontends.web.links.opening import LinkVisit, link_page
from liity.v1.customer_service_pb2 import ConfirmEmailRequest

NAME = "email"


async def show(link: LinkVisit) -> Response:
    """Asks whether the address is the reader's."""
    return link.render("confirm_email.html", errors={})


async def confirm(link: LinkVisit) -> Response:
    """Confirms the address, if the choice was made."""
    visit = link.visit
    if visit.switches_language:
        return await show(link)
    if visit.typed.get("mine") != "yes":
        errors = {"mine": N_("Tick the box if this is your address. If it is not, do nothing.")}
        return link.render("confirm_email.html", 422, errors=errors)
    request = ConfirmEmailRequest(token=link.token, request_id=visit.request_id)
    await visit.call(visit.site.api.customers.ConfirmEmail, request)
    return link.render("confirm_email_done.html")


PAGES = (link_page(NAME, "", show, confirm),)
