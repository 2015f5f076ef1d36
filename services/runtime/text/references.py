"""References that people read out on the telephone: a letter for the kind and eight signs, `L-7K3M-92QF`."""

import secrets

SIGNS = "2345679ACDEFHJKLMNPQRTVWXY"  # pragma: allowlist secret
"""Letters and digits that are not mistaken for each other when they are read out."""

_LENGTH = 8
_REGISTRATION = "R"
_ID_LENGTH = 32
_FROM_ID = 9
"""Hexadecimal digits of a registration's ID that make its reference: the most that eight signs can hold."""


def draw() -> str:
    """Eight random signs."""
    return "".join(secrets.choice(SIGNS) for _ in range(_LENGTH))


def written(letter: str, signs: str) -> str:
    """A reference as it is shown."""
    return f"{letter}-{signs[:4]}-{signs[4:]}".upper()


def typed(quoted: str, letter: str) -> str:
    """The signs of a quoted reference: small letters, missing hyphens and no first letter are fine."""
    signs = "".join(sign for sign in quoted.upper() if sign.isalnum())
    return signs.removeprefix(letter) if len(signs) > _LENGTH else signs


def of_registration(registration_id: str) -> str:
    """The reference of a registration (`R-7K3M-92QF`), from the first digits of its ID, 32 in hexadecimal.

    Among ten million registrations, fewer than two in ten thousand share theirs with another one.
    """
    number = int(registration_id[:_FROM_ID], 16)
    signs = ""
    for _ in range(_LENGTH):
        number, sign = divmod(number, len(SIGNS))
        signs = SIGNS[sign] + signs
    return written(_REGISTRATION, signs)


def registration_ids(quoted: str) -> tuple[str, str] | None:
    """The least and the greatest registration ID that a quoted reference, or a whole ID, stands for."""
    whole = "".join(sign for sign in quoted.lower() if sign.isalnum())
    if len(whole) == _ID_LENGTH:
        return whole, whole
    signs = typed(quoted, _REGISTRATION)
    if len(signs) != _LENGTH or not set(signs) <= set(SIGNS):
        return None
    number = 0
    for sign in signs:
        number = number * len(SIGNS) + SIGNS.index(sign)
    first = f"{number:0{_FROM_ID}x}"
    rest = _ID_LENGTH - _FROM_ID
    return (first + "0" * rest, first + "f" * rest) if len(first) == _FROM_ID else None
