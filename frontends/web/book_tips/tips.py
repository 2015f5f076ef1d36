"""Reading and editing the book tips of one language, with a look at the mail before they are saved."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import LANGUAGES, N_
from frontends.web.pages import Visit
from liity.v1.book_tips_service_pb2 import BookTip, BookTips, GetBookTipsRequest, UpdateBookTipsRequest

_FIELDS = ("title", "author", "narrator", "url", "text")
_MOST = 10
_SPARE = 2
"""Empty places below the tips there are."""

_READ_BY: Mapping[str, str] = {"fi": "Lukija", "sv": "Inläsare", "en": "Read by"}
_HEADING: Mapping[str, str] = {"fi": "Kirjavinkkejä", "sv": "Boktips", "en": "Book tips"}
"""Words of the mail, in its language, whatever that of the page."""

_NAMES: Mapping[str, str] = {"fi": N_("Finnish"), "sv": N_("Swedish"), "en": N_("English")}


async def show_languages(visit: Visit) -> Response:
    """The languages, each with its titles."""
    found = await asyncio.gather(*(_get(visit, language) for language in LANGUAGES))
    return visit.render("book_tips/languages.html", found=dict(zip(LANGUAGES, found, strict=True)))


async def show(visit: Visit) -> Response:
    """The tips as the mail shows them."""
    language = visit.part("language")
    if language not in LANGUAGES:
        return visit.redirect("/book-tips")
    is_saved = visit.request.query_params.get("done") == "saved"
    tips = await _get(visit, language)
    return _render(visit, "one.html", tips=tips, is_saved=is_saved)


async def show_form(visit: Visit) -> Response:
    """The tips, to be edited."""
    language = visit.part("language")
    if language not in LANGUAGES:
        return visit.redirect("/book-tips")
    tips = await _get(visit, language)
    values = {
        f"tips.{place}.{name}": getattr(tip, name) for place, tip in enumerate(tips.tips) for name in _FIELDS
    }
    return _form(visit, len(tips.tips), values, tips.etag)


async def edit(visit: Visit) -> Response:
    """Shows the tips as the mail will, and then saves them."""
    if visit.part("language") not in LANGUAGES:
        return visit.redirect("/book-tips")
    act, is_preview = visit.typed.get("act", ""), visit.typed.get("step") == "preview"
    places = _typed_places(visit.typed)
    if act == "change" or (visit.switches_language and not is_preview):
        return _typed_form(visit)
    errors = {
        f"tips.{place}.title": N_("Write the title of the book.")
        for place in places
        if not visit.typed.get(f"tips.{place}.title", "").strip()
    }
    errors |= {
        f"tips.{place}.url": N_("Write an address that begins with https://.")
        for place in places
        if (url := visit.typed.get(f"tips.{place}.url", "").strip()) and not url.startswith("https://")
    }
    if not places:
        errors["tips.0.title"] = N_("Write at least one tip.")
    if errors:
        return _typed_form(visit, errors)
    tips = BookTips(
        name=f"bookTips/{visit.part('language')}",
        etag=visit.typed.get("etag", ""),
        tips=[_typed_tip(visit.typed, place) for place in places],
    )
    if act != "save" or visit.switches_language:
        kept = {name: value for name, value in visit.kept().items() if name != "act"}
        return _render(visit, "preview.html", tips=tips, kept=kept)
    return await _save(visit, tips)


async def _save(visit: Visit, tips: BookTips) -> Response:
    request = UpdateBookTipsRequest(request_id=visit.request_id, book_tips=tips)
    try:
        await visit.call(visit.site.api.book_tips.UpdateBookTips, request)
    except Refusal as refusal:
        if isinstance(refusal.detail, BookTips):
            general = [N_("Somebody else has changed the tips meanwhile. Theirs stand below your own.")]
            return _typed_form(visit, {}, general, refusal.detail)
        if not refusal.violations:
            raise
        # The gateway tells which field is wrong, not of which tip.
        return _typed_form(visit, {}, [text for _, _, text in refusal.violations])
    return visit.redirect(f"/{tips.name.replace('bookTips', 'book-tips')}?done=saved")


def _typed_places(typed: Mapping[str, str]) -> Sequence[int]:
    """The places of the form in which something is typed, in the order of the mail."""
    filled = [
        place
        for place in range(_MOST)
        if any(typed.get(f"tips.{place}.{name}", "").strip() for name in _FIELDS)
    ]

    def position(place: int) -> tuple[int, int]:
        number = typed.get(f"tips.{place}.position", "").strip()
        return int(number) if re.fullmatch(r"\d{1,3}", number, re.ASCII) else place + 1, place

    return sorted(filled, key=position)


def _typed_tip(typed: Mapping[str, str], place: int) -> BookTip:
    # A tip has no line breaks.
    return BookTip(**{name: " ".join(typed.get(f"tips.{place}.{name}", "").split()) for name in _FIELDS})


def _typed_form(
    visit: Visit,
    errors: Mapping[str, str] | None = None,
    general: Sequence[str] = (),
    theirs: BookTips | None = None,
) -> Response:
    """The form as typed. Saved after `theirs` were shown, it replaces them."""
    etag = theirs.etag if theirs else visit.typed.get("etag", "")
    count = max(_typed_places(visit.typed), default=-1) + 1
    return _form(visit, count, visit.typed, etag, errors=errors or {}, general=general, tips=theirs)


def _form(
    visit: Visit,
    count: int,
    values: Mapping[str, str],
    etag: str,
    *,
    errors: Mapping[str, str] = MappingProxyType({}),
    general: Sequence[str] = (),
    tips: BookTips | None = None,
) -> Response:
    return _render(
        visit,
        "edit.html",
        422 if errors or general else 200,
        values=values,
        places=range(min(_MOST, count + _SPARE)),
        etag=etag,
        errors=errors,
        general=general,
        tips=tips,
    )


def _render(visit: Visit, template: str, status: int = 200, **values: object) -> Response:
    language = visit.part("language")
    return visit.render(
        f"book_tips/{template}",
        status,
        tips_language=language,
        language_name=_NAMES[language],
        read_by=_READ_BY[language],
        heading=_HEADING[language],
        **values,
    )


async def _get(visit: Visit, language: str) -> BookTips:
    request = GetBookTipsRequest(name=f"bookTips/{language}")
    return (await visit.call(visit.site.api.book_tips.GetBookTips, request)).book_tips
