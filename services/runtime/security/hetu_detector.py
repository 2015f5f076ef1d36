"""Detects personal identity codes in free text, where they must not be (R35)."""

import re
import unicodedata

_DASH = "-\u00ad\u02d7\u2010-\u2015\u2043\u2212\ufe58\ufe63\uff0d"
_CODE = re.compile(rf"(?<![0-9a-z])[0-9]{{6}}\s*[+a-fu-y{_DASH}]\s*[0-9]{{3}}\s*[0-9a-y](?![0-9a-z])")


def looks_like_hetu(text: str) -> bool:
    """Whether a part of the text has the form of a personal identity code, valid or not."""
    return _CODE.search(unicodedata.normalize("NFKC", text).casefold()) is not None
