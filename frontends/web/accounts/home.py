"""The front page, the home page of an account, and the choice of the unit (R9)."""

from starlette.responses import Response

from frontends.web.pages import Visit, with_unit
from liity.v1.registration_pb2 import (
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
)
from liity.v1.registration_service_pb2 import ListRegistrationsRequest

_WAITING = (STAGE_WAITING_FOR_CONSENT, STAGE_WAITING_FOR_REACTIVATION, STAGE_WAITING_FOR_IDENTITY_CHECK)


async def front(visit: Visit) -> Response:
    """What Liity is, and where to begin."""
    if visit.session is not None:
        return visit.redirect("/home")
    return visit.render("front.html")


async def show(visit: Visit) -> Response:
    """What waits, and what can be done."""
    if not visit.unit and visit.opened.session.memberships:
        return visit.redirect("/unit")
    waiting = []
    if visit.unit:
        for stage in _WAITING:
            request = ListRegistrationsRequest(parent=visit.unit, stage=stage, page_size=5)
            answer = await visit.call(visit.site.api.registrations.ListRegistrations, request)
            waiting.append((stage, answer))
    return visit.render("accounts/home.html", waiting=waiting)


async def show_units(visit: Visit) -> Response:
    """The units that the account belongs to."""
    return visit.render("accounts/unit.html")


async def choose_unit(visit: Visit) -> Response:
    """Acts for another unit from now on."""
    if visit.switches_language:
        return await show_units(visit)
    unit = visit.typed.get("unit", "")
    if not any(each.unit == unit for each in visit.opened.session.memberships):
        return visit.render("accounts/unit.html", 422, nothing_chosen=True)
    visit.open_session(with_unit(visit.opened, unit))
    return visit.redirect("/home")
