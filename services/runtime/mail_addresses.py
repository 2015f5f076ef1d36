"""Recognising the address of a mail without keeping it."""

import hashlib
from uuid import UUID


def recipient_digest(request_id: UUID, address: str) -> bytes:
    """A hash of a mail's ID and address: the same address has another hash for every mail."""
    return hashlib.sha256(request_id.bytes + address.casefold().encode()).digest()
