"""Inviting a registrar."""

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import words
from frontends.web.forms import Field, Form, Group, Kind
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.auth_service_pb2 import ROLE_REGISTRAR
from liity.v1.unit_service_pb2 import InviteRegistrarRequest

_INVITATION = Group(
    N_("Invitation"),
    [
        Field(
            "email",
            N_("E-mail address"),
            Kind.EMAIL,
            N_("The address at work. The invitation goes there, and it will be the user name."),
        ),
        Field("language", N_("Language of the invitation"), Kind.CHOICE, enum="Language"),
    ],
)


async def show(visit: Visit) -> Response:
    """Asks whom to invite."""
    form = Form([_INVITATION], {"language": f"LANGUAGE_{visit.language.upper()}"})
    return visit.render("units/invite.html", form=form)


async def send(visit: Visit) -> Response:
    """Sends the invitation. Only customer service can invite a main user."""
    form = Form([_INVITATION], visit.typed)
    if visit.switches_language:
        return visit.render("units/invite.html", form=form)
    if not visit.typed.get("email", "").strip():
        form.errors["email"] = N_("Write the e-mail address.")
    if not words.value_of("Language", visit.typed.get("language", "")):
        form.errors["language"] = N_("Choose the language.")
    if form.is_wrong:
        return visit.render("units/invite.html", 422, form=form)
    request = InviteRegistrarRequest(parent=visit.unit, request_id=visit.request_id, role=ROLE_REGISTRAR)
    form.fill(request)
    try:
        await visit.call(visit.site.api.units.InviteRegistrar, request)
    except Refusal as refusal:
        if refusal.code is grpc.StatusCode.ALREADY_EXISTS:
            form.errors["email"] = refusal.text
        elif refusal.violations:
            form.take_errors(refusal)
        else:
            raise
        return visit.render("units/invite.html", 422, form=form)
    return visit.redirect("/registrars?done=invited")
