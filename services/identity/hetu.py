"""The Finnish personal identity code (hetu): form, date of birth, check character (R32, R33)."""

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
    Reason,
)

_LENGTH = 11
_CENTURIES = {"+": 1800, **dict.fromkeys("-YXWVU", 1900), **dict.fromkeys("ABCDEF", 2000)}
_FIRST_ARTIFICIAL = 900
_NEVER_GIVEN = {"000", "001"}

# Characters that word processors, web pages and phones put in place of a hyphen, and spaces pasted with it.
_DASHES = "\u00ad\u02d7\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d"
_SPACES = (
    " \t\r\n\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b"
    "\u202f\u205f\u2060\u3000\ufeff"
)
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_NORMALISED = str.maketrans(_DASHES + _LOWER, "-" * len(_DASHES) + _LOWER.upper(), _SPACES)


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
    """Parses a code as a person typed it; lower case, spaces and odd dashes are accepted (R32).

    `today` is the day in Helsinki. Raises `InvalidHetu` with the first fault, in the order in which a person
    would correct them: form, date, check character.
    """
    code = text.translate(_NORMALISED)
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
    birth_date = date(_CENTURIES[code[6]] + int(code[4:6]), int(code[2:4]), int(code[:2]))
    if birth_date > today:
        raise InvalidHetu(REASON_HETU_NOT_YET_BORN)
    if not checks_out:
        raise InvalidHetu(REASON_HETU_CHECK_CHARACTER)
    if int(code[7:10]) >= _FIRST_ARTIFICIAL and not allow_artificial:
        raise InvalidHetu(REASON_HETU_ARTIFICIAL)
    return Hetu(code, birth_date)
