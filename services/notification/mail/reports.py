"""Reading reports about mail: of its delivery (RFC 3464), and of complaints about it (RFC 5965)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.message import EmailMessage, Message
from uuid import UUID

from services.notification.mail.refusals import Command, Speaks, judge, judge_status
from services.runtime import mail_policy

_STATUS = re.compile(r"^\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
_MESSAGE_ID = re.compile(r"<?\s*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@", re.IGNORECASE)
_TYPE = re.compile(r"^\s*[A-Za-z][\w.-]*\s*;")
"""The type in front of a server's words (RFC 3464, 2.3.6). Some servers leave it out."""
_RETURNED_PARTS = {"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"}
_OWN_REPORTS = {"message/delivery-status", "message/global-delivery-status"}
_MOST_PARTS = 50
_REFUSED = 550
"""The code of a refusal for good."""


@dataclass(frozen=True)
class Report:
    """What a report says of one mail."""

    request_id: UUID | None
    """The mail's ID, from the Message-ID that the report returns; anybody can write one."""
    addresses: str
    """All addresses that the report was sent to, and the envelope senders that it names."""
    failed: Speaks | None = None
    """What a final failure speaks of; None if there is none: the mail was delivered, delayed or relayed."""
    status: str = ""
    """The enhanced status code, and the type of the report. Holds no address."""
    complaint: bool = False
    """The reader has called the mail unwanted (RFC 5965)."""


def read_report(raw: bytes) -> Report | None:
    """Reads a report. None if the mail is none: an automatic answer, or a person's words."""
    try:
        return _read(message_from_bytes(raw, policy=mail_policy.READ))
    except (MessageError, ValueError, LookupError, AttributeError, TypeError, IndexError, RecursionError):
        # The parser fails in many ways on headers that no mail server has written.
        return None


def request_id_of(message_id: str) -> UUID | None:
    """The mail's ID in a Message-ID of ours; None if it is none."""
    found = _MESSAGE_ID.search(message_id)
    return UUID(found[1]) if found else None


def status_speaks(status: str) -> Speaks | None:
    """What an enhanced status code speaks of; None if it is no permanent failure."""
    found = _STATUS.match(status)
    return judge_status(int(found[2]), int(found[3])) if found and found[1] == "5" else None


def _read(mail: EmailMessage) -> Report | None:
    parts = [part for part, _ in zip(_walk(mail), range(_MOST_PARTS), strict=False)]
    addresses = " ".join(_addresses(mail, parts))
    request_id = next(filter(None, map(_returned_id, parts)), None)
    for part in parts:
        kind = part.get_content_type()
        if kind == "message/feedback-report":
            return Report(request_id, addresses, status="feedback", complaint=_is_complaint(part))
        if kind in _OWN_REPORTS:
            failed, status = _failure(part)
            return Report(request_id, addresses, failed, status)
    return None


def _walk(mail: Message) -> Iterator[Message]:
    """The parts of a report, without those of the mail that it returns."""
    for part in mail.iter_parts() if isinstance(mail, EmailMessage) and mail.is_multipart() else ():
        yield part
        if part.get_content_maintype() == "multipart":
            yield from _walk(part)


def _addresses(mail: Message, parts: list[Message]) -> Iterator[str]:
    for name in ("To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To"):
        yield from (str(value) for value in mail.get_all(name, ()))
    for part in parts:
        if part.get_content_type() == "message/feedback-report":
            yield from (str(value) for value in _fields(part).get_all("Original-Mail-From", ()))
        elif part.get_content_type() in _RETURNED_PARTS:
            yield from (str(value) for value in _returned(part).get_all("Return-Path", ()))


def _returned(part: Message) -> Message:
    """The headers of the mail that a report returns."""
    payload = part.get_payload()
    if isinstance(payload, list) and payload and isinstance(payload[0], Message):
        return payload[0]
    return message_from_bytes(part.get_payload(decode=True) or b"", policy=mail_policy.READ)  # type: ignore[arg-type]


def _returned_id(part: Message) -> UUID | None:
    if part.get_content_type() not in _RETURNED_PARTS:
        return None
    return request_id_of(str(_returned(part).get("Message-ID", "")))


def _fields(part: Message) -> Message:
    """The fields of a feedback report."""
    payload = part.get_payload()
    if isinstance(payload, list):
        return payload[0] if payload and isinstance(payload[0], Message) else Message()
    return message_from_bytes(part.get_payload(decode=True) or b"", policy=mail_policy.READ)  # type: ignore[arg-type]


def _is_complaint(part: Message) -> bool:
    return str(_fields(part).get("Feedback-Type", "")).strip().lower() not in {"", "not-spam"}


def _failure(part: Message) -> tuple[Speaks | None, str]:
    """What the failure of the recipient speaks of, and its status. A mail has one recipient."""
    blocks = part.get_payload()
    for block in blocks if isinstance(blocks, list) else []:
        if not isinstance(block, Message) or str(block.get("Action", "")).strip().lower() != "failed":
            continue
        status = _STATUS.match(str(block.get("Status", "")))
        diagnostic = _TYPE.sub("", str(block.get("Diagnostic-Code", "")), count=1).strip()
        if status is None or status[1] != "5" or (status[2], status[3]) == ("0", "0"):
            # The status says nothing: the server's words may. A mail delayed for too long is of 4.x.x.
            code = int(diagnostic[:3]) if diagnostic[:3].isdigit() else _REFUSED
            speaks = judge(code, diagnostic, Command.RECIPIENT) if 500 <= code < 600 else Speaks.OF_MOMENT  # noqa: PLR2004
            return speaks if status is None or status[1] == "5" else Speaks.OF_MOMENT, _text(status)
        return judge(_REFUSED, f"{_text(status)} {diagnostic}", Command.RECIPIENT), _text(status)
    return None, ""


def _text(status: re.Match[str] | None) -> str:
    return f"{status[1]}.{status[2]}.{status[3]}" if status else "no status"
