"""How a component calls a service: deadlines, retries, its identity, and refusals as it would raise them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar, cast

import grpc
import structlog

from services.runtime.errors import Refusal
from services.runtime.requests import current_actor
from services.runtime.service_identity import ServiceIdentity
from services.runtime.tls import Certificate, Pem, channel_credentials

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

ACTOR_METADATA = "x-liity-actor-bin"
"""The metadata that tells a service on whose behalf a component calls: a `liity.v1.Actor`."""

_LONGEST_CALL = 60.0
"""Seconds that calls get to end on a connection that is given up."""

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


class _TlsChannel:
    """A channel over mutual TLS. Once the certificate's files change, new calls go over a new connection."""

    def __init__(self, name: str, target: str, certificate: Certificate) -> None:
        self._target = target
        self._certificate = certificate
        # The name that the service's certificate must hold: whose it is, and not which host it runs on.
        self._options = (*_OPTIONS, ("grpc.default_authority", name))
        self._pem = certificate.current()
        self._channel = self._open(self._pem)
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:  # noqa: ANN401 - gRPC's own
        """What calls an RPC, over the channel of the moment."""
        channel = self._current()
        method: Callable[..., Any] = channel.unary_unary(*arguments, **options)

        def call(request: Any, **terms: Any) -> Any:  # noqa: ANN401
            nonlocal channel, method
            if (current := self._current()) is not channel:
                channel, method = current, current.unary_unary(*arguments, **options)
            return method(request, **terms)

        return call

    async def close(self) -> None:
        """Closes the channel, and those whose last calls still run."""
        for closing in self._closing:
            closing.cancel()
        await self._channel.close()

    def _current(self) -> grpc.aio.Channel:
        pem = self._certificate.current()
        if pem is not self._pem:
            closing = asyncio.create_task(self._channel.close(_LONGEST_CALL))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._pem, self._channel = pem, self._open(pem)
        return self._channel

    def _open(self, pem: Pem) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(self._target, channel_credentials(pem), options=self._options)


class Peer:
    """A service this component calls. Every RPC of ours is idempotent, so every one may be retried."""

    def __init__(self, name: str, target: str, identity: ServiceIdentity) -> None:
        self.name = name
        self.channel = (
            grpc.aio.insecure_channel(target, options=_OPTIONS)
            if identity.certificate is None
            # All our RPCs are unary: it is as much of a channel as stubs need.
            else cast(grpc.aio.Channel, _TlsChannel(name, target, identity.certificate))
        )
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
