"""Key files: Tink keysets, one per purpose, and JSON Web Keys, that nobody else may read.

With `LIITY_KMS_KEY_URI`, every secret key file is encrypted under a key of a KMS. A missing or wrong file
stops the start with one line.
"""

import base64
import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import tink
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from tink import aead, json_proto_keyset_format, mac, prf, proto_keyset_format, secret_key_access
from tink.proto import tink_pb2

from services.runtime.security.kms import kms_key
from services.runtime.security.private_files import require_private
from services.runtime.settings import SettingsError

aead.register()
mac.register()
prf.register()


PrimitiveT = TypeVar("PrimitiveT")


class KeysetPurpose:
    """Purposes of keysets; each is the stem of its file's name."""

    PAYLOADS = "payloads"
    """AEAD: everything that passes through Temporal."""
    HETU = "hetu"
    """AEAD: the vault of personal identity codes."""
    HETU_INDEX = "hetu-index"
    """PRF: the blind index of the vault."""
    LINKS = "links"
    """MAC: links in mail and refresh tokens."""
    WEB = "web"
    """AEAD: cookies and form fields of the web pages."""


TEMPLATES = {
    KeysetPurpose.PAYLOADS: aead.aead_key_templates.AES256_GCM,
    KeysetPurpose.HETU: aead.aead_key_templates.AES256_GCM,
    KeysetPurpose.HETU_INDEX: prf.prf_key_templates.HMAC_SHA256,
    KeysetPurpose.LINKS: mac.mac_key_templates.HMAC_SHA256_128BITTAG,
    KeysetPurpose.WEB: aead.aead_key_templates.AES256_GCM,
}

TOKEN_SIGNING = "token-signing"  # noqa: S105 - the name of a purpose
"""The purpose whose keys are a JSON Web Key Set: signing access tokens."""

_KEYSET_SUFFIX = ".keyset.json"
_ENCRYPTED_JWK = "encryptedJwk"
_CHECK_CONTEXT = "liity key check "


class KeyChecks(NamedTuple):
    """The keys of a purpose, without their secrets."""

    primary_id: str
    """The key that writes."""
    values: Mapping[str, bytes]
    """Key check values by key ID: they tell keys apart and reveal nothing about them."""


def read_private_file(path: Path) -> str:
    """Reads a secret file. SettingsError if others may access it, or it cannot be read."""
    try:
        require_private(path, "Key file")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        message = f"Key file {path} cannot be read: {reason}. `liity keys create` makes missing keys."
        raise SettingsError(message) from None


def write_private_file(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, atomically. SettingsError if it cannot."""
    _replace(path, text, mode=0o600)


def write_public_file(path: Path, text: str) -> None:
    """Writes a file that anybody may read, atomically. SettingsError if it cannot."""
    _replace(path, text, mode=0o644)


def read_key_file(path: Path) -> str:
    """Reads JSON Web Keys from a private file, decrypted by the KMS if there is one. SettingsError."""
    text = read_private_file(path)
    kms = _kms_of(path, text)
    if kms is None:
        return text
    try:
        return bytes(kms.decrypt(base64.b64decode(json.loads(text)[_ENCRYPTED_JWK]), b"")).decode()
    except (tink.TinkError, ValueError, LookupError, TypeError) as error:
        raise SettingsError(f"Key file {path} cannot be decrypted by the KMS: {error}") from None


def write_key_file(path: Path, text: str) -> None:
    """Writes JSON Web Keys to a private file, encrypted by the KMS if there is one. SettingsError."""
    kms = kms_key()
    if kms is not None:
        try:
            text = json.dumps({_ENCRYPTED_JWK: base64.b64encode(kms.encrypt(text.encode(), b"")).decode()})
        except tink.TinkError as error:
            raise SettingsError(f"The KMS cannot encrypt {path.name}: {error}") from None
    write_private_file(path, text)


def load_keyset(keys_dir: Path, purpose: str) -> tink.KeysetHandle:
    """Loads the keyset of a purpose. SettingsError if it is missing, open to others or not a keyset."""
    path = keyset_path(keys_dir, purpose)
    text = read_private_file(path)
    kms = _kms_of(path, text)
    if kms is None:
        return _parse(path, text)
    try:
        return json_proto_keyset_format.parse_encrypted(text, kms, b"")
    except tink.TinkError as error:
        raise SettingsError(f"Key file {path} cannot be decrypted by the KMS: {error}") from None


def store_keyset(keys_dir: Path, purpose: str, keyset: tink.KeysetHandle) -> None:
    """Writes the keyset of a purpose, encrypted by the KMS if there is one. SettingsError."""
    path = keyset_path(keys_dir, purpose)
    kms = kms_key()
    try:
        text = (
            json_proto_keyset_format.serialize(keyset, secret_key_access.TOKEN)
            if kms is None
            else json_proto_keyset_format.serialize_encrypted(keyset, kms, b"")
        )
    except tink.TinkError as error:
        raise SettingsError(f"The KMS cannot encrypt {path.name}: {error}") from None
    write_private_file(path, text)


def keyset_path(keys_dir: Path, purpose: str) -> Path:
    """Path of a purpose's keyset."""
    return keys_dir / f"{purpose}{_KEYSET_SUFFIX}"


def load_primitive(keys_dir: Path, purpose: str, primitive: type[PrimitiveT]) -> PrimitiveT:
    """Loads the primitive of a purpose's keyset. SettingsError as `load_keyset`, or if of another kind."""
    return primitive_of(load_keyset(keys_dir, purpose), keyset_path(keys_dir, purpose), primitive)


def primitive_of(keyset: tink.KeysetHandle, path: Path, primitive: type[PrimitiveT]) -> PrimitiveT:
    """The primitive of a keyset that was read from `path`. SettingsError if it is of another kind."""
    try:
        found: PrimitiveT = keyset.primitive(primitive)
    except tink.TinkError as error:
        raise SettingsError(f"Key file {path} is of another kind: {error}") from None
    return found


def token_signing_path(keys_dir: Path) -> Path:
    """Path of the keys that sign access tokens."""
    return keys_dir / f"{TOKEN_SIGNING}.jwks.json"


def load_token_signing_keys(keys_dir: Path) -> KeySet:
    """Loads the private keys of access tokens, the primary one first. SettingsError if unusable."""
    path = token_signing_path(keys_dir)
    try:
        keys = KeySet.import_key_set(json.loads(read_key_file(path)))
    except (JoseError, ValueError, LookupError, TypeError) as error:
        raise SettingsError(f"Key file {path} holds no JSON Web Key Set: {error}") from None
    if not all(isinstance(key, OKPKey) and key.is_private for key in keys):
        raise SettingsError(f"Key file {path} holds keys that cannot sign access tokens.")
    return keys


def store_token_signing_keys(keys_dir: Path, keys: Sequence[OKPKey]) -> None:
    """Writes the private keys of access tokens, the primary one first. SettingsError."""
    write_key_file(
        token_signing_path(keys_dir), json.dumps({"keys": [key.as_dict(private=True) for key in keys]})
    )


def create_token_signing_key() -> OKPKey:
    """Creates a key for signing access tokens (RFC 7517, RFC 8037)."""
    return OKPKey.generate_key("Ed25519", parameters={"use": "sig", "kid": secrets.token_hex(8)})


def key_file_path(keys_dir: Path, purpose: str) -> Path:
    """Path of the keys of any purpose."""
    return token_signing_path(keys_dir) if purpose == TOKEN_SIGNING else keyset_path(keys_dir, purpose)


def key_checks(keys_dir: Path, purpose: str) -> KeyChecks:
    """Key check values of a purpose's keys. SettingsError if they cannot be read."""
    if purpose == TOKEN_SIGNING:
        jwks = load_token_signing_keys(keys_dir).keys
        values = {
            str(key.kid): _check_value(purpose, str(key.as_dict(private=True)["d"]).encode()) for key in jwks
        }
        return KeyChecks(str(jwks[0].kid), values)
    keyset = keyset_proto(load_keyset(keys_dir, purpose))
    values = {str(key.key_id): _check_value(purpose, key.key_data.value) for key in keyset.key}
    return KeyChecks(str(keyset.primary_key_id), values)


def keyset_proto(keyset: tink.KeysetHandle) -> tink_pb2.Keyset:
    """A keyset with its secrets, as Tink's message."""
    return tink_pb2.Keyset.FromString(proto_keyset_format.serialize(keyset, secret_key_access.TOKEN))


def _parse(path: Path, text: str) -> tink.KeysetHandle:
    try:
        return json_proto_keyset_format.parse(text, secret_key_access.TOKEN)
    except tink.TinkError as error:
        raise SettingsError(f"Key file {path} holds no Tink keyset: {error}") from None


def _check_value(purpose: str, material: bytes) -> bytes:
    # A MAC under a key of 256 random bits reveals nothing about the key.
    return hmac.digest(material, (_CHECK_CONTEXT + purpose).encode(), "sha256")


def encrypt_key_file(path: Path) -> None:
    """Encrypts a plain key file by the KMS, if one is set. SettingsError if it cannot."""
    text = read_private_file(path)
    if kms_key() is None or _is_encrypted(text):
        return
    if path.name.endswith(_KEYSET_SUFFIX):
        keyset = _parse(path, text)
        store_keyset(path.parent, path.name.removesuffix(_KEYSET_SUFFIX), keyset)
    else:
        write_key_file(path, text)


def _is_encrypted(text: str) -> bool:
    try:
        return any(str(member).startswith("encrypted") for member in json.loads(text))
    except (ValueError, TypeError):
        return False


def _kms_of(path: Path, text: str) -> aead.Aead | None:
    """The KMS key that encrypts a file; SettingsError if the file does not match the setting."""
    encrypted = _is_encrypted(text)
    kms = kms_key()
    if encrypted and kms is None:
        raise SettingsError(f"Key file {path} is encrypted by a KMS: LIITY_KMS_KEY_URI must say by which key")
    if kms is not None and not encrypted:
        raise SettingsError(
            f"Key file {path} is not encrypted by the KMS of LIITY_KMS_KEY_URI: `liity keys create` does it"
        )
    return kms


def _replace(path: Path, text: str, *, mode: int) -> None:
    partial = path.with_name(f"{path.name}.partial")
    try:
        # O_EXCL with the mode: nobody else can read the file at any moment. Remove what a crash has left.
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise SettingsError(f"File {path} cannot be written: {error.strerror}") from None
