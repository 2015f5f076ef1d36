"""The guardian's pages: who asks, for whom, what consenting means, and the answer (R5, R29, R30)."""

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.links.opening import LinkVisit, link_page
from liity.v1.consent_service_pb2 import (
    AcceptConsentRequest,
    DeclineConsentRequest,
    GetConsentRequestRequest,
    GetConsentRequestResponse,
)

NAME = "consent"


async def show(link: LinkVisit) -> Response:
    """What the guardian is asked."""
    return link.render("consent.html", asked=await _asked(link), errors={})


async def answer(link: LinkVisit) -> Response:
    """Takes the choice. Without one, nothing happens: programs that press buttons make none."""
    visit = link.visit
    asked = await _asked(link)
    choice, name = visit.typed.get("choice", ""), visit.typed.get("guardian_name", "").strip()
    errors = {}
    if choice not in {"accept", "decline"}:
        errors["choice"] = N_("Choose whether you consent.")
    elif choice == "accept" and not name:
        errors["guardian_name"] = N_("Write your name.")
    if visit.switches_language:
        return link.render("consent.html", asked=asked, errors={})
    if errors:
        return link.render("consent.html", 422, asked=asked, errors=errors)
    if choice == "decline":
        return visit.redirect(link.path("decline"))
    accept = AcceptConsentRequest(
        token=link.token,
        request_id=visit.request_id,
        guardian_name=name,
        wording_version=asked.wording.version,
        language=asked.wording.language,
    )
    try:
        await visit.call(visit.site.api.consents.AcceptConsent, accept)
    except Refusal as refusal:
        errors = {violation.field: violation.text for violation in refusal.violations}
        if "guardian_name" not in errors:
            raise
        return link.render("consent.html", 422, asked=asked, errors=errors)
    return visit.redirect(link.path("accepted"))


async def ask_again(link: LinkVisit) -> Response:
    """Tells what is lost, and asks once more."""
    return link.render("consent_decline.html", asked=await _asked(link), errors={})


async def decline(link: LinkVisit) -> Response:
    """Declines, if the second question was answered too."""
    visit = link.visit
    if visit.switches_language:
        return await ask_again(link)
    sure = visit.typed.get("sure", "")
    if sure == "no":
        return visit.redirect(link.path())
    if sure != "yes":
        errors = {"sure": N_("Choose whether you decline.")}
        return link.render("consent_decline.html", 422, asked=await _asked(link), errors=errors)
    request = DeclineConsentRequest(token=link.token, request_id=visit.request_id)
    await visit.call(visit.site.api.consents.DeclineConsent, request)
    return visit.redirect(link.path("declined"))


async def accepted(link: LinkVisit) -> Response:
    """The consent is recorded."""
    return link.render("consent_accepted.html")


async def declined(link: LinkVisit) -> Response:
    """The registration has ended."""
    return link.render("consent_declined.html")


async def _asked(link: LinkVisit) -> GetConsentRequestResponse:
    visit = link.visit
    request = GetConsentRequestRequest(token=link.token)
    return await visit.call(visit.site.api.consents.GetConsentRequest, request)


PAGES = (
    link_page(NAME, "", show, answer),
    link_page(NAME, "decline", ask_again, decline),
    link_page(NAME, "accepted", accepted),
    link_page(NAME, "declined", declined),
)
