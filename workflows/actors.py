"""On whose behalf a step is done: from the message that a workflow handles to the services its steps call."""

from typing import Any, NoReturn

from temporalio import workflow
from temporalio.worker import (
    ActivityInboundInterceptor,
    ContinueAsNewInput,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from liity.v1.actor_pb2 import ACTOR_KIND_OPERATOR, Actor
from services.runtime.actors import actor_in, with_actor
from services.runtime.requests import current_actor, set_current_actor

_OPERATOR = Actor(kind=ACTOR_KIND_OPERATOR)


class ActorInterceptor(Interceptor):
    """Hands the actor on. What a run does because a moment has come, it does on nobody's behalf."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type["_ActorInbound"]:  # noqa: A002, ARG002
        """Wraps every run."""
        return _ActorInbound

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps every activity."""
        return _ActorActivityInbound(next)


class _ActorInbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_ActorOutbound(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002, ANN401
        _take_on(actor_in(input.headers))
        return await super().execute_workflow(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002, ANN401
        # The gateway says on whose behalf it asks; who else asks has Temporal's UI or command line.
        _take_on(actor_in(input.headers) or _OPERATOR)
        return await super().handle_update_handler(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        # No person but an operator signals; what runs signal to one another starts no step by itself.
        _take_on(_OPERATOR)
        await super().handle_signal(input)


class _ActorOutbound(WorkflowOutboundInterceptor):
    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002
        input.headers = with_actor(input.headers, current_actor())
        super().continue_as_new(input)

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = with_actor(input.headers, current_actor())
        return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = with_actor(input.headers, current_actor())
        return super().start_local_activity(input)


class _ActorActivityInbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        _take_on(actor_in(input.headers))
        return await super().execute_activity(input)


def _take_on(actor: Actor | None) -> None:
    if actor is not None:
        set_current_actor(actor)
