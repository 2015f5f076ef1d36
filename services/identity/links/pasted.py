"""Finds a link's token in what mail programs, mail gateways and people make of a link.

Gateways encode a link into one of their own, once or twice; mail programs break lines, and put signs behind
and invisible signs inside; people copy too much. Whatever is found must still open by its MAC.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

_ROUNDS = 4
"""How often a text is decoded: a link encoded by two gateways, and one to spare."""

_MOST = 200
"""Most candidates in one text: a link of a gateway has a dozen at most."""

_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_SOFT_BREAK = re.compile(r"=[ \t]*\r?\n")
_SPACES = re.compile(r"\s+(?:>\s*)*")
"""White space, with the signs that a mail program sets before the lines of an answered mail."""
_SIGNS = "_-"
_ESCAPE = re.compile(r"[_-]*|(?:25)*(?:23|2F|3D)")
"""What may stand directly before a token: signs, and the rest of an escape whose percent sign was lost."""
_QUOTED = re.compile(r"=([0-9A-F]{2})")
_PROOFPOINT = re.compile(r"urldefense[^?\s]*\?u=([^&\s]+)")
"""Proofpoint's links, version 2: `-` in place of `%`, and `_` in place of `/`."""


def candidates(text: str, length: int) -> list[str]:
    """What may be a token of `length` characters in a text, the likeliest first; empty if nothing may."""
    runs = re.compile(rf"[A-Za-z0-9_-]{{{length},}}")
    found: dict[str, None] = {}
    for reading, is_joined in _readings(_tidy(text)):
        for run in runs.findall(reading):
            # Where lines were joined, a word may have come before or behind.
            if is_joined or not run[length:].strip(_SIGNS):
                found.setdefault(run[:length])
            if is_joined or _ESCAPE.fullmatch(run[:-length]):
                found.setdefault(run[-length:])
            if len(found) >= _MOST:
                return list(found)
    return list(found)


def _tidy(text: str) -> str:
    """The text without invisible signs, with one kind of hyphen and of letters."""
    return "".join(map(_plain, unicodedata.normalize("NFKC", text)))


def _plain(sign: str) -> str:
    if sign.isascii():
        return sign
    category = unicodedata.category(sign)
    if category == "Pd" or sign == "\N{MINUS SIGN}":
        return "-"
    return "" if category in {"Cf", "Cc", "Mn", "Me"} or sign in _BLANK_LETTERS else sign


def _readings(text: str) -> Iterator[tuple[str, bool]]:
    """The text, and what it may have been before it was encoded or wrapped; whether lines were joined."""
    for _ in range(_ROUNDS):
        unwrapped = _SOFT_BREAK.sub("", text)
        yield unwrapped, False
        yield _QUOTED.sub(_character, unwrapped), False
        joined = _SPACES.sub("", unwrapped)
        if joined != unwrapped:
            yield joined, True
        if "=" in joined:
            # A line break that a field of one line has swallowed leaves its sign behind.
            yield joined.replace("=", ""), True
        for link in _PROOFPOINT.findall(text):
            yield unquote(link.replace("-", "%").replace("_", "/")), False
        decoded = unquote(html.unescape(text))
        if decoded == text:
            return
        text = decoded


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))
