"""Choosing a password by a mailed link: customers, registrars who lost theirs, and invited registrars."""

from typing import Any

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.links.opening import LinkVisit, link_page
from liity.v1.auth_service_pb2 import (
    AcceptInvitationRequest,
    ChooseAccountPasswordRequest,
    GetInvitationRequest,
    GetInvitationResponse,
)
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.v1.reason_pb2 import REASON_LINK_USED


async def show_customers(link: LinkVisit) -> Response:
    """Asks a customer for a password."""
    return link.render("password.html", errors={}, of="customer")


async def choose_customers(link: LinkVisit) -> Response:
    """Sets a customer's password, and tells the user name."""
    visit = link.visit
    request = ChoosePasswordRequest(
        token=link.token, request_id=visit.request_id, password=visit.typed.get("password", "")
    )
    errors = _missing(link)
    if visit.switches_language or errors:
        return _again(link, "password.html", errors, of="customer")
    try:
        chosen = await visit.call(visit.site.api.credentials.ChoosePassword, request)
    except Refusal as refusal:
        return _again(link, "password.html", _violations(refusal), of="customer")
    return link.render("password_chosen.html", user_name=chosen.user_name)


async def show_accounts(link: LinkVisit) -> Response:
    """Asks a registrar for a new password."""
    return link.render("password.html", errors={}, of="registrar")


async def choose_accounts(link: LinkVisit) -> Response:
    """Sets a registrar's password."""
    visit = link.visit
    request = ChooseAccountPasswordRequest(
        token=link.token, request_id=visit.request_id, password=visit.typed.get("password", "")
    )
    errors = _missing(link)
    if visit.switches_language or errors:
        return _again(link, "password.html", errors, of="registrar")
    try:
        await visit.call(visit.site.api.auth.ChooseAccountPassword, request)
    except Refusal as refusal:
        return _again(link, "password.html", _violations(refusal), of="registrar")
    return link.render("account_ready.html")


async def show_invitation(link: LinkVisit) -> Response:
    """Who is invited to what."""
    return link.render("invitation.html", errors={}, invited=await _invitation(link))


async def accept_invitation(link: LinkVisit) -> Response:
    """Opens the account of an invited registrar, or adds the unit to the account there is."""
    visit = link.visit
    request = AcceptInvitationRequest(
        token=link.token,
        request_id=visit.request_id,
        display_name=visit.typed.get("display_name", "").strip(),
        password=visit.typed.get("password", ""),
    )
    try:
        invited = await _invitation(link)
    except Refusal as refusal:
        if refusal.reason != REASON_LINK_USED:
            raise
        # After the first click of two: the same request is answered as it was.
        await visit.call(visit.site.api.auth.AcceptInvitation, request)
        return link.render("account_ready.html")
    errors = {}
    if invited.has_account:
        # Mail programs that look for dangerous links press buttons.
        if visit.typed.get("sure") == "no" and not visit.switches_language:
            return visit.redirect("/")
        if visit.typed.get("sure") != "yes":
            errors["sure"] = N_("Choose whether you accept the invitation.")
    else:
        errors = _missing(link)
        if not request.display_name:
            errors["display_name"] = N_("Write your name.")
    if visit.switches_language or errors:
        return _again(link, "invitation.html", errors, invited=invited)
    try:
        await visit.call(visit.site.api.auth.AcceptInvitation, request)
    except Refusal as refusal:
        return _again(link, "invitation.html", _violations(refusal), invited=invited)
    return link.render("account_ready.html")


def _missing(link: LinkVisit) -> dict[str, str]:
    typed = link.visit.typed.get("password", "")
    return {} if typed else {"password": N_("Choose a password.")}


def _violations(refusal: Refusal) -> dict[str, str]:
    if not refusal.violations:
        raise refusal
    return {violation.field: violation.text for violation in refusal.violations}


def _again(link: LinkVisit, template: str, errors: dict[str, str], **values: Any) -> Response:  # noqa: ANN401
    if link.visit.switches_language:
        return link.render(template, errors={}, **values)
    return link.render(template, 422, errors=errors, **values)


async def _invitation(link: LinkVisit) -> GetInvitationResponse:
    visit = link.visit
    return await visit.call(visit.site.api.auth.GetInvitation, GetInvitationRequest(token=link.token))


PAGES = (
    link_page("password", "", show_customers, choose_customers),
    link_page("account-password", "", show_accounts, choose_accounts),
    link_page("invitation", "", show_invitation, accept_invitation),
)
