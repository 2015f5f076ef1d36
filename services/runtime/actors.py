"""On whose behalf a workflow works: the actor travels with its messages in a header.

The header is not encrypted: it holds opaque IDs only, and no network address.
"""

from collections.abc import Mapping
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)

from liity.v1.actor_pb2 import Actor
from services.runtime.requests import current_actor

HEADER = "liity-actor"


def with_actor(headers: Mapping[str, Payload], actor: Actor) -> dict[str, Payload]:
    """Headers that tell an actor."""
    told = Actor()
    told.CopyFrom(actor)
    told.ClearField("caller_address")
    payload = Payload(metadata={"encoding": b"binary/protobuf"}, data=told.SerializeToString())
    return {**headers, HEADER: payload}


def actor_in(headers: Mapping[str, Payload]) -> Actor | None:
    """The actor that headers tell, if any."""
    payload = headers.get(HEADER)
    return None if payload is None else Actor.FromString(payload.data)


class ActorClientInterceptor(Interceptor):
    """Tells every workflow that is started or updated on whose behalf."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        """Wraps the client."""
        return _ActorOutbound(next)


class _ActorOutbound(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        input.headers = with_actor(input.headers, current_actor())
        return await super().start_workflow(input)

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:  # noqa: A002
        input.headers = with_actor(input.headers, current_actor())
        return await super().start_workflow_update(input)

    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002
    ) -> WorkflowUpdateHandle[Any]:
        # The update is theirs; what the run does later by itself is not.
        update = input.update_workflow_input
        update.headers = with_actor(update.headers, current_actor())
        return await super().start_update_with_start_workflow(input)
