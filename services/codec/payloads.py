"""Decoding payloads for Temporal UI, and finding whose data they hold."""

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
"""Fields of our messages that name the persons and registrations they are about."""

_ID = re.compile("[a-z0-9]{1,32}")


@dataclass(frozen=True)
class Reading:
    """Result of decoding."""

    payloads: list[Payload]
    """As many payloads as given, in their order: decoded, or unchanged where they cannot be decoded."""
    read: int
    """Number of encrypted payloads that were decoded."""
    subject_ids: frozenset[str]
    """IDs of the persons and registrations that these are about."""


class PayloadReader:
    """Decrypts payloads and converts our messages to JSON."""

    def __init__(self, keyset: tink.KeysetHandle) -> None:
        self._codec = EncryptionCodec(keyset)
        _import_messages()

    async def read(self, payloads: Iterable[Payload]) -> Reading:
        """Decodes what it can; leaves other payloads unchanged."""
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
        """The decrypted payload and its content; None if unreadable, as its subjects are then unknown."""
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
            # Encrypted under a missing key, damaged, or a message of a newer release.
            return None


def _is_encrypted(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCRYPTED


def _as_json(payload: Payload) -> tuple[Payload, Any]:
    """Converts a message to JSON with the contracts' field names. KeyError if its type is unknown."""
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
    """Imports all messages of the contracts, also those of workflows added later."""
    for root in map(Path, liity.__path__):
        for module in root.rglob("*_pb2.py"):
            importlib.import_module(".".join(("liity", *module.relative_to(root).with_suffix("").parts)))
