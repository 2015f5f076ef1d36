"""E-mail addresses as people paste them: read, compared, and shown in one normal form."""

import re
import unicodedata
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from liity.v1.reason_pb2 import REASON_EMAIL_SIGN, REASON_INVALID_EMAIL, Reason
from services.runtime.text.cleaning import without_invisible
from services.runtime.text.scripts import mixes_scripts

_APOSTROPHES = "`\u2018\u2019\u201a\u201b\u02b9\u02bc\u02bb\u02c8\u2032\u00b4"
_DOTS = "\u3002\uff0e\uff61"

_TYPED = str.maketrans(
    {
        **{chr(sign): "-" for sign in (*range(0x2010, 0x2016), 0x02D7, 0x2043, 0x2212, 0xFE58, 0xFE63)},
        **dict.fromkeys(_APOSTROPHES, "'"),
        **dict.fromkeys(_DOTS, "."),
        # Full-width forms of ASCII, and the small commercial at.
        **{chr(sign): chr(sign - 0xFEE0) for sign in range(0xFF01, 0xFF5F) if chr(sign) not in _DOTS},
        "\ufe6b": "@",
        # Ligatures of a printed page.
        **{chr(sign): unicodedata.normalize("NFKC", chr(sign)) for sign in range(0xFB00, 0xFB07)},
    }
)
"""What word processors, phones and PDF put in place of the sign that was typed."""

_QUOTES = "\"'\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a"
_BULLETS = "*|~\u00b7\u2013\u2014\u2022\u2023\u2043\u2190-\u21ff\u25a0-\u25ff\u2700-\u27bf\uf0b7-"
_BEFORE = re.compile(rf"^[\s<({re.escape('[')}{_QUOTES}{_BULLETS}]+")
_AFTER = re.compile(rf"[\s>){re.escape(']')},;:.{_QUOTES}]+$")
_SCHEME = re.compile(r"^mailto:(?://)?", re.IGNORECASE)
_NAMED = re.compile(r"[^<>@]*<([^<>@\s]+@[^<>@\s]+)>[\s;,.]*")
"""An address behind a name, as mail programs copy it (RFC 5322, name-addr)."""

_REPEATED = re.compile(
    r"[\[<(\"']*([^\s<>()\[\]\"']+@[^\s<>()\[\]\"']+)[\])\"']*\s*[\[<(]+(?:mailto:)?([^\s<>()\[\]]+)[\]>)]+[\s;,.]*",
    re.IGNORECASE,
)
"""An address with itself behind it, as Outlook and web pages copy a link."""

_LONGEST = 1_000
"""Characters of what is read as an address: one has at most 254 (RFC 5321), and a copy may repeat it."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}")
"""An address with nothing around it."""

_SHORTEST_TOP_LEVEL = 2

_GMAIL = "gmail.com"
_OF_GMAIL = frozenset({_GMAIL, "googlemail.com"})
"""Domains of one provider, whose mailboxes have no dots."""


class InvalidAddressError(ValueError):
    """The text is no e-mail address; `reason` is INVALID_EMAIL or EMAIL_SIGN."""

    def __init__(self, reason: Reason.ValueType) -> None:
        self.reason = reason
        super().__init__(Reason.Name(reason))


@lru_cache(maxsize=32)
def parse(text: str) -> str:
    """The address in normal form: NFC, the domain in lower case and in letters, not in `xn--`.

    What a copy brings along is removed: invisible signs, `mailto:`, a name in front, brackets, quotation
    marks, punctuation at the end. Signs that a program has changed (dashes, apostrophes, wide signs) are
    put back. The domain is not looked up. Raises `InvalidAddressError`.

    A few are kept, as each rule of a form reads its addresses again.
    """
    if len(text) > _LONGEST:
        raise InvalidAddressError(REASON_INVALID_EMAIL)
    bare = _unwrapped(without_invisible(text, joiners=False).translate(_TYPED))
    if any(_is_no_sign_of_an_address(sign) for sign in bare) or mixes_scripts(bare):
        raise InvalidAddressError(REASON_EMAIL_SIGN)
    try:
        address = validate_email(bare, check_deliverability=False)
    except EmailNotValidError:
        raise InvalidAddressError(REASON_INVALID_EMAIL) from None
    if len(address.domain.rpartition(".")[2]) < _SHORTEST_TOP_LEVEL:
        raise InvalidAddressError(REASON_INVALID_EMAIL)
    return f"{address.local_part}@{address.domain}"


def fold(text: str) -> str:
    """The form in which addresses are compared that mail goes to, or that an account has.

    A text that is no address is folded like any text. NUL is replaced: PostgreSQL cannot store it.
    """
    try:
        local, _, domain = parse(text).rpartition("@")
    except InvalidAddressError:
        return without_invisible(text, joiners=False).strip().replace("\0", "\ufffd").casefold()
    # The domain is in lower case already; folding would turn ß into ss, which is another domain.
    return f"{local.casefold()}@{domain}"


def mailbox(text: str) -> str:
    """The form in which it is told who reads the mail: two addresses with one form are one person's.

    As `fold`, without a tag (`saana+aiti@` is `saana@`), and without what Gmail does not look at.
    """
    local, at, domain = fold(text).rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _OF_GMAIL:
        local, domain = local.replace(".", ""), _GMAIL
    return f"{local}{at}{domain}"


def normal(text: str) -> str:
    """The address in normal form; a text that is no address as it is."""
    try:
        return parse(text)
    except InvalidAddressError:
        return text


def mended(text: str) -> str:
    """The address without what a copy brought along; the text itself if only the spelling differs."""
    if _PLAIN.fullmatch(text):
        # Most addresses are right, and reading one takes long.
        return text
    meant = normal(text)
    # Not `casefold`: a ligature is a sign of its own.
    is_spelling = meant.lower() == text.lower() or "xn--" in text.lower()
    return text if is_spelling else meant


def _unwrapped(text: str) -> str:
    repeated = _REPEATED.fullmatch(text.strip())
    if repeated and repeated[1].casefold() == repeated[2].casefold():
        text = repeated[1]
    named = _NAMED.fullmatch(text.strip())
    bare = _AFTER.sub("", _BEFORE.sub("", named[1] if named else text))
    if not _SCHEME.match(bare):
        return bare
    # A link may carry a subject.
    return _AFTER.sub("", _BEFORE.sub("", _SCHEME.sub("", bare).partition("?")[0]))


def _is_no_sign_of_an_address(sign: str) -> bool:
    if sign.isascii() or sign.isspace():
        return False
    category = unicodedata.category(sign)
    # Letters such as ª are others, raised.
    is_letter = category[0] in "LM" and not unicodedata.decomposition(sign).startswith("<super>")
    return not is_letter and category not in {"Nd", "Cc"}
