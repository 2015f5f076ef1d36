"""Cleans text of people: Unicode's NFC, plain spaces, no invisible signs."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from liity.v1 import text_rules_pb2

_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Unicode's property Default_Ignorable_Code_Point, and the marks of interlinear annotations."""

_SELECTOR = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors."""

_JOINERS = "\u200c\u200d"

_JOINING_SCRIPTS = frozenset(
    {
        *("ARABIC", "SYRIAC", "NKO", "MANDAIC", "MONGOLIAN"),
        *("DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA"),
        *("MALAYALAM", "SINHALA", "TIBETAN", "MYANMAR", "KHMER", "BALINESE", "JAVANESE"),
    }
)
"""Scripts whose spelling may need a joiner (UAX 31, RFC 5892 A.1 and A.2), as Unicode names their letters."""

_VARYING_SCRIPTS = frozenset(["CJK", "MONGOLIAN", "MYANMAR", "PHAGS-PA"])
"""Scripts whose letters have variants that a selector chooses."""

_VIRAMA = 9
"""The combining class of a sign that takes a letter's vowel away."""

_SPACES = re.compile("[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]+")
"""Spaces of every width; the contract refuses tabs and line breaks in single lines."""


def is_blank(text: str) -> bool:
    """Whether a text has no visible character: empty, white space or invisible marks."""
    return all(character.isspace() or character == "\u2800" for character in _IGNORABLE.sub("", text))


def without_invisible(text: str, *, joiners: bool = True) -> str:
    """The text without signs that nobody sees.

    Joiners and variation selectors stay where a script, or an emoji, needs them: no joiner if `joiners` is
    false.
    """
    if text.isascii() or not _IGNORABLE.search(text):
        return text
    kept: list[str] = []
    visible = [sign for sign in text if sign in _JOINERS or not _is_noise(sign)]
    for place, sign in enumerate(visible):
        before = kept[-1] if kept else ""
        after = visible[place + 1] if place + 1 < len(visible) else ""
        if sign in _JOINERS:
            is_kept = joiners and _joins(before, after)
        else:
            is_kept = not _is_selector(sign) or _varies(sign, before)
        if is_kept:
            kept.append(sign)
    return "".join(kept)


def clean_line(text: str) -> str:
    """One line in NFC, without invisible signs and without leading, trailing or repeated spaces."""
    if is_blank(text):
        return ""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", without_invisible(text))).strip(" ")


def clean_lines(text: str) -> str:
    """A text of several lines in NFC without invisible signs; its spaces stay. Empty if blank."""
    return "" if is_blank(text) else unicodedata.normalize("NFC", without_invisible(text))


def clean_message(message: Message) -> dict[str, int]:
    """Cleans every text of a message that the contract calls a single line or several lines.

    Returns how many invisible signs were removed, by the path of the field.
    """
    texts, messages = _parts(message.DESCRIPTOR)
    removed: dict[str, int] = {}
    for name, clean in texts:
        value = getattr(message, name)
        if isinstance(value, str):
            if value:
                setattr(message, name, clean(value))
                removed[name] = len(value) - len(without_invisible(value))
        elif value:
            value[:] = [clean(each) for each in value]
    for field in messages:
        if field.is_repeated:
            for each in getattr(message, field.name):
                clean_message(each)
        elif message.HasField(field.name):
            of_part = clean_message(getattr(message, field.name))
            removed |= {f"{field.name}.{path}": count for path, count in of_part.items()}
    return {path: count for path, count in removed.items() if count}


@cache
def _parts(
    descriptor: Descriptor,
) -> tuple[Sequence[tuple[str, Callable[[str], str]]], Sequence[FieldDescriptor]]:
    """The texts of a message type with their cleaning, and its parts that are messages of ours."""
    texts: list[tuple[str, Callable[[str], str]]] = []
    messages: list[FieldDescriptor] = []
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            rules = field.GetOptions().Extensions[validate_pb2.field]
            of_text = rules.repeated.items.string if field.is_repeated else rules.string
            if of_text.Extensions[text_rules_pb2.single_line]:
                texts.append((field.name, clean_line))
            elif of_text.Extensions[text_rules_pb2.multi_line]:
                texts.append((field.name, clean_lines))
        elif field.message_type is not None and _is_ours(field.message_type):
            messages.append(field)
    return texts, messages


def _is_ours(message: Descriptor) -> bool:
    return message.full_name.startswith("liity.") and not message.GetOptions().map_entry


def _is_noise(sign: str) -> bool:
    return bool(_IGNORABLE.match(sign)) and not _is_selector(sign)


def _is_selector(sign: str) -> bool:
    return bool(_SELECTOR.match(sign))


def _joins(before: str, after: str) -> bool:
    if not before:
        return False
    if _is_picture(before) and after and _is_picture(after):
        return True
    return _script(before) in _JOINING_SCRIPTS and (
        unicodedata.combining(before) == _VIRAMA or (_script(after) in _JOINING_SCRIPTS)
    )


def _varies(selector: str, before: str) -> bool:
    if not before:
        return False
    return _script(before) in _VARYING_SCRIPTS or (selector in "\ufe0e\ufe0f" and _is_picture(before))


def _is_picture(sign: str) -> bool:
    return unicodedata.category(sign) in {"So", "Sk"} or sign == "\ufe0f"


def _script(sign: str) -> str:
    """The first word of a letter's or mark's name, which is its script; empty for other signs."""
    if not sign or unicodedata.category(sign)[0] not in "LM":
        return ""
    return unicodedata.name(sign, "").partition(" ")[0]
