"""Whether a password is hard to guess: its length, and how early a guesser would try it.

There are no rules of composition (NIST SP 800-63B): a few words that have nothing to do with each other are
strong, and `Salasana2026!` is not.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from stdnum.fi import hetu
from zxcvbn import zxcvbn

MIN_LENGTH = 12
"""Characters of the shortest password accepted."""

_MIN_GUESSES = 2e10
"""Guesses below which a password is too easy: years at the pace that the log-in's limits leave."""

_JUDGED = 72
"""Characters that are judged: the work grows with the square of the length."""

_SHORTEST_WORD = 3
_SEPARATORS = 10
"""Signs that stand between words."""

_YEARS = range(2039, 1929, -1)
"""Years that stand beside words; zxcvbn knows those up to 2019."""

_COMMONEST = 100
"""Words that a guesser tries before the years."""

_CODE = re.compile(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", re.IGNORECASE)
_BLANK = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and signs that show nothing."""

_SPACES = frozenset({"Zs", "Zl", "Zp", "Cc"})
_INVISIBLE = frozenset({"Cf", "Cn", "Co", "Cs"})
_MARKS = frozenset({"Mn", "Me"})


def is_strong(password: str, own_words: Iterable[str] = ()) -> bool:
    """Whether a password is long enough and hard to guess.

    `own_words` are those that a guesser would try first: the account's address, names, unit.
    """
    seen = _seen(password)
    # A personal identity code is known to others.
    if len(_CODE.sub(_unless_code, seen)) < MIN_LENGTH:
        return False
    words = [*_parts(own_words), *_common_words()]
    return all(_guesses(reading, words) >= _MIN_GUESSES for reading in _readings(seen))


def _unless_code(match: re.Match[str]) -> str:
    return "" if hetu.is_valid(match[0].upper(), allow_temporary=True) else match[0]


def _seen(password: str) -> str:
    """What can be seen of a password, with single spaces between."""
    shown: list[str] = []
    has_base = False
    for sign in unicodedata.normalize("NFC", password):
        category = unicodedata.category(sign)
        if category in _SPACES or sign in _BLANK:
            shown.append(" ")
            has_base = False
        elif category in _INVISIBLE:
            continue
        elif category in _MARKS:
            # A mark on a letter is seen; one alone, or a heap of them, is not.
            shown.append(sign if has_base else "")
            has_base = False
        else:
            shown.append(sign)
            has_base = True
    return " ".join("".join(shown).split())


def _readings(seen: str) -> set[str]:
    """The password as guessers would try it: also in plain letters, backwards, and without signs between."""
    compatible = unicodedata.normalize("NFKC", seen).lower()
    readings = {compatible, _plain(compatible)}
    pieces = compatible.split()
    if len(pieces) > 1 and max(map(len, pieces)) < _SHORTEST_WORD:
        readings |= {"".join(pieces), _plain("".join(pieces))}
    return readings


def _guesses(text: str, words: Sequence[str]) -> float:
    """How many guesses find the text: as a whole, or word by word.

    A sign between words is hardly a part: a guesser tries the same one everywhere. Spaces are left alone, as
    they stand in sentences, and so are different signs, as in what a program has made.
    """
    judged = text[:_JUDGED]
    whole = _guesses_of(judged, words)
    if len({sign for sign in judged if not sign.isalnum() and not sign.isspace()}) != 1:
        return whole
    pieces = [piece for piece in re.split(r"[^\w\s]|_", judged) if piece.strip()]
    of_pieces = math.prod(_guesses_of(piece, words) for piece in pieces) * math.factorial(len(pieces))
    return min(whole, of_pieces * _SEPARATORS)


def _guesses_of(text: str, words: Sequence[str]) -> float:
    """How many guesses find a text.

    zxcvbn's own number grows by a factor of 10,000 with every part, though a word, a year and a sign are
    tried early: so the parts' numbers are multiplied besides, and the lower result counts.
    """
    judged = zxcvbn(text, user_inputs=words, max_length=_JUDGED)
    parts = [float(part["guesses"]) for part in judged["sequence"]]
    return min(float(judged["guesses"]), math.prod(parts) * math.factorial(len(parts)))


def _parts(texts: Iterable[str]) -> list[str]:
    """Texts and their words, in lower case; also in plain letters, and with the words run together."""
    found: dict[str, None] = {}
    for text in texts:
        lower = unicodedata.normalize("NFKC", text).lower().strip()
        words = "".join(sign if sign.isalnum() else " " for sign in lower).split()
        for part in (lower, "".join(words), *words):
            for written in (part, _plain(part)):
                if len(written) >= _SHORTEST_WORD:
                    found[written] = None
    return list(found)


@cache
def _common_words() -> Sequence[str]:
    """Words common in passwords of Finland, the commonest first; zxcvbn knows the English ones."""
    listed = resources.files(__package__).joinpath("common_words.txt").read_text("utf-8").split()
    return _parts([*listed[:_COMMONEST], *map(str, _YEARS), *listed[_COMMONEST:]])


def _plain(text: str) -> str:
    """The text without marks: å, ä and ö as a and o."""
    return "".join(sign for sign in unicodedata.normalize("NFD", text) if unicodedata.category(sign) != "Mn")
