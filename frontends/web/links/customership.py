"""The customer's own link: the help is still needed, or no longer (R21)."""

from collections.abc import Mapping

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.forms import NO_DATE, typed_date
from frontends.web.language import N_
from frontends.web.links.opening import LinkVisit, link_page
from liity.v1.customership_link_service_pb2 import (
    EndOwnCustomershipRequest,
    ExtendNeedRequest,
    GetCustomershipLinkRequest,
    GetCustomershipLinkResponse,
)
from liity.v1.reason_pb2 import REASON_NEED_NOT_TEMPORARY

NAME = "customership"


async def show(link: LinkVisit) -> Response:
    """Asks whether the help is still needed."""
    return link.render("customership.html", known=await _known(link), errors={})


async def answer(link: LinkVisit) -> Response:
    """Extends the need, or asks once more before the end."""
    visit = link.visit
    if visit.switches_language:
        return await show(link)
    choice = visit.typed.get("choice", "")
    if choice == "end":
        return visit.redirect(link.path("end"))
    if choice != "extend":
        return await _ask_again_with(link, {"choice": N_("Choose whether you still need the library.")})
    return await _extend(link)


async def _extend(link: LinkVisit) -> Response:
    """Extends the need. The link is used by it, so nothing is read by it before or after."""
    visit = link.visit
    request = ExtendNeedRequest(token=link.token, request_id=visit.request_id)
    typed = visit.typed.get("expected_end_date", "").strip()
    if typed:
        day = typed_date(typed)
        if day is None:
            return await _ask_again_with(link, {"expected_end_date": NO_DATE})
        request.expected_end_date.CopyFrom(day)
    try:
        extended = await visit.call(visit.site.api.customership_links.ExtendNeed, request)
    except Refusal as refusal:
        if refusal.reason == REASON_NEED_NOT_TEMPORARY:
            # What has no end needs no extension: the answer changes nothing, and is no mistake.
            return visit.redirect(link.path("extended"))
        if not refusal.violations:
            raise
        return await _ask_again_with(
            link, {violation.field: violation.text for violation in refusal.violations}
        )
    return link.render("customership_extended.html", known=extended)


async def _ask_again_with(link: LinkVisit, errors: Mapping[str, str]) -> Response:
    return link.render("customership.html", 422, known=await _known(link), errors=errors)


async def ask_again(link: LinkVisit) -> Response:
    """Tells what ends, and asks once more."""
    return link.render("customership_end.html", known=await _known(link), errors={})


async def end(link: LinkVisit) -> Response:
    """Ends the customership, if the second question was answered too."""
    visit = link.visit
    if visit.switches_language:
        return await ask_again(link)
    sure = visit.typed.get("sure", "")
    if sure == "no":
        return visit.redirect(link.path())
    if sure != "yes":
        errors = {"sure": N_("Choose whether the customership ends.")}
        return link.render("customership_end.html", 422, known=await _known(link), errors=errors)
    request = EndOwnCustomershipRequest(token=link.token, request_id=visit.request_id)
    ended = await visit.call(visit.site.api.customership_links.EndOwnCustomership, request)
    return link.render("customership_ended.html", ended=ended)


async def extended(link: LinkVisit) -> Response:
    """The customership goes on as it was."""
    return link.render("customership_extended.html", known=await _known(link))


async def _known(link: LinkVisit) -> GetCustomershipLinkResponse:
    visit = link.visit
    request = GetCustomershipLinkRequest(token=link.token)
    return await visit.call(visit.site.api.customership_links.GetCustomershipLink, request)


PAGES = (
    link_page(NAME, "", show, answer),
    link_page(NAME, "end", ask_again, end),
    link_page(NAME, "extended", extended),
)
