"""The codec server: Temporal's remote codec protocol over HTTP.

`POST /decode` and `POST /encode` take and return `{"payloads": […]}`, each a `temporal.api.common.v1.Payload`
in protobuf's JSON. Decoding needs an access token: as `Authorization: Bearer`, or in the cookie of our own
page `/`; for Temporal UI they stay unchanged while nobody is logged in. `GET /healthz` is for probes.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import structlog
from aiohttp import web
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from liity.registration.v1.use_log_service_pb2 import RecordUseRequest
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_LINK, Actor
from liity.v1.reason_pb2 import REASON_INTERNAL, REASON_PERMISSION_DENIED
from services.codec.admission import ACTION, Admission
from services.codec.http import body_of, malformed, refusal_answer
from services.codec.log_in_page import LogInPage
from services.codec.payloads import PayloadReader
from services.codec.settings import CodecSettings
from services.runtime import logs
from services.runtime.components import stop_requested
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

_GRACE = 15.0
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
    # Its lines repeat what callers have sent.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    async with serving_codec(settings):
        log.info("serving", listen=settings.listen)
        await stop_requested()
        log.info("stopping")
        await asyncio.sleep(settings.drain_pause.total_seconds())


@asynccontextmanager
async def serving_codec(settings: CodecSettings) -> AsyncIterator[None]:
    """Serves while the body runs. SettingsError if the port is taken, or a key or certificate is unusable."""
    public = settings.public_files()
    ssl_context = server_context(public) if public else None
    reader = PayloadReader(load_keyset(settings.keys_dir, KeysetPurpose.PAYLOADS))
    own = ServiceIdentity(_NAME, settings.keys_dir, component_certificate(_NAME, settings))
    identity = Peer("identity", settings.identity_target, own)
    registration = Peer("registration", settings.registration_target, own)
    # The public API: called as a frontend, without a service identity.
    gateway = _frontend_channel(settings)
    admission = Admission(settings, AccessTokenVerifier(identity))
    page = LogInPage(settings, admission, gateway)
    application = CodecServer(settings, admission, reader, registration).application(page)
    # Compressed bodies stay compressed, and fail as JSON: no decompression bombs.
    runner = web.AppRunner(application, access_log=None, auto_decompress=False, shutdown_timeout=_GRACE)
    await runner.setup()
    try:
        try:
            host, _, port = settings.listen.rpartition(":")
            await web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=ssl_context).start()
        except (OSError, OverflowError, ValueError):
            raise SettingsError(
                f"Cannot listen on {settings.listen}: is something else running there?"
            ) from None
        yield
    finally:
        await runner.cleanup()
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
        self, settings: CodecSettings, admission: Admission, reader: PayloadReader, registration: Peer
    ) -> None:
        self._log_in_url = settings.codec_url + "/"
        self._admission = admission
        self._reader = reader
        self._registration = registration
        self._uses = UseLogServiceStub(registration.channel)

    def application(self, page: LogInPage) -> web.Application:
        """The routes."""
        application = web.Application(client_max_size=_LARGEST_BODY, middlewares=[self._answer])
        application.on_response_prepare.append(self._add_headers)
        application.add_routes(
            [
                web.post("/decode", self._decode),
                web.post("/encode", self._encode),
                *(web.options(path, self._preflight) for path in _PROTOCOL),
                web.get("/", page.show),
                web.post("/log-in", page.log_in),
                web.post("/log-out", page.log_out),
                web.get(_HEALTH, _health),
            ]
        )
        return application

    async def _decode(self, request: web.Request) -> web.Response:
        if not await self._admission.admit(request):
            return _answer_with(await _payloads(request))
        reading = await self._reader.read(await _payloads(request))
        if reading.read:
            await self._record(sorted(reading.subject_ids))
        log.info("decoded", payloads=len(reading.payloads), read=reading.read)
        return _answer_with(reading.payloads)

    async def _encode(self, request: web.Request) -> web.Response:
        """Returns payloads unchanged: the UI calls this before sending, but messages stay plain."""
        self._admission.require_known_page(request)
        return _answer_with(await _payloads(request))

    async def _preflight(self, request: web.Request) -> web.Response:
        if not self._admission.is_from_ui(request):
            raise permission_denied(REASON_PERMISSION_DENIED)
        return web.Response(status=204, headers=_PREFLIGHT)

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

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Turns refusals into responses; logs one line for each call except probes."""
        if request.path == _HEALTH:
            return await handler(request)
        started, trace_id = time.perf_counter(), uuid.uuid4().hex
        set_current_actor(Actor(kind=ACTOR_KIND_LINK, trace_id=trace_id, caller_address=request.remote or ""))
        # An unknown path may hold anything: keep it out of the log.
        resource = request.match_info.route.resource
        method = resource.canonical if resource else "unknown"
        with structlog.contextvars.bound_contextvars(method=method, trace_id=trace_id):
            try:
                response = await handler(request)
            except Refusal as refusal:
                _log_call(refusal.summary, started, refused=True)
                return self._refused(request, refusal)
            except web.HTTPException as error:
                _log_call(f"HTTP {error.status}", started, refused=True)
                raise
            except Exception:  # hide internals from the caller
                log.exception("call failed")
                return self._refused(request, Refusal(grpc.StatusCode.INTERNAL, REASON_INTERNAL))
            _log_call("OK", started, refused=False)
            return response

    def _refused(self, request: web.Request, refusal: Refusal) -> web.Response:
        return refusal_answer(
            refusal, language_of(request.headers.get("Accept-Language", "")), self._log_in_url
        )

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Forbids caching; allows only pages of Temporal UI to read responses across origins."""
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if request.path in _PROTOCOL:
            response.headers["Vary"] = "Origin"
            if self._admission.is_from_ui(request):
                response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
                response.headers["Access-Control-Allow-Credentials"] = "true"


def _log_call(outcome: str, started: float, *, refused: bool) -> None:
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    (log.info if refused else log.debug)("call", outcome=outcome, milliseconds=milliseconds)


async def _health(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _payloads(request: web.Request) -> list[Payload]:
    """The payloads of a body. INVALID_ARGUMENT if it is not of the protocol."""
    body = await body_of(request)
    try:
        return list(json_format.Parse(body, Payloads(), ignore_unknown_fields=True).payloads)
    except (json_format.ParseError, ValueError, RecursionError):
        raise malformed() from None


def _answer_with(payloads: list[Payload]) -> web.Response:
    return web.json_response({"payloads": [json_format.MessageToDict(payload) for payload in payloads]})
