"""A folder of mail: one file per mail, named by its time of arrival."""

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from typing import Literal

from services.runtime import mail_policy

_ID = re.compile(r"\d{20}-[0-9a-f]{8}")
_SUFFIX = ".eml"
_DELIVERED_TO = "Delivered-To: "
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class StoredMail:
    """A stored mail."""

    id: str
    recipients: tuple[str, ...]
    subject: str
    time: datetime
    message_id: str
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str


class Maildir:
    """A folder of mail. It survives restarts; a file appears only when complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, recipients: Sequence[str], content: bytes) -> str:
        """Stores a mail; returns its ID. IDs sort by time of arrival."""
        mail_id = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        # The envelope's addresses, as mail servers add them on delivery.
        delivered = "".join(f"{_DELIVERED_TO}{recipient}\r\n" for recipient in recipients)
        partial = self._folder / f"{mail_id}.partial"
        partial.write_bytes(delivered.encode("utf-8", "surrogateescape") + content)
        partial.rename(self._path(mail_id))
        return mail_id

    def ids(self) -> list[str]:
        """The mails' IDs, newest first."""
        found = (path.stem for path in self._folder.glob("*" + _SUFFIX))
        return sorted((mail_id for mail_id in found if _ID.fullmatch(mail_id)), reverse=True)

    def read(self, mail_id: str) -> StoredMail | None:
        """The mail with this ID; None if there is none."""
        if not _ID.fullmatch(mail_id):
            return None
        try:
            return _read(self._path(mail_id))
        except FileNotFoundError:
            return None

    def sent_to(self, recipient: str = "") -> list[StoredMail]:
        """The mails to an address, or all, newest first."""
        paths = (self._path(mail_id) for mail_id in self.ids())
        return [_read(path) for path in paths if not recipient or recipient in _recipients(path)]

    def _path(self, mail_id: str) -> Path:
        return self._folder / (mail_id + _SUFFIX)


@lru_cache(maxsize=100_000)
def _recipients(path: Path) -> tuple[str, ...]:
    recipients = []
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            if not line.startswith(_DELIVERED_TO):
                break
            recipients.append(line.removeprefix(_DELIVERED_TO).rstrip())
    return tuple(recipients)


@lru_cache(maxsize=2000)
def _read(path: Path) -> StoredMail:
    message = message_from_bytes(path.read_bytes(), policy=mail_policy.READ)
    headers = tuple((name, str(value)) for name, value in message.items())
    return StoredMail(
        id=path.stem,
        recipients=_recipients(path),
        subject=str(message["Subject"] or ""),
        time=datetime.fromtimestamp(int(path.stem.partition("-")[0]) / _NANOSECONDS, UTC),
        message_id=str(message["Message-ID"] or ""),
        headers=headers,
        text=_body(message, "plain"),
        html=_body(message, "html"),
    )


def _body(message: EmailMessage, kind: Literal["plain", "html"]) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part is not None else ""
