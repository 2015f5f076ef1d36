"""Pages: their addresses, who may enter, and what happens around each view."""

import hashlib
import json
import re
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import Any, TypeVar

import grpc
import structlog
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from frontends.client import TIMEOUT, Api
from frontends.refusals import Refusal
from frontends.web import measures, refusal_pages
from frontends.web.config import WebConfig
from frontends.web.guards import comes_from_here
from frontends.web.language import LANGUAGES, preferred
from frontends.web.sealing import Seal
from frontends.web.sessions import WebSession
from frontends.web.templating import Templates
from liity.v1.reason_pb2 import REASON_SESSION_ENDED, REASON_TOKEN_EXPIRED, REASON_UNAUTHENTICATED

log = structlog.get_logger()

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

_TOLD = "told"
_TOLD_LIFETIME = timedelta(minutes=1)
_UNPROCESSABLE = 422
_YEAR = 365 * 24 * 3600
_DRAFT = "draft of an account"
_DRAFT_LIFETIME = timedelta(hours=1)
_FORM_LIFETIME = timedelta(days=1)
_FIELD_NAME = re.compile(r"[a-z_.]{1,80}")
"""Names of fields, without those that stand for a row of a file: each is a time series."""

_NEVER_KEPT = frozenset({"password", "form_token", "switch_language", "held_file"})
"""Fields that no page sends back."""

_LARGEST_FIELD = 20_000
_LARGEST_HELD_FILE = 700 * 1024
"""Characters of a file of 512 KiB, sealed."""

_MOST_FIELDS = 500
LARGEST_BODY = _LARGEST_HELD_FILE + 704 * 1024
"""Bytes of a whole form. A file may be somewhat larger than the API takes, whose refusal tells what to do."""

_LOGGED_OUT = frozenset({REASON_TOKEN_EXPIRED, REASON_SESSION_ENDED, REASON_UNAUTHENTICATED})


class Who(Enum):
    """Who may enter a page."""

    ANYBODY = "anybody"
    ACCOUNT = "anybody who is logged in"
    REGISTRAR = "registrars and main users of the chosen unit"
    MAIN_USER = "main users of the chosen unit"
    CUSTOMER_SERVICE = "customer service"


@dataclass(frozen=True)
class Page:
    """An address, who may enter, and its views."""

    path: str
    who: Who
    show: "View | None" = None
    """Answers GET and HEAD; changes nothing."""
    send: "View | None" = None
    """Answers POST."""
    is_of_nobody: bool = False
    """Whether a POST acts for no session: it needs no token, and works in a browser without cookies."""
    changes_nothing: bool = False
    """Whether a POST changes nothing: such a form needs no token, and works in a browser without cookies."""
    holds_file: bool = False
    """Whether a form of the page may hold a sealed file in a field."""


class Visit:
    """One request of a browser: who it is, what was typed, and the way to the gateway and back."""

    def __init__(self, site: "Site", page: Page, request: Request) -> None:
        self.site = site
        self.page = page
        self.request = request
        self.language = _language(request, site.cookie("language"))
        self.session: WebSession | None = None
        self.typed: Mapping[str, str] = {}
        self.files: Mapping[str, UploadFile] = {}
        self.switches_language = False
        """Whether the form was sent to change the language: it is shown again, and nothing is done."""
        self._browser = request.cookies.get(site.cookie("browser"), "")
        self._typist = ("", "")
        """The account and the unit for which the form was shown that was sent."""
        self._cookies: dict[str, tuple[str, int]] = {}
        self._is_refused = False
        self._shown_at: int | None = None
        """When the form that was sent was shown, in Unix time."""

    # What is asked

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    @property
    def unit(self) -> str:
        """`units/{unit}`: the unit acted for; empty if none is chosen."""
        return self.session.unit if self.session else ""

    @property
    def opened(self) -> WebSession:
        """The session of a page that only accounts enter."""
        if self.session is None:
            raise LookupError("The page is open to anybody")
        return self.session

    @property
    def request_id(self) -> str:
        """The form's request ID: the same for every repetition of one act (AIP-155)."""
        try:
            return str(uuid.UUID(self.typed.get("request_id", "")))
        except ValueError:
            return str(uuid.uuid4())

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        *,
        language: str = "",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - it is gRPC's deadline
    ) -> ResponseT:
        """Calls the gateway for this browser's session, if it has one. Raises its `Refusal`.

        `language` is that of the answer, if not the page's; `timeout` is in seconds.
        """
        token = self.session.session.access_token if self.session else ""
        return await self.site.api.send(
            method,
            request,
            language or self.language,
            access_token=token,
            forwarded_for=self.forwarded_for,
            timeout=timeout,
        )

    @property
    def forwarded_for(self) -> str:
        """The address of the browser, after those that a proxy before us has told."""
        # A proxy may add a line of its own: of several, the last is the one to trust first.
        told = self.request.headers.getlist("x-forwarded-for")
        own = self.request.client.host if self.request.client else ""
        return ", ".join(filter(None, (*told, own)))

    # What is answered

    def render(self, template: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401
        """A page from a template."""
        self._is_refused = status == _UNPROCESSABLE
        if self._is_refused:
            self._count_errors(values)
        given = {
            "visit": self,
            "session": self.session,
            "config": self.site.config,
            "language": self.language,
            "languages": LANGUAGES,
            "typed": self.typed,
            "reading": self.reading,
            "path": self.request.url.path,
            "here": self._here,
            "status": status,
            "wrong": self._is_refused,
            "told": self._told(),
        }
        html = self.site.templates.render(template, self.language, given | values)
        return Response(html, status, media_type="text/html")

    def _count_errors(self, values: Mapping[str, Any]) -> None:
        form = values.get("form")
        errors = values.get("errors", {}) if form is None else form.errors
        for name in filter(_FIELD_NAME.fullmatch, errors):
            measures.FIELD_ERRORS.labels(self.page.path, name).inc()

    @property
    def _here(self) -> str:
        """The address to come back to after a change of the language: also to a filtered list."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query and self.request.method == "GET" else url.path

    @property
    def reading(self) -> str:
        """The reader's settings, as classes of the page."""
        return self.request.cookies.get(self.site.cookie("reading"), "")

    def redirect(self, path: str) -> Response:
        """To another page of ours, by GET."""
        return RedirectResponse(path, 303)

    def form_token(self) -> str:
        """A token that only a form shown to this browser has."""
        if not self._browser:
            self._browser = secrets.token_urlsafe(16)
            self.set_cookie("browser", self._browser, _YEAR)
        account = self.session.email if self.session else ""
        token = f"{self._browser}\n{account}\n{self.unit}\n{int(time.time())}"
        return self.site.seal.seal("form", token.encode(), _FORM_LIFETIME)

    def new_request_id(self) -> str:
        """The request ID for a form: the one typed, so that a form shown again repeats its act.

        After a refusal it is a new one: what is corrected is another act, and the API answers a repeated one
        as it did the first time.
        """
        return str(uuid.uuid4()) if self._is_refused else self.request_id

    def set_cookie(self, name: str, value: str, max_age: int) -> None:
        """Sets a cookie that only our server reads. Zero seconds delete it."""
        self._cookies[self.site.cookie(name)] = (value, max_age)

    def tell(self, lines: Sequence[tuple[str, str]]) -> None:
        """Tells labels and texts on the page that comes next, once."""
        if lines:
            sealed = self.site.seal.seal(self._told_to, json.dumps(lines).encode(), _TOLD_LIFETIME)
            self.set_cookie(_TOLD, sealed, int(_TOLD_LIFETIME.total_seconds()))

    @property
    def _told_to(self) -> str:
        """The purpose of the seal: at a shared desk, nobody is told what another account has done."""
        return f"told to {self.session.email if self.session else ''}"

    def _told(self) -> Sequence[tuple[str, str]]:
        """What the act before has told."""
        sealed = self.request.cookies.get(self.site.cookie(_TOLD), "")
        told = self.site.seal.unseal(self._told_to, sealed) if sealed else None
        if sealed and self.site.cookie(_TOLD) not in self._cookies:
            self.set_cookie(_TOLD, "", 0)
        lines: list[tuple[str, str]] = json.loads(told) if told is not None else []
        return lines

    def open_session(self, session: WebSession) -> None:
        """Keeps a session in the browser."""
        self.session = session
        lifetime = int(session.lifetime.total_seconds())
        self.set_cookie("session", session.sealed(self.site.seal), lifetime)

    def close_session(self) -> None:
        """Forgets the session."""
        self.session = None
        self.set_cookie("session", "", 0)

    def finish(self, response: Response) -> Response:
        """The response with the cookies of this visit, which is counted."""
        page, status = self.page.path, str(response.status_code)
        measures.REQUESTS.labels(page, self.request.method, status).inc()
        if self._shown_at is not None:
            measures.FORM_SECONDS.labels(page, status).observe(time.time() - self._shown_at)
        for name, (value, max_age) in self._cookies.items():
            response.set_cookie(
                name, value, max_age=max_age, secure=self.site.config.is_https, httponly=True, samesite="lax"
            )
        return response

    # Around a view

    async def run(self) -> Response:
        """Runs the page's view, once it is clear who asks."""
        try:
            return await self._guarded()
        except Refusal as refusal:
            if refusal.reason in _LOGGED_OUT and self.page.who is not Who.ANYBODY:
                self.close_session()
                return self._ask_to_log_in()
            return self.refused(refusal)

    def refused(self, refusal: Refusal) -> Response:
        """The page for a refusal of the gateway that no field of a form has caused."""
        again = self.kept() if self.request.method == "POST" else {}
        return refusal_pages.show(self, refusal, again)

    async def _guarded(self) -> Response:
        await self._read_session()
        if self.request.method == "POST":
            wrong = await self._read_form()
            if wrong is not None:
                return wrong
        if self.page.who is not Who.ANYBODY:
            refused = self._as_typist() or self._admit()
            if refused is not None:
                return refused
        view = self.page.send if self.request.method == "POST" else self.page.show
        if view is None:
            return self.redirect("/")
        return await view(self)

    async def _read_session(self) -> None:
        cookie = self.request.cookies.get(self.site.cookie("session"), "")
        session = WebSession.unsealed(self.site.seal, cookie) if cookie else None
        if session is not None and session.is_stale:
            try:
                session = await session.renewed(self.site.api, self.language, self.forwarded_for)
            except Refusal as refusal:
                if refusal.code is grpc.StatusCode.UNAVAILABLE:
                    raise
                session = None
            else:
                self.open_session(session)
        self.session = session

    async def _read_form(self) -> Response | None:
        """Reads what was sent. A response if it cannot be from one of our forms."""
        largest = _LARGEST_HELD_FILE if self.page.holds_file else _LARGEST_FIELD
        try:
            form: FormData = await self.request.form(
                max_files=1, max_fields=_MOST_FIELDS, max_part_size=largest
            )
        except ClientDisconnect:
            # Its sender is gone, or so slow that the server has given up.
            raise HTTPException(408) from None
        self.typed = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        self.files = {name: value for name, value in form.multi_items() if isinstance(value, UploadFile)}
        if not comes_from_here(self.request, self.site.config.origin):
            log.warning("form from elsewhere", path=self.page.path)
            return self.render("not_from_here.html", 403)
        needs_token = not (self.page.changes_nothing or self.page.is_of_nobody)
        if needs_token and not (self._has_form_token() or self._has_link()):
            return self.render("send_again.html", 403, kept=self.kept(), why="old")
        language = self.typed.get("switch_language", "")
        if language in LANGUAGES:
            self.language, self.switches_language = language, True
            self.set_cookie("language", language, _YEAR)
        return None

    def _has_form_token(self) -> bool:
        token = self.site.seal.unseal("form", self.typed.get("form_token", "")) or b""
        browser, _, typist = token.decode().partition("\n")
        if not self._browser or browser != self._browser:
            return False
        account, unit, shown = (*typist.split("\n"), "")[:3]
        self._typist = account, unit
        self._shown_at = int(shown) if shown else None
        return True

    def _has_link(self) -> bool:
        """Whether the form carries a mailed link: who has none cannot make up such a form."""
        return self.site.seal.unseal("link", self.typed.get("link", "")) is not None

    def kept(self) -> Mapping[str, str]:
        """What was typed and may be sent again."""
        return {name: value for name, value in self.typed.items() if name not in _NEVER_KEPT}

    def _as_typist(self) -> Response | None:
        """Acts for the unit that the form was shown for: another tab may have chosen another one.

        A response if another account has logged in meanwhile, or the unit is no longer the account's.
        """
        account, unit = self._typist
        if self.session is None or not account:
            return None
        if account.casefold() != self.session.email.casefold():
            return self.render("other_account.html", 403)
        if unit not in {"", self.unit}:
            if not any(each.unit == unit for each in self.session.session.memberships):
                return self.render("no_right.html", 403)
            self.open_session(with_unit(self.session, unit))
        return None

    def _admit(self) -> Response | None:
        session, who = self.session, self.page.who
        if session is None:
            return self._ask_to_log_in()
        allowed = {
            Who.ACCOUNT: True,
            Who.REGISTRAR: bool(session.unit),
            Who.MAIN_USER: session.is_main_user,
            Who.CUSTOMER_SERVICE: session.is_customer_service,
        }[who]
        if allowed:
            return None
        if who is Who.REGISTRAR and len(session.session.memberships) > 0:
            return self.redirect("/unit")
        return self.render("no_right.html", 403)

    def _ask_to_log_in(self) -> Response:
        """The log-in page, which brings back to this page what was typed here."""
        draft = Draft(self.request.url.path, self.kept(), *self._typist).sealed(self.site.seal)
        # A file is too large to be kept in a field.
        lost_file = bool(self.files) or "held_file" in self.typed
        status = {"was_open": True, "was_sent": self.request.method == "POST", "lost_file": lost_file}
        return self.render("accounts/log_in.html", 401, draft=draft, **status)


View = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True)
class Draft:
    """What was typed on a page before a log-in, for an hour."""

    path: str
    typed: Mapping[str, str] = field(default_factory=dict)
    account: str = ""
    """The address of whose it is; empty if nothing was typed."""
    unit: str = ""
    """The unit acted for; may be empty."""

    def is_of(self, email: str) -> bool:
        """Whether it may be given to who logs in with that address: a desk may be shared."""
        return not self.account or self.account.casefold() == email.casefold()

    def sealed(self, seal: Seal) -> str:
        """The draft as a form field."""
        lines = [self.path, self.account, self.unit, *(part for pair in self.typed.items() for part in pair)]
        return seal.seal(_DRAFT, "\x00".join(lines).encode(), _DRAFT_LIFETIME)

    @classmethod
    def unsealed(cls, seal: Seal, text: str) -> "Draft | None":
        """The draft of a form field; None if there is none, or it is too old."""
        value = seal.unseal(_DRAFT, text) if text else None
        if value is None:
            return None
        path, account, unit, *parts = value.decode().split("\x00")
        return cls(path, dict(zip(parts[::2], parts[1::2], strict=True)), account, unit)


class Site:
    """What all pages share."""

    def __init__(self, config: WebConfig, api: Api, seal: Seal, templates: Templates) -> None:
        self.config = config
        self.api = api
        self.seal = seal
        self.templates = templates

    def cookie(self, name: str) -> str:
        """The full name of a cookie. Over HTTPS, no other host can set it."""
        return f"__Host-liity-{name}" if self.config.is_https else f"liity-{name}"

    def routes(self, pages: Sequence[Page]) -> list[Route]:
        """The routes of pages."""
        return [self._route(page) for page in pages]

    def _route(self, page: Page) -> Route:
        async def answer(request: Request) -> Response:
            visit = Visit(self, page, request)
            return visit.finish(await visit.run())

        methods = [*(["GET"] if page.show else []), *(["POST"] if page.send else [])]
        # A form's address without the form leads to the beginning, as after a reload in a new tab.
        return Route(page.path, answer, methods=[*methods, *([] if page.show else ["GET"])])


def with_unit(session: WebSession, unit: str) -> WebSession:
    """The session, acting for another of its units."""
    return replace(session, unit=unit)


def fingerprint(content: bytes) -> str:
    """A short hash of a file's content, for its address."""
    return hashlib.sha256(content).hexdigest()[:12]


def _language(request: Request, cookie: str) -> str:
    chosen = request.cookies.get(cookie, "")
    return chosen if chosen in LANGUAGES else preferred(request.headers.get("accept-language", ""))
