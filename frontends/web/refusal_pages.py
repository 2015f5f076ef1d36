"""Pages for refusals of the gateway: what happened, what is kept, and what to do (R25)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from frontends.refusals import Refusal

if TYPE_CHECKING:
    from frontends.web.pages import Visit

_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.INVALID_ARGUMENT: 422,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
}

_SOON = timedelta(minutes=90)
"""Longer waits are told by when they end."""


def show(visit: "Visit", refusal: Refusal, kept: Mapping[str, str]) -> Response:
    """The page of a refusal. `kept` is sent again by its button, where that may help."""
    status = _STATUS.get(refusal.code, 500)
    may_help = refusal.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
    is_typed = any(text for name, text in kept.items() if name != "request_id")
    retry_time = None
    if refusal.retry_after is not None and refusal.retry_after > _SOON:
        retry_time = Timestamp()
        retry_time.FromDatetime(datetime.now(UTC) + refusal.retry_after)
        # Trying again leads nowhere today: only what was typed is worth keeping the page for.
        may_help = may_help and is_typed
    response = visit.render(
        "refused.html",
        status,
        refusal=refusal,
        kept=kept if may_help else {},
        is_typed=is_typed,
        again=may_help,
        retry_time=retry_time,
    )
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(refusal.retry_after.total_seconds())))
    return response
