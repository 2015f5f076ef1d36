"""How a component calls a service: deadlines, retries, its identity, and refusals as it would raise them."""

import json
from typing import TypeVar

import grpc
import structlog

from services.runtime.errors import Refusal
from services.runtime.requests import current_actor
from services.runtime.service_identity import ServiceIdentity

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

ACTOR_METADATA = "x-liity-actor-bin"
"""The metadata that tells a service on whose behalf a component calls: a `liity.v1.Actor`."""

_OPTIONS = (
    # A service that restarts is back within seconds: find it as soon as it is.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    (
        "grpc.service_config",
        json.dumps(
            {
                "methodConfig": [
                    {
                        "name": [{}],
                        "waitForReady": True,
                        "retryPolicy": {
                            "maxAttempts": 4,
                            "initialBackoff": "0.1s",
                            "maxBackoff": "1s",
                            "backoffMultiplier": 2,
                            "retryableStatusCodes": ["UNAVAILABLE"],
                        },
                    }
                ]
            }
        ),
    ),
)


class Peer:
    """A service this component calls. Every RPC of ours is idempotent, so every one may be retried."""

    def __init__(self, name: str, target: str, identity: ServiceIdentity) -> None:
        self.name = name
        self.channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._identity = identity

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - it is gRPC's deadline
    ) -> ResponseT:
        """Calls, and raises what the service refused with. `timeout` in seconds, over all retries."""
        actor = current_actor()
        trace_id = actor.trace_id or structlog.contextvars.get_contextvars().get("trace_id", "")
        metadata = (
            ("authorization", f"Bearer {self._identity.token(self.name)}"),
            (ACTOR_METADATA, actor.SerializeToString()),
            *((("x-request-id", trace_id),) if trace_id else ()),
        )
        try:
            return await method(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise Refusal.from_rpc_error(error) from None

    async def close(self) -> None:
        """Closes the channel."""
        await self.channel.close()
