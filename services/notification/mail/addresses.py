"""E-mail addresses: validation, and masking in stored texts."""

import hashlib
import re

from email_validator import EmailNotValidError, validate_email

from liity.v1.reason_pb2 import REASON_INVALID_EMAIL
from services.runtime.rpc.errors import FieldViolation, invalid
from services.runtime.text.email_addresses import fold, normal

_ANY_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"']+@[^\s<>()\[\],;:\"']+")
_MASK = "***"


def to_ascii(address: str) -> str:
    """The address with its domain in ASCII.

    A local part beyond ASCII stays: it needs a server that knows RFC 6531. EmailNotValidError if invalid.
    """
    valid = validate_email(normal(address), check_deliverability=False)
    return valid.ascii_email or f"{valid.local_part}@{valid.ascii_domain}"


def recipient(address: str) -> str:
    """A mail's validated recipient. INVALID_ARGUMENT if invalid, so line breaks never reach a header."""
    try:
        return to_ascii(address)
    except EmailNotValidError:
        raise invalid([FieldViolation("recipient_email", REASON_INVALID_EMAIL)]) from None


def recipient_key(subject_id: str, address: str) -> bytes:
    """A hash of a mail's subject and recipient: the same address has another hash for every subject."""
    return hashlib.sha256(f"{subject_id} {fold(address)}".encode()).digest()


def mask(text: str, address: str, *, longest: int = 200) -> str:
    """A mail server's text without addresses, on one line of at most `longest` characters.

    The recipient's local part is masked on its own, too: servers often repeat it alone.
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    line = _ANY_ADDRESS.sub(_MASK, line)
    local_part = re.escape(address.rpartition("@")[0])
    line = re.sub(rf"(?<!\w){local_part}(?!\w)", _MASK, line, flags=re.IGNORECASE)
    return line[:longest]
