"""Artificial personal identity codes: individual numbers 900 to 999 are never given to a person (R33)."""

import random
from datetime import date, timedelta

_CHECK_CHARACTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_SIGNS = {1800: "+", 1900: "-YXWVU", 2000: "ABCDEF"}


def artificial_hetu(birth_date: date, individual_number: int = 900, sign: str = "") -> str:
    """The valid code of a birth date, an individual number and a century sign (by default the first one).

    ValueError if the individual number is not artificial, or the sign is another century's.
    """
    signs = _SIGNS[birth_date.year // 100 * 100]
    if not 900 <= individual_number <= 999:  # noqa: PLR2004 - the artificial range
        raise ValueError("An artificial code has an individual number from 900 to 999")
    if sign not in ("", *signs):
        raise ValueError("The century sign is not one of the birth date's century")
    day = f"{birth_date:%d%m%y}"
    check = _CHECK_CHARACTERS[int(f"{day}{individual_number}") % len(_CHECK_CHARACTERS)]
    return f"{day}{sign or signs[0]}{individual_number}{check}"


def random_artificial_hetu(age: int, today: date, choice: random.Random) -> str:
    """The code of a person who has this age in full years today, and still in a month."""
    last_birthday = today.replace(year=today.year - age, day=min(today.day, 28))
    birth_date = last_birthday - timedelta(days=choice.randint(1, 330))
    sign = choice.choice(_SIGNS[birth_date.year // 100 * 100])
    return artificial_hetu(birth_date, choice.randint(900, 999), sign)
