"""Tells by its content what a file is: a workbook, a text, or something that is no class list."""

import io
import re
import zipfile

from liity.v1.reason_pb2 import (
    REASON_CLASS_LIST_ARCHIVE,
    REASON_CLASS_LIST_ENCRYPTED,
    REASON_CLASS_LIST_MAIL,
    REASON_CLASS_LIST_NUMBERS,
    REASON_CLASS_LIST_OLD_EXCEL,
    REASON_CLASS_LIST_OPEN_DOCUMENT,
    REASON_CLASS_LIST_PDF,
    REASON_CLASS_LIST_PICTURE,
    REASON_CLASS_LIST_SHORTCUT,
    REASON_CLASS_LIST_TEXT_DOCUMENT,
    REASON_CLASS_LIST_UNREADABLE,
    REASON_CLASS_LIST_WEB_PAGE,
    Reason,
)
from services.gateway.class_lists.tables import refused

_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
"""A compound file: old Office files, and encrypted new ones."""

_BEGINNINGS = (
    (b"%PDF-", REASON_CLASS_LIST_PDF),
    (b"{\\rtf", REASON_CLASS_LIST_TEXT_DOCUMENT),
    (b"L\x00\x00\x00\x01\x14\x02\x00", REASON_CLASS_LIST_SHORTCUT),
    (b"bplist", REASON_CLASS_LIST_SHORTCUT),
    (b"book\x00\x00\x00\x00mark", REASON_CLASS_LIST_SHORTCUT),
    (b"\x89PNG", REASON_CLASS_LIST_PICTURE),
    (b"\xff\xd8\xff", REASON_CLASS_LIST_PICTURE),
    (b"GIF8", REASON_CLASS_LIST_PICTURE),
    (b"BM", REASON_CLASS_LIST_PICTURE),
    (b"II*\x00", REASON_CLASS_LIST_PICTURE),
    (b"MM\x00*", REASON_CLASS_LIST_PICTURE),
    (b"PK\x05\x06", REASON_CLASS_LIST_ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", REASON_CLASS_LIST_ARCHIVE),
    (b"Rar!", REASON_CLASS_LIST_ARCHIVE),
    (b"\x1f\x8b", REASON_CLASS_LIST_ARCHIVE),
    (b"\x09\x08\x08\x00", REASON_CLASS_LIST_OLD_EXCEL),
    (b"\x09\x08\x10\x00", REASON_CLASS_LIST_OLD_EXCEL),
)

_BEFORE_MARKUP = re.compile(rb"(?:\s+|<!--.*?-->|<\?[^>]*>|<!doctype[^>]*>)*", re.IGNORECASE | re.DOTALL)
"""What may stand before the first element of a web page or of XML."""

_ELEMENTS = (
    (rb"plist\b", REASON_CLASS_LIST_SHORTCUT),
    (rb"svg\b", REASON_CLASS_LIST_PICTURE),
    (rb"office:document\b", REASON_CLASS_LIST_OPEN_DOCUMENT),
    (rb"w:wordDocument\b|pkg:package\b", REASON_CLASS_LIST_TEXT_DOCUMENT),
    (rb"!|\?|[a-z]", REASON_CLASS_LIST_WEB_PAGE),
)
"""The first elements of files that are markup."""

_SHORTCUT = re.compile(
    rb"\[(?:InternetShortcut|Desktop Entry|\{[0-9A-F-]{36}\})|\{[^{}]*\"(?:doc_id|resource_id|url)\"\s*:",
    re.IGNORECASE,
)
_HEADER = re.compile(rb"([A-Za-z][A-Za-z0-9-]*):[^\r\n]*(?:\r?\n|\r)(?:[ \t][^\r\n]*(?:\r?\n|\r))*")
_FEWEST_HEADERS = 3
_OF_A_MAIL = frozenset((b"from", b"to", b"subject", b"date", b"received", b"return-path", b"message-id"))

_OF_NUMBERS = re.compile(r"^Index|/Index\.zip$|\.iwa$|buildVersionHistory\.plist$")
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_LONGEST_SNIFFED = 4096


def is_workbook(content: bytes) -> bool:
    """Whether the content is an XLSX workbook; otherwise it may be text.

    INVALID_ARGUMENT (`content`), with a reason that names the kind of file, if it is neither.
    """
    if content.startswith(b"PK\x03\x04"):
        reason = _kind_of_archive(content)
        if reason is not None:
            raise refused(reason)
        return True
    if content.startswith(_OLE):
        raise refused(_kind_of_compound(content))
    if content[4:8] == b"ftyp":
        raise refused(REASON_CLASS_LIST_PICTURE)
    start = _as_ascii(content)
    for beginning, reason in _BEGINNINGS:
        is_there = content.startswith(beginning) or start.lstrip().startswith(beginning)
        if is_there and _is_binary(content, beginning):
            raise refused(reason)
    told = _kind_of_text(start)
    if told is not None:
        raise refused(told)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        raise refused(REASON_CLASS_LIST_PICTURE)
    return False


def _kind_of_text(start: bytes) -> Reason.ValueType | None:
    """The reason why a text is no list; None if it may be one."""
    if _SHORTCUT.match(start.lstrip()):
        return REASON_CLASS_LIST_SHORTCUT
    names, end = [], 0
    while header := _HEADER.match(start, end):
        names.append(header[1].lower())
        end = header.end()
    if len(_OF_A_MAIL.intersection(names)) >= _FEWEST_HEADERS and b"snapshot-content-location" not in names:
        return REASON_CLASS_LIST_MAIL
    if b"mime-version" in names:
        # A page that a browser or Excel has saved as one file.
        return REASON_CLASS_LIST_WEB_PAGE
    found = _BEFORE_MARKUP.match(start)
    before = found.end() if found else 0
    if before and b"<" in start[:before] and before == len(start.rstrip()):
        return REASON_CLASS_LIST_WEB_PAGE
    if start[before : before + 1] != b"<":
        return None
    of_element = start[before + 1 :]
    return next((reason for name, reason in _ELEMENTS if re.match(name, of_element, re.IGNORECASE)), None)


def _kind_of_archive(content: bytes) -> Reason.ValueType | None:
    """The reason why an archive is not read; None for a workbook."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            media = archive.read("mimetype")[:100] if _is_small(archive, "mimetype") else b""
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):
        return REASON_CLASS_LIST_UNREADABLE
    reason: Reason.ValueType | None = REASON_CLASS_LIST_ARCHIVE
    if b"opendocument.spreadsheet" in media:
        reason = REASON_CLASS_LIST_OPEN_DOCUMENT
    elif b"opendocument" in media or any(name.startswith("word/") for name in names):
        reason = REASON_CLASS_LIST_TEXT_DOCUMENT
    elif "xl/workbook.bin" in names:
        reason = REASON_CLASS_LIST_OLD_EXCEL
    elif any(map(_OF_NUMBERS.search, names)):
        reason = REASON_CLASS_LIST_NUMBERS
    elif "[Content_Types].xml" in names:
        reason = REASON_CLASS_LIST_TEXT_DOCUMENT if _is_presentation(names) else None
    return reason


def _is_presentation(names: set[str]) -> bool:
    return any(name.startswith("ppt/") for name in names)


def _is_small(archive: zipfile.ZipFile, name: str) -> bool:
    return name in archive.namelist() and archive.getinfo(name).file_size <= _LONGEST_SNIFFED


def _kind_of_compound(content: bytes) -> Reason.ValueType:
    def holds(name: str) -> bool:
        return name.encode("utf-16-le") in content

    if holds("EncryptedPackage") or holds("EncryptionInfo"):
        return REASON_CLASS_LIST_ENCRYPTED
    if holds("__substg1.0_") or holds("__properties_version1.0"):
        return REASON_CLASS_LIST_MAIL
    is_text = holds("WordDocument") or holds("PowerPoint Document")
    return REASON_CLASS_LIST_TEXT_DOCUMENT if is_text else REASON_CLASS_LIST_OLD_EXCEL


def _is_binary(content: bytes, beginning: bytes) -> bool:
    """Whether more than the beginning speaks for a binary file: a text may begin with its letters, too."""
    return not beginning.isalnum() or b"\x00" in content[:_LONGEST_SNIFFED]


def _as_ascii(content: bytes) -> bytes:
    """The beginning without byte order mark and the zeros of UTF-16."""
    start = content[:_LONGEST_SNIFFED]
    for mark in _BYTE_ORDER_MARKS:
        start = start.removeprefix(mark)
    return start.replace(b"\x00", b"")
