"""The actor for whom a workflow works, sent with its messages in a sealed header.

Anybody who reaches Temporal's frontend can read histories and send messages. So the header is encrypted with
the payloads keyset and bound to one message: copied from a history, it is worthless with another message or
workflow. It holds opaque IDs only, and no network address.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import tink
from google.protobuf.message import DecodeError
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
from tink import aead

from liity.v1.actor_pb2 import Actor
from services.runtime.clock import now
from services.runtime.rpc.context import current_actor

HEADER = "liity-actor"

ASKED_BY = "liity-asked-by"
"""Header of a start whose input is the update that comes with it: the actor of that update."""

SEALED = b"binary/liity-actor"
"""The encoding in the header's metadata; up to release 0.2 it was plain `binary/protobuf`."""

_FRESH = timedelta(hours=1)
"""Age after which a message's seal is void: Temporal refuses repeated update IDs only within one run."""


def start_of(workflow_id: str) -> str:
    """The name of a workflow's start, for its seal."""
    return f"start {workflow_id}"


def update_of(workflow_id: str, update: str, update_id: str) -> str:
    """The name of an update, for its seal. Temporal accepts an update ID once per run."""
    return f"update {workflow_id}\n{update}\n{update_id}"


def activity_of(workflow_id: str, activity: str) -> str:
    """The name of a workflow's activity, for its seal."""
    return f"activity {workflow_id}\n{activity}"


class ActorSeal:
    """Seals and opens actors, under the payloads keyset."""

    def __init__(self, keyset: tink.KeysetHandle, fresh: timedelta = _FRESH) -> None:
        self._aead = keyset.primitive(aead.Aead)
        self._fresh = fresh.total_seconds()

    def seal(
        self, headers: Mapping[str, Payload], actor: Actor, message: str, at: datetime, name: str = HEADER
    ) -> dict[str, Payload]:
        """Adds a header that names the actor of one message, which is sent at the moment `at`."""
        told = Actor()
        told.CopyFrom(actor)
        told.ClearField("caller_address")
        plain = int(at.timestamp()).to_bytes(8, "big") + told.SerializeToString()
        payload = Payload(metadata={"encoding": SEALED}, data=self._aead.encrypt(plain, _bound_to(message)))
        return {**headers, name: payload}

    def open(
        self,
        headers: Mapping[str, Payload],
        message: str,
        at: datetime | None = None,
        name: str = HEADER,
    ) -> Actor | None:
        """The actor in the headers, if they were sealed for this message.

        If `at` is given, they must have been sealed within an hour of it, before or (clocks differ) after.
        """
        payload = headers.get(name)
        if payload is None or payload.metadata.get("encoding") != SEALED:
            return None
        try:
            plain = self._aead.decrypt(payload.data, _bound_to(message))
            sealed, actor = int.from_bytes(plain[:8], "big"), Actor.FromString(plain[8:])
        except (tink.TinkError, DecodeError):
            return None
        if at is not None and abs(at.timestamp() - sealed) > self._fresh:
            return None
        return actor


def unsealed_actor(headers: Mapping[str, Payload]) -> Actor | None:
    """The actor in a header without a seal: from a release up to 0.2, or forged."""
    payload = headers.get(HEADER)
    if payload is None or payload.metadata.get("encoding") == SEALED:
        return None
    try:
        return Actor.FromString(payload.data)
    except DecodeError:
        return None


def _bound_to(message: str) -> bytes:
    return b"liity temporal actor\n" + message.encode()


class ActorClientInterceptor(Interceptor):
    """Adds the current actor to every workflow start and update."""

    def __init__(self, seal: ActorSeal) -> None:
        self._seal = seal

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        """Wraps the client."""
        return _ActorOutbound(next, self._seal)


class _ActorOutbound(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, seal: ActorSeal) -> None:  # noqa: A002
        super().__init__(next)
        self._seal = seal

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        input.headers = self._sealed(input.headers, start_of(input.id))
        return await super().start_workflow(input)

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:  # noqa: A002
        input.update_id = input.update_id or str(uuid.uuid4())
        message = update_of(input.id, input.update, input.update_id)
        input.headers = self._sealed(input.headers, message)
        return await super().start_workflow_update(input)

    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002
    ) -> WorkflowUpdateHandle[Any]:
        # The actor goes with the update only: what the run does later is the system's.
        start, update = input.start_workflow_input, input.update_workflow_input
        update.update_id = update.update_id or str(uuid.uuid4())
        message = update_of(start.id, update.update, update.update_id)
        update.headers = self._sealed(update.headers, message)
        if start.args and list(start.args) == list(update.args):
            start.headers = self._sealed(start.headers, start_of(start.id), ASKED_BY)
        return await super().start_update_with_start_workflow(input)

    def _sealed(self, headers: Mapping[str, Payload], message: str, name: str = HEADER) -> dict[str, Payload]:
        return self._seal.seal(headers, current_actor(), message, now(), name)
