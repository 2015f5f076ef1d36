"""Stored content of a disclosure: compressed, and encrypted between the worker and the gateway."""

import zlib
from pathlib import Path

from tink import aead

from liity.v1.personal_data_pb2 import PersonalDataExport
from services.runtime.security.keys import KeysetPurpose, load_primitive


class DisclosureSeal:
    """Encrypts exports under the payloads keyset. SettingsError if it is missing or wrong."""

    def __init__(self, keys_dir: Path) -> None:
        self._aead = load_primitive(keys_dir, KeysetPurpose.PAYLOADS, aead.Aead)

    def seal(self, disclosure_id: str, export: PersonalDataExport) -> bytes:
        """Encrypts an export for one disclosure: under another ID it cannot be decrypted."""
        # Compress first, as ciphertext does not compress: a long log of use shrinks to a twentieth.
        packed = zlib.compress(export.SerializeToString())
        ciphertext: bytes = self._aead.encrypt(packed, _context(disclosure_id))
        return ciphertext

    def open(self, disclosure_id: str, ciphertext: bytes) -> PersonalDataExport:
        """Decrypts an export. TinkError if it is another disclosure's, or the key is missing."""
        packed = self._aead.decrypt(ciphertext, _context(disclosure_id))
        return PersonalDataExport.FromString(zlib.decompress(packed))


def _context(disclosure_id: str) -> bytes:
    return f"liity disclosure {disclosure_id}".encode()
