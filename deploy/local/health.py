"""Health checks of components, each answered within about a second."""

import asyncio
import http.client
from datetime import timedelta

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from deploy.local.ports import HOST
from deploy.local.temporal_server import NAMESPACE
from services.runtime.temporal.names import TASK_QUEUE

_TIMEOUT = 1.0


async def serves_grpc(channel: grpc.aio.Channel) -> bool:
    """Whether a gRPC server reports SERVING. Closes the channel."""
    async with channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(  # type: ignore[attr-defined]  # its stubs leave the methods out
                health_pb2.HealthCheckRequest(), timeout=_TIMEOUT
            )
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def serves_http(port: int, path: str) -> bool:
    """Whether an HTTP server answers 200."""

    def ask() -> bool:
        connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def listens(*ports: int) -> bool:
    """Whether all of the ports accept connections."""
    for port in ports:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            return False
        writer.close()
    return True


async def temporal_serves(port: int) -> bool:
    """Whether Temporal knows its namespace."""
    try:
        client = await Client.connect(f"{HOST}:{port}")
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=NAMESPACE), timeout=timedelta(seconds=_TIMEOUT)
        )
    except (RPCError, RuntimeError):
        return False
    return True


async def worker_polls(port: int, pid: int | None) -> bool:
    """Whether the worker with this process ID polls Temporal."""
    try:
        client = await Client.connect(f"{HOST}:{port}")
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=NAMESPACE,
                task_queue=TaskQueue(name=TASK_QUEUE),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            ),
            timeout=timedelta(seconds=_TIMEOUT),
        )
    except (RPCError, RuntimeError):
        return False
    # The SDK's default identity. Pollers stay listed for minutes after they have ended.
    return any(poller.identity.startswith(f"{pid}@") for poller in answer.pollers)
