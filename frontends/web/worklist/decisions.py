"""Decisions on a registration that waits for customer service (R19, R24)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.comparing import customer_in
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.registration_pb2 import STAGE_WAITING_FOR_IDENTITY_CHECK, STAGE_WAITING_FOR_REACTIVATION
from liity.v1.registration_service_pb2 import (
    ExplainRegistrationRequest,
    GetRegistrationRequest,
    GetRegistrationResponse,
    LinkToCustomerRequest,
    ReactivateRequest,
    RejectRegistrationRequest,
    VerifyIdentityRequest,
)

_UNDECIDED = frozenset({STAGE_WAITING_FOR_REACTIVATION, STAGE_WAITING_FOR_IDENTITY_CHECK})
_ANOTHER = "another"
_LARGEST_NOTE = 500


async def ask_to_verify(visit: Visit) -> Response:
    """Tells what follows, and asks whether the identity is sure."""
    return await _ask(visit, "worklist/verify.html")


async def verify(visit: Visit) -> Response:
    """Confirms who a person without a personal identity code is."""

    async def send() -> None:
        request = VerifyIdentityRequest(name=_name(visit), request_id=visit.request_id)
        await visit.call(visit.site.api.registrations.VerifyIdentity, request)

    missing = N_("Choose whether the identity is confirmed.")
    return await _decide(visit, "worklist/verify.html", missing, send)


async def ask_to_reactivate(visit: Visit) -> Response:
    """Tells what follows, and asks whether the customer comes back."""
    return await _ask(visit, "worklist/reactivate.html")


async def reactivate(visit: Visit) -> Response:
    """Brings back a customer whose customership had ended."""

    async def send() -> None:
        request = ReactivateRequest(name=_name(visit), request_id=visit.request_id)
        await visit.call(visit.site.api.registrations.Reactivate, request)

    missing = N_("Choose whether the customer is brought back.")
    return await _decide(visit, "worklist/reactivate.html", missing, send)


async def _decide(visit: Visit, template: str, missing: str, send: Callable[[], Awaitable[None]]) -> Response:
    """Decides if the question was answered with yes; `missing` is the error of no answer."""
    if visit.switches_language:
        return await _ask(visit, template)
    sure = visit.typed.get("sure")
    if sure == "no":
        return visit.redirect(f"/{_name(visit)}")
    errors: dict[str, str] = {}
    general: Sequence[str] = []
    if sure == "yes":
        try:
            await send()
        except Refusal as refusal:
            general = _told(refusal)
        else:
            return visit.redirect(f"/{_name(visit)}/decided")
    else:
        errors = {"sure": missing}
    return visit.render(template, 422, found=await _get(visit), errors=errors, general=general)


async def show_link(visit: Visit) -> Response:
    """Asks which customer the person is."""
    found = await _get(visit)
    if found.registration.stage not in _UNDECIDED:
        return visit.redirect(f"/{_name(visit)}/decided")
    return _link_page(visit, found, {}, [])


async def link(visit: Visit) -> Response:
    """Ends the registration: the person was a customer already."""
    chosen = visit.typed.get("customer", "")
    if visit.switches_language:
        return await show_link(visit)
    errors: dict[str, str] = {}
    general: Sequence[str] = []
    customer = customer_in(visit.typed.get("address", "") if chosen == _ANOTHER else chosen)
    if not chosen:
        errors["customer"] = N_("Choose which customer the person is.")
    elif not customer:
        errors["address"] = N_("Copy here the address of the customer's page.")
    else:
        request = LinkToCustomerRequest(name=_name(visit), request_id=visit.request_id, customer=customer)
        try:
            await visit.call(visit.site.api.registrations.LinkToCustomer, request)
        except Refusal as refusal:
            general = _told(refusal, grpc.StatusCode.NOT_FOUND)
        else:
            return visit.redirect(f"/{_name(visit)}/decided")
    return _link_page(visit, await _get(visit), errors, general)


async def show_reject(visit: Visit) -> Response:
    """Asks why the registration is not accepted."""
    return await _ask(visit, "worklist/reject.html")


async def reject(visit: Visit) -> Response:
    """Shows the reason as the unit will read it, and then sends it."""
    found = await _get(visit)
    note = visit.typed.get("note", "").strip()
    errors: dict[str, str] = {}
    general: Sequence[str] = []
    if visit.switches_language or visit.typed.get("act") == "change":
        is_check = visit.typed.get("step") == "check" and visit.typed.get("act") != "change"
        template = "reject_check.html" if is_check else "reject.html"
        return visit.render(f"worklist/{template}", found=found, errors={}, general=[])
    if not note:
        errors["note"] = N_("Write why the registration is not accepted.")
    elif len(note) > _LARGEST_NOTE:
        errors["note"] = N_("Write at most 500 characters.")
    elif visit.typed.get("act") != "send":
        return visit.render("worklist/reject_check.html", found=found, errors={}, general=[])
    else:
        request = RejectRegistrationRequest(name=_name(visit), request_id=visit.request_id, note=note)
        try:
            await visit.call(visit.site.api.registrations.RejectRegistration, request)
        except Refusal as refusal:
            errors = {violation.field: violation.text for violation in refusal.violations}
            general = [] if errors else _told(refusal)
        else:
            return visit.redirect(f"/{_name(visit)}/decided")
    return visit.render("worklist/reject.html", 422, found=found, errors=errors, general=general)


async def show_decided(visit: Visit) -> Response:
    """What was decided, what happens next, and for whom."""
    explain = ExplainRegistrationRequest(name=_name(visit))
    found, why = await asyncio.gather(
        _get(visit), visit.call(visit.site.api.registrations.ExplainRegistration, explain)
    )
    return visit.render("worklist/decided.html", found=found, why=why)


async def _ask(visit: Visit, template: str) -> Response:
    """The question; what was decided, once it is."""
    found = await _get(visit)
    if found.registration.stage not in _UNDECIDED:
        return visit.redirect(f"/{_name(visit)}/decided")
    return visit.render(template, found=found, errors={}, general=[])


def _told(refusal: Refusal, *also: grpc.StatusCode) -> Sequence[str]:
    """The text of a refusal that the page shows on top; any other is raised."""
    if refusal.code not in {grpc.StatusCode.FAILED_PRECONDITION, *also}:
        raise refusal
    return [refusal.text]


def _link_page(
    visit: Visit, found: GetRegistrationResponse, errors: dict[str, str], general: Sequence[str]
) -> Response:
    candidates = [each for each in found.possible_duplicates if each.customer]
    return visit.render(
        "worklist/link.html",
        422 if errors or general else 200,
        found=found,
        candidates=candidates,
        ended=[each for each in candidates if each.state == CUSTOMER_STATE_MARKED_FOR_DELETION],
        errors=errors,
        general=general,
    )


def _name(visit: Visit) -> str:
    return f"units/{visit.part('unit')}/registrations/{visit.part('registration')}"


async def _get(visit: Visit) -> GetRegistrationResponse:
    request = GetRegistrationRequest(name=_name(visit))
    return await visit.call(visit.site.api.registrations.GetRegistration, request)
