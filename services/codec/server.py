"""The codec server: Temporal's remote codec protocol over HTTP.

`POST /decode` and `POST /encode` take and return `{"payloads": […]}`, each a `temporal.api.common.v1.Payload`
in protobuf's JSON. Decoding needs an access token: as `Authorization: Bearer`, or in the cookie of our own
page `/`; for Temporal UI they stay unchanged while nobody is logged in. `GET /healthz` is for probes.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import grpc
import structlog
from google.protobuf import json_format
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send
from temporalio.api.common.v1 import Payload, Payloads

from liity.registration.v1.use_log_service_pb2 import RecordUseRequest
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_LINK, Actor
from liity.v1.reason_pb2 import REASON_INTERNAL, REASON_PERMISSION_DENIED
from services.codec.admission import ACTION, Admission
from services.codec.http import body_of, caller_address, malformed, refusal_answer
from services.codec.log_in_page import LogInPage
from services.codec.payloads import PayloadReader
from services.codec.settings import CodecSettings
from services.runtime import logs
from services.runtime.components import stop_requested
from services.runtime.http import serving_http
from services.runtime.rpc.context import set_current_actor
from services.runtime.rpc.errors import Refusal, permission_denied, unavailable
from services.runtime.rpc.peer import FRONTEND_OPTIONS, Peer
from services.runtime.rpc.texts import language_of
from services.runtime.security.access_tokens import AccessTokenVerifier
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.security.service_identity import ServiceIdentity
from services.runtime.security.tls import component_certificate, server_context
from services.runtime.settings import SettingsError, load

log = structlog.get_logger()

_NAME = "codec"
_HEALTH = "/healthz"
_PROTOCOL = ("/decode", "/encode")

_LARGEST_BODY = 4 * 1024 * 1024
"""Bytes. Temporal accepts payloads up to 2 MiB; base64 adds a third."""

_MOST_SUBJECTS = 1000
"""Most subjects in one entry of the log of use."""

_GRACE = 15
"""Seconds that running calls get at shutdown: longer than the calls they make may take."""

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "authorization, content-type, x-namespace",
    "Access-Control-Max-Age": "600",
}


async def run() -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = load(CodecSettings)
    logs.configure(_NAME, settings)
    async with serving_codec(settings):
        log.info("serving", listen=settings.listen)
        await stop_requested()
        log.info("stopping")
        await asyncio.sleep(settings.drain_pause.total_seconds())


@asynccontextmanager
async def serving_codec(settings: CodecSettings) -> AsyncIterator[None]:
    """Serves while the body runs. SettingsError if the port is taken, or a key or certificate is unusable."""
    public = settings.public_files()
    tls = server_context(public) if public else None
    reader = PayloadReader(load_keyset(settings.keys_dir, KeysetPurpose.PAYLOADS))
    own = ServiceIdentity(_NAME, settings.keys_dir, component_certificate(_NAME, settings))
    identity = Peer("identity", settings.identity_target, own)
    registration = Peer("registration", settings.registration_target, own)
    # The public API: called as a frontend, without a service identity.
    gateway = _frontend_channel(settings)
    admission = Admission(settings, AccessTokenVerifier(identity))
    page = LogInPage(settings, admission, gateway)
    server = CodecServer(settings, admission, reader, registration, page)
    try:
        async with serving_http(server, settings.listen, tls=tls, grace=_GRACE):
            yield
    finally:
        await gateway.close()
        await identity.close()
        await registration.close()


def _frontend_channel(settings: CodecSettings) -> grpc.aio.Channel:
    if settings.gateway_ca is None:
        return grpc.aio.insecure_channel(settings.gateway_target, options=FRONTEND_OPTIONS)
    try:
        ca = settings.gateway_ca.read_bytes()
    except OSError as error:
        raise SettingsError(f"LIITY_GATEWAY_CA cannot be read: {error.strerror}") from None
    credentials = grpc.ssl_channel_credentials(ca)
    return grpc.aio.secure_channel(settings.gateway_target, credentials, options=FRONTEND_OPTIONS)


class CodecServer:
    """Decodes payloads for authorised accounts and records it in the log of use (R36)."""

    def __init__(
        self,
        settings: CodecSettings,
        admission: Admission,
        reader: PayloadReader,
        registration: Peer,
        page: LogInPage,
    ) -> None:
        self._log_in_url = settings.codec_url + "/"
        self._admission = admission
        self._reader = reader
        self._registration = registration
        self._uses = UseLogServiceStub(registration.channel)
        routes = [
            Route("/decode", self._decode, methods=["POST"]),
            Route("/encode", self._encode, methods=["POST"]),
            *(Route(path, self._preflight, methods=["OPTIONS"]) for path in _PROTOCOL),
            Route("/", page.show),
            Route("/log-in", page.log_in, methods=["POST"]),
            Route("/log-out", page.log_out, methods=["POST"]),
            Route(_HEALTH, _health),
        ]
        self._router = Router(routes, redirect_slashes=False)
        self._paths = frozenset(route.path for route in routes)

    async def _decode(self, request: Request) -> Response:
        if not await self._admission.admit(request):
            return _answer_with(await _payloads(request))
        reading = await self._reader.read(await _payloads(request))
        if reading.read:
            await self._record(sorted(reading.subject_ids))
        log.info("decoded", payloads=len(reading.payloads), read=reading.read)
        return _answer_with(reading.payloads)

    async def _encode(self, request: Request) -> Response:
        """Returns payloads unchanged: the UI calls this before sending, but messages stay plain."""
        self._admission.require_known_page(request)
        return _answer_with(await _payloads(request))

    async def _preflight(self, request: Request) -> Response:
        if not self._admission.is_from_ui(request):
            raise permission_denied(REASON_PERMISSION_DENIED)
        return Response(status_code=204, headers=_PREFLIGHT)

    async def _record(self, subject_ids: list[str]) -> None:
        """Records whose data is read. UNAVAILABLE if it cannot: then nothing is shown."""
        try:
            for start in range(0, max(len(subject_ids), 1), _MOST_SUBJECTS):
                use = RecordUseRequest(
                    action=ACTION, subject_ids=subject_ids[start : start + _MOST_SUBJECTS], outcome="OK"
                )
                await self._registration.call(self._uses.RecordUse, use)
        except Refusal as refusal:
            log.warning("use not recorded", reason=refusal.summary)
            raise unavailable() from None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, a refusal as a response too; logs one line for each call except probes."""
        request, status = Request(scope), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(request, MutableHeaders(scope=message))
            await send(message)

        path = request.url.path
        if path == _HEALTH:
            await self._router(scope, receive, send_with_headers)
            return
        started, trace_id = time.perf_counter(), uuid.uuid4().hex
        caller = caller_address(request)
        set_current_actor(Actor(kind=ACTOR_KIND_LINK, trace_id=trace_id, caller_address=caller))
        # An unknown path may hold anything: keep it out of the log.
        method = path if path in self._paths else "unknown"
        with structlog.contextvars.bound_contextvars(method=method, trace_id=trace_id):
            try:
                await self._router(scope, receive, send_with_headers)
                outcome = "OK" if status < HTTPStatus.BAD_REQUEST else f"HTTP {status}"
            except Refusal as refusal:
                outcome = refusal.summary
                await self._refused(request, refusal)(scope, receive, send_with_headers)
            except HTTPException as error:
                outcome = f"HTTP {error.status_code}"
                answer = PlainTextResponse(error.detail, error.status_code)
                await answer(scope, receive, send_with_headers)
            except Exception:  # hide internals from the caller
                log.exception("call failed")
                fault = Refusal(grpc.StatusCode.INTERNAL, REASON_INTERNAL)
                await self._refused(request, fault)(scope, receive, send_with_headers)
                return
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            (log.debug if outcome == "OK" else log.info)("call", outcome=outcome, milliseconds=milliseconds)

    def _refused(self, request: Request, refusal: Refusal) -> Response:
        language = language_of(request.headers.get("Accept-Language", ""))
        return refusal_answer(refusal, language, self._log_in_url)

    def _add_headers(self, request: Request, headers: MutableHeaders) -> None:
        """Forbids caching; allows only pages of Temporal UI to read responses across origins."""
        headers["Cache-Control"] = "no-store"
        headers["X-Content-Type-Options"] = "nosniff"
        if request.url.path in _PROTOCOL:
            headers["Vary"] = "Origin"
            if self._admission.is_from_ui(request):
                headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
                headers["Access-Control-Allow-Credentials"] = "true"


async def _health(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _payloads(request: Request) -> list[Payload]:
    """The payloads of a body. INVALID_ARGUMENT if it is not of the protocol."""
    body = await body_of(request, _LARGEST_BODY)
    try:
        return list(json_format.Parse(body, Payloads(), ignore_unknown_fields=True).payloads)
    except (json_format.ParseError, ValueError, RecursionError):
        raise malformed() from None


def _answer_with(payloads: list[Payload]) -> Response:
    return JSONResponse({"payloads": [json_format.MessageToDict(payload) for payload in payloads]})
