"""Client of a component, over gRPC or within the process: deadlines, retries, service identity, refusals."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import grpc
import structlog
from prometheus_client import Counter

from liity.v1.reason_pb2 import REASON_UNAUTHENTICATED
from services.runtime.components import current_component
from services.runtime.logs import RareWarnings
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import Refusal, unavailable
from services.runtime.rpc.in_process import ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE, InProcessChannel
from services.runtime.security.service_identity import ServiceIdentity
from services.runtime.security.tls import Certificate, Pem, channel_credentials

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

ACTOR_METADATA = "x-liity-actor-bin"
"""Metadata key of the actor for whom a component calls: a serialised `liity.v1.Actor`."""

_FAILURES = Counter(
    "liity_peer_failures",
    "Calls that another component could not answer, retries included.",
    ["peer", "rpc_status_code"],
)
_FAULTS = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)

_LONGEST_CALL = 60.0
"""Seconds that running calls get on a connection that is being closed."""

_PATIENCE = 4.0
"""Seconds that a call waits for a connection, as the service may be restarting."""

_PATIENCE_AWAY = 2.5
"""Seconds that a call waits once the service is known to be away: enough for two more attempts to connect."""

_MOST_WAITING = 20
"""Most calls that wait for a service known to be away; others fail at once."""

_MOST_CALLS = 200
"""Most calls to one service at a time: half of what a server takes, so that a hanging service leaves room
for calls to others. Fewer than the streams of one connection, 256."""

_warnings = RareWarnings()

_EVERY_ADDRESS: Mapping[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
"""Calls go to all addresses that a target's name has in turn; without this all go to one."""

_RESOLVE_OFTEN = ("grpc.dns_min_time_between_resolutions_ms", 1000)
"""After a lost connection the name is resolved anew, but no more often than this; gRPC's default is 30 s."""

FRONTEND_OPTIONS = (
    _RESOLVE_OFTEN,
    ("grpc.service_config", '{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}'),
)
"""Options of a channel to the gateway's public API: one of its addresses, another whenever it connects anew.

Calls in turn would fail for a while after a restart, as they do not connect anew by themselves.
"""

_OPTIONS = (
    _RESOLVE_OFTEN,
    # A restarting service is back within seconds: reconnect soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    (
        "grpc.service_config",
        json.dumps(
            {
                **_EVERY_ADDRESS,
                "methodConfig": [
                    {
                        "name": [{}],
                        "waitForReady": True,
                        "retryPolicy": {
                            "maxAttempts": ATTEMPTS,
                            "initialBackoff": f"{FIRST_PAUSE}s",
                            "maxBackoff": f"{LONGEST_PAUSE}s",
                            "backoffMultiplier": 2,
                            "retryableStatusCodes": ["UNAVAILABLE"],
                        },
                    }
                ],
            }
        ),
    ),
)


class _TlsChannel:
    """A channel over mutual TLS. When the certificate's files change, new calls use a new connection."""

    def __init__(self, name: str, target: str, certificate: Certificate) -> None:
        self._target = target
        self._certificate = certificate
        # The service's certificate must hold this name: it names the component, not the host.
        self._options = (*_OPTIONS, ("grpc.default_authority", name))
        self._pem = certificate.current()
        self._channel = self._open(self._pem)
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:  # noqa: ANN401 - gRPC's own
        """Returns a callable for an RPC that always uses the current channel."""
        channel = self.current()
        method: Callable[..., Any] = channel.unary_unary(*arguments, **options)

        def call(request: Any, **terms: Any) -> Any:  # noqa: ANN401
            nonlocal channel, method
            if (current := self.current()) is not channel:
                channel, method = current, current.unary_unary(*arguments, **options)
            return method(request, **terms)

        return call

    def current(self) -> grpc.aio.Channel:
        """The current channel."""
        pem = self._certificate.current()
        if pem is not self._pem:
            closing = asyncio.create_task(self._channel.close(_LONGEST_CALL))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._pem, self._channel = pem, self._open(pem)
        return self._channel

    async def close(self) -> None:
        """Closes the channel, and old ones with running calls."""
        for closing in self._closing:
            closing.cancel()
        await self._channel.close()

    def _open(self, pem: Pem) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(self._target, channel_credentials(pem), options=self._options)


def _as_our_caller_sees(refusal: Refusal) -> Refusal:
    """Turns the service's refusal of our own identity into UNAVAILABLE; returns other refusals unchanged.

    Its cause is a key being exchanged or a difference of clocks: our caller cannot mend it by logging in
    again.
    """
    if refusal.code is not grpc.StatusCode.UNAUTHENTICATED or refusal.reason != REASON_UNAUTHENTICATED:
        return refusal
    _warnings.warning("identity not accepted by a service")
    return unavailable()


class _Connection:
    """Watches the channel's connectivity while calls wait for the service."""

    def __init__(self, name: str, channel: Callable[[], grpc.aio.Channel]) -> None:
        self._name = name
        self._channel_now = channel
        self._channel: grpc.aio.Channel | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._away = False
        self._waiting = 0

    async def require(self, patience: float) -> None:
        """Waits at most `patience` seconds for the connection. UNAVAILABLE if there is none by then.

        Once the service is known to be away, few calls wait, and only briefly, so that an outage does not
        hold up calls that do not need the service.
        """
        channel = self._channel_now()
        if channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            self._away = False
            return
        if self._away and self._waiting >= _MOST_WAITING:
            raise unavailable()
        self._waiting += 1
        try:
            patience = min(patience, _PATIENCE_AWAY if self._away else _PATIENCE)
            # One watcher for all waiting calls: gRPC ends none of them before the state changes.
            done, _ = await asyncio.wait({self._watch(channel)}, timeout=patience)
        finally:
            self._waiting -= 1
        if not done:
            self._away = True
            _warnings.warning("service away", service=self._name)
            raise unavailable()
        self._away = False

    def close(self) -> None:
        """Stops watching."""
        if self._connecting is not None:
            self._connecting.cancel()

    def _watch(self, channel: grpc.aio.Channel) -> asyncio.Task[None]:
        if self._connecting is None or self._connecting.done() or channel is not self._channel:
            self.close()
            self._channel = channel
            self._connecting = asyncio.create_task(_connected(channel))
        return self._connecting


async def _connected(channel: grpc.aio.Channel) -> None:
    while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
        await channel.wait_for_state_change(state)


_RESET = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED})
"""How gRPC reports a stream that the server has reset."""


class _BrokenOffError(Exception):
    """The service has reset the call's stream."""


class Peer:
    """Client of one service. All our RPCs are idempotent, so each may be retried.

    A component that this process serves is called without gRPC; then `target` is not used.
    """

    def __init__(self, name: str, target: str, identity: ServiceIdentity) -> None:
        self.name = name
        self.channel, current = _open_channel(name, target, identity)
        self._identity = identity
        self._connection = _Connection(name, current)
        self._running = 0
        # From nought: Prometheus sees no increase in a number that it has not seen before.
        for code in _FAULTS:
            _FAILURES.labels(name, code.name)

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - it is gRPC's deadline
    ) -> ResponseT:
        """Calls an RPC; raises the service's refusal. `timeout` in seconds, over all retries.

        Raises UNAVAILABLE at once if too many calls to the service run, and soon if it is known to be away.
        """
        if self._running >= _MOST_CALLS:
            _warnings.warning("service holds too many calls", service=self.name)
            raise unavailable()
        self._running += 1
        try:
            deadline = time.monotonic() + timeout
            await self._connection.require(timeout)
            try:
                return await self._send(method, request, deadline)
            except _BrokenOffError:
                # A server that ends breaks off what came in its last moment: another one may take it.
                return await self._send(method, request, deadline)
        except _BrokenOffError:
            self._failed(grpc.StatusCode.UNAVAILABLE)
            raise unavailable() from None
        except Refusal as refusal:
            self._failed(refusal.code)
            raise
        finally:
            self._running -= 1

    def _failed(self, code: grpc.StatusCode) -> None:
        if code in _FAULTS:
            _FAILURES.labels(self.name, code.name).inc()

    async def _send(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        deadline: float,
    ) -> ResponseT:
        try:
            return await method(request, timeout=deadline - time.monotonic(), metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            refusal = Refusal.from_rpc_error(error)
            if refusal.code is grpc.StatusCode.UNAVAILABLE and error.code() in _RESET:
                # It says so too if a server cannot serialise its answer: that would be a fault of ours.
                _warnings.warning("call broken off by the service", service=self.name, code=error.code().name)
                raise _BrokenOffError from None
            raise _as_our_caller_sees(refusal) from None

    async def close(self) -> None:
        """Closes the channel."""
        self._connection.close()
        await self.channel.close()

    def _metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        actor = current_actor()
        trace_id = actor.trace_id or structlog.contextvars.get_contextvars().get("trace_id", "")
        return (
            ("authorization", f"Bearer {self._identity.token(self.name)}"),
            (ACTOR_METADATA, actor.SerializeToString()),
            *((("x-request-id", trace_id),) if trace_id else ()),
        )


def _open_channel(
    name: str, target: str, identity: ServiceIdentity
) -> tuple[grpc.aio.Channel, Callable[[], grpc.aio.Channel]]:
    """Opens a channel; also returns a function that gives the channel in use."""
    own = current_component()
    callee = own.beside(name) if own else None
    if callee is not None:
        # Stubs, and this module, need no more of a channel than this.
        within = cast(grpc.aio.Channel, InProcessChannel(callee, identity))
        return within, lambda: within
    certificate = identity.certificate
    if certificate is None:
        channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        return channel, lambda: channel
    over_tls = _TlsChannel(name, target, certificate)
    # Stubs of unary RPCs need no more of a channel than this.
    return cast(grpc.aio.Channel, over_tls), over_tls.current
