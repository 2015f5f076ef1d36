"""Search keys of names (R15): case and accents are ignored, å ä ö are letters of their own."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from services.runtime.text.cleaning import without_invisible

_FINNISH = "åäö"
_UNDECOMPOSED = {
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ð": "d",
    "ı": "i",
    "ȷ": "j",
    "ĸ": "q",
    "ŋ": "n",
    "ʒ": "z",
    "ƶ": "z",
    "ə": "e",
    "ǝ": "e",
    "ɛ": "e",
    "ɔ": "o",
    "ɑ": "a",
    "ɣ": "g",
    "ɩ": "i",
    "ɪ": "i",
    "ʊ": "u",
    "ʋ": "v",
    "ƿ": "w",
    "ȝ": "y",
    "ꜳ": "aa",
    "ꜵ": "ao",
    "ꜷ": "au",
    "ꜹ": "av",
    "ꜻ": "av",
    "ꜽ": "ay",
    "ꝏ": "oo",
    "ȣ": "ou",
    "ƕ": "hv",
    "ƣ": "oi",
    "ʃ": "s",
}
"""Letters that Unicode does not decompose and whose names do not tell the plain one (CLDR, Latin-ASCII)."""

_NAMED = re.compile("LATIN SMALL (?:LETTER|CAPITAL) (?:DOTLESS )?([A-Z]{1,2}) WITH [A-Z ]+")
"""Names of letters with a stroke, hook, tail and the like."""

_LAST_LETTERS = str.maketrans("åäö", "{|}")
"""Characters that follow z in code point order."""

_APOSTROPHES = re.compile(
    "['`\u00b4\u02b9\u02bb-\u02bd\u02be\u02bf\u02c8\u02ee\u055a\u05f3\u2018-\u201b\u2032\u2035\ua78b\ua78c\uff07]"
)
_HYPHENS = re.compile("[-\u02d7\u058a\u05be\u2010-\u2015\u2043\u2212\u2e3a\u2e3b\u30a0\ufe58\ufe63\uff0d]")
_PARTS = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """A text without case and accents, but with å, ä and ö."""
    return "".join(
        sign if sign in _FINNISH else _plain(sign) for sign in unicodedata.normalize("NFC", _small(text))
    )


def fold_wholly(text: str) -> str:
    """A text without case and accents; å and ä become a, ö becomes o."""
    return _plain(_small(text))


def parts(text: str) -> list[str]:
    """The words of a folded text: a double name has two, a name with an apostrophe is one."""
    return _PARTS.findall(_APOSTROPHES.sub("", text))


def search_keys(*names: str) -> list[str]:
    """The search keys of names: a query matches the beginning of any.

    Parts with and without å, ä and ö; a name with an apostrophe or a hyphen whole and in its parts.
    """
    keys: set[str] = set()
    for name in names:
        for folded in (fold(name), fold_wholly(name)):
            keys.update(parts(folded), parts(_HYPHENS.sub("", folded)), _PARTS.findall(folded))
    return sorted(keys)


def query_keys(query: str) -> list[str]:
    """The beginnings in a query: all of them must match."""
    return sorted(set(parts(fold(query))))


def sort_key(last_name: str, first_names: str) -> str:
    """A key that sorts names by code point in the order of the Finnish alphabet, å ä ö last.

    An only name stands in its place among the last names.
    """
    names = (last_name, first_names) if last_name else (first_names, "")
    return "\x01".join(_collated(fold(name)) for name in names)


def are_alike(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two pairs of last and first names may be one person's.

    The order of given names, their number, a hyphen, an apostrophe and half of a double last name may differ:
    each name of the one who has fewer must be a name of the other. Or the two are in each other's field.
    """
    others = [_words(name) for name in other]
    names = [_words(name) for name in one]
    return _are_within(names, others) or (all(names) and all(others) and _are_within(names, others[::-1]))


def _are_within(names: Sequence[frozenset[str]], others: Sequence[frozenset[str]]) -> bool:
    return all(
        few == many or (bool(few) and few <= many)
        for few, many in (sorted(pair, key=len) for pair in zip(names, others, strict=True))
    )


def _words(name: str) -> frozenset[str]:
    return frozenset(parts(fold_wholly(name)))


def _small(text: str) -> str:
    # An accent that stands alone (U+00B4) would come apart into a space and a mark.
    return _APOSTROPHES.sub("'", without_invisible(text)).casefold()


def _collated(folded: str) -> str:
    return folded.translate(_LAST_LETTERS)


def _plain(text: str) -> str:
    # Letters of formulas (U+1D4E5) get a small form only when they are plain.
    apart = unicodedata.normalize("NFKD", text).casefold()
    return "".join(_base(sign) for sign in apart if not unicodedata.combining(sign))


@lru_cache(maxsize=4096)
def _base(sign: str) -> str:
    """The plain letters that people type for a letter."""
    if sign.isascii():
        return sign
    if sign in _UNDECOMPOSED:
        return _UNDECOMPOSED[sign]
    named = _NAMED.fullmatch(unicodedata.name(sign, ""))
    return named[1].lower() if named else sign
