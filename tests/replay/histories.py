"""Histories as they are committed: one file of JSON for each path and release, their payloads decrypted."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import tink
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.converter import PayloadCodec

from liity.v1.actor_pb2 import Actor
from services.runtime.security.keys import TEMPLATES, KeysetPurpose
from services.runtime.temporal.actor_header import HEADER, SEALED, ActorSeal

FOLDER = Path(__file__).parent / "histories"


def files() -> list[Path]:
    """The histories of every release."""
    return sorted(FOLDER.glob("*/*.json"))


def newest() -> Path:
    """The folder of the newest release: the one that was tagged last, or that comes next."""
    releases = [folder for folder in FOLDER.iterdir() if folder.is_dir()]
    return max(releases, key=lambda folder: [int(part) for part in folder.name.split(".")])


def workflow_of(path: Path) -> str:
    """The workflow of whose run it is the history."""
    started = json.loads(path.read_text("utf-8"))["events"][0]["workflowExecutionStartedEventAttributes"]
    return str(started["workflowType"]["name"])


@cache
def read(path: Path) -> WorkflowHistory:
    """A committed history."""
    return WorkflowHistory.from_json(f"registration/{path.stem}", path.read_text("utf-8"))


def write(path: Path, history: WorkflowHistory) -> None:
    """Commits a history that is decrypted. What names this machine is left out."""
    worker = f"{os.getpid()}@{socket.gethostname()}"
    fields = json.loads(history.to_json().replace(worker, "worker"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n", "utf-8")


async def decrypt(history: WorkflowHistory, codec: PayloadCodec) -> None:
    """Decrypts every payload in place. Where a failure came about, which names this machine, is left out."""
    for event in history.events:
        for payload in payloads_in(event):
            (plain,) = await codec.decode([payload])
            payload.CopyFrom(plain)
            if b'"stack_trace"' in plain.data:
                failure = json.loads(plain.data)
                payload.data = json.dumps({**failure, "stack_trace": ""}).encode()


class OpenSeal(ActorSeal):
    """Tells actors in the clear, whichever message they come with: a history is replayed as it was recorded.

    Under a key that nobody keeps, each message would be an operator's, and the run would take another path.
    """

    def __init__(self) -> None:
        super().__init__(tink.new_keyset_handle(TEMPLATES[KeysetPurpose.PAYLOADS]))

    def seal(
        self,
        headers: Mapping[str, Payload],
        actor: Actor,
        message: str,  # noqa: ARG002
        at: datetime,  # noqa: ARG002
        name: str = HEADER,
    ) -> dict[str, Payload]:
        """Headers that tell the actor."""
        told = Actor()
        told.CopyFrom(actor)
        told.ClearField("caller_address")
        payload = Payload(metadata={"encoding": SEALED}, data=told.SerializeToString())
        return {**headers, name: payload}

    def open(
        self,
        headers: Mapping[str, Payload],
        message: str,  # noqa: ARG002
        at: datetime | None = None,  # noqa: ARG002
        name: str = HEADER,
    ) -> Actor | None:
        """The actor whom the headers tell."""
        payload = headers.get(name)
        if payload is None or payload.metadata.get("encoding") != SEALED:
            return None
        return Actor.FromString(payload.data)


def payloads_in(message: Message) -> Iterator[Payload]:
    """Every payload in a message, however deep."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in _parts(field, value):
            if isinstance(part, Message):
                yield from payloads_in(part)


def _parts(field: Any, value: Any) -> list[Any]:
    if field.message_type.GetOptions().map_entry:
        return [value[key] for key in value]
    return list(value) if field.is_repeated else [value]
