"""Passwords: argon2id (RFC 9106), hashed beside the event loop."""

import asyncio
import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from liity.v1.reason_pb2 import REASON_PASSWORD_TOO_WEAK
from services.runtime.rpc.errors import FieldViolation, invalid

_MIN_LENGTH = 12
"""Characters of the shortest password."""

_AT_ONCE = 2
"""Each hash takes 64 MiB and four threads for a moment: more at once would be slower, not faster."""


class Passwords:
    """Hashes and verifies passwords."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._nobodys_hash = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """The hash of a password, with its salt and parameters."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, normalise(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one hashed. Without a hash: no, after the same time."""
        async with self._turns:
            return await asyncio.to_thread(self._verify, password_hash, normalise(password))

    def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobodys_hash, password)
        except VerifyMismatchError:
            return False
        return password_hash is not None


def require_strong(password: str) -> None:
    """INVALID_ARGUMENT (PASSWORD_TOO_WEAK) for one that nobody may choose."""
    if len(normalise(password)) < _MIN_LENGTH:
        raise invalid([FieldViolation("password", REASON_PASSWORD_TOO_WEAK)])


def normalise(password: str) -> str:
    """A password as it is hashed: keyboards compose letters differently (RFC 8265, OpaqueString)."""
    return unicodedata.normalize("NFC", password)
