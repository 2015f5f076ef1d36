"""Customer service's page that closes a unit, and moves all it has to a successor (R41)."""

import asyncio
from collections.abc import Sequence

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.unit_service_pb2 import (
    CloseUnitRequest,
    GetUnitClosingRequest,
    GetUnitClosingResponse,
    ListRegistrarsRequest,
    ListUnitsRequest,
    Unit,
)

_STAY = "none"
"""The choice of no successor."""


async def show(visit: Visit) -> Response:
    """Tells what closing means, in figures, and asks."""
    return await _page(visit, {}, ())


async def close(visit: Visit) -> Response:
    """Finds the successor by its name, lets it be chosen, and closes the unit."""
    if visit.switches_language:
        return await _page(visit, {}, await _found(visit))
    name = f"units/{visit.part('unit')}"
    if visit.typed.get("sure") == "no":
        return visit.redirect(f"/{name}")
    found, chosen = await _found(visit), visit.typed.get("successor", "")
    errors = {}
    if visit.typed.get("query", "").strip() and not chosen:
        errors["successor" if found else "query"] = (
            N_("Choose the unit that goes on.") if found else N_("No other open unit has this name.")
        )
    if visit.typed.get("sure") != "yes":
        errors["sure"] = N_("Choose whether the unit is closed.")
    if errors:
        return await _page(visit, errors, found, 422)
    request = CloseUnitRequest(
        name=name, request_id=visit.request_id, successor="" if chosen == _STAY else chosen
    )
    try:
        await visit.call(visit.site.api.units.CloseUnit, request)
    except Refusal as refusal:
        return await _page(visit, {}, found, 422, [refusal.text])
    return visit.redirect(f"/{name}?done={'moving' if request.successor else 'closed'}")


async def closing_of(visit: Visit) -> GetUnitClosingResponse:
    """What the unit has, and how far the move to its successor is."""
    request = GetUnitClosingRequest(name=f"units/{visit.part('unit')}")
    return await visit.call(visit.site.api.units.GetUnitClosing, request)


async def _found(visit: Visit) -> Sequence[Unit]:
    """The open units that were searched for, without the one to close."""
    query = visit.typed.get("query", "").strip()
    if not query:
        return ()
    request = ListUnitsRequest(query=query, page_size=20)
    units = (await visit.call(visit.site.api.units.ListUnits, request)).units
    return [unit for unit in units if unit.name != f"units/{visit.part('unit')}"]


async def _page(
    visit: Visit,
    errors: dict[str, str],
    found: Sequence[Unit],
    status: int = 200,
    general: Sequence[str] = (),
) -> Response:
    list_registrars = ListRegistrarsRequest(parent=f"units/{visit.part('unit')}")
    closing, registrars = await asyncio.gather(
        closing_of(visit), visit.call(visit.site.api.units.ListRegistrars, list_registrars)
    )
    options = [(unit.name, unit.display_name) for unit in found]
    return visit.render(
        "units/staff_close.html",
        status,
        unit=closing.unit,
        closing=closing,
        registrars=registrars.registrars,
        options=[*options, (_STAY, N_("None: its customers stay in the closed unit"))] if options else [],
        typed=visit.typed,
        errors=errors,
        general=general,
    )
