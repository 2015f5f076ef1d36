"""The cryptography of the vault: codes are stored encrypted and found by a blind index (R35)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tink import aead, prf

from services.identity.hetu import Hetu
from services.runtime.security.keys import (
    KeysetPurpose,
    keyset_path,
    load_keyset,
    load_primitive,
    primitive_of,
)

_INDEX_BYTES = 32


class SealedHetu(NamedTuple):
    """A code as it is stored."""

    hetu_ciphertext: bytes
    hetu_key_id: int
    hetu_index: bytes
    index_key_id: int


class HetuVault:
    """Seals codes and computes the indexes that find them. SettingsError if a keyset is missing or wrong."""

    def __init__(self, keys_dir: Path) -> None:
        keyset = load_keyset(keys_dir, KeysetPurpose.HETU)
        self._aead = primitive_of(keyset, keyset_path(keys_dir, KeysetPurpose.HETU), aead.Aead)
        self._index = load_primitive(keys_dir, KeysetPurpose.HETU_INDEX, prf.PrfSet)
        self.key_id: int = keyset.keyset_info().primary_key_id
        """The key that codes are encrypted under now."""
        self.index_key_id: int = self._index.primary_id()
        """The key that indexes are computed under now."""

    def seal(self, hetu: Hetu, person_id: str) -> SealedHetu:
        """A code encrypted for one person: moved to another's row it cannot be read."""
        return self._seal(hetu.code.encode(), person_id)

    def reseal(self, ciphertext: bytes, person_id: str, owner_id: str = "") -> SealedHetu:
        """A person's stored code under the keys of now, for another owner if one is given.

        `tink.TinkError` if it cannot be read.
        """
        return self._seal(self.open(ciphertext, person_id).encode(), owner_id or person_id)

    def open(self, ciphertext: bytes, person_id: str) -> str:
        """The code that was encrypted for a person. TinkError if it was for another, or the key is gone."""
        code: bytes = self._aead.decrypt(ciphertext, person_id.encode())
        return code.decode()

    def indexes(self, hetu: Hetu) -> Sequence[bytes]:
        """The code's index under every key, by key ID: rows written before a rotation are found too."""
        keys = self._index.all()
        return [keys[key_id].compute(hetu.code.encode(), _INDEX_BYTES) for key_id in sorted(keys)]

    def _seal(self, code: bytes, person_id: str) -> SealedHetu:
        return SealedHetu(
            self._aead.encrypt(code, person_id.encode()),
            self.key_id,
            self._index.primary().compute(code, _INDEX_BYTES),
            self.index_key_id,
        )
