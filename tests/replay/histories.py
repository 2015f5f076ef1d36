"""Histories as they are committed: one file of JSON for each path and release, their payloads decrypted."""

import json
import os
import socket
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.converter import PayloadCodec

FOLDER = Path(__file__).parent / "histories"

RELEASE = version("liity")
"""The release whose histories `python -m tests.replay.record` makes."""


def files() -> list[Path]:
    """The histories of every release."""
    return sorted(FOLDER.glob("*/*.json"))


def read(path: Path) -> WorkflowHistory:
    """A committed history."""
    return WorkflowHistory.from_json(f"registration/{path.stem}", path.read_text("utf-8"))


def is_of(path: Path, workflow: str) -> bool:
    """Whether it is the history of a run of a workflow."""
    started = json.loads(path.read_text("utf-8"))["events"][0]["workflowExecutionStartedEventAttributes"]
    return bool(started["workflowType"]["name"] == workflow)


def write(path: Path, history: WorkflowHistory) -> None:
    """Commits a history that is decrypted. What names this machine is left out."""
    worker = f"{os.getpid()}@{socket.gethostname()}"
    fields = json.loads(history.to_json().replace(worker, "worker"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n", "utf-8")


async def decrypt(history: WorkflowHistory, codec: PayloadCodec) -> None:
    """Decrypts every payload in place."""
    for event in history.events:
        for payload in payloads_in(event):
            (plain,) = await codec.decode([payload])
            payload.CopyFrom(plain)


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
