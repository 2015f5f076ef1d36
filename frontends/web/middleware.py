"""What surrounds every request; `app.py` gives the order and its reasons."""

import time

import structlog
from starlette.datastructures import Headers as RequestHeaders
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: with it, browsers send a form with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


class Headers:
    """Adds the headers that every answer has, errors and files included."""

    def __init__(self, app: ASGIApp, is_https: bool) -> None:
        self._app = app
        self._is_https = is_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                headers.append("Vary", "Cookie, Accept-Language")
                if self._is_https:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


_MOST_DISCARDED = 16 * 1024 * 1024
"""Bytes of too large a body that are still read: a browser shows no answer before it has sent all."""


class BodyLimit:
    """Refuses a body of more than `most` bytes: 413, with the application's own page.

    Starlette's middleware of this kind answers a line of plain text instead.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = RequestHeaders(scope=scope).get("content-length", "")
        is_too_large = declared.isdecimal() and int(declared) > self._most
        seen = 0

        async def receive_some() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if not is_too_large and seen <= self._most:
                return message
            while message.get("more_body") and seen < _MOST_DISCARDED:
                message = await receive()
                seen += len(message.get("body", b""))
            raise HTTPException(413)

        await self._app(scope, receive_some, send)


class AccessLog:
    """Logs each request: the pattern of its path, never the path, which may hold a mailed link's token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, and logs it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            route = scope.get("route")
            log.info(
                "request",
                method=scope["method"],
                path=getattr(route, "path", "unknown"),
                status=status,
                milliseconds=round((time.perf_counter() - began) * 1000, 1),
            )
