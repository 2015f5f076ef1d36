"""Cryptography of the vault: codes are stored encrypted and found by a blind index (R35)."""

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
    """A code in the form that is stored."""

    hetu_ciphertext: bytes
    hetu_key_id: int
    hetu_index: bytes
    index_key_id: int


class HetuVault:
    """Encrypts codes and computes blind indexes. Raises SettingsError if a keyset is missing or wrong."""

    def __init__(self, keys_dir: Path) -> None:
        keyset = load_keyset(keys_dir, KeysetPurpose.HETU)
        self._aead = primitive_of(keyset, keyset_path(keys_dir, KeysetPurpose.HETU), aead.Aead)
        self._index = load_primitive(keys_dir, KeysetPurpose.HETU_INDEX, prf.PrfSet)
        self.key_id: int = keyset.keyset_info().primary_key_id
        """The key under which codes are encrypted."""
        self.index_key_id: int = self._index.primary_id()
        """The key under which indexes are computed."""

    def seal(self, hetu: Hetu, person_id: str) -> SealedHetu:
        """Encrypts a code for one person: copied to another person's row it cannot be decrypted."""
        return self._seal(hetu.code.encode(), person_id)

    def reseal(self, ciphertext: bytes, person_id: str, owner_id: str = "") -> SealedHetu:
        """Re-encrypts a person's stored code under the primary keys, for `owner_id` if given.

        Raises `tink.TinkError` if it cannot be decrypted.
        """
        return self._seal(self.open(ciphertext, person_id).encode(), owner_id or person_id)

    def open(self, ciphertext: bytes, person_id: str) -> str:
        """Decrypts a person's code. `tink.TinkError` if it is another person's, or the key is missing."""
        code: bytes = self._aead.decrypt(ciphertext, person_id.encode())
        return code.decode()

    def indexes(self, hetu: Hetu) -> Sequence[bytes]:
        """The code's index under every key, by key ID, so that rows written before a rotation are found."""
        keys = self._index.all()
        return [keys[key_id].compute(hetu.code.encode(), _INDEX_BYTES) for key_id in sorted(keys)]

    @property
    def index_is_rotated(self) -> bool:
        """Whether codes are found under more than one key."""
        return len(self._index.all()) > 1

    def _seal(self, code: bytes, person_id: str) -> SealedHetu:
        return SealedHetu(
            self._aead.encrypt(code, person_id.encode()),
            self.key_id,
            self._index.primary().compute(code, _INDEX_BYTES),
            self.index_key_id,
        )
