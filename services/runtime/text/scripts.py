"""Scripts of letters: a word that mixes two is garbled, or meant to look like another."""

import re
import unicodedata

_WORD = re.compile(r"[^\W\d_]+")
_UNMIXED = ("LATIN ", "CYRILLIC ", "GREEK ", "HEBREW ", "ARABIC ", "CJK ", "THAI ")
"""How the names of letters begin, of scripts that no word mixes."""


def mixes_scripts(text: str) -> bool:
    """Whether a word has letters of two scripts: `Mдkinen`, or a Russian `а` in `Aalto`."""
    return not text.isascii() and any(len(_scripts(word)) > 1 for word in _WORD.findall(text))


def _scripts(word: str) -> set[str]:
    names = [unicodedata.name(sign, "") for sign in word]
    return {script for script in _UNMIXED if any(name.startswith(script) for name in names)}
