"""The log-in page of the codec server: Temporal UI does not know Liity's accounts."""

import tomllib
from pathlib import Path
from urllib.parse import parse_qs

import grpc
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from liity.v1.auth_service_pb2 import LogInRequest, Session
from liity.v1.auth_service_pb2_grpc import AuthServiceStub
from liity.v1.customer_form_pb2 import Language
from services.codec.admission import Admission
from services.codec.http import body_of, caller_address, http_status, malformed
from services.codec.settings import CodecSettings
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.texts import language_of, reason_text

_HERE = Path(__file__).parent
_TEXTS = tomllib.loads((_HERE / "texts.toml").read_text("utf-8"))
_PAGES = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)

_LARGEST_FORM = 16 * 1024
_MOST_FIELDS = 10
_TIMEOUT = 10.0


class LogInPage:
    """Logs in at the gateway, as any frontend does, and stores the access token in a cookie."""

    def __init__(self, settings: CodecSettings, admission: Admission, gateway: grpc.aio.Channel) -> None:
        self._admission = admission
        self._settings = settings
        self._auth = AuthServiceStub(gateway)

    async def show(self, request: Request) -> Response:
        """The log-in form; for an account that is logged in, links back to the UI and out."""
        try:
            account = await self._admission.logged_in(request)
        except Refusal:
            return self._page(request)
        return self._page(request, name=account.display_name)

    async def log_in(self, request: Request) -> Response:
        """Handles the form."""
        self._admission.require_own_page(request)
        form = await _form(request)
        email = form.get("email", "")
        try:
            session = await self._open_session(request, email, form.get("password", ""))
            await self._admission.account(session.access_token)
        except Refusal as refusal:
            problem = reason_text(refusal.reason, _language(request))
            return self._page(request, http_status(refusal), problem=problem, email=email)
        response = _to_page()
        self._admission.remember(response, session)
        return response

    async def log_out(self, request: Request) -> Response:
        """Logs out: deletes the cookie."""
        self._admission.require_own_page(request)
        response = _to_page()
        self._admission.forget(response)
        return response

    async def _open_session(self, request: Request, email: str, password: str) -> Session:
        """Logs in; only the access token is kept, so the session cannot be refreshed from here.

        The session is not revoked, as its access token is valid only as long as the session lives.
        """
        # Append the caller as proxies do: the gateway decides which proxies it trusts, and counts log-ins.
        forwarded = ", ".join((*request.headers.getlist("X-Forwarded-For"), caller_address(request)))
        # A browser may send anything in it; gRPC raises for what is not printable ASCII.
        printable = forwarded.encode("ascii", "replace").decode().replace("\t", " ")
        metadata = (("x-request-id", current_actor().trace_id), ("x-forwarded-for", printable))
        try:
            answer = await self._auth.LogIn(
                LogInRequest(email=email, password=password), metadata=metadata, timeout=_TIMEOUT
            )
        except grpc.aio.AioRpcError as error:
            raise Refusal.from_rpc_error(error) from None
        return answer.session

    def _page(
        self, request: Request, status: int = 200, *, name: str = "", problem: str = "", email: str = ""
    ) -> Response:
        locale = Language.Name(_language(request)).removeprefix("LANGUAGE_").lower()
        html = _PAGES.get_template("log_in.html").render(
            locale=locale,
            texts=_TEXTS[locale],
            name=name,
            problem=problem,
            email=email,
            codec_url=self._settings.codec_url,
            ui_origins=self._settings.codec_ui_origins,
        )
        headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"}
        return HTMLResponse(html, status, headers)


def _language(request: Request) -> Language.ValueType:
    return language_of(request.headers.get("Accept-Language", ""))


def _to_page() -> Response:
    return RedirectResponse("/", 303)


async def _form(request: Request) -> dict[str, str]:
    body = await body_of(request, _LARGEST_FORM)
    try:
        fields = parse_qs(body.decode(), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise malformed() from None
    return {name: values[0] for name, values in fields.items()}
