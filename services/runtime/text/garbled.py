"""Texts that were once read in a wrong encoding."""

import re

_CONTINUED = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
"""What the second and later bytes of a letter in UTF-8 look like in Windows-1252."""

_DOUBLY_ENCODED = re.compile(
    f"[ÂÃ]{_CONTINUED}"
    # Letters of names before quotation marks and dashes are left alone.
    "|[Ä-ß][\u0080-\u009f¡-¦ª¬¯±-³µ¶¸¹º¼-¿€‚ƒ†‡ˆ‰Š‹ŒŽ˜™š›œžŸ]"
    f"|[àáâêï]{_CONTINUED}{{2}}|ð{_CONTINUED}{{3}}"
    # UTF-8 read in the letters of an old Mac, and of MS-DOS.
    "|√[^\\s\\d]|[├┬][^\\s\\d]"
)
_NEVER_TYPED = re.compile(
    "[\u0080-\u009f\ufffd\ud800-\udfff]|&(?:[A-Za-z]{2,8}|#[0-9]{2,5}|#x[0-9A-Fa-f]{2,4});"
)


def is_garbled(text: str) -> bool:
    """Whether a text was once read in a wrong encoding: `MÃ¤kinen`, `Ylâ€“`, `M�kinen`, `M&auml;kinen`."""
    return bool(_DOUBLY_ENCODED.search(text) or _NEVER_TYPED.search(text))
