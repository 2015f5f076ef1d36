"""Logging in and out, and ordering a new password (R9, R22, R42)."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Draft, Visit, with_unit
from frontends.web.sessions import WebSession
from liity.v1.auth_service_pb2 import LogInRequest, LogOutRequest, OrderPasswordRequest
from liity.v1.credential_service_pb2 import OrderCustomerPasswordRequest


async def show(visit: Visit) -> Response:
    """Asks for address and password."""
    if visit.session is not None:
        return visit.redirect("/home")
    return visit.render("accounts/log_in.html", draft="", was_open=False)


async def log_in(visit: Visit) -> Response:
    """Opens a session, and brings back what was typed when the last one ended."""
    email, password = visit.typed.get("email", "").strip(), visit.typed.get("password", "")
    sealed = visit.typed.get("draft", "")
    if visit.switches_language:
        return visit.render("accounts/log_in.html", draft=sealed, was_open=bool(sealed))
    errors: dict[str, str] = {}
    if not email:
        errors["email"] = N_("Write your e-mail address.")
    if not password:
        errors["password"] = N_("Write your password.")
    if not errors:
        try:
            answer = await visit.call(visit.site.api.auth.LogIn, LogInRequest(email=email, password=password))
        except Refusal as refusal:
            if refusal.code is grpc.StatusCode.UNAVAILABLE:
                raise
            return visit.render(
                "accounts/log_in.html", 422, draft=sealed, was_open=bool(sealed), refusal=refusal
            )
        draft = Draft.unsealed(visit.site.seal, sealed)
        return _resume(visit, WebSession(answer.session, email), draft)
    return visit.render("accounts/log_in.html", 422, draft=sealed, was_open=bool(sealed), errors=errors)


def _resume(visit: Visit, session: WebSession, draft: Draft | None) -> Response:
    """Opens the session, and shows what the account has typed before for the unit that it was typed for."""
    if draft is not None and not draft.is_of(session.email):
        draft = None
    units = [membership.unit for membership in session.session.memberships]
    if draft is not None and draft.unit in units:
        session = with_unit(session, draft.unit)
    elif len(units) == 1:
        session = with_unit(session, units[0])
    visit.open_session(session)
    if draft is None:
        return visit.redirect("/home" if session.unit or not units else "/unit")
    if not draft.typed:
        return visit.redirect(draft.path)
    return visit.render("send_again.html", action=draft.path, kept=draft.typed, why="logged-in")


async def log_out(visit: Visit) -> Response:
    """Ends the session here and at the gateway; the browser forgets what it has kept of it."""
    session = visit.session
    visit.close_session()
    if session is not None:
        try:
            request = LogOutRequest(refresh_token=session.session.refresh_token)
            await visit.site.api.send(visit.site.api.auth.LogOut, request, visit.language)
        except Refusal:
            # The browser has forgotten it all the same; without renewal it ends by itself.
            pass
    response = visit.render("accounts/logged_out.html")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


async def show_lost(visit: Visit) -> Response:
    """Asks for the address."""
    return visit.render("accounts/lost_password.html")


async def order(visit: Visit) -> Response:
    """Orders a new password. The answer never tells whether the address is known (R22)."""
    email = visit.typed.get("email", "").strip()
    request = OrderPasswordRequest(email=email, request_id=visit.request_id)
    missing = {} if email else {"email": N_("Write your e-mail address.")}
    ordering = partial(visit.call, visit.site.api.auth.OrderPassword, request)
    asked_again = await _ordered(visit, "accounts/lost_password.html", missing, ordering)
    return asked_again or visit.render("accounts/password_ordered.html", email=email)


async def show_new_link(visit: Visit) -> Response:
    """Asks a customer of the library for the user name or address."""
    return visit.render("accounts/new_link.html")


async def order_link(visit: Visit) -> Response:
    """Orders a customer's link. The answer never tells whether the user name or address is known (R42)."""
    name = visit.typed.get("user_name_or_email", "").strip()
    request = OrderCustomerPasswordRequest(user_name_or_email=name, request_id=visit.request_id)
    missing = {} if name else {"user_name_or_email": N_("Write your user name or e-mail address.")}
    ordering = partial(visit.call, visit.site.api.credentials.OrderCustomerPassword, request)
    asked_again = await _ordered(visit, "accounts/new_link.html", missing, ordering)
    return asked_again or visit.render("accounts/link_ordered.html")


async def _ordered(
    visit: Visit, template: str, missing: Mapping[str, str], ordering: Callable[[], Awaitable[object]]
) -> Response | None:
    """Sends an order; the page that asks for it again, if something is wrong with what was typed."""
    if visit.switches_language:
        return visit.render(template)
    if missing:
        return visit.render(template, 422, errors=missing)
    try:
        await ordering()
    except Refusal as refusal:
        if not refusal.violations:
            raise
        errors = {violation.field: violation.text for violation in refusal.violations}
        return visit.render(template, 422, errors=errors)
    return None
