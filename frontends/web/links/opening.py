"""Opening a mailed link: the token leaves the address at once, for a sealed cookie.

A GET changes nothing, as programs that check mail follow every link. Each link has a cookie of its own, so
that two links in two tabs do not meet.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.pages import Page, View, Visit, Who
from liity.v1.reason_pb2 import (
    REASON_LINK_EXPIRED,
    REASON_LINK_INVALID,
    REASON_LINK_USED,
    REASON_LINK_VOID,
    Reason,
)

_LIFETIME = timedelta(hours=2)

_LONGEST = 2500
"""Bytes of a pasted link that are kept: what the gateway takes, and a cookie can hold when sealed."""

_SHORTEST_TOKEN = 40
_SEPARATORS = "/#%"

_OLD_LINKS: Mapping[Reason.ValueType, str] = {
    REASON_LINK_INVALID: "invalid",
    REASON_LINK_EXPIRED: "expired",
    REASON_LINK_USED: "used",
    REASON_LINK_VOID: "void",
}


class LinkVisit:
    """A visit with a mailed link."""

    def __init__(self, visit: Visit, name: str, token: str) -> None:
        self.visit = visit
        self.name = name
        self.token = token
        self.handle = visit.request.path_params["handle"]

    def path(self, step: str = "") -> str:
        """The address of a step of this link's pages."""
        return f"/{self.name}/open/{self.handle}" + (f"/{step}" if step else "")

    def render(self, template: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401
        """A page whose forms carry the link, for browsers without cookies."""
        sealed = self.visit.site.seal.seal("link", self.token.encode(), _LIFETIME)
        # Without the header of who may be logged in here: the link is somebody else's, or of another role.
        given = {"link": self, "sealed_link": sealed, "session": None}
        return self.visit.render(f"links/{template}", status, **given, **values)


LinkView = Callable[[LinkVisit], Awaitable[Response]]


def opening_pages(*names: str) -> list[Page]:
    """The addresses that stand in mail, for each kind of link."""
    pages: list[Page] = []
    for name in names:
        pages += [
            Page(f"/{name}", Who.ANYBODY, _by_fragment(name), _pasted(name), changes_nothing=True),
            Page(f"/{name}{{rest:path}}", Who.ANYBODY, show=_opened(name)),
        ]
    return pages


def link_page(name: str, step: str, show: LinkView | None, send: LinkView | None = None) -> Page:
    """A page of an opened link."""
    path = f"/{name}/open/{{handle}}" + (f"/{step}" if step else "")
    return Page(path, Who.ANYBODY, _with_link(name, show), _with_link(name, send))


def _opened(name: str) -> View:
    async def view(visit: Visit) -> Response:
        """A mailed link, also with what gateways and people put around its token: `/consent%23TOKEN`."""
        rest = visit.part("rest")
        if rest[:1] not in _SEPARATORS:
            raise HTTPException(404)
        if not rest.strip(_SEPARATORS):
            return visit.redirect(f"/{name}")
        return _open(visit, name, rest + visit.request.url.query)

    return view


def _by_fragment(name: str) -> View:
    async def view(visit: Visit) -> Response:
        """Links of earlier releases had the token in the fragment, which only a script can read.

        Some gateways put a fragment into the query.
        """
        query = visit.request.url.query
        if len(query) >= _SHORTEST_TOKEN:
            return _open(visit, name, query)
        return visit.render("links/by_fragment.html")

    return view


def _open(visit: Visit, name: str, text: str) -> Response:
    handle, _ = _keep(visit, text)
    return visit.redirect(f"/{name}/open/{handle}")


def _keep(visit: Visit, text: str) -> tuple[str, str]:
    """Keeps a text that holds a token in a cookie; returns its handle, and the sealed text.

    The gateway finds the token in it.
    """
    handle = secrets.token_urlsafe(9)
    sealed = visit.site.seal.seal("link", text.encode()[:_LONGEST], _LIFETIME)
    visit.set_cookie(f"link-{handle}", sealed, int(_LIFETIME.total_seconds()))
    return handle, sealed


def _pasted(name: str) -> View:
    async def view(visit: Visit) -> Response:
        """A link pasted from a mail: for browsers that keep no cookies, and for links that were cut."""
        pasted = visit.typed.get("pasted", "").strip()
        if not pasted or visit.switches_language:
            return visit.render("links/by_fragment.html", 200 if visit.switches_language else 422)
        handle, sealed = _keep(visit, pasted)
        return visit.render("links/opened.html", action=f"/{name}/open/{handle}", sealed_link=sealed)

    return view


def _with_link(name: str, view: LinkView | None) -> View | None:
    if view is None:
        return None

    async def answer(visit: Visit) -> Response:
        sealed = visit.typed.get("link", "") or visit.request.cookies.get(
            visit.site.cookie(f"link-{visit.part('handle')}"), ""
        )
        token = visit.site.seal.unseal("link", sealed)
        if token is None:
            return visit.render("links/by_fragment.html", 200)
        link = LinkVisit(visit, name, token.decode(errors="ignore"))
        try:
            return await view(link)
        except Refusal as refusal:
            if refusal.reason not in _OLD_LINKS:
                raise
            return link.render("old.html", 410, why=_OLD_LINKS[refusal.reason], refusal=refusal)

    return answer
