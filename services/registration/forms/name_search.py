"""Names as people search for them (R15): case and accents count alike, å ä ö are letters of their own."""

import re
import unicodedata
from collections.abc import Iterable

_FINNISH = "åäö"
_UNDECOMPOSED = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)
"""Letters that Unicode does not take apart into a letter and a mark."""

_LAST_LETTERS = str.maketrans("åäö", "{|}")
"""What comes after z in the order of code points."""

_PARTS = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """A text without case and accents, but with å, ä and ö."""
    return "".join(
        sign if sign in _FINNISH else _plain(sign) for sign in unicodedata.normalize("NFC", text.casefold())
    )


def fold_wholly(text: str) -> str:
    """A text without case and accents; å and ä become a, ö becomes o."""
    return _plain(text.casefold())


def parts(text: str) -> list[str]:
    """The words of a folded text: a double name is two."""
    return _PARTS.findall(text)


def search_keys(*names: str) -> list[str]:
    """What a name is found by: the beginning of any of these. Parts stand with and without å, ä and ö."""
    return sorted({key for name in names for folding in (fold, fold_wholly) for key in parts(folding(name))})


def query_keys(query: str) -> list[str]:
    """The beginnings that a query asks for: all of them must be found."""
    return sorted(set(parts(fold(query))))


def sort_key(last_name: str, first_names: str) -> str:
    """Where a name stands in a list: by the Finnish alphabet, å ä ö last; to be compared by code point."""
    return "\x01".join(_collated(fold(name)) for name in (last_name, first_names))


def _collated(folded: str) -> str:
    return folded.translate(_LAST_LETTERS)


def _plain(text: str) -> str:
    decomposed: Iterable[str] = unicodedata.normalize("NFKD", text)
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign)).translate(_UNDECOMPOSED)
