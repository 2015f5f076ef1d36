"""Running a gRPC server: interceptor, health, reflection, graceful shutdown."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import Field

from services.runtime.components import current_component, stop_requested
from services.runtime.rpc.in_process import InProcessServer
from services.runtime.rpc.interceptor import RequestInterceptor
from services.runtime.security.tls import Certificate, server_credentials
from services.runtime.settings import RuntimeSettings, SettingsError

log = structlog.get_logger()

GRACE = 65.0
"""Seconds that running calls get at shutdown, and on an old connection: longer than the longest deadline,
which is 60."""

_LAST_GRACE = 1.0
"""Seconds for streams once all calls have ended: watches of the health service never end."""


class ServerSettings(RuntimeSettings):
    """Settings of components that serve gRPC."""

    listen: str = Field(description="host:port to serve on.")
    drain_pause: timedelta = Field(
        timedelta(0),
        ge=timedelta(0),
        description="How long a stopping server reports NOT_SERVING but still accepts calls, so that load "
        "balancers notice.",
    )
    connection_age: timedelta = Field(
        timedelta(minutes=5),
        gt=timedelta(0),
        description="How long a gRPC connection lives. Callers then connect again: they find new replicas, "
        "and show a certificate that has not expired.",
    )


async def serve(
    settings: ServerSettings,
    interceptor: RequestInterceptor,
    services: Sequence[str],
    add_services: Callable[[grpc.aio.Server], None],
    certificate: Certificate | None = None,
    *,
    before: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then lets running calls finish.

    `services` are the full names of the services that `add_services` adds, for health and reflection. With a
    certificate the server accepts TLS only. No call is served before `before` is done; it may raise. Other
    components of the process call without the network, through the same interceptor.
    """
    server = grpc.aio.server(
        interceptors=[interceptor],
        options=[
            # The interceptor refuses large requests with a reason; this bounds the memory.
            ("grpc.max_receive_message_length", 1024 * 1024),
            ("grpc.max_concurrent_streams", 256),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.max_connection_age_ms", round(settings.connection_age / timedelta(milliseconds=1))),
            ("grpc.max_connection_age_grace_ms", round(GRACE * 1000)),
        ],
    )
    component, within = current_component(), InProcessServer(interceptor)
    add_services(within.adding_to(server))
    states = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        if certificate is None:
            server.add_insecure_port(settings.listen)
        else:
            server.add_secure_port(settings.listen, server_credentials(certificate))
    except RuntimeError:
        raise SettingsError(f"Cannot listen on {settings.listen}: is something else running there?") from None
    if before is not None:
        await before()
    await server.start()
    for name in ("", *services):
        await states.set(name, health_pb2.HealthCheckResponse.SERVING)
    if component is not None:
        component.serve(within)
    log.info("serving", listen=settings.listen)
    try:
        await stop_requested()
    finally:
        # Also when cancelled: a server left running breaks the program's end.
        log.info("stopping")
        await states.enter_graceful_shutdown()
        await asyncio.sleep(settings.drain_pause.total_seconds())
        stopping = asyncio.create_task(server.stop(GRACE))
        if component is not None:
            component.serve(None)
        idle = asyncio.create_task(interceptor.idle())
        await asyncio.wait({idle}, timeout=GRACE)
        idle.cancel()
        await server.stop(_LAST_GRACE)
        await stopping
