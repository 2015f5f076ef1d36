"""Data converter of Temporal: protobuf messages, encrypted and bound to their workflow.

The encryption is Tink's AEAD. A ciphertext begins with its key's ID, so that histories stay readable after a
key rotation. Each payload is bound to its namespace and workflow: moved to another, it cannot be decrypted.
Summaries and details, which operators read in Temporal UI, are marked to stay in clear and hold no personal
data. A plain payload is accepted as the body of a message, so that staff can send one as JSON from the UI or
the CLI.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import tink
from google.protobuf import json_format
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.converter import (
    ActivitySerializationContext,
    BinaryNullPayloadConverter,
    BinaryProtoPayloadConverter,
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    JSONPlainPayloadConverter,
    JSONProtoPayloadConverter,
    JSONTypeConverter,
    JSONTypeConverterUnhandled,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from tink import aead

ENCRYPTED = b"binary/encrypted"
"""The encoding in the metadata of an encrypted payload."""

_UNBOUND = b"liity temporal payload"
"""Associated data of all payloads up to release 0.2."""

_BOUND = b"liity temporal payload of a workflow"

_NAMESPACE = "liity-namespace"
_WORKFLOW_ID = "liity-workflow-id"
"""Metadata keys of an encrypted payload."""

_AUDIENCE = "liity-audience"
_OPERATORS = b"operators"
"""Metadata value of payloads that stay in clear. The value's type sets it, never its content."""


class OperatorText(str):
    """A summary that operators read in Temporal UI: stays in clear and holds no personal data."""

    __slots__ = ()


class PayloadError(ValueError):
    """A payload is damaged, or belongs to another workflow."""


@dataclass(frozen=True)
class _Place:
    """Namespace and workflow of a payload; both are empty for a payload of no workflow."""

    namespace: str
    workflow_id: str

    @property
    def associated_data(self) -> bytes:
        namespace, workflow_id = self.namespace.encode(), self.workflow_id.encode()
        # The length prevents two pairs from giving the same data.
        return b"%s\n%d\n%s%s" % (_BOUND, len(namespace), namespace, workflow_id)


class EncryptionCodec(PayloadCodec, WithSerializationContext):
    """Encrypts every payload except operators' texts, and binds it to its namespace and workflow.

    Namespace and workflow ID are authenticated metadata. A codec with a context decrypts payloads of its own
    workflow only. One without, such as the codec server's, decrypts all: Temporal UI does not say which
    workflow a payload belongs to. Payloads of releases up to 0.2 are not bound.
    """

    def __init__(self, keyset: tink.KeysetHandle) -> None:
        self._aead = keyset.primitive(aead.Aead)
        self._key_ids = frozenset(str(key.key_id) for key in keyset.keyset_info().key_info)
        self._place: _Place | None = None
        self._of_workflow = False

    def with_context(self, context: SerializationContext) -> Self:
        """The codec for payloads of one workflow, or of its activities."""
        if not isinstance(context, WorkflowSerializationContext | ActivitySerializationContext):
            return self
        own = copy.copy(self)
        own._place = _Place(context.namespace, context.workflow_id or "")
        own._of_workflow = isinstance(context, WorkflowSerializationContext)
        return own

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypts. Operators' texts are sent without their mark: Temporal's tools show plain JSON only."""
        return [_unmarked(payload) or self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypts encrypted payloads.

        TinkError if the keyset lacks a payload's key. Anybody at Temporal's frontend can send messages to a
        workflow: there, plain payloads stay as they are. So do damaged ones and those of other workflows; no
        converter accepts them, so the workflow refuses the message and goes on. Between a workflow and its
        activities only our own processes write: there, any of these raises PayloadError.
        """
        return [self._decode(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        place = self._place or _Place("", "")
        metadata = {
            "encoding": ENCRYPTED,
            _NAMESPACE: place.namespace.encode(),
            _WORKFLOW_ID: place.workflow_id.encode(),
        }
        data = self._aead.encrypt(payload.SerializeToString(), place.associated_data)
        return Payload(metadata=metadata, data=data)

    def _decode(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCRYPTED:
            if self._place and not self._of_workflow:
                raise PayloadError("A payload between a workflow and its activity is not encrypted")
            return payload
        if (key_id := payload_key_id(payload)) not in self._key_ids:
            raise tink.TinkError(
                f"A payload is damaged, or encrypted under key {key_id}: the keyset lacks it"
            )
        try:
            return self._decrypt(payload)
        except PayloadError:
            if self._of_workflow:
                return payload
            raise

    def _decrypt(self, payload: Payload) -> Payload:
        associated_data = _UNBOUND
        if _WORKFLOW_ID in payload.metadata:
            place = _Place(
                payload.metadata[_NAMESPACE].decode(errors="replace"),
                payload.metadata[_WORKFLOW_ID].decode(errors="replace"),
            )
            if self._place not in {None, place}:
                raise PayloadError(f"A payload of workflow {place.workflow_id!r} was put into another")
            associated_data = place.associated_data
        try:
            return Payload.FromString(self._aead.decrypt(payload.data, associated_data))
        except tink.TinkError:
            raise PayloadError("A payload is damaged, or belongs to another workflow") from None


def payload_key_id(payload: Payload) -> str:
    """The ID of the key of an encrypted payload."""
    # Tink's ciphertexts begin with a version byte and the key ID.
    return str(int.from_bytes(payload.data[1:5], "big"))


def _unmarked(payload: Payload) -> Payload | None:
    """The payload without its mark, if it is marked for operators; else None."""
    if payload.metadata.get(_AUDIENCE) != _OPERATORS:
        return None
    plain = Payload()
    plain.CopyFrom(payload)
    del plain.metadata[_AUDIENCE]
    return plain


class _MetadataAsJson(JSONProtoPayloadConverter):
    """Workflow metadata, details included, as JSON for Temporal UI; other messages stay binary."""

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ANN401 - the base class's signature
        payload = super().to_payload(value) if isinstance(value, WorkflowMetadata) else None
        return payload and _marked(payload)


class _PlainJson(JSONPlainPayloadConverter):
    """Summaries as JSON for Temporal UI."""

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ANN401 - the base class's signature
        payload = super().to_payload(value)
        return _marked(payload) if payload and isinstance(value, OperatorText) else payload


def _marked(payload: Payload) -> Payload:
    """Marks a payload to stay in clear."""
    payload.metadata[_AUDIENCE] = _OPERATORS
    return payload


class _JsonToMessage(JSONTypeConverter):
    """Parses a message from plain JSON: what an operator types into a signal's form."""

    def to_typed_value(self, hint: type, value: Any) -> Message | JSONTypeConverterUnhandled | None:  # noqa: ANN401
        if not issubclass(hint, Message):
            return JSONTypeConverter.Unhandled
        try:
            return json_format.ParseDict(value, hint())
        except (json_format.ParseError, AttributeError, TypeError):
            # The parser's text repeats the input, which may be personal data, and the SDK logs it.
            raise ValueError(f"The JSON is no {hint.DESCRIPTOR.name}") from None


class _PayloadConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(
            BinaryNullPayloadConverter(),
            _MetadataAsJson(),
            BinaryProtoPayloadConverter(),
            _PlainJson(custom_type_converters=[_JsonToMessage()]),
        )


PLAIN_DATA_CONVERTER = DataConverter(
    payload_converter_class=_PayloadConverter,
    failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
)
"""Converter without encryption: for histories that were decrypted to be committed."""


def data_converter(keyset: tink.KeysetHandle) -> DataConverter:
    """Converter with encryption under the keyset's primary key; decrypts with any of its keys."""
    return replace(PLAIN_DATA_CONVERTER, payload_codec=EncryptionCodec(keyset))
