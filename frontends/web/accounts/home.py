"""The front page, the home page of an account, and the choice of the unit (R9)."""

import asyncio

from starlette.responses import Response

from frontends.web.pages import Visit, with_unit
from liity.v1.registration_pb2 import (
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
)
from liity.v1.registration_service_pb2 import REGISTRATION_ORDER_DEADLINE, ListRegistrationsRequest
from liity.v1.unit_service_pb2 import GetUnitSummaryRequest
from liity.v1.work_service_pb2 import (
    CLAIM_FILTER_MINE,
    WORK_ITEM_KIND_UNSPECIFIED,
    GetFiguresRequest,
    ListWorkItemsRequest,
    WorkFigure,
    WorkItemKind,
)

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
    if visit.opened.is_customer_service and not visit.unit:
        return await _show_staff(visit)
    if not visit.unit:
        return visit.render("accounts/home.html", waiting=[], summary=None)
    requests = [
        ListRegistrationsRequest(
            parent=visit.unit, stages=[stage], page_size=5, order_by=REGISTRATION_ORDER_DEADLINE
        )
        for stage in _WAITING
    ]
    summary, found = await asyncio.gather(
        visit.call(visit.site.api.units.GetUnitSummary, GetUnitSummaryRequest(name=visit.unit)),
        asyncio.gather(
            *(visit.call(visit.site.api.registrations.ListRegistrations, each) for each in requests)
        ),
    )
    waiting = list(zip(_WAITING, found, strict=True))
    return visit.render("accounts/home.html", waiting=waiting, summary=summary)


async def _show_staff(visit: Visit) -> Response:
    """Customer service's open work: the oldest of each kind, what the account has taken, and figures."""
    kinds = [kind for kind in WorkItemKind.values() if kind != WORK_ITEM_KIND_UNSPECIFIED]
    mine = ListWorkItemsRequest(claims=CLAIM_FILTER_MINE, page_size=10)
    requests = [mine, *(ListWorkItemsRequest(kinds=[kind], page_size=3) for kind in kinds)]
    figures, (own, *found) = await asyncio.gather(
        visit.call(visit.site.api.work.GetFigures, GetFiguresRequest()),
        asyncio.gather(*(visit.call(visit.site.api.work.ListWorkItems, request) for request in requests)),
    )
    counts = {figure.kind: figure for figure in figures.work}
    waiting = [
        (kind, each, counts.get(kind, WorkFigure(kind=kind)))
        for kind, each in zip(kinds, found, strict=True)
        if each.work_items
    ]
    return visit.render(
        "accounts/staff_home.html",
        own=own,
        waiting=waiting,
        figures=figures,
        most=max((figure.count for figure in figures.registrations), default=0),
    )


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
