"""Base class for starting and updating workflows; the client can be swapped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeVar

from google.protobuf.message import Message
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from liity.v1.reason_pb2 import REASON_UNAVAILABLE
from liity.workflows.v1.refused_pb2 import Refused
from services.runtime.rpc.errors import unavailable
from services.runtime.rpc.refusal_message import to_refusal
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import TASK_QUEUE
from services.runtime.temporal.updates import update_with_start, waiting_for_temporal

AT_ONCE = timedelta(seconds=2)
"""How long a call waits for Temporal that can do without it."""


class Answer(Protocol):
    """A run's answer to an update: a result, or a refusal."""

    @property
    def refused(self) -> Refused:
        """The refusal."""

    def HasField(self, field_name: Literal["refused"], /) -> bool:  # noqa: N802
        """Whether it was refused."""


AnswerT = TypeVar("AnswerT", bound=Answer)


@dataclass(frozen=True)
class Run:
    """A run to start unless it is running. A run started after another's end finds what that one has done."""

    workflow: str
    workflow_id: str
    summary: str
    start_with: Message | None = None
    attributes: Sequence[SearchAttributePair[Any]] = ()
    priority: Priority = Priority.default

    def operation(self) -> WithStartWorkflowOperation[object, object]:
        """Starts the run together with an update; good for one call."""
        return WithStartWorkflowOperation(
            self.workflow,
            args=self._args,
            id=self.workflow_id,
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=OperatorText(self.summary),
            search_attributes=TypedSearchAttributes(self.attributes),
            priority=self.priority,
        )

    async def start(self, temporal: Client, signal: str | None = None, *messages: Message) -> None:
        """Starts the run, with a signal if one is named."""
        await temporal.start_workflow(
            self.workflow,
            args=self._args,
            id=self.workflow_id,
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=OperatorText(self.summary),
            search_attributes=TypedSearchAttributes(self.attributes),
            priority=self.priority,
            start_signal=signal,
            start_signal_args=messages,
        )

    @property
    def _args(self) -> list[Message]:
        return [] if self.start_with is None else [self.start_with]


class WorkflowStarter:
    """Starts and updates workflows."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    def use(self, temporal: Client) -> None:
        """Replaces the client after certificates have changed."""
        self._temporal = temporal

    async def _update(
        self, run: Run, name: str, update: Message, request_id: str, answer_type: type[AnswerT]
    ) -> AnswerT:
        """Updates a run, starting it if needed; raises the refusal it answers with.

        A repeated request gets the first answer.
        """
        answer = await update_with_start(
            self._temporal,
            run.operation,
            name,
            update,
            # The message's name is in the ID: a run tells updates apart by ID alone.
            f"{name}/{request_id}",
            answer_type,
            closed=REASON_UNAVAILABLE,
        )
        if answer.HasField("refused"):
            raise to_refusal(answer.refused)
        return answer

    async def _start(self, run: Run, signal: str | None = None, *messages: Message) -> None:
        """Starts a run unless it is running. UNAVAILABLE while Temporal is unreachable."""
        try:
            with waiting_for_temporal():
                await run.start(self._temporal, signal, *messages)
        except (RPCError, RuntimeError):
            # A client that has not connected yet raises RuntimeError.
            raise unavailable() from None
