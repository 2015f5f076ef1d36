"""Search keys of names (R15): case and accents are ignored, å ä ö are letters of their own."""

import re
import unicodedata
from collections.abc import Iterable

_FINNISH = "åäö"
_UNDECOMPOSED = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)
"""Letters that Unicode does not decompose into a letter and a mark."""

_LAST_LETTERS = str.maketrans("åäö", "{|}")
"""Characters that follow z in code point order."""

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
    """The words of a folded text: a double name has two."""
    return _PARTS.findall(text)


def search_keys(*names: str) -> list[str]:
    """The search keys of names: a query matches the beginning of any. Parts with and without å, ä and ö."""
    return sorted({key for name in names for folding in (fold, fold_wholly) for key in parts(folding(name))})


def query_keys(query: str) -> list[str]:
    """The beginnings in a query: all of them must match."""
    return sorted(set(parts(fold(query))))


def sort_key(last_name: str, first_names: str) -> str:
    """A key that sorts names by code point in the order of the Finnish alphabet, å ä ö last."""
    return "\x01".join(_collated(fold(name)) for name in (last_name, first_names))


def _collated(folded: str) -> str:
    return folded.translate(_LAST_LETTERS)


def _plain(text: str) -> str:
    decomposed: Iterable[str] = unicodedata.normalize("NFKD", text)
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign)).translate(_UNDECOMPOSED)
