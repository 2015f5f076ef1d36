"""Passwords: argon2id (RFC 9106), hashed in threads."""

import asyncio
import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from liity.v1.reason_pb2 import REASON_PASSWORD_TOO_WEAK
from services.identity.accounts.password_strength import is_strong
from services.runtime.rpc.errors import FieldViolation, invalid

_AT_ONCE = 2
"""Hashes computed at a time. Each takes 64 MiB and four threads: more at once would be slower."""


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
        """Whether the password matches the hash. Without a hash: False, after the same time."""
        async with self._turns:
            return await asyncio.to_thread(self._verify, password_hash, normalise(password))

    def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobodys_hash, password)
        except VerifyMismatchError:
            return False
        return password_hash is not None


async def require_strong(password: str, *own_words: str) -> None:
    """Raises INVALID_ARGUMENT (PASSWORD_TOO_WEAK) for a password that is too short or easy to guess.

    `own_words` are those of its owner that a guesser would try: address, name, user name, unit.
    """
    if not await asyncio.to_thread(is_strong, password, own_words):
        raise invalid([FieldViolation("password", REASON_PASSWORD_TOO_WEAK)])


def normalise(password: str) -> str:
    """The password as it is hashed: keyboards compose letters differently (RFC 8265, OpaqueString)."""
    return unicodedata.normalize("NFC", password)
