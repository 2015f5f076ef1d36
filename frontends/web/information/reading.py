"""The reader's own settings, in cookies: size, spacing, typeface, colours, and the language."""

from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from frontends.web.language import LANGUAGES
from frontends.web.pages import Visit

_CHOICES = {
    "size": ("", "large", "largest"),
    "spacing": ("", "loose"),
    "face": ("", "serif"),
    "theme": ("", "light", "dark"),
}
_YEAR = 365 * 24 * 3600


async def show(visit: Visit) -> Response:
    """The settings as they are."""
    return visit.render("information/reading.html", chosen=set(visit.reading.split()))


async def change(visit: Visit) -> Response:
    """Keeps the settings in a cookie."""
    if visit.switches_language:
        return await show(visit)
    chosen = [
        value for name, values in _CHOICES.items() if (value := visit.typed.get(name, "")) in values and value
    ]
    visit.set_cookie("reading", " ".join(chosen), _YEAR)
    return visit.redirect("/reading")


async def choose_language(visit: Visit) -> Response:
    """Changes the language, and goes back to the page."""
    language, back = visit.part("language"), visit.request.query_params.get("to", "/")
    parts = urlsplit(back)
    if parts.scheme or parts.netloc or not back.startswith("/") or "\\" in back or back.startswith("//"):
        back = "/"
    response = RedirectResponse(back, 303)
    if language in LANGUAGES:
        visit.set_cookie("language", language, _YEAR)
    return response
