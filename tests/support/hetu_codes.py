"""Personal identity codes for tests: artificial ones only (R33)."""

from datetime import date, timedelta

_CHECK_CHARACTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ARTIFICIAL = range(900, 1000)

PUBLISHED = (
    "010594Y9032",
    "020594X903P",
    "030594W903B",
    "040594V9030",
    "050594U903M",
    "010516B903X",
    "020516C903K",
    "030516D9037",
    "010501E9032",
    "020503F9037",
)
"""Test codes that the register authority has published."""


def code(birth_date: date, sign: str, individual: int = 900) -> str:
    """The code with a birth date, century sign and individual number, even if they do not fit together."""
    digits = f"{birth_date:%d%m%y}{individual:03d}"
    return f"{birth_date:%d%m%y}{sign}{individual:03d}{_CHECK_CHARACTERS[int(digits) % 31]}"


def nth_code(number: int) -> str:
    """One of many different adults' codes."""
    day, individual = divmod(number, len(_ARTIFICIAL))
    return code(date(1950, 1, 1) + timedelta(day), "-", _ARTIFICIAL[individual])
