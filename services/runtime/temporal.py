"""The way to Temporal: the client, the payload codec, and the names that starter and worker share.

Everything that passes through Temporal is a protobuf message and encrypted (Tink AEAD; the key's ID is the
ciphertext's prefix, so that histories stay readable after a key rotates). What operators read in Temporal UI
is left in the clear: summaries and details, which are bare strings and hold no personal data. A plain payload
is accepted, so that staff can send messages as JSON from the UI or the CLI.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
import tink
from google.protobuf import json_format
from google.protobuf.message import Message
from pydantic import Field
from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client
from temporalio.converter import (
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

_CONTEXT = b"liity temporal payload"


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


class EncryptionCodec(PayloadCodec):
    """Encrypts every payload but what is meant for operators' eyes."""

    def __init__(self, keyset: tink.KeysetHandle) -> None:
        self._aead = keyset.primitive(aead.Aead)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypts."""
        return [payload if _for_operators(payload) else self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypts what is encrypted; leaves the rest."""
        return [
            self._decrypt(payload) if payload.metadata.get("encoding") == ENCRYPTED else payload
            for payload in payloads
        ]

    def _encrypt(self, payload: Payload) -> Payload:
        data = self._aead.encrypt(payload.SerializeToString(), _CONTEXT)
        return Payload(metadata={"encoding": ENCRYPTED}, data=data)

    def _decrypt(self, payload: Payload) -> Payload:
        try:
            plain = self._aead.decrypt(payload.data, _CONTEXT)
        except tink.TinkError:
            key_id = payload_key_id(payload)
            message = f"A payload was encrypted under key {key_id}, or damaged: the keyset cannot read it"
            raise tink.TinkError(message) from None
        return Payload.FromString(plain)


def payload_key_id(payload: Payload) -> str:
    """The ID of the key an encrypted payload lies under."""
    # Tink's ciphertexts begin with a byte of version and the ID of their key.
    return str(int.from_bytes(payload.data[1:5], "big"))


def _for_operators(payload: Payload) -> bool:
    if payload.metadata.get("messageType") == WorkflowMetadata.DESCRIPTOR.full_name.encode():
        return True
    return payload.metadata.get("encoding") == b"json/plain" and payload.data.startswith(b'"')


class _MetadataAsJson(JSONProtoPayloadConverter):
    """Temporal UI reads workflow metadata as JSON; our own messages go as binary."""

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ANN401 - the base class's signature
        return super().to_payload(value) if isinstance(value, WorkflowMetadata) else None


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
            JSONPlainPayloadConverter(custom_type_converters=[_JsonToMessage()]),
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
