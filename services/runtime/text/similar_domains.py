"""Addresses whose domain is one key away from one that many use."""

import re
from collections.abc import Iterable, Iterator

from services.runtime.text import email_addresses

_WIDELY_USED = (
    # The largest providers in the world, and their Finnish branches.
    *("gmail.com", "googlemail.com", "hotmail.com", "hotmail.fi", "outlook.com", "windowslive.com"),
    *("icloud.com", "yahoo.com", "protonmail.com"),
    # Providers of Finnish households, by their operators' pages: Elisa, Telia, DNA, and free ones.
    *("elisanet.fi", "kolumbus.fi", "saunalahti.fi", "luukku.com", "suomi24.fi", "pp.inet.fi", "welho.com"),
    *("netti.fi", "dnainternet.net"),
    # Addresses of pupils and teachers in the largest cities.
    *("edu.hel.fi", "edu.espoo.fi", "edu.vantaa.fi", "edu.turku.fi", "edu.tampere.fi", "edu.ouka.fi"),
)

_REAL = frozenset(
    {
        *("mail.com", "email.com", "ymail.com", "gmx.com", "hotmail.de", "hotmail.no", "hotmail.se"),
        *("outlook.fi", "icloud.fi", "yahoo.co", "inet.fi", "edu.hel.info", "tmail.com", "qmail.com"),
    }
)
"""Domains that are near one of the others, and in use."""

_PLAIN = re.compile(r"(?!.*xn--)[a-z0-9.-]+")
"""A domain that is written as it is compared."""


def suggestion(text: str) -> str:
    """The address with the domain that was probably meant; empty if there is none."""
    written = text.rpartition("@")[2].lower()
    if _PLAIN.fullmatch(written) and not _meant(written):
        # Most addresses are right, and reading one takes long.
        return ""
    try:
        local, _, domain = email_addresses.parse(text).rpartition("@")
    except email_addresses.InvalidAddressError:
        return ""
    meant = _meant(domain)
    return meant and f"{local}@{meant}"


def suggestions(fields: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Of fields with their addresses, those with a suggestion."""
    for field, address in fields:
        meant = suggestion(address) if address else ""
        if meant:
            yield field, meant


def _meant(domain: str) -> str:
    """The widely used domain that a domain is one key away from; empty if there is none."""
    if domain in _WIDELY_USED or domain in _REAL:
        return ""
    return next((known for known in _WIDELY_USED if _is_one_key_away(domain, known)), "")


def _is_one_key_away(typed: str, known: str) -> bool:
    """Whether one key was left out, pressed in addition or instead, or two changed places."""
    if typed == known or abs(len(typed) - len(known)) > 1:
        return False
    same = next((i for i, (a, b) in enumerate(zip(typed, known, strict=False)) if a != b), None)
    if same is None:
        return True
    if len(typed) > len(known):
        return typed[same + 1 :] == known[same:]
    if len(typed) < len(known):
        return typed[same:] == known[same + 1 :]
    swapped = typed[same : same + 2] == known[same : same + 2][::-1]
    return typed[same + 1 :] == known[same + 1 :] or (swapped and typed[same + 2 :] == known[same + 2 :])
