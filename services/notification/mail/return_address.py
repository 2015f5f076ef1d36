"""The envelope sender of each mail: it says to which mail a bounce belongs (VERP).

`bounces@liity.example` becomes `bounces+TOKEN@liity.example`. The token holds the mail's ID and a secret of
the mail's own, so that only its mail servers and its reader can write a bounce of it. Base32 in lower case:
mail servers may change the case of a local part.
"""

import base64
import hmac
import re
import secrets
from uuid import UUID

_ID, _SECRET = 26, 13
_TOKEN = re.compile(rf"[a-z2-7]{{{_ID + _SECRET}}}", re.IGNORECASE)


def new_secret() -> str:
    """A secret for one mail: 64 random bits."""
    return _base32(secrets.token_bytes(8))


def return_address(bounce_address: str, request_id: UUID, secret: str) -> str:
    """The envelope sender of a mail."""
    local_part, _, domain = bounce_address.rpartition("@")
    return f"{local_part}+{_base32(request_id.bytes)}{secret}@{domain}"


def read_token(bounce_address: str, text: str) -> tuple[UUID, str] | None:
    """The mail's ID and the secret in the first such address of a text; None if there is none."""
    local_part, _, domain = bounce_address.rpartition("@")
    pattern = rf"{re.escape(local_part)}\+({_TOKEN.pattern})@{re.escape(domain)}"
    found = re.search(pattern, text, re.IGNORECASE)
    if found is None:
        return None
    token = found[1].lower()
    return UUID(bytes=base64.b32decode(token[:_ID].upper() + "======")), token[_ID:]


def is_secret(stored: str | None, given: str) -> bool:
    """Whether a bounce shows the mail's own secret."""
    return stored is not None and hmac.compare_digest(stored, given)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
