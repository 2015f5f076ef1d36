"""Payloads in the form that Temporal UI shows readably, and whose data they are."""

import importlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tink
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload

import liity
from services.runtime.temporal.codec import ENCRYPTED, EncryptionCodec

_SUBJECT_FIELDS = frozenset({"person_id", "registration_id", "registration_ids", "subject_id", "subject_ids"})
"""The fields of our messages that say whose data they hold."""

_ID = re.compile("[a-z0-9]{1,32}")


@dataclass(frozen=True)
class Reading:
    """What was asked to be read."""

    payloads: list[Payload]
    """As many as were asked about, in their order: in clear, or as they came where they cannot be read."""
    read: int
    """How many of them were encrypted and are in clear now."""
    subject_ids: frozenset[str]
    """IDs of the persons and registrations that those are about."""


class PayloadReader:
    """Decrypts payloads, and gives our messages as JSON."""

    def __init__(self, keyset: tink.KeysetHandle) -> None:
        self._codec = EncryptionCodec(keyset)
        _import_messages()

    async def read(self, payloads: Iterable[Payload]) -> Reading:
        """Reads what can be read; leaves the rest as it is."""
        shown, read, subjects = [], 0, set[str]()
        for payload in payloads:
            found = await self._readable(payload) if _is_encrypted(payload) else None
            if found is None:
                shown.append(payload)
                continue
            readable, value = found
            shown.append(readable)
            read += 1
            subjects.update(_subjects(value))
        return Reading(shown, read, frozenset(subjects))

    async def _readable(self, payload: Payload) -> tuple[Payload, Any] | None:
        """The payload in clear with what it says, or None if we cannot tell: then nobody is shown it."""
        try:
            (plain,) = await self._codec.decode([payload])
            match plain.metadata.get("encoding"):
                case b"binary/protobuf":
                    return _as_json(plain)
                case b"json/plain" | b"json/protobuf":
                    return plain, json.loads(plain.data)
                case b"binary/null":
                    return plain, None
                case _:
                    return None
        except (tink.TinkError, DecodeError, ValueError, KeyError):
            # Another key, damaged, or a message of a newer release.
            return None


def _is_encrypted(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCRYPTED


def _as_json(payload: Payload) -> tuple[Payload, Any]:
    """A message as JSON, with its fields by the names the contracts give them. KeyError if it is unknown."""
    message_type = payload.metadata["messageType"]
    descriptor = descriptor_pool.Default().FindMessageTypeByName(message_type.decode())
    message = message_factory.GetMessageClass(descriptor).FromString(payload.data)
    value = json_format.MessageToDict(message, preserving_proto_field_name=True)
    metadata = {"encoding": b"json/protobuf", "messageType": message_type}
    return Payload(metadata=metadata, data=json.dumps(value).encode()), value


def _subjects(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON there is
    if isinstance(value, dict):
        for name, item in value.items():
            if name in _SUBJECT_FIELDS:
                named = item if isinstance(item, list) else [item]
                yield from (one for one in named if isinstance(one, str) and _ID.fullmatch(one))
            else:
                yield from _subjects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _subjects(item)


def _import_messages() -> None:
    """Makes every message of the contracts known: also of workflows that come later."""
    for root in map(Path, liity.__path__):
        for module in root.rglob("*_pb2.py"):
            importlib.import_module(".".join(("liity", *module.relative_to(root).with_suffix("").parts)))
