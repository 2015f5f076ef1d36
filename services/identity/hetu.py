"""The Finnish personal identity code (hetu): form, date of birth, check character (R32, R33)."""

import contextlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import date

from stdnum.exceptions import InvalidChecksum, InvalidComponent, InvalidFormat
from stdnum.fi import hetu as checks

from liity.v1.reason_pb2 import (
    REASON_HETU_ARTIFICIAL,
    REASON_HETU_CHECK_CHARACTER,
    REASON_HETU_DATE,
    REASON_HETU_DUMMY,
    REASON_HETU_FORMAT,
    REASON_HETU_NOT_YET_BORN,
    REASON_HETU_TOO_OLD,
    Reason,
)
from services.runtime.text.cleaning import without_invisible

_LENGTH = 11
_CENTURIES = {"+": 1800, **dict.fromkeys("-YXWVU", 1900), **dict.fromkeys("ABCDEF", 2000)}
_FIRST_ARTIFICIAL = 900
_NEVER_GIVEN = {"000", "001"}

_OLDEST_AGE = 130
"""A greater age is taken for a wrong sign (R45)."""

# Characters that word processors, web pages and phones put in place of a hyphen.
_DASHES = (
    "\u02d7\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u207b\u208b\u2212\u2796\ufe58\ufe63\uff0d\u30fc\uff70"
)
_PLUSES = "\u2795\ufe62\uff0b"
_NORMALISED = str.maketrans(_DASHES + _PLUSES, "-" * len(_DASHES) + "+" * len(_PLUSES))
_SOFT_HYPHEN = "\u00ad"
_DOTTED = re.compile(r"^(\d\d)\.(\d\d)\.(\d\d)(?!\d)")
"""A date of birth typed as a date."""

_AROUND = ".,;:'\"()[]<>*`\u00b4\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
"""What a copy from a sentence or a spreadsheet brings along."""

_LABEL = re.compile(r"^(?:HETU|HENKILÖTUNNUS|PERSONBETECKNING)[:.]?(?=[0-9])", re.IGNORECASE)
"""The field's name, copied with it."""

_OF_OTHERS = "АВЕКМНРСТУХΑΒΕΚΜΗΡΤΥΧ"
_LOOK_ALIKE = str.maketrans(_OF_OTHERS, "ABEKMHPCTYXABEKMHPTYX")
"""Capitals of a Russian or Greek keyboard, and those that look like them."""


@dataclass(frozen=True, repr=False)
class Hetu:
    """A valid code, normalised. Its repr hides the code (R35)."""

    code: str
    birth_date: date

    def __repr__(self) -> str:
        return "Hetu(…)"


class InvalidHetu(ValueError):
    """The text is not a valid code; `reason` is one of the `HETU_` reasons."""

    def __init__(self, reason: Reason.ValueType) -> None:
        self.reason = reason
        super().__init__(Reason.Name(reason))


def parse(text: str, *, today: date, allow_artificial: bool) -> Hetu:
    """Parses a code as a person typed or pasted it (R32).

    Lower case, spaces, dots in the date, invisible signs, punctuation around it, and dashes, digits and
    letters of other widths are accepted.

    `today` is the day in Helsinki. Raises `InvalidHetu` with the first fault, in the order in which a person
    would correct them: form, date, check character.
    """
    code = _normalised(text)
    if len(code) > 1 and len(set(code)) == 1:
        raise InvalidHetu(REASON_HETU_DUMMY)
    if len(code) != _LENGTH or not code.isascii() or code[7:10] in _NEVER_GIVEN:
        raise InvalidHetu(REASON_HETU_FORMAT)
    checks_out = True
    try:
        checks.validate(code, allow_temporary=True)
    except InvalidFormat:
        raise InvalidHetu(REASON_HETU_FORMAT) from None
    except InvalidComponent:
        raise InvalidHetu(REASON_HETU_DATE) from None
    except InvalidChecksum:
        checks_out = False
    birth_date = _birth_date(code)
    if birth_date > today:
        raise InvalidHetu(REASON_HETU_NOT_YET_BORN)
    if not checks_out:
        raise InvalidHetu(REASON_HETU_CHECK_CHARACTER)
    if _is_too_old(birth_date, today):
        raise InvalidHetu(REASON_HETU_TOO_OLD)
    if int(code[7:10]) >= _FIRST_ARTIFICIAL and not allow_artificial:
        raise InvalidHetu(REASON_HETU_ARTIFICIAL)
    return Hetu(code, birth_date)


def other_signs(parsed: Hetu, *, today: date) -> list[Hetu]:
    """The valid codes that differ from a code by the century sign alone (R45).

    The check character does not depend on the sign: only the date of birth may be none.
    """
    found = []
    for sign in _CENTURIES:
        if sign != parsed.code[6]:
            other = parsed.code[:6] + sign + parsed.code[7:]
            # The 29th of February is not in every century's year.
            with contextlib.suppress(ValueError):
                birth_date = _birth_date(other)
                if birth_date <= today and not _is_too_old(birth_date, today):
                    found.append(Hetu(other, birth_date))
    return found


def _birth_date(code: str) -> date:
    """The date of birth in a code; ValueError if there is no such day."""
    return date(_CENTURIES[code[6]] + int(code[4:6]), int(code[2:4]), int(code[:2]))


def _is_too_old(birth_date: date, today: date) -> bool:
    birthday_ahead = (today.month, today.day) < (birth_date.month, birth_date.day)
    return today.year - birth_date.year - birthday_ahead > _OLDEST_AGE


def _normalised(text: str) -> str:
    """The code in ASCII capitals, without spaces, invisible signs, and punctuation around it."""
    # A soft hyphen may stand for the hyphen, or come with a copy.
    bare = "".join(without_invisible(text.replace(_SOFT_HYPHEN, "\u2010"), joiners=False).split())
    if len(bare) > _LENGTH and _SOFT_HYPHEN in text:
        bare = "".join(without_invisible(text, joiners=False).split())
    folded = unicodedata.normalize("NFKC", bare.translate(_NORMALISED))
    folded = _LABEL.sub("", folded.strip(_AROUND))
    digits = (
        str(unicodedata.decimal(sign)) if unicodedata.category(sign) == "Nd" else sign for sign in folded
    )
    # Other letters have capitals in ASCII, too: they are no signs of a code.
    capitals = (
        sign.upper().translate(_LOOK_ALIKE) if sign.isascii() or sign.upper() in _OF_OTHERS else sign
        for sign in digits
    )
    code = "".join(capitals).strip(_AROUND)
    return _DOTTED.sub(r"\1\2\3", code)
