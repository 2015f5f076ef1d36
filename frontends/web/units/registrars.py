"""The registrars of the unit and its open invitations, and removing one."""

from starlette.exceptions import HTTPException
from starlette.responses import Response

from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.unit_service_pb2 import ListRegistrarsRequest, Registrar, RemoveRegistrarRequest

_DONE = {
    "invited": N_("The invitation is on its way."),
    "removed": N_("The registrar is removed from the unit."),
    "taken-back": N_("The invitation is taken back."),
}


async def show(visit: Visit) -> Response:
    """Who registers for the unit, and who is invited to."""
    registrars = await _list(visit, visit.unit)
    done = _DONE.get(visit.request.query_params.get("done", ""), "")
    return visit.render("units/registrars.html", registrars=registrars, done=done)


async def ask_to_remove(visit: Visit) -> Response:
    """Tells what a removal does, and asks."""
    return await _question(visit, {})


async def remove(visit: Visit) -> Response:
    """Removes a registrar from the unit, or takes back an invitation."""
    if visit.switches_language:
        return await ask_to_remove(visit)
    if visit.typed.get("sure") == "no":
        return visit.redirect("/registrars")
    if visit.typed.get("sure") != "yes":
        return await _question(visit, {"sure": N_("Choose yes or no.")}, 422)
    request = RemoveRegistrarRequest(name=_name(visit), request_id=visit.request_id)
    await visit.call(visit.site.api.units.RemoveRegistrar, request)
    done = "taken-back" if visit.typed.get("was") == "invitation" else "removed"
    return visit.redirect(f"/registrars?done={done}")


async def _question(visit: Visit, errors: dict[str, str], status: int = 200) -> Response:
    registrars = await _list(visit, visit.unit)
    registrar = next((each for each in registrars if each.name == _name(visit)), None)
    if registrar is None:
        raise HTTPException(404)
    is_self = registrar.email.casefold() == visit.opened.email.casefold()
    return visit.render("units/remove.html", status, registrar=registrar, is_self=is_self, errors=errors)


def _name(visit: Visit) -> str:
    return f"{visit.unit}/registrars/{visit.part('registrar')}"


async def _list(visit: Visit, unit: str) -> list[Registrar]:
    request = ListRegistrarsRequest(parent=unit)
    return list((await visit.call(visit.site.api.units.ListRegistrars, request)).registrars)
