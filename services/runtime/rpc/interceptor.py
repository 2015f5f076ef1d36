"""The server interceptor: everything that happens before and after each handler.

Authenticates and authorises by the access table, validates (protovalidate), records in the log of use (R36),
turns errors into `google.rpc.Status`, and writes one log line.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message
from grpc_status import rpc_status
from prometheus_client import Counter, Histogram

from liity.v1.actor_pb2 import ACTOR_KIND_SYSTEM, Actor
from liity.v1.customer_form_pb2 import Language
from liity.v1.reason_pb2 import (
    REASON_FORBIDDEN_CHARACTERS,
    REASON_INTERNAL,
    REASON_INVALID_EMAIL,
    REASON_INVALID_FORMAT,
    REASON_MALFORMED_MESSAGE,
    REASON_PERMISSION_DENIED,
    REASON_REQUIRED,
    REASON_TOO_LARGE,
    REASON_TOO_LONG,
    REASON_UNAUTHENTICATED,
    REASON_UNKNOWN_VALUE,
    Reason,
)
from services.runtime.logs import RareWarnings
from services.runtime.rpc.client_address import Networks, caller_address
from services.runtime.rpc.context import (
    RequestContext,
    own_request_id,
    set_current_actor,
    set_current_request,
)
from services.runtime.rpc.errors import (
    Contact,
    FieldViolation,
    Refusal,
    invalid,
    permission_denied,
    reason_name,
    resource_exhausted,
    unauthenticated,
    unavailable,
)
from services.runtime.rpc.peer import ACTOR_METADATA
from services.runtime.rpc.texts import language_of
from services.runtime.security.access import ACCESS, Accounts, Anyone, Caller, Recorded, Rule, Services
from services.runtime.text.cleaning import clean_message

log = structlog.get_logger()

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    # The stubs of the class take type arguments, the class itself does not.
    Handler = grpc.RpcMethodHandler

_warnings = RareWarnings()

MOST_CALLS = 400
"""Most calls a server answers at a time. Others would only wait longer than their callers do: they are
refused at once and may be repeated. Health checks and reflection do not count."""

MAX_REQUEST_BYTES = 64 * 1024
"""Largest request in bytes; a form is a few kilobytes."""

LARGE_REQUEST_BYTES: Mapping[str, int] = {
    "/liity.registration.v1.PersonalDataService/StoreDisclosure": 1024 * 1024,
    # A file of 512 KiB, with its forms.
    "/liity.v1.ClassListService/CheckClassList": 640 * 1024,
    "/liity.v1.ClassListService/RegisterClassList": 640 * 1024,
    "/liity.registration.v1.ClassListService/CheckClassList": 1024 * 1024,
    "/liity.registration.v1.ClassListService/CreateClassList": 1024 * 1024,
}
"""RPCs with larger requests: up to the server's own limit of 1 MiB."""

_TELLING = frozenset(
    {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION}
)
"""Status codes that reveal whether the resource exists."""

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
"""Bounds of the durations of calls in seconds; among them 2, within which a Save is to be answered."""

_CALLS = Histogram(
    "rpc_server_call_duration_seconds",
    "Time from a call to its answer.",
    ["rpc_method", "rpc_status_code"],
    buckets=_BOUNDS,
)
_REFUSALS = Counter(
    "liity_refusals", "Calls refused, by the reason that the caller is told.", ["rpc_method", "reason"]
)
_FAULTS = Counter(
    "liity_faults", "Calls answered with INTERNAL: errors of ours, with a traceback in the log."
)

_TRACE_ID = re.compile("[A-Za-z0-9-]{1,64}")
"""Accepted trace IDs: anything else that a caller sends stays out of the logs."""

_RULES: Mapping[str, Reason.ValueType] = {
    "required": REASON_REQUIRED,
    "string.min_len": REASON_REQUIRED,
    "string.max_len": REASON_TOO_LONG,
    "string.max_bytes": REASON_TOO_LONG,
    "repeated.max_items": REASON_TOO_LONG,
    "string.single_line": REASON_FORBIDDEN_CHARACTERS,
    "string.multi_line": REASON_FORBIDDEN_CHARACTERS,
    "string.email": REASON_INVALID_EMAIL,
    "enum.defined_only": REASON_UNKNOWN_VALUE,
    "enum.in": REASON_UNKNOWN_VALUE,
}


@dataclass(frozen=True)
class Call:
    """Metadata of a call."""

    metadata: Mapping[str, str | bytes]
    trace_id: str
    address: str
    """The caller's network address, without the port; behind trusted proxies, that of their caller."""
    certificate_names: frozenset[str] = frozenset()
    """DNS names in the caller's certificate; none without TLS."""

    def text(self, key: str) -> str:
        """A text value of the metadata; empty if there is none."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""


class Authenticator(Protocol):
    """Authenticates and authorises callers.

    Raises UNAUTHENTICATED, PERMISSION_DENIED or, for resources hidden from the caller, NOT_FOUND.
    """

    async def authenticate(self, call: Call, rule: Rule) -> Caller:
        """Authenticates the caller and checks the rule as far as metadata allows."""
        ...

    def authorize(self, call: Call, caller: Caller, rule: Rule, request: Message) -> Actor:
        """Checks the rule against the request; returns the actor."""
        ...


class Recorder(Protocol):
    """Records in the log of use what the current actor has looked at (R36)."""

    async def record(
        self, action: str, request: RequestContext, response: Message | None, outcome: str
    ) -> None:
        """Writes one entry; raises if it cannot. `response` is None if the call is refused."""
        ...


def violations_of(message: Message, prefix: str = "") -> list[FieldViolation]:
    """Violations of the contract's validation rules in a message."""
    found = []
    for violation in protovalidate.collect_violations(message):
        elements = violation.proto.field.elements if violation.proto.field else ()
        path = ".".join(element.field_name for element in elements)
        reason = _RULES.get(violation.proto.rule_id, REASON_INVALID_FORMAT)
        found.append(FieldViolation(prefix + path, reason))
    return found


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every unary call; refuses streams, and methods that are not in the access table."""

    def __init__(
        self,
        authenticator: Authenticator,
        contact: Contact,
        recorder: Recorder | None = None,
        trusted_proxies: Networks = (),
        *,
        most_calls: int = MOST_CALLS,
    ) -> None:
        self._authenticator = authenticator
        self._contact = contact
        self._recorder = recorder
        self._trusted_proxies = trusted_proxies
        self._most_calls = most_calls
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def idle(self) -> None:
        """Waits until no call runs."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the handler of a call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or (method.startswith("/grpc.") and isinstance(ACCESS.get(method), Anyone)):
            return handler
        if handler.unary_unary is None:
            return _refusing_stream()
        serve = handler.unary_unary
        parse = cast(Callable[[bytes], Message], handler.request_deserializer)

        async def behaviour(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
            self._running += 1
            self._idle.clear()
            try:
                return await self._serve(method, serve, parse, raw, context)
            finally:
                self._running -= 1
                if not self._running:
                    self._idle.set()

        # Parsed here, not by gRPC, which answers INTERNAL to a message that it cannot parse.
        return grpc.unary_unary_rpc_method_handler(behaviour, None, handler.response_serializer)

    async def _serve(
        self,
        method: str,
        serve: Callable[[Message, Any], Awaitable[Message]],
        parse: Callable[[bytes], Message],
        raw: bytes,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> Message:
        started = time.perf_counter()
        call = _call(context, self._trusted_proxies)
        language = language_of(call.text("accept-language"))
        bound = structlog.contextvars.bind_contextvars(method=method, trace_id=call.trace_id)
        # Unless it is answered: the caller has gone, or its deadline is over.
        code = grpc.StatusCode.CANCELLED
        try:
            try:
                if self._running > self._most_calls:
                    _warnings.warning("too many calls at a time")
                    raise unavailable()
                rule = ACCESS.get(method)
                if rule is None:
                    raise permission_denied(REASON_PERMISSION_DENIED)
                caller = (
                    Caller()
                    if isinstance(rule, Anyone)
                    else await self._authenticator.authenticate(call, rule)
                )
                request = _parse(raw, parse, LARGE_REQUEST_BYTES.get(method, MAX_REQUEST_BYTES))
                _write_request_id_canonically(request)
                set_current_actor(self._authenticator.authorize(call, caller, rule, request))
                invisible_signs = clean_message(request)
                violations = violations_of(request)
                if violations:
                    raise invalid(violations)
                if isinstance(rule, Accounts):
                    _bind_request_id(request, caller.account_id)
                asked = RequestContext(caller, language, invisible_signs=invisible_signs)
                set_current_request(asked)
                response = await self._answer(rule, asked, serve(request, context))
            except Refusal as refusal:
                code = refusal.code
                _REFUSALS.labels(method, reason_name(refusal.reason)).inc()
                self._log(refusal.summary, started, refused=True)
                await context.abort_with_status(rpc_status.to_status(self._status(refusal, language)))
                raise
            except Exception as error:  # hide internals from the caller
                fault = _fault(error)
                code = fault.code
                _REFUSALS.labels(method, reason_name(fault.reason)).inc()
                await context.abort_with_status(rpc_status.to_status(self._status(fault, language)))
                raise
            code = grpc.StatusCode.OK
            self._log("OK", started, refused=False)
            return response
        finally:
            _CALLS.labels(method, code.name).observe(time.perf_counter() - started)
            structlog.contextvars.reset_contextvars(**bound)

    async def _answer(self, rule: Rule, asked: RequestContext, serving: Awaitable[Message]) -> Message:
        """The handler's answer. A look at personal data is recorded before the answer is sent (R36)."""
        looks = isinstance(rule, Accounts) and rule.recorded is Recorded.BEFORE_ANSWER
        if not (looks and self._recorder and isinstance(rule, Accounts)):
            return await serving
        try:
            response = await serving
        except Refusal as refusal:
            if refusal.code in _TELLING:
                await self._recorder.record(rule.action, asked, None, reason_name(refusal.reason))
            raise
        await self._recorder.record(rule.action, asked, response, "OK")
        return response

    def _status(self, refusal: Refusal, language: Language.ValueType) -> Any:  # noqa: ANN401 - google.rpc has no stubs
        # The caller can correct a wrong field; any other refusal may need customer service (R25).
        return refusal.to_status(language, None if refusal.violations else self._contact)

    @staticmethod
    def _log(outcome: str, started: float, *, refused: bool) -> None:
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        (log.info if refused else log.debug)("rpc", outcome=outcome, milliseconds=milliseconds)


def _call(context: grpc.aio.ServicerContext[Any, Any], trusted_proxies: Networks) -> Call:
    sent = [(key, value) for key, value in context.invocation_metadata() or ()]
    metadata = dict(sent)
    # Proxies may append a header line of their own instead of an element.
    forwarded = ",".join(str(value) for key, value in sent if key == "x-forwarded-for")
    given = metadata.get("x-request-id", "")
    shown = context.auth_context().get("x509_subject_alternative_name", ())
    return Call(
        metadata=metadata,
        trace_id=given if isinstance(given, str) and _TRACE_ID.fullmatch(given) else uuid.uuid4().hex,
        address=caller_address(context.peer(), forwarded, trusted_proxies),
        certificate_names=frozenset(name.decode() for name in shown),
    )


def _fault(error: Exception) -> Refusal:
    # Not above: it imports SQLAlchemy, and half of the components have no database.
    from services.runtime.data.database import is_away, sqlstate_of  # noqa: PLC0415

    if is_away(error):
        # One line for many calls, without a traceback: a full disk may be the log's own.
        _warnings.warning("database away", error=type(error).__name__, sqlstate=sqlstate_of(error))
        return unavailable()
    _FAULTS.inc()
    log.error("rpc failed", exc_info=error)
    return Refusal(grpc.StatusCode.INTERNAL, REASON_INTERNAL)


def _parse(raw: bytes, parse: Callable[[bytes], Message], most: int) -> Message:
    if len(raw) > most:
        raise resource_exhausted(REASON_TOO_LARGE)
    try:
        return parse(raw)
    except (DecodeError, RecursionError, UnicodeDecodeError):
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, REASON_MALFORMED_MESSAGE) from None


def _write_request_id_canonically(request: Message) -> None:
    """Writes `request_id` in lower case (AIP-155). An invalid one is refused later."""
    if _has_request_id(request):
        request.request_id = request.request_id.lower()  # type: ignore[attr-defined]


def _bind_request_id(request: Message, account_id: str) -> None:
    """Replaces `request_id` by the account's own; the log of use keeps the one that was sent."""
    if _has_request_id(request):
        own = own_request_id(request.request_id, account_id)  # type: ignore[attr-defined]
        request.request_id = own  # type: ignore[attr-defined]


def _has_request_id(request: Message) -> bool:
    return "request_id" in request.DESCRIPTOR.fields_by_name


def _refusing_stream() -> Handler:
    async def refuse(_requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "No such stream is open to you.")

    return grpc.stream_stream_rpc_method_handler(refuse)


class ServiceAuthenticator:
    """Authenticates components by their service identity: for the three inner services.

    With TLS the certificate must name the same component as the token, so a stolen token is useless.
    """

    def __init__(self, verify: Callable[[str], str], *, certificates: bool = False) -> None:
        self._verify = verify
        self._certificates = certificates

    async def authenticate(self, call: Call, rule: Rule) -> Caller:
        """The calling component, if the rule names it."""
        name = self._verify(call.text("authorization").removeprefix("Bearer "))
        if self._certificates and name not in call.certificate_names:
            raise unauthenticated(REASON_UNAUTHENTICATED)
        if not isinstance(rule, Services) or name not in rule.names:
            raise permission_denied(REASON_PERMISSION_DENIED)
        return Caller(service=name)

    def authorize(self, call: Call, caller: Caller, rule: Rule, request: Message) -> Actor:  # noqa: ARG002
        """The actor named in the component's metadata. Components may touch any resource of the RPC."""
        given = call.metadata.get(ACTOR_METADATA)
        if isinstance(given, bytes):
            try:
                actor = Actor.FromString(given)
            except DecodeError:
                raise invalid([FieldViolation(ACTOR_METADATA, REASON_MALFORMED_MESSAGE)]) from None
            if violations := violations_of(actor, f"{ACTOR_METADATA}."):
                raise invalid(violations)
            return actor
        return Actor(kind=ACTOR_KIND_SYSTEM, trace_id=call.trace_id)
