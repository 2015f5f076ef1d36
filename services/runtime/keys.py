"""Keys: Tink keysets, each with one purpose, and the keys of access tokens.

A missing or wrong file stops the start with one line.
"""

import json
from pathlib import Path
from typing import TypeVar

import tink
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from tink import aead, json_proto_keyset_format, mac, prf, secret_key_access

from services.runtime.settings import SettingsError

aead.register()
mac.register()
prf.register()


PrimitiveT = TypeVar("PrimitiveT")


class KeysetPurpose:
    """The keysets of Liity, by the stem of their file."""

    PAYLOADS = "payloads"
    """AEAD: everything that passes through Temporal."""
    HETU = "hetu"
    """AEAD: the vault of personal identity codes."""
    HETU_INDEX = "hetu-index"
    """PRF: the blind index of the vault."""
    LINKS = "links"
    """MAC: links in mail and refresh tokens."""


TEMPLATES = {
    KeysetPurpose.PAYLOADS: aead.aead_key_templates.AES256_GCM,
    KeysetPurpose.HETU: aead.aead_key_templates.AES256_GCM,
    KeysetPurpose.HETU_INDEX: prf.prf_key_templates.HMAC_SHA256,
    KeysetPurpose.LINKS: mac.mac_key_templates.HMAC_SHA256_128BITTAG,
}


def read_private_file(path: Path) -> str:
    """The text of a file that nobody but its owner may read. SettingsError if not so."""
    try:
        mode = path.stat().st_mode
        text = path.read_text("utf-8")
    except OSError as error:
        message = f"Key file {path} cannot be read: {error.strerror}. `liity keys create` makes missing keys."
        raise SettingsError(message) from None
    if mode & 0o077:
        raise SettingsError(f"Key file {path} is open to others: chmod 600 {path}")
    return text


def write_private_file(path: Path, text: str) -> None:
    """Writes a file that nobody but its owner may read; it is never there half written."""
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(text, "utf-8")
    partial.replace(path)


def load_keyset(keys_dir: Path, purpose: str) -> tink.KeysetHandle:
    """The keyset of a purpose. SettingsError if it is missing, open to others or no keyset."""
    path = keyset_path(keys_dir, purpose)
    try:
        return json_proto_keyset_format.parse(read_private_file(path), secret_key_access.TOKEN)
    except tink.TinkError as error:
        raise SettingsError(f"Key file {path} holds no Tink keyset: {error}") from None


def create_keyset(keys_dir: Path, purpose: str) -> None:
    """Makes the keyset of a purpose, unless there is one."""
    path = keyset_path(keys_dir, purpose)
    if not path.exists():
        handle = tink.new_keyset_handle(TEMPLATES[purpose])
        write_private_file(path, json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))


def keyset_path(keys_dir: Path, purpose: str) -> Path:
    """Where the keyset of a purpose lies."""
    return keys_dir / f"{purpose}.keyset.json"


def load_primitive(keys_dir: Path, purpose: str, primitive: type[PrimitiveT]) -> PrimitiveT:
    """The keyset of a purpose, ready to use. SettingsError as `load_keyset`, or if it is of another kind."""
    try:
        found: PrimitiveT = load_keyset(keys_dir, purpose).primitive(primitive)
    except tink.TinkError as error:
        raise SettingsError(
            f"Key file {keyset_path(keys_dir, purpose)} is of another kind: {error}"
        ) from None
    return found


def load_token_signing_keys(keys_dir: Path) -> KeySet:
    """The private keys of access tokens, the active one first. SettingsError if they cannot be used."""
    path = _token_signing_path(keys_dir)
    try:
        keys = KeySet.import_key_set(json.loads(read_private_file(path)))
    except (JoseError, ValueError, LookupError, TypeError) as error:
        raise SettingsError(f"Key file {path} holds no JSON Web Key Set: {error}") from None
    if not all(isinstance(key, OKPKey) and key.is_private for key in keys):
        raise SettingsError(f"Key file {path} holds keys that cannot sign access tokens.")
    return keys


def create_token_signing_keys(keys_dir: Path) -> None:
    """Makes the keys of access tokens, unless they are there (RFC 7517, RFC 8037)."""
    path = _token_signing_path(keys_dir)
    if not path.exists():
        key = OKPKey.generate_key("Ed25519", parameters={"use": "sig"}, auto_kid=True)
        write_private_file(path, json.dumps({"keys": [key.as_dict(private=True)]}))


def _token_signing_path(keys_dir: Path) -> Path:
    return keys_dir / "token-signing.jwks.json"
