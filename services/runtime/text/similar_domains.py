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

_OF_ONE_ENDING = {
    "gmail": "gmail.com",
    "elisanet": "elisanet.fi",
    "kolumbus": "kolumbus.fi",
    "saunalahti": "saunalahti.fi",
    "luukku": "luukku.com",
    "suomi24": "suomi24.fi",
}
"""Providers whose addresses all end alike."""

_LONGEST_ENDING = 5
"""The letters of `com.fi`."""

_NO_ENDINGS = {
    **dict.fromkeys(("con", "cmo", "ocm", "comm", "coom", "cpm", "vom", "xom", "cim", "clm", "ccom"), "com"),
    **dict.fromkeys(("ffi", "fii", "fu", "ifi"), "fi"),
}
"""Endings that no domain has, and what was meant."""

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
    """The domain that was probably meant: a widely used one, or one with an ending that there is."""
    if domain in _WIDELY_USED or domain in _REAL:
        return ""
    near = next((known for known in _WIDELY_USED if _is_one_key_away(domain, known)), "")
    beginning, _, ending = domain.rpartition(".")
    if near or domain.startswith("www."):
        return near or domain.removeprefix("www.")
    if ending in _NO_ENDINGS:
        return f"{beginning}.{_NO_ENDINGS[ending]}"
    provider, _, rest = domain.partition(".")
    # A school may have a mail server of such a name: gmail.koulu.fi is no gmail.com.
    return _OF_ONE_ENDING.get(provider, "") if len(rest.replace(".", "")) <= _LONGEST_ENDING else ""


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
