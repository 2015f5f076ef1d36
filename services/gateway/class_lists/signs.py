"""What signs in a cell give away: wrong encodings, spreadsheet errors, invisible signs."""

import re
import unicodedata
from typing import NamedTuple

from services.runtime.text import cleaning
from services.runtime.text.scripts import mixes_scripts

_COMMON = frozenset("äöåÄÖÅ")
"""The letters beyond ASCII that Finnish and Swedish use every day."""

_RARE, _FOREIGN, _LOWER_AT_START, _ALONE, _BESIDE_WRONG = 0.1, 0.2, 0.25, 0.5, 0.5
_STRANGE = 1.0
"""How strange a sign is. From `_STRANGE` on, it is not what somebody typed."""

_BACK = frozenset("aouAOU")
_FRONT_VOWELS = {"ä": _BACK, "Ä": _BACK, "ö": _BACK | {"e"}, "Ö": _BACK}
"""With the vowels that stand beside none of them."""

_CARONS = frozenset("šžŠŽ")
_VOWELS = frozenset("aeiouyäöåAEIOUYÄÖÅ")

_APOSTROPHES = frozenset("’‘´`'")
_DASHES = frozenset("–—·")
_BEFORE_WORD = frozenset("“‘„«‹¿¡€£§•–—·(’´ \u00a0")
_AFTER_WORD = frozenset("”’“»›…™®°•–—·§€£´ª² \u00a0")

_WHOLLY_ACCENTED = re.compile("[À-ÖØ-öø-ÿ]{4}")
"""Russian or Greek read in the letters of Western Europe, as Èâàíîâ: no name has four such in a row."""

_ESCAPED = re.compile(
    r"%C3%[89AB][0-9A-F]|=C3=[89AB][0-9A-F]|[a-z]=[CDEF][0-9A-F](?=[a-z])"
    r"|\\(?:u00|x)[c-fC-F][0-9a-fA-F]|\+A[MNOP][A-Za-z0-9+/]-"
)
"""Letters in the escapes of links, of mail and of programs, and in UTF-7."""

_CROSSING_OUT = re.compile("[\u0335-\u0338]")
"""Strokes through the letter before them, by which a text without formatting is struck through."""

_LOST_LETTER = re.compile(r"[^\W\d_]\?[^\W\d_]|(?:^|[\s-])\?[^\W\d_]")
"""A question mark for a letter that an encoding lacks, as in M?kinen."""

_ERROR = re.compile(
    r"#{2,}|#GETTING_DATA|#HAETAAN_TIETOJA|(?:Loading|Ladataan|Läser in)(?:\.{3}|…)"
    r"|(?:Err|Virhe|Fel) ?: ?[0-9]{3}"
)
"""A column too narrow to show its value, a value that never came, and LibreOffice's errors."""

_ERROR_WITHIN = re.compile(r"(?:^|[\s,;(])#[¡¿]?(?:[A-ZÄÖÅÜÉ]{3,}[!?]|DIV/0!|N/A)(?=$|[\s,;@)])")
_CAPITALS = re.compile(r"#[¡¿]?[^\W\d_]")
_LONGEST_BARE_ERROR = 5
"""The length of the longest error that ends with neither ! nor ?, as in #N/A, #NV and #YOK."""

_JOINER = re.compile("[\u200c\u200d]")


class Cleaned(NamedTuple):
    """A text without invisible signs."""

    text: str
    removed: int
    """How many signs were removed."""


def strangeness(text: str) -> float:
    """How much speaks against a reading of a text whose encoding is not known."""
    return sum(_strangeness_of(text, place) for place, sign in enumerate(text) if sign > "\x7f")


def strangeness_of_old(text: str) -> float:
    """How much speaks against a reading in an old encoding, which a list in Finland has for å, ä and ö."""
    return strangeness(text) + _FOREIGN * sum(sign > "\x7f" and sign not in _COMMON for sign in text)


def is_garbled_name(text: str) -> bool:
    """Whether signs of a name or an address stand for other letters: `M„kinen`, `MŠkinen`, `M?kinen`."""
    strange = any(
        _strangeness_of(text, place) >= _STRANGE for place, sign in enumerate(text) if sign > "\x7f"
    )
    lost = _LOST_LETTER.search(text) or _WHOLLY_ACCENTED.search(text) or _ESCAPED.search(text)
    return strange or bool(lost) or mixes_scripts(text)


def is_crossed_out(text: str) -> bool:
    """Whether strokes among the signs of a text strike it through."""
    return bool(_CROSSING_OUT.search(text))


def is_spreadsheet_error(text: str) -> bool:
    """Whether a text is an error of a spreadsheet in any language, or a column too narrow to show it.

    Or has one in it, as a formula makes that puts texts together.
    """
    # In any language, an error is in capitals: #N/A, #PUUTTUU!, #VÄRDEFEL!, #NIMI?, #DIV/0!.
    if _ERROR_WITHIN.search(text):
        return True
    in_capitals = bool(_CAPITALS.match(text)) and text == text.upper()
    ends = text.endswith(("!", "?")) or len(text) <= _LONGEST_BARE_ERROR
    return bool(_ERROR.fullmatch(text) or (in_capitals and ends))


def without_invisible(text: str, *, joiners: bool) -> Cleaned:
    """The text without signs that nobody sees.

    `joiners`: whether U+200C and U+200D stay between letters of scripts that need them.
    """
    kept = cleaning.without_invisible(text, joiners=joiners)
    return Cleaned(kept.strip(), len(text) - len(kept))


def _strangeness_of(text: str, place: int) -> float:
    """How strange a sign beyond ASCII is between its neighbours."""
    sign, before, after = text[place], text[place - 1 : place] if place else "", text[place + 1 : place + 2]
    if unicodedata.category(sign)[0] in "LM":
        return _strangeness_of_letter(sign, before, after)
    if _JOINER.match(sign):
        return 0.0
    in_word = before.isalpha(), after.isalpha()
    if in_word == (True, True):
        usual = sign in _APOSTROPHES or sign in _DASHES or sign.isspace()
    elif in_word == (False, True):
        # Finnish and Swedish open a quotation with the sign that closes it.
        usual = sign in _BEFORE_WORD or (sign == "”" and after.isupper() and "”" in text[place + 2 :])
    elif in_word == (True, False):
        usual = sign in _AFTER_WORD or sign.isspace()
    else:
        usual = True
    return _RARE / 2 if usual else _STRANGE


def _strangeness_of_letter(sign: str, before: str, after: str) -> float:
    if sign in _FRONT_VOWELS and not _FRONT_VOWELS[sign].isdisjoint((before, after)):
        # No vowels that Finnish or Swedish has side by side.
        return _BESIDE_WRONG
    if sign in _CARONS and before.isalpha() and after.isalpha() and _VOWELS.isdisjoint((before, after)):
        return _BESIDE_WRONG if sign.islower() else _STRANGE
    within = before.isalpha() and (before.islower() or after.islower())
    if sign.isupper() and within and sign not in _COMMON:
        return _STRANGE
    if before.isdigit() or after.isdigit() or not (before.isalpha() or after.isalpha()):
        return _ALONE
    if sign.islower() and not before.isalpha():
        return _LOWER_AT_START
    return 0.0 if sign in _COMMON else _RARE
