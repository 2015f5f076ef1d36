"""Finds a text in bytes, in any encoding."""

import base64
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from ahocorasick_rs import BytesAhoCorasick
from google.protobuf import text_encoding


def find(texts: Iterable[str], places: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Each text and the places that contain it in some form, in the order of the texts."""
    sought = list(dict.fromkeys(texts))
    texts_of: dict[bytes, list[str]] = {}
    for text in sought:
        for form in forms(text):
            texts_of.setdefault(form, []).append(text)
    patterns = list(texts_of)
    automaton = BytesAhoCorasick(patterns)
    found = {
        (text, name)
        for name, content in places.items()
        for pattern, _, _ in automaton.find_matches_as_indexes(content, overlapping=True)
        for text in texts_of[patterns[pattern]]
    }
    return sorted(found, key=lambda one: (sought.index(one[0]), one[1]))


def forms(text: str) -> set[bytes]:
    """The bytes that may represent a text."""
    spellings = (text, text.lower(), text.upper(), unicodedata.normalize("NFD", text))
    found = {spelling.encode() for spelling in spellings}
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        encoded = text.encode(encoding)
        found |= {encoded, encoded.hex().encode(), encoded.hex().upper().encode(), *_base64(encoded)}
    escaped = (
        json.dumps(text)[1:-1],
        json.dumps(json.dumps(text)[1:-1])[1:-1],
        quote(text, safe=""),
        quote_plus(text),
        repr(text.encode())[2:-1],
        text_encoding.CEscape(text.encode(), as_utf8=False),
    )
    return found | {form.encode() for form in escaped}


def _base64(encoded: bytes) -> Iterator[bytes]:
    """The characters determined by the text alone, for each of its offsets in a group of three bytes."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + encoded).rstrip(b"=")
        first = -(-before * 8 // 6)
        last = (before + len(encoded)) * 8 // 6
        yield whole[first:last]
        yield whole[first:last].translate(bytes.maketrans(b"+/", b"-_"))
