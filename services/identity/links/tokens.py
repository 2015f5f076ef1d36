"""Tokens that stand for a row: a random ID and a MAC over the ID and the token's purpose.

A token cannot be forged or used for another purpose, and reveals nothing.
"""

import base64
import binascii
import secrets
from pathlib import Path
from typing import Literal, NamedTuple

import tink
from tink import mac

from services.identity.links.pasted import candidates
from services.runtime.security.keys import KeysetPurpose, load_primitive

_ID_BYTES = 16

Purpose = Literal["refresh", "consent", "password", "account-password", "email", "customership", "invitation"]
"""What a token may be used for."""


class Found(NamedTuple):
    """What was found in a text that should hold a token."""

    sealed_id: str | None
    looks_like_token: bool
    """Whether something has the form of a token, whether or not it is one."""


def new_id() -> str:
    """A random ID of 16 bytes, in hexadecimal."""
    return secrets.token_hex(_ID_BYTES)


class SealedIds:
    """Makes and opens tokens. Raises SettingsError if the keyset is missing or wrong."""

    def __init__(self, keys_dir: Path) -> None:
        self._mac = load_primitive(keys_dir, KeysetPurpose.LINKS, mac.Mac)
        self._length = len(self.seal("refresh", bytes(_ID_BYTES).hex()))

    def seal(self, purpose: Purpose, sealed_id: str) -> str:
        """The token of an ID: URL-safe and deterministic."""
        raw = bytes.fromhex(sealed_id)
        return _encode(raw + self._mac.compute_mac(purpose.encode() + raw))

    def mark(self, name: str) -> bytes:
        """A keyed hash of a value that must not be readable; changes with the primary key."""
        mark: bytes = self._mac.compute_mac(b"mark " + name.encode())
        return mark

    def find(self, purpose: Purpose, text: str) -> Found:
        """Looks for a token of a mailed link in a text: a link, or what mail gateways have made of one."""
        parts = candidates(text, self._length)
        opened = (self.open(purpose, part) for part in parts)
        return Found(next((link_id for link_id in opened if link_id is not None), None), bool(parts))

    def open(self, purpose: Purpose, token: str) -> str | None:
        """The ID in a token; None if it was not sealed for this purpose."""
        try:
            decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            # Decoding ignores stray characters and bits: without this check several texts would be the same
            # token.
            if _encode(decoded) != token:
                return None
            raw, tag = decoded[:_ID_BYTES], decoded[_ID_BYTES:]
            self._mac.verify_mac(tag, purpose.encode() + raw)
        except (ValueError, binascii.Error, tink.TinkError):
            return None
        return raw.hex()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
