"""Sealed values: what the browser keeps for the pages, and can neither read nor change."""

import base64
import binascii
import struct
import time
from datetime import timedelta

import tink
from tink import aead

_EXPIRY = struct.Struct(">Q")


class Seal:
    """Encrypts values for one purpose and some time. A rotated keyset opens what older keys have sealed."""

    def __init__(self, keyset: tink.KeysetHandle) -> None:
        self._aead: aead.Aead = keyset.primitive(aead.Aead)

    def seal(self, purpose: str, value: bytes, lifetime: timedelta) -> str:
        """The sealed value, as URL-safe text."""
        expiry = int(time.time() + lifetime.total_seconds())
        sealed = self._aead.encrypt(_EXPIRY.pack(expiry) + value, purpose.encode())
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def unseal(self, purpose: str, text: str) -> bytes | None:
        """The value; None if it is not ours, of another purpose, or too old."""
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            opened: bytes = self._aead.decrypt(sealed, purpose.encode())
        except (tink.TinkError, binascii.Error, ValueError):
            return None
        (expiry,) = _EXPIRY.unpack(opened[: _EXPIRY.size])
        return opened[_EXPIRY.size :] if time.time() < expiry else None
