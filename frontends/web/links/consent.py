"""The guardian's pages: who asks, for whom, what consenting means, and the answer (R5, R29, R30, R38)."""

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.links.opening import LinkVisit, link_page
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_ACCEPTED,
    CONSENT_REQUEST_STATE_ASKED,
    AcceptConsentRequest,
    ConsentRequestState,
    DeclineConsentRequest,
    GetConsentRequestRequest,
    GetConsentRequestResponse,
    GetConsentStatusRequest,
    GetConsentStatusResponse,
    ReportWrongRecipientRequest,
    RequestNewConsentLinkRequest,
    TakeBackDeclineRequest,
    WithdrawConsentRequest,
)

NAME = "consent"


async def show(link: LinkVisit) -> Response:
    """What the guardian is asked; once it is answered, which answer was given and when."""
    status = await _status(link)
    if status.state == CONSENT_REQUEST_STATE_ASKED:
        return link.render("consent.html", asked=await _asked(link), errors={})
    return _told(link, status)


async def show_plain(link: LinkVisit) -> Response:
    """What is asked, in plain language: it explains the wording, which alone is the evidence (R31)."""
    return await _beside_the_question(link, "consent_plain.html")


async def show_paper(link: LinkVisit) -> Response:
    """A form to print and sign (R29)."""
    return await _beside_the_question(link, "consent_paper.html")


async def _beside_the_question(link: LinkVisit, template: str) -> Response:
    if (await _status(link)).state != CONSENT_REQUEST_STATE_ASKED:
        return link.visit.redirect(link.path())
    return link.render(template, asked=await _asked(link))


async def answer(link: LinkVisit) -> Response:
    """Takes the choice. Without one, nothing happens: programs that press buttons make none."""
    visit = link.visit
    if (await _status(link)).state != CONSENT_REQUEST_STATE_ASKED:
        return visit.redirect(link.path())
    asked = await _asked(link)
    choice, name = visit.typed.get("choice", ""), visit.typed.get("guardian_name", "").strip()
    errors = {}
    if choice not in {"accept", "decline", "not-mine"}:
        errors["choice"] = N_("Choose an answer.")
    elif choice == "accept" and not name:
        errors["guardian_name"] = N_("Write your name.")
    if visit.switches_language:
        return link.render("consent.html", asked=asked, errors={})
    if errors:
        return link.render("consent.html", 422, asked=asked, errors=errors)
    if choice == "decline":
        return visit.redirect(link.path("decline"))
    if choice == "not-mine":
        report = ReportWrongRecipientRequest(token=link.token, request_id=visit.request_id)
        await visit.call(visit.site.api.consents.ReportWrongRecipient, report)
        return visit.redirect(link.path())
    accept = AcceptConsentRequest(
        token=link.token,
        request_id=visit.request_id,
        guardian_name=name,
        wording_version=asked.wording.version,
        language=asked.wording.language,
    )
    return await _accept(link, accept, asked)


async def _accept(
    link: LinkVisit, accept: AcceptConsentRequest, asked: GetConsentRequestResponse
) -> Response:
    visit = link.visit
    try:
        await visit.call(visit.site.api.consents.AcceptConsent, accept)
    except Refusal as refusal:
        errors = {violation.field: violation.text for violation in refusal.violations}
        if "guardian_name" not in errors:
            raise
        return link.render("consent.html", 422, asked=asked, errors=errors)
    return visit.redirect(link.path())


async def ask_again(link: LinkVisit) -> Response:
    """Tells what is lost, and asks once more."""
    status = await _status(link)
    if status.state != CONSENT_REQUEST_STATE_ASKED:
        return link.visit.redirect(link.path())
    return link.render("consent_decline.html", known=status, errors={})


async def decline(link: LinkVisit) -> Response:
    """Declines, if the second question was answered too."""
    visit = link.visit
    sure = visit.typed.get("sure", "")
    if visit.switches_language:
        return await ask_again(link)
    if sure == "no":
        return visit.redirect(link.path())
    if sure != "yes":
        errors = {"sure": N_("Choose whether you decline.")}
        return link.render("consent_decline.html", 422, known=await _status(link), errors=errors)
    request = DeclineConsentRequest(token=link.token, request_id=visit.request_id)
    await visit.call(visit.site.api.consents.DeclineConsent, request)
    return visit.redirect(link.path())


async def dissent(link: LinkVisit) -> Response:
    """Tells that a guardian does not agree to the other one's consent, or no more to their own (R39)."""
    visit = link.visit
    if visit.switches_language or visit.typed.get("sure") != "yes":
        errors = {} if visit.switches_language else {"sure": N_("Tick the box if you do not agree.")}
        return _told(link, await _status(link), errors)
    request = DeclineConsentRequest(token=link.token, request_id=visit.request_id)
    await visit.call(visit.site.api.consents.DeclineConsent, request)
    return visit.redirect(link.path())


async def take_back(link: LinkVisit) -> Response:
    """Takes a decline back within its hour (R38)."""
    visit = link.visit
    if visit.switches_language or visit.typed.get("sure") != "yes":
        errors = (
            {} if visit.switches_language else {"sure": N_("Tick the box if you have changed your mind.")}
        )
        return _told(link, await _status(link), errors)
    request = TakeBackDeclineRequest(token=link.token, request_id=visit.request_id)
    await visit.call(visit.site.api.consents.TakeBackDecline, request)
    return visit.redirect(link.path())


async def ask_to_withdraw(link: LinkVisit, errors: dict[str, str] | None = None) -> Response:
    """Tells what ends with the consent, and asks once more (R38)."""
    status = await _status(link)
    is_own = not (status.given_by_other_guardian or status.waits_for_other_guardian)
    if status.state != CONSENT_REQUEST_STATE_ACCEPTED or not is_own:
        return link.visit.redirect(link.path())
    return link.render("consent_withdraw.html", 422 if errors else 200, errors=errors or {})


async def withdraw(link: LinkVisit) -> Response:
    """Withdraws a consent that was given, if the second question was answered too (R38)."""
    visit = link.visit
    sure = visit.typed.get("sure", "")
    if visit.switches_language:
        return await ask_to_withdraw(link)
    if sure == "no":
        return visit.redirect(link.path())
    if sure != "yes":
        return await ask_to_withdraw(link, {"sure": N_("Choose whether you withdraw the consent.")})
    request = WithdrawConsentRequest(token=link.token, request_id=visit.request_id)
    await visit.call(visit.site.api.consents.WithdrawConsent, request)
    return visit.redirect(link.path())


async def order(link: LinkVisit) -> Response:
    """Has a new link mailed to the guardian's address on file."""
    visit = link.visit
    if visit.switches_language or visit.typed.get("sure") != "yes":
        errors = {} if visit.switches_language else {"sure": N_("Tick the box if you want a new link.")}
        return _told(link, await _status(link), errors)
    request = RequestNewConsentLinkRequest(token=link.token, request_id=visit.request_id)
    await visit.call(visit.site.api.consents.RequestNewConsentLink, request)
    return link.render("consent_link_ordered.html")


def _told(
    link: LinkVisit, status: GetConsentStatusResponse, errors: dict[str, str] | None = None
) -> Response:
    state = ConsentRequestState.Name(status.state).removeprefix("CONSENT_REQUEST_STATE_")
    code = 422 if errors else 200
    return link.render("consent_status.html", code, known=status, state=state, errors=errors or {})


async def _status(link: LinkVisit) -> GetConsentStatusResponse:
    visit = link.visit
    request = GetConsentStatusRequest(token=link.token)
    return await visit.call(visit.site.api.consents.GetConsentStatus, request)


async def _asked(link: LinkVisit) -> GetConsentRequestResponse:
    visit = link.visit
    request = GetConsentRequestRequest(token=link.token)
    return await visit.call(visit.site.api.consents.GetConsentRequest, request)


PAGES = (
    link_page(NAME, "", show, answer),
    link_page(NAME, "plain", show_plain),
    link_page(NAME, "paper", show_paper),
    link_page(NAME, "decline", ask_again, decline),
    link_page(NAME, "take-back", None, take_back),
    link_page(NAME, "dissent", None, dissent),
    link_page(NAME, "new-link", None, order),
    link_page(NAME, "withdraw", ask_to_withdraw, withdraw),
)
