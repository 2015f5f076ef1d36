"""Tokens that stand for a row: a random ID under a MAC that binds what the token is for.

Nobody can make one, use one for another purpose, or learn anything from it.
"""

import base64
import binascii
import secrets
from pathlib import Path
from typing import Literal

import tink
from tink import mac

from services.runtime.security.keys import KeysetPurpose, load_primitive

_ID_BYTES = 16

Purpose = Literal["refresh", "consent", "password", "account-password", "email", "customership", "invitation"]
"""What a token may be for."""


def new_id() -> str:
    """A random ID, in hexadecimal."""
    return secrets.token_hex(_ID_BYTES)


class SealedIds:
    """Makes and opens tokens. SettingsError if the keyset is missing or wrong."""

    def __init__(self, keys_dir: Path) -> None:
        self._mac = load_primitive(keys_dir, KeysetPurpose.LINKS, mac.Mac)

    def seal(self, purpose: Purpose, sealed_id: str) -> str:
        """The token of an ID: URL-safe, and the same each time."""
        raw = bytes.fromhex(sealed_id)
        return _encode(raw + self._mac.compute_mac(purpose.encode() + raw))

    def mark(self, name: str) -> bytes:
        """A keyed hash of what nobody is to read or guess; another one once the primary key is another."""
        mark: bytes = self._mac.compute_mac(b"mark " + name.encode())
        return mark

    def open(self, purpose: Purpose, token: str) -> str | None:
        """The ID in a token; None if it is not one of ours for this purpose."""
        try:
            decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            # Stray characters and bits, which decoding overlooks, would make several tokens of one.
            if _encode(decoded) != token:
                return None
            raw, tag = decoded[:_ID_BYTES], decoded[_ID_BYTES:]
            self._mac.verify_mac(tag, purpose.encode() + raw)
        except (ValueError, binascii.Error, tink.TinkError):
            return None
        return raw.hex()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
