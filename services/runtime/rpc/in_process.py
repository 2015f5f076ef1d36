"""Calls between components of one process: gRPC's handlers and interceptor, without its connections.

Messages are serialised, so that caller and callee share no object. Deadline, cancellation, retries, and
errors with their details are as over gRPC. The call runs in the context of the component that answers:
nothing of the caller's (actor, log fields) gets there but by the call's metadata.
"""

import asyncio
import contextvars
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import grpc
import structlog

from services.runtime.components import Component
from services.runtime.security.service_identity import ServiceIdentity

log = structlog.get_logger()

Metadata = Sequence[tuple[str, str | bytes]]

ATTEMPTS = 4
"""How often a call that is answered with UNAVAILABLE is made."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds before the second attempt, doubled before each further one, at most; less by chance."""


class InProcessServer:
    """Answers calls from within the process by the handlers of a gRPC server."""

    def __init__(self, interceptor: grpc.aio.ServerInterceptor) -> None:
        self._interceptor = interceptor
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        # The component's own: calls run in copies of it.
        self._context = contextvars.copy_context()

    def adding_to(self, server: grpc.aio.Server) -> grpc.aio.Server:
        """A stand-in for `server` that adds services to both."""
        return cast(grpc.aio.Server, _Adding(server, self._handlers))

    def begin(
        self, method: str, request: bytes, metadata: Metadata, certificate_names: Sequence[str]
    ) -> asyncio.Task[bytes]:
        """Starts a call. The task raises `AioRpcError` if the call is refused."""
        call = _Call(metadata, certificate_names)
        task = asyncio.create_task(self._answer(method, request, call), context=self._context.copy())
        task.add_done_callback(_retrieved)
        return task

    async def _answer(self, method: str, request: bytes, call: "_Call") -> bytes:
        try:
            handler = await self._interceptor.intercept_service(self._find, _Details(method, call.metadata))
            if handler is None or handler.unary_unary is None:
                raise rpc_error(grpc.StatusCode.UNIMPLEMENTED)
            response = await cast(Any, handler.unary_unary)(request, call)
            return cast(bytes, cast(Any, handler.response_serializer)(response))
        except _Aborted as aborted:
            raise _as_rpc_error(aborted.status) from None
        except grpc.aio.AioRpcError:
            raise
        except Exception as error:
            # The interceptor answers for handlers; this is an answer that cannot be serialised.
            log.exception("call failed", method=method)
            raise rpc_error(grpc.StatusCode.UNKNOWN) from error

    async def _find(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self._handlers.get(details.method)


class InProcessChannel:
    """What a stub and `Peer` need of a channel, for a component of the same process."""

    def __init__(self, callee: Component, caller: ServiceIdentity) -> None:
        self._callee = callee
        # Over a network the caller's certificate would show its name.
        self._certificate_names = (caller.name,) if caller.certificate is not None else ()

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] = bytes,
        response_deserializer: Callable[[bytes], Any] = bytes,
        _registered_method: bool | None = None,
    ) -> Callable[..., Any]:
        """Returns a callable for an RPC."""

        async def call(request: Any, *, timeout: float, metadata: Metadata = ()) -> Any:  # noqa: ANN401, ASYNC109
            answer = await self._call(method, request_serializer(request), metadata, timeout)
            return response_deserializer(answer)

        return call

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: ARG002
        """READY while the component serves."""
        serves = self._callee.server is not None
        return grpc.ChannelConnectivity.READY if serves else grpc.ChannelConnectivity.CONNECTING

    async def wait_for_state_change(self, _last: grpc.ChannelConnectivity) -> None:
        """Waits until the component serves."""
        await self._callee.serving()

    async def close(self) -> None:
        """Does nothing: there is no connection."""

    async def _call(self, method: str, request: bytes, metadata: Metadata, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(method, request, metadata, deadline - time.monotonic())
            except grpc.aio.AioRpcError as error:
                left = deadline - time.monotonic()
                if error.code() is not grpc.StatusCode.UNAVAILABLE or attempt == ATTEMPTS or left < pause:
                    raise
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads attempts, no secret
            pause = min(2 * pause, LONGEST_PAUSE)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, method: str, request: bytes, metadata: Metadata, seconds: float) -> bytes:
        server = self._callee.server
        if server is None:
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)
        task = server.begin(method, request, metadata, self._certificate_names)
        try:
            await asyncio.wait({task}, timeout=max(seconds, 0.0))
            if not task.done():
                raise rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED)
        finally:
            # Also when the caller is cancelled.
            task.cancel()
        if task.cancelled():
            raise rpc_error(grpc.StatusCode.CANCELLED)
        return task.result()


class _Adding:
    """Passes services on to a gRPC server, and notes their handlers."""

    def __init__(
        self, server: grpc.aio.Server, handlers: "dict[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        self._server = server
        self._handlers = handlers

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(
        self, service: str, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        cast(Any, self._server).add_registered_method_handlers(service, handlers)
        self._handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}


class _Details(grpc.HandlerCallDetails):
    def __init__(self, method: str, metadata: Metadata) -> None:
        self.method = method
        self.invocation_metadata = tuple(metadata)


class _Aborted(Exception):
    def __init__(self, status: grpc.Status) -> None:
        super().__init__()
        self.status = status


class _Call:
    """What the interceptor needs of a call's context."""

    def __init__(self, metadata: Metadata, certificate_names: Sequence[str]) -> None:
        self.metadata = metadata
        self._certificate_names = certificate_names

    def invocation_metadata(self) -> Metadata:
        return self.metadata

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        return {"x509_subject_alternative_name": [name.encode() for name in self._certificate_names]}

    def peer(self) -> str:
        return "in-process"

    async def abort_with_status(self, status: grpc.Status) -> None:
        raise _Aborted(status)


def _as_rpc_error(status: grpc.Status) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)


def rpc_error(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    """An error that no service has answered with."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())


def _retrieved(task: asyncio.Task[bytes]) -> None:
    # The caller may be gone: nobody else may read the error.
    if not task.cancelled():
        task.exception()
