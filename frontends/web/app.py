"""The application: the pages of every role, and what surrounds them."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from frontends.client import Api
from frontends.web import (
    accounts,
    audit,
    book_tips,
    class_lists,
    customers,
    feedback,
    information,
    links,
    messages,
    registrations,
    same_address,
    units,
    worklist,
)
from frontends.web.config import WebConfig
from frontends.web.middleware import AccessLog, BodyLimit, Headers
from frontends.web.pages import LARGEST_BODY, Page, Site, Visit, Who, fingerprint
from frontends.web.sealing import Seal
from frontends.web.templating import Templates

_STATIC = Path(__file__).parent / "static"
_BAD_REQUEST, _TOO_LARGE = 400, 413
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

PAGES: tuple[Page, ...] = (
    *accounts.PAGES,
    *registrations.PAGES,
    *customers.PAGES,
    *same_address.PAGES,
    *class_lists.PAGES,
    *messages.PAGES,
    *worklist.PAGES,
    *units.PAGES,
    *book_tips.PAGES,
    *audit.PAGES,
    *links.PAGES,
    *feedback.PAGES,
    *information.PAGES,
)
"""Every page. A path that is not here is answered by 404."""


def create_app(config: WebConfig, seal: Seal) -> tuple[Starlette, Api]:
    """The application, and its channel to the gateway, which the caller closes."""
    files = {path.name: path.read_bytes() for path in sorted(_STATIC.iterdir())}
    # The address changes with the content, so that browsers may keep files for ever.
    addresses = {name: f"/static/{fingerprint(content)}-{name}" for name, content in files.items()}
    api = Api(config.gateway, config.gateway_ca)
    site = Site(config, api, seal, Templates(addresses))
    routes: list[BaseRoute] = [
        *(_file(addresses[name], name, content) for name, content in files.items()),
        Route("/healthz", _health),
        *site.routes(PAGES),
    ]
    missing = Page("", Who.ANYBODY)

    async def answer_error(request: Request, error: Exception) -> Response:
        visit = Visit(site, missing, request)
        status = error.status_code if isinstance(error, HTTPException) else 500
        # What Starlette says of a form with too many or too large fields.
        status = _TOO_LARGE if status == _BAD_REQUEST else status
        response = visit.render("error.html", status)
        # Which methods there are, says the answer to another one.
        response.headers.update((error.headers or {}) if isinstance(error, HTTPException) else {})
        return visit.finish(response)

    middleware = [
        # Outermost, so that what the others answer by themselves is logged and has the headers too.
        Middleware(AccessLog),
        Middleware(Headers, is_https=config.is_https),
        # Starlette's own one is outside of all these: its answer to a fault would have no headers.
        Middleware(ServerErrorMiddleware, handler=answer_error),
        # Before anything reads a body. A file arrives as it is, and another one may be sealed in a field.
        Middleware(BodyLimit, most=LARGEST_BODY),
        Middleware(GZipMiddleware, minimum_size=1000),
    ]
    handlers = {HTTPException: answer_error}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers), api


def _file(address: str, name: str, content: bytes) -> Route:
    async def answer(_request: Request) -> Response:
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(content, media_type=_TYPES[Path(name).suffix], headers=headers)

    return Route(address, answer)


async def _health(_request: Request) -> Response:
    return PlainTextResponse("ok")
