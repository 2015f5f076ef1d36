"""The customer's own contact data, and who has looked at it: by their link and their date of birth."""

from collections.abc import Sequence
from datetime import timedelta

from google.type.date_pb2 import Date
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import editing
from frontends.web.forms import NO_DATE, Field, Form, Group, Kind, typed_date
from frontends.web.language import N_
from frontends.web.links.customership import NAME
from frontends.web.links.opening import LinkVisit, link_page
from frontends.web.registrations.fields import HOME, LANGUAGE
from liity.v1.customer_form_pb2 import AddressSuggestion, CustomerForm
from liity.v1.customership_link_service_pb2 import (
    GetOwnContactDataRequest,
    GetOwnContactDataResponse,
    ListOwnUsesRequest,
    ListOwnUsesResponse,
    UpdateOwnContactDataRequest,
)

_PURPOSE = "own-birth-date"
_LIFETIME = timedelta(hours=2)

_BIRTH_DATE = [
    Group(
        N_("Date of birth"),
        [
            Field(
                "birth_date",
                N_("The customer's date of birth"),
                Kind.DATE,
                N_("For example 31.12.2012. We ask for it because mail may go astray."),
                width="short",
            )
        ],
    )
]

_CONTACT = [
    Group(
        N_("Your contact information"),
        [
            *HOME,
            Field(
                "email",
                N_("E-mail address"),
                Kind.EMAIL,
                N_("We send a link to a new address, to be opened there."),
                optional=True,
            ),
            Field("phone", N_("Telephone"), Kind.TEL, optional=True, width="medium"),
            LANGUAGE,
        ],
    )
]


async def ask(link: LinkVisit) -> Response:
    """Asks for the date of birth."""
    return link.render("own_birth_date.html", form=Form(_BIRTH_DATE))


async def show(link: LinkVisit) -> Response:
    """The contact data, to be corrected, if the date of birth is right."""
    visit = link.visit
    form = Form(_BIRTH_DATE, visit.typed)
    if visit.switches_language and "known" not in visit.typed:
        return link.render("own_birth_date.html", form=form)
    known = _known(link) or typed_date(visit.typed.get("birth_date", ""))
    if known is None:
        form.errors["birth_date"] = NO_DATE
        return link.render("own_birth_date.html", 422, form=form)
    try:
        own = await _own(link, known)
    except Refusal as refusal:
        if not refusal.violations:
            raise
        form.take_errors(refusal, "")
        return link.render("own_birth_date.html", 422, form=form)
    opened = editing.opened(visit, own.form, own.etag, _CONTACT)
    return link.render("own_data.html", own=own, editing=opened, known=_sealed(link, known))


async def save(link: LinkVisit) -> Response:
    """Stores what was corrected."""
    visit = link.visit
    known = _known(link)
    if known is None:
        return visit.redirect(link.path("own"))
    own = await _own(link, known)

    meant: list[AddressSuggestion] = []

    async def send(request_id: str, etag: str, paths: Sequence[str], form: CustomerForm) -> None:
        request = UpdateOwnContactDataRequest(
            token=link.token, birth_date=known, request_id=request_id, etag=etag, form=form
        )
        request.update_mask.paths.extend(paths)
        saved = await visit.call(visit.site.api.customership_links.UpdateOwnContactData, request)
        meant.extend(saved.address_suggestions)

    unsaved = await editing.save(visit, own.form, own.etag, send, _CONTACT)
    if unsaved is None:
        return link.render("own_saved.html", known=_sealed(link, known), meant=meant)
    return link.render("own_data.html", unsaved.status, own=own, editing=unsaved, known=_sealed(link, known))


async def show_uses(link: LinkVisit) -> Response:
    """Who has looked at or changed the data."""
    visit = link.visit
    known = _known(link)
    if known is None:
        return visit.redirect(link.path("own"))
    request = ListOwnUsesRequest(
        token=link.token, birth_date=known, page_token=visit.typed.get("page", "")[:200]
    )
    found: ListOwnUsesResponse = await visit.call(visit.site.api.customership_links.ListOwnUses, request)
    return link.render("own_uses.html", found=found, known=_sealed(link, known))


async def _own(link: LinkVisit, known: Date) -> GetOwnContactDataResponse:
    visit = link.visit
    request = GetOwnContactDataRequest(token=link.token, birth_date=known)
    return await visit.call(visit.site.api.customership_links.GetOwnContactData, request)


def _sealed(link: LinkVisit, known: Date) -> str:
    """The date that was right, for the forms of the next page: it stands in no address and no cookie."""
    value = f"{link.handle} {known.day}.{known.month}.{known.year}"
    return link.visit.site.seal.seal(_PURPOSE, value.encode(), _LIFETIME)


def _known(link: LinkVisit) -> Date | None:
    value = link.visit.site.seal.unseal(_PURPOSE, link.visit.typed.get("known", ""))
    handle, _, day = (value or b"").decode().partition(" ")
    return typed_date(day) if handle == link.handle else None


PAGES = (
    link_page(NAME, "own", ask, show),
    link_page(NAME, "own/save", None, save),
    link_page(NAME, "own/uses", None, show_uses),
)
