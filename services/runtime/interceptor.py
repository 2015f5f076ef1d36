"""What happens to every call before and after its handler: the one place for it.

Who calls (access table), what they say (protovalidate), what went wrong (`google.rpc.Status`), one log line.
"""

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message
from grpc_status import rpc_status

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
    REASON_UNKNOWN_VALUE,
    Reason,
)
from services.runtime.access import ACCESS, Anyone, Caller, Rule, Services
from services.runtime.database import is_away
from services.runtime.errors import (
    Contact,
    FieldViolation,
    Refusal,
    invalid,
    permission_denied,
    resource_exhausted,
    unavailable,
)
from services.runtime.requests import RequestContext, set_current_request
from services.runtime.texts import language_of

log = structlog.get_logger()

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    # Its stubs take type arguments, the class does not.
    Handler = grpc.RpcMethodHandler

MAX_REQUEST_BYTES = 64 * 1024
"""A form is a few kilobytes at most."""

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


class Authenticator(Protocol):
    """Tells who calls, and whether the rule lets them.

    Raises UNAUTHENTICATED or PERMISSION_DENIED.
    """

    async def authenticate(self, metadata: Mapping[str, str], rule: Rule) -> Caller:
        """The caller, whom the rule lets in as far as the metadata tells."""
        ...

    def authorize(self, caller: Caller, rule: Rule, request: Message) -> None:
        """Lets the caller touch what the request names, or raises."""
        ...


def violations_of(message: Message, prefix: str = "") -> list[FieldViolation]:
    """What the contract's annotations find wrong with a message."""
    found = []
    for violation in protovalidate.collect_violations(message):
        elements = violation.proto.field.elements if violation.proto.field else ()
        path = ".".join(element.field_name for element in elements)
        reason = _RULES.get(violation.proto.rule_id, REASON_INVALID_FORMAT)
        found.append(FieldViolation(prefix + path, reason))
    return found


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every unary call; refuses streams and methods that the access table does not name."""

    def __init__(
        self, authenticator: Authenticator, contact: Contact, *, open_prefixes: tuple[str, ...] = ()
    ) -> None:
        self._authenticator = authenticator
        self._contact = contact
        self._open_prefixes = ("/grpc.health.v1.Health/", *open_prefixes)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the handler of a call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(self._open_prefixes):
            return handler
        if handler.unary_unary is None:
            return _refusing_stream()
        serve = handler.unary_unary
        parse = cast(Callable[[bytes], Message], handler.request_deserializer)

        async def behaviour(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
            return await self._serve(method, serve, parse, raw, context)

        # Raw bytes are parsed here, not by gRPC, which would call what it cannot parse INTERNAL.
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
        metadata = {
            key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
        }
        trace_id = metadata.get("x-request-id", "")[:64] or uuid.uuid4().hex
        language = language_of(metadata.get("accept-language", ""))
        bound = structlog.contextvars.bind_contextvars(method=method, trace_id=trace_id)
        try:
            try:
                rule = ACCESS.get(method)
                if rule is None:
                    raise permission_denied(REASON_PERMISSION_DENIED)
                caller = (
                    Caller()
                    if isinstance(rule, Anyone)
                    else await self._authenticator.authenticate(metadata, rule)
                )
                request = _parse(raw, parse)
                self._authenticator.authorize(caller, rule, request)
                violations = violations_of(request)
                if violations:
                    raise invalid(violations)
                set_current_request(RequestContext(caller, language, trace_id, context.peer()))
                response = await serve(request, context)
            except Refusal as refusal:
                self._log(refusal.summary, started, refused=True)
                await context.abort_with_status(rpc_status.to_status(self._status(refusal, language)))
                raise
            except Exception as error:  # whatever it is, the caller is told nothing of our insides
                fault = _fault(error)
                await context.abort_with_status(rpc_status.to_status(self._status(fault, language)))
                raise
            self._log("OK", started, refused=False)
            return response
        finally:
            structlog.contextvars.reset_contextvars(**bound)

    def _status(self, refusal: Refusal, language: Language.ValueType) -> Any:  # noqa: ANN401 - google.rpc has no stubs
        # A field is put right by whoever filled it in; anything else may need customer service (R25).
        return refusal.to_status(language, None if refusal.violations else self._contact)

    @staticmethod
    def _log(outcome: str, started: float, *, refused: bool) -> None:
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        (log.info if refused else log.debug)("rpc", outcome=outcome, milliseconds=milliseconds)


def _fault(error: Exception) -> Refusal:
    if is_away(error):
        log.warning("database away", error=type(error).__name__)
        return unavailable()
    log.error("rpc failed", exc_info=error)
    return Refusal(grpc.StatusCode.INTERNAL, REASON_INTERNAL)


def _parse(raw: bytes, parse: Callable[[bytes], Message]) -> Message:
    if len(raw) > MAX_REQUEST_BYTES:
        raise resource_exhausted(REASON_TOO_LARGE)
    try:
        return parse(raw)
    except (DecodeError, RecursionError, UnicodeDecodeError):
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, REASON_MALFORMED_MESSAGE) from None


def _refusing_stream() -> Handler:
    async def refuse(_requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "No such stream is open to you.")

    return grpc.stream_stream_rpc_method_handler(refuse)


class ServiceAuthenticator:
    """Lets components in by their service identity: for the three inner services."""

    def __init__(self, verify: Callable[[str], str]) -> None:
        self._verify = verify

    async def authenticate(self, metadata: Mapping[str, str], rule: Rule) -> Caller:
        """The component, if the rule names it."""
        name = self._verify(metadata.get("authorization", "").removeprefix("Bearer "))
        if not isinstance(rule, Services) or name not in rule.names:
            raise permission_denied(REASON_PERMISSION_DENIED)
        return Caller(service=name)

    def authorize(self, caller: Caller, rule: Rule, request: Message) -> None:
        """A component the rule names may touch everything the RPC does."""
