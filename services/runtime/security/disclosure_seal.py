"""How the content of a disclosure is stored: packed, and encrypted between who gathers and who shows it."""

import zlib
from pathlib import Path

from tink import aead

from liity.v1.personal_data_pb2 import PersonalDataExport
from services.runtime.security.keys import KeysetPurpose, load_primitive


class DisclosureSeal:
    """Seals exports under the payloads keyset. SettingsError if it is missing or wrong."""

    def __init__(self, keys_dir: Path) -> None:
        self._aead = load_primitive(keys_dir, KeysetPurpose.PAYLOADS, aead.Aead)

    def seal(self, disclosure_id: str, export: PersonalDataExport) -> bytes:
        """An export encrypted for one disclosure: under another's ID it cannot be read."""
        # Packed, because what is encrypted packs no more: a long log of use becomes a twentieth.
        packed = zlib.compress(export.SerializeToString())
        ciphertext: bytes = self._aead.encrypt(packed, _context(disclosure_id))
        return ciphertext

    def open(self, disclosure_id: str, ciphertext: bytes) -> PersonalDataExport:
        """The export. TinkError if it is another's, or was encrypted under a key that is gone."""
        packed = self._aead.decrypt(ciphertext, _context(disclosure_id))
        return PersonalDataExport.FromString(zlib.decompress(packed))


def _context(disclosure_id: str) -> bytes:
    return f"liity disclosure {disclosure_id}".encode()
