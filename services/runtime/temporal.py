"""The way to Temporal: the client, the payload codec, and the names that starter and worker share.

Everything that passes through Temporal is a protobuf message and encrypted (Tink AEAD; the key's ID is the
ciphertext's prefix, so that histories stay readable after a key rotates). Each payload is bound to its
namespace and workflow: it cannot be moved into another. What operators read in Temporal UI is left in the
clear: summaries and details, which are marked for it and hold no personal data. A plain payload is accepted
as the body of a message, so that staff can send one as JSON from the UI or the CLI.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import structlog
import tink
from google.protobuf import json_format
from google.protobuf.message import Message
from pydantic import Field
from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client
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
from temporalio.envconfig import ClientConfig, ClientConfigProfile
from tink import aead

from services.runtime.actors import ActorClientInterceptor, ActorSeal
from services.runtime.keys import KeysetPurpose, load_keyset
from services.runtime.settings import RuntimeSettings, SettingsError
from services.runtime.tls import CertificateFiles, FromFiles, client_context

log = structlog.get_logger()

_WATCH_PAUSE = 2.0
"""Seconds between two looks at the files of Temporal's TLS."""

ENCRYPTED = b"binary/encrypted"
"""The encoding that a payload's metadata tells when it is encrypted."""

_UNBOUND = b"liity temporal payload"
"""The associated data of all payloads up to release 0.2."""

_BOUND = b"liity temporal payload of a workflow"

_NAMESPACE = "liity-namespace"
_WORKFLOW_ID = "liity-workflow-id"
"""Names in the metadata of an encrypted payload."""

_AUDIENCE = "liity-audience"
_OPERATORS = b"operators"
"""The mark in the metadata of what stays in the clear. A value's type sets it, never its content."""


class TemporalSettings(RuntimeSettings):
    """What a component that speaks to Temporal reads besides.

    Whatever is not given here comes from Temporal's own environment configuration (`TEMPORAL_*`, profiles).
    """

    temporal_address: str = Field("", description="host:port of the Temporal frontend.")
    temporal_namespace: str = Field("", description="Namespace the workflows live in.")


TASK_QUEUE = "registration"
"""Where every worker looks for all that is to be done."""


class RegistrationWorkflowNames:
    """What a starter must know of `RegistrationWorkflow`, whose code it does not know."""

    WORKFLOW = "RegistrationWorkflow"
    SAVE = "save"
    EDIT = "edit"
    RECORD_CONSENT = "record_consent"
    DECLINE_CONSENT = "decline_consent"
    WITHDRAW = "withdraw"
    MOVED = "moved"
    ADDRESS_CHANGED = "address_changed"
    CUSTOMERSHIP_ENDED = "customership_ended"
    RESUMED = "resumed"
    REACTIVATE = "reactivate"
    VERIFY_IDENTITY = "verify_identity"
    LINK_TO_CUSTOMER = "link_to_customer"
    REJECT = "reject"
    MAKE_WAY = "make_way"
    MERGED = "merged"
    CONVERT = "convert"
    ADOPT = "adopt"

    @staticmethod
    def workflow_id(person_id: str) -> str:
        """One execution per person: two who save the same person meet in it (R18)."""
        return f"registration/{person_id}"


class DisclosureWorkflowNames:
    """What a starter must know of `DisclosureWorkflow`."""

    WORKFLOW = "DisclosureWorkflow"

    @staticmethod
    def workflow_id(disclosure_id: str) -> str:
        """One execution per disclosure."""
        return f"disclosure/{disclosure_id}"


class PasswordOrderWorkflowNames:
    """What a starter must know of `PasswordOrderWorkflow`."""

    WORKFLOW = "PasswordOrderWorkflow"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per order."""
        return f"password-order/{request_id}"


class TransferWorkflowNames:
    """What a starter must know of `TransferWorkflow`."""

    WORKFLOW = "TransferWorkflow"
    TRANSFER = "transfer"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"transfer/{request_id}"


class CredentialsWorkflowNames:
    """What a starter must know of `CredentialsWorkflow`."""

    WORKFLOW = "CredentialsWorkflow"
    SEND = "send"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"credentials/{request_id}"


class AddressChangeWorkflowNames:
    """What a starter must know of `AddressChangeWorkflow`."""

    WORKFLOW = "AddressChangeWorkflow"
    CHANGE = "change"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"address-change/{request_id}"


class ClassListWorkflowNames:
    """What a starter must know of `ClassListWorkflow`."""

    WORKFLOW = "ClassListWorkflow"
    CANCEL = "cancel"

    @staticmethod
    def workflow_id(class_list_id: str) -> str:
        """One execution per list."""
        return f"class-list/{class_list_id}"


class RemovalWorkflowNames:
    """What a starter must know of `RemovalWorkflow`."""

    WORKFLOW = "RemovalWorkflow"
    END = "end"
    UNDO = "undo"
    RETURNED = "returned"

    @staticmethod
    def workflow_id(customer_id: str) -> str:
        """One execution per customer: two who end the same customership meet in it."""
        return f"removal/{customer_id}"


class NeedWorkflowNames:
    """What a starter must know of `NeedWorkflow`."""

    WORKFLOW = "NeedWorkflow"
    CHANGED = "changed"
    EXTEND = "extend"

    @staticmethod
    def workflow_id(customer_id: str) -> str:
        """One execution per customer."""
        return f"need/{customer_id}"


class InvitationWorkflowNames:
    """What a starter must know of `InvitationWorkflow`."""

    WORKFLOW = "InvitationWorkflow"
    INVITE = "invite"
    WITHDRAW = "withdraw_invitation"
    ACCEPTED = "invitation_accepted"

    @staticmethod
    def workflow_id(invitation_id: str) -> str:
        """One execution per invitation."""
        return f"invitation/{invitation_id}"


class UnitClosingWorkflowNames:
    """What a starter must know of `UnitClosingWorkflow`."""

    WORKFLOW = "UnitClosingWorkflow"
    CLOSE = "close"

    @staticmethod
    def workflow_id(unit_id: str) -> str:
        """One execution per unit at a time."""
        return f"unit-closing/{unit_id}"


class PasswordReminderWorkflowNames:
    """What a starter must know of `PasswordReminderWorkflow`."""

    WORKFLOW = "PasswordReminderWorkflow"
    SCHEDULE = "password-reminders"


class WorkDigestWorkflowNames:
    """What a starter must know of `WorkDigestWorkflow`."""

    WORKFLOW = "WorkDigestWorkflow"
    SCHEDULE = "work-digest"


class ReconciliationWorkflowNames:
    """What a starter must know of `ReconciliationWorkflow`."""

    WORKFLOW = "ReconciliationWorkflow"
    SCHEDULE = "reconciliation"


class MessageWorkflowNames:
    """What a starter must know of `MessageWorkflow`."""

    WORKFLOW = "MessageWorkflow"
    CLOSED = "closed"

    @staticmethod
    def workflow_id(message_id: str) -> str:
        """One execution per message to customer service."""
        return f"message/{message_id}"


class CodeChangeWorkflowNames:
    """What a starter must know of `CodeChangeWorkflow`."""

    WORKFLOW = "CodeChangeWorkflow"
    CHANGE = "change"

    @staticmethod
    def workflow_id(person_id: str) -> str:
        """One execution per person at a time: two who change the same code come one after another."""
        return f"code-change/{person_id}"


class MergeWorkflowNames:
    """What a starter must know of `MergeWorkflow`."""

    WORKFLOW = "MergeWorkflow"
    MERGE = "merge"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"merge/{request_id}"


class OperatorText(str):
    """A summary: operators read it in Temporal UI, so it stays in the clear. It holds no personal data."""

    __slots__ = ()


class PayloadError(ValueError):
    """A payload that is damaged, or not the workflow's own."""


@dataclass(frozen=True)
class _Place:
    """Where a payload belongs; both are empty for what belongs to no workflow."""

    namespace: str
    workflow_id: str

    @property
    def associated_data(self) -> bytes:
        namespace, workflow_id = self.namespace.encode(), self.workflow_id.encode()
        # The length keeps two pairs from looking alike.
        return b"%s\n%d\n%s%s" % (_BOUND, len(namespace), namespace, workflow_id)


class EncryptionCodec(PayloadCodec, WithSerializationContext):
    """Encrypts every payload but what is marked for operators, and binds it to its namespace and workflow.

    These two stand in the payload's metadata, authenticated. A codec that knows where it works reads its own
    payloads alone. One that does not, such as the codec server's, reads all: Temporal UI does not tell which
    workflow a payload is of. Payloads of releases up to 0.2 are bound to nothing.
    """

    def __init__(self, keyset: tink.KeysetHandle) -> None:
        self._aead = keyset.primitive(aead.Aead)
        self._key_ids = frozenset(str(key.key_id) for key in keyset.keyset_info().key_info)
        self._place: _Place | None = None
        self._of_workflow = False

    def with_context(self, context: SerializationContext) -> Self:
        """The codec for the payloads of one workflow, or of its activities."""
        if not isinstance(context, WorkflowSerializationContext | ActivitySerializationContext):
            return self
        own = copy.copy(self)
        own._place = _Place(context.namespace, context.workflow_id or "")
        own._of_workflow = isinstance(context, WorkflowSerializationContext)
        return own

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypts. What operators read is sent without the mark: Temporal's tools show plain JSON alone."""
        return [_unmarked(payload) or self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypts what is encrypted.

        TinkError if the keyset lacks a payload's key. Everybody at Temporal's frontend may send messages to a
        workflow: what is plain there stays as it is. So does what belongs elsewhere or is damaged, and as no
        converter knows it, the workflow refuses it and goes on. Between a workflow and its activities only
        our own processes write: there anything else is a PayloadError.
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
    """The ID of the key an encrypted payload lies under."""
    # Tink's ciphertexts begin with a byte of version and the ID of their key.
    return str(int.from_bytes(payload.data[1:5], "big"))


def _unmarked(payload: Payload) -> Payload | None:
    """The payload without its mark, if it is marked for operators."""
    if payload.metadata.get(_AUDIENCE) != _OPERATORS:
        return None
    plain = Payload()
    plain.CopyFrom(payload)
    del plain.metadata[_AUDIENCE]
    return plain


class _MetadataAsJson(JSONProtoPayloadConverter):
    """Temporal UI reads workflow metadata, details among it, as JSON; our own messages go as binary."""

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ANN401 - the base class's signature
        payload = super().to_payload(value) if isinstance(value, WorkflowMetadata) else None
        return payload and _marked(payload)


class _PlainJson(JSONPlainPayloadConverter):
    """Temporal UI reads summaries as JSON."""

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ANN401 - the base class's signature
        payload = super().to_payload(value)
        return _marked(payload) if payload and isinstance(value, OperatorText) else payload


def _marked(payload: Payload) -> Payload:
    """A payload that stays in the clear."""
    payload.metadata[_AUDIENCE] = _OPERATORS
    return payload


class _JsonToMessage(JSONTypeConverter):
    """Reads a message from plain JSON: what an operator types into a signal's form."""

    def to_typed_value(self, hint: type, value: Any) -> Message | JSONTypeConverterUnhandled | None:  # noqa: ANN401
        if not issubclass(hint, Message):
            return JSONTypeConverter.Unhandled
        try:
            return json_format.ParseDict(value, hint())
        except (json_format.ParseError, AttributeError, TypeError):
            # Its text repeats what was typed, which may be personal data, and the SDK logs it.
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
"""Our messages without the encryption: for histories that were decrypted to be committed."""


def data_converter(keyset: tink.KeysetHandle) -> DataConverter:
    """Our messages, encrypted under the keyset's primary key, readable under every key in it."""
    return replace(PLAIN_DATA_CONVERTER, payload_codec=EncryptionCodec(keyset))


async def connect(settings: TemporalSettings, *, lazy: bool = True) -> Client:
    """A client with the payload codec. If lazy, the first call connects: Temporal may be away at the start.

    A worker needs one that is connected. SettingsError if it is not told where Temporal is, or by TLS files
    that cannot be used; RuntimeError if Temporal is away.
    """
    _tls_files()
    config = ClientConfig.load_client_connect_config()
    if settings.temporal_address:
        config["target_host"] = settings.temporal_address
    if settings.temporal_namespace:
        config["namespace"] = settings.temporal_namespace
    if "target_host" not in config:
        raise SettingsError("LIITY_TEMPORAL_ADDRESS or TEMPORAL_ADDRESS must say where Temporal is")
    keyset = load_keyset(settings.keys_dir, KeysetPurpose.PAYLOADS)
    return await Client.connect(
        **config,
        data_converter=data_converter(keyset),
        interceptors=[ActorClientInterceptor(ActorSeal(keyset))],
        lazy=lazy,
    )


@asynccontextmanager
async def follow_certificates(
    settings: TemporalSettings, use: Callable[[Client], None]
) -> AsyncIterator[None]:
    """Meanwhile connects anew whenever a file of Temporal's TLS changes, and gives the client to `use`.

    What does not connect is tried again; until then the client before stays in use.
    """
    watching = asyncio.create_task(_watch(settings, use, _tls_files()))
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(
    settings: TemporalSettings, use: Callable[[Client], None], files: FromFiles[Any] | None
) -> None:
    if files is None:
        return
    used = files.current()
    while True:
        await asyncio.sleep(_WATCH_PAUSE)
        changed = files.current()
        if changed is used:
            continue
        try:
            use(await connect(settings, lazy=False))
        except (RuntimeError, SettingsError) as error:
            log.warning("cannot connect to temporal with changed TLS files", problem=str(error))
        else:
            used = changed
            log.info("connected to temporal anew")


def _tls_files() -> FromFiles[Any] | None:
    """The files that Temporal's own configuration names, if any. SettingsError if they cannot be used."""
    tls = ClientConfigProfile.load().tls
    if tls is None:
        return None
    ca = tls.server_root_ca_cert if isinstance(tls.server_root_ca_cert, Path) else None
    if isinstance(tls.client_cert, Path) and isinstance(tls.client_private_key, Path):
        return CertificateFiles(tls.client_cert, tls.client_private_key, ca).follow()
    return client_context(ca) if ca else None
