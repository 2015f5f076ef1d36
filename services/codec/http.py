"""HTTP helpers: body of a request, refusals as responses."""

import math

import grpc
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from liity.v1.customer_form_pb2 import Language
from liity.v1.reason_pb2 import REASON_MALFORMED_MESSAGE
from services.runtime.rpc.errors import Refusal, reason_name
from services.runtime.rpc.texts import reason_text

_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
}


def http_status(refusal: Refusal) -> int:
    """The HTTP status of a refusal; 500 if it is not the caller's fault."""
    return _STATUSES.get(refusal.code, 500)


def refusal_answer(refusal: Refusal, language: Language.ValueType, log_in_url: str) -> Response:
    """A refusal as JSON: reason, message, and the log-in page if logging in may help."""
    status = http_status(refusal)
    answer = {"reason": reason_name(refusal.reason), "message": reason_text(refusal.reason, language)}
    headers = {}
    if status in {401, 403}:
        answer["log_in"] = log_in_url
    if status == 401:  # noqa: PLR2004 - RFC 9110 asks for the scheme with it
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(refusal.retry_after.total_seconds()))
    return JSONResponse(answer, status, headers)


async def body_of(request: Request, most: int) -> bytes:
    """The whole body. INVALID_ARGUMENT if it ends early or comes too slowly, 413 if longer than `most`."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise HTTPException(413)
    except ClientDisconnect:
        raise malformed() from None
    return bytes(body)


def caller_address(request: Request) -> str:
    """The address of the other end of the connection."""
    return request.client.host if request.client else ""


def malformed() -> Refusal:
    """INVALID_ARGUMENT for a body that cannot be parsed."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, REASON_MALFORMED_MESSAGE)
