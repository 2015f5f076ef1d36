"""Customer service's pages of units: list, create, rename, and a unit's registrars."""

import asyncio
from collections.abc import Sequence

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import words
from frontends.web.forms import Field, Form, Group, Kind, values_of
from frontends.web.language import N_
from frontends.web.pages import Visit
from frontends.web.units.closing import closing_of
from liity.v1.reason_pb2 import REASON_UNIT_NAME_IN_USE
from liity.v1.unit_service_pb2 import (
    CreateUnitRequest,
    GetUnitRequest,
    InviteRegistrarRequest,
    ListRegistrarsRequest,
    ListUnitsRequest,
    Registrar,
    RemoveRegistrarRequest,
    SetRegistrarRoleRequest,
    Unit,
    UpdateUnitRequest,
)

_UNIT = Group(
    N_("The unit"),
    [
        Field("display_name", N_("Name of the unit")),
        Field("kind", N_("Kind of organisation"), Kind.CHOICE, enum="UnitKind"),
    ],
)
_INVITATION = Group(
    N_("Whom to invite"),
    [
        Field(
            "email",
            N_("E-mail address"),
            Kind.EMAIL,
            N_("The invitation goes there. It is also the name to log in with."),
        ),
        Field("language", N_("Language"), Kind.CHOICE, N_("Mail comes in this language."), "Language"),
    ],
)
_CONFIRMED = "same_name"
"""The tick by which a second unit of one name is confirmed."""
_NO_NAME, _NO_KIND = N_("Write the name of the unit."), N_("Choose the kind of organisation.")
_ROLES = ("ROLE_REGISTRAR", "ROLE_MAIN_USER")


async def show_list(visit: Visit) -> Response:
    """The first page of all units that are open."""
    return await _list_page(visit, ListUnitsRequest(page_size=50))


async def search(visit: Visit) -> Response:
    """A page of what was searched for. Search words never stand in an address."""
    request = ListUnitsRequest(
        query=visit.typed.get("query", "").strip(),
        show_closed=visit.typed.get("show_closed") == "yes",
        page_size=50,
        page_token=visit.typed.get("page", ""),
    )
    return await _list_page(visit, request)


async def show_new(visit: Visit) -> Response:
    """Asks for name and kind."""
    return visit.render("units/staff_new.html", form=Form([_UNIT]))


async def create(visit: Visit) -> Response:
    """Creates a unit; asks first if an open one has the same name."""
    form = Form([_UNIT], visit.typed)
    request = CreateUnitRequest(request_id=visit.request_id)
    request.name_must_be_new = visit.typed.get(_CONFIRMED) != "yes"
    form.fill(request)
    if not visit.switches_language:
        if not request.display_name:
            form.errors["display_name"] = _NO_NAME
        if not request.kind:
            form.errors["kind"] = _NO_KIND
    if not visit.switches_language and not form.errors:
        try:
            created = await visit.call(visit.site.api.units.CreateUnit, request)
        except Refusal as refusal:
            if refusal.reason == REASON_UNIT_NAME_IN_USE:
                form.errors[_CONFIRMED] = refusal.text
            else:
                _take(form, refusal)
        else:
            return visit.redirect(f"/{created.unit.name}?done=created")
    return visit.render("units/staff_new.html", 422 if form.is_wrong else 200, form=form)


async def show(visit: Visit) -> Response:
    """One unit and its registrars."""
    closing, registrars = await asyncio.gather(closing_of(visit), _registrars(visit))
    done = visit.request.query_params.get("done", "")
    successor = None
    if closing.unit.successor:
        request = GetUnitRequest(name=closing.unit.successor)
        successor = (await visit.call(visit.site.api.units.GetUnit, request)).unit
    return visit.render(
        "units/staff_one.html",
        unit=closing.unit,
        closing=closing,
        successor=successor,
        registrars=registrars,
        done=_DONE.get(done, ""),
    )


_DONE = {
    "created": N_("The unit is created. Next, invite its first main user: they get a link by mail."),
    "renamed": N_("The changes are saved. Pages and mail show them from now on."),
    "closed": N_("The unit is closed. Its registrars cannot act for it any more; its customers stay."),
    "moving": N_(
        "The unit is closed, and all it has moves to the unit that goes on. This page tells how far."
    ),
    "invited": N_("The invitation is on its way. It works once, for a time; an earlier one does not."),
    "role": N_("The role is changed. The registrar logs in again to act in it."),
    "removed": N_("The registrar is out of the unit, and cannot act for it any more."),
}
"""What the unit's page tells after each change."""


async def show_rename(visit: Visit) -> Response:
    """The name and kind, to be changed."""
    unit = await _get(visit)
    form = Form([_UNIT])
    form.values = values_of(unit, form.fields)
    return visit.render("units/staff_rename.html", unit=unit, form=form, etag=unit.etag)


async def rename(visit: Visit) -> Response:
    """Changes name or kind; shows what others changed meanwhile."""
    unit = await _get(visit)
    form = Form([_UNIT], visit.typed)
    etag = visit.typed.get("etag", "")
    request = UpdateUnitRequest(name=unit.name, request_id=visit.request_id, etag=etag)
    form.fill(request)
    request.update_mask.paths.extend(form.changed(values_of(unit, form.fields)))
    if not visit.switches_language and not request.display_name:
        form.errors["display_name"] = _NO_NAME
    if not visit.switches_language and not form.errors:
        if not request.update_mask.paths:
            return visit.redirect(f"/{unit.name}")
        try:
            await visit.call(visit.site.api.units.UpdateUnit, request)
        except Refusal as refusal:
            if isinstance(refusal.detail, Unit):
                text = N_("Somebody else has changed this meanwhile. Look, and save again.")
                form.errors |= dict.fromkeys(request.update_mask.paths, text)
                unit, etag = refusal.detail, refusal.detail.etag
            else:
                _take(form, refusal)
        else:
            return visit.redirect(f"/{unit.name}?done=renamed")
    status = 422 if form.is_wrong else 200
    return visit.render("units/staff_rename.html", status, unit=unit, form=form, etag=etag)


async def show_invite(visit: Visit) -> Response:
    """Asks whom to invite."""
    return visit.render(
        "units/staff_invite.html", unit=await _get(visit), form=Form([_INVITATION]), roles=_role_options()
    )


async def invite(visit: Visit) -> Response:
    """Invites a registrar or a main user."""
    form = Form([_INVITATION], visit.typed)
    request = InviteRegistrarRequest(parent=_name(visit), request_id=visit.request_id)
    role = visit.typed.get("role", "")
    if role in _ROLES:
        request.role = words.value_of("Role", role)  # type: ignore[assignment]
    form.fill(request)
    if not visit.switches_language:
        if not request.email:
            form.errors["email"] = N_("Write the e-mail address.")
        if not request.language:
            form.errors["language"] = N_("Choose the language.")
        if not request.role:
            form.errors["role"] = N_("Choose the role.")
    if not visit.switches_language and not form.errors:
        try:
            await visit.call(visit.site.api.units.InviteRegistrar, request)
        except Refusal as refusal:
            _take(form, refusal)
        else:
            return visit.redirect(f"/{_name(visit)}?done=invited")
    status = 422 if form.is_wrong else 200
    unit = await _get(visit)
    return visit.render("units/staff_invite.html", status, unit=unit, form=form, roles=_role_options())


async def show_role(visit: Visit) -> Response:
    """Asks for the role."""
    return await _role_page(visit, {})


async def set_role(visit: Visit) -> Response:
    """Makes a registrar a main user, or a main user a registrar."""
    role = visit.typed.get("role", "")
    if visit.switches_language:
        return await _role_page(visit, {})
    if role not in _ROLES:
        return await _role_page(visit, {"role": N_("Choose the role.")})
    request = SetRegistrarRoleRequest(
        name=_registrar_name(visit),
        request_id=visit.request_id,
        role=words.value_of("Role", role),  # type: ignore[arg-type]
    )
    await visit.call(visit.site.api.units.SetRegistrarRole, request)
    return visit.redirect(f"/{_name(visit)}?done=role")


async def ask_to_remove(visit: Visit) -> Response:
    """Tells what is lost, and asks."""
    return await _remove_page(visit, {}, [])


async def remove(visit: Visit) -> Response:
    """Takes a registrar out of the unit, or an invitation back."""
    if visit.switches_language:
        return await ask_to_remove(visit)
    if visit.typed.get("sure") == "no":
        return visit.redirect(f"/{_name(visit)}")
    if visit.typed.get("sure") != "yes":
        return await _remove_page(visit, {"sure": N_("Choose whether the registrar is taken out.")}, [])
    request = RemoveRegistrarRequest(name=_registrar_name(visit), request_id=visit.request_id)
    try:
        await visit.call(visit.site.api.units.RemoveRegistrar, request)
    except Refusal as refusal:
        if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        return await _remove_page(visit, {}, [refusal.text])
    return visit.redirect(f"/{_name(visit)}?done=removed")


def _take(form: Form, refusal: Refusal) -> None:
    """Takes what is wrong with a form; any refusal of another kind is raised."""
    told = {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS}
    if not refusal.violations and refusal.code not in told:
        raise refusal
    form.take_errors(refusal)


async def _list_page(visit: Visit, request: ListUnitsRequest) -> Response:
    errors: dict[str, str] = {}
    units: Sequence[Unit] = ()
    next_page = ""
    try:
        found = await visit.call(visit.site.api.units.ListUnits, request)
        units, next_page = found.units, found.next_page_token
    except Refusal as refusal:
        errors = {violation.field: violation.text for violation in refusal.violations}
        if "query" not in errors:
            raise
    return visit.render(
        "units/staff_list.html",
        422 if errors else 200,
        units=units,
        next_page=next_page,
        query=request.query,
        show_closed=request.show_closed,
        errors=errors,
    )


async def _role_page(visit: Visit, errors: dict[str, str]) -> Response:
    unit, registrar = await asyncio.gather(_get(visit), _registrar(visit))
    if registrar is None:
        return visit.redirect(f"/{unit.name}")
    role = visit.typed.get("role", words.name_of("Role", registrar.role))
    return visit.render(
        "units/staff_role.html",
        422 if errors else 200,
        unit=unit,
        registrar=registrar,
        role=role,
        roles=_role_options(),
        errors=errors,
    )


async def _remove_page(visit: Visit, errors: dict[str, str], general: Sequence[str]) -> Response:
    unit, registrar = await asyncio.gather(_get(visit), _registrar(visit))
    if registrar is None:
        return visit.redirect(f"/{unit.name}")
    status = 422 if errors or general else 200
    return visit.render(
        "units/staff_remove.html", status, unit=unit, registrar=registrar, errors=errors, general=general
    )


def _name(visit: Visit) -> str:
    return f"units/{visit.part('unit')}"


def _registrar_name(visit: Visit) -> str:
    return f"{_name(visit)}/registrars/{visit.part('registrar')}"


async def _get(visit: Visit) -> Unit:
    return (await visit.call(visit.site.api.units.GetUnit, GetUnitRequest(name=_name(visit)))).unit


async def _registrars(visit: Visit) -> Sequence[Registrar]:
    request = ListRegistrarsRequest(parent=_name(visit))
    return (await visit.call(visit.site.api.units.ListRegistrars, request)).registrars


async def _registrar(visit: Visit) -> Registrar | None:
    """The registrar; None once they are out of the unit."""
    name = _registrar_name(visit)
    return next((each for each in await _registrars(visit) if each.name == name), None)


def _role_options() -> Sequence[tuple[str, str]]:
    return [(name, text) for name, text in words.options("Role") if name in _ROLES]
