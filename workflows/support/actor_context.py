"""The actor of an activity, passed from the message that a workflow handles to the services."""

import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NoReturn

from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
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
from services.runtime.rpc.context import current_actor, set_current_actor
from services.runtime.temporal.actor_header import (
    ASKED_BY,
    HEADER,
    ActorSeal,
    activity_of,
    start_of,
    unsealed_actor,
    update_of,
)

_OPERATOR = Actor(kind=ACTOR_KIND_OPERATOR)

_ASKED_BY: ContextVar[Actor | None] = ContextVar("asked_by", default=None)


def acts_by_hand() -> bool:
    """Whether an operator sent the current message, from Temporal UI or CLI."""
    return current_actor().kind == ACTOR_KIND_OPERATOR


def asked_by() -> Actor | None:
    """The actor of the update that a run was started with, if its input is that update."""
    return _ASKED_BY.get()


class ActorInterceptor(Interceptor):
    """Passes the actor on. What a run does when a timer fires has no actor."""

    def __init__(self, seal: ActorSeal) -> None:
        self._seal = seal

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002
    ) -> type[WorkflowInboundInterceptor]:
        """Wraps every run."""

        class Inbound(_ActorInbound):
            seal = self._seal

        return Inbound

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps every activity."""
        return _ActorActivityInbound(next, self._seal)


class _ActorInbound(WorkflowInboundInterceptor):
    seal: ActorSeal

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_ActorOutbound(outbound, self.seal))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002, ANN401
        # A run started by a schedule or with an update has no actor and no header.
        if HEADER in input.headers:
            info = workflow.info()
            actor = self.seal.open(input.headers, start_of(info.workflow_id), info.start_time)
            set_current_actor(actor or _of_an_old_release(input.headers, "start") or _OPERATOR)
        if ASKED_BY in input.headers:
            info = workflow.info()
            _ASKED_BY.set(
                self.seal.open(input.headers, start_of(info.workflow_id), info.start_time, ASKED_BY)
            )
        return await super().execute_workflow(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002, ANN401
        # The gateway seals the actor; an update without a valid seal comes from Temporal UI or CLI.
        message = update_of(workflow.info().workflow_id, input.update, input.id)
        actor = self.seal.open(input.headers, message, workflow.now())
        set_current_actor(actor or _of_an_old_release(input.headers, f"update {input.id}") or _OPERATOR)
        return await super().handle_update_handler(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        # Signals come from operators or from other runs, which pass no actor.
        set_current_actor(_OPERATOR)
        await super().handle_signal(input)


class _ActorOutbound(WorkflowOutboundInterceptor):
    def __init__(self, next: WorkflowOutboundInterceptor, seal: ActorSeal) -> None:  # noqa: A002
        super().__init__(next)
        self._seal = seal

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002
        input.headers = self._sealed(input.headers, start_of(workflow.info().workflow_id))
        super().continue_as_new(input)

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = self._sealed(input.headers, activity_of(workflow.info().workflow_id, input.activity))
        return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = self._sealed(input.headers, activity_of(workflow.info().workflow_id, input.activity))
        return super().start_local_activity(input)

    def _sealed(self, headers: Mapping[str, Payload], message: str) -> dict[str, Payload]:
        return self._seal.seal(headers, current_actor(), message, workflow.now())


class _ActorActivityInbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, seal: ActorSeal) -> None:  # noqa: A002
        super().__init__(next)
        self._seal = seal

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        info = activity.info()
        message = activity_of(info.workflow_id or "", info.activity_type)
        set_current_actor(self._seal.open(input.headers, message) or _OPERATOR)
        return await super().execute_activity(input)


def _of_an_old_release(headers: Mapping[str, Payload], message: str) -> Actor | None:
    """The actor of an unsealed header, if this replays a message handled by a release up to 0.2.

    Such a run must decide as it did then. A new message is not trusted, and leaves a marker saying so.
    """
    actor = unsealed_actor(headers)
    if actor is None:
        return None
    message_id = uuid.uuid5(uuid.NAMESPACE_OID, message)
    return None if workflow.patched(f"sealed-actor-{message_id}") else actor
