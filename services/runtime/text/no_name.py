"""What people write where a name is required and there is none."""

import unicodedata

_NO_NAMES = frozenset(
    {
        *(
            "",
            "x",
            "xx",
            "xxx",
            "none",
            "n/a",
            "no name",
            "no last name",
            "no first name",
            "unknown",
            "fnu",
            "lnu",
            "nn",
            "n.n",
        ),
        *("ei ole", "ei nimeä", "ei sukunimeä", "ei etunimeä", "puuttuu", "tuntematon"),
        *("ingen", "inget namn", "inget efternamn", "inget förnamn", "saknas", "okänd"),
    }
)


def is_no_name(name: str) -> bool:
    """Whether a text stands for no name, as "x" or "-" does, or is empty."""
    return name.casefold().strip(".()") in _NO_NAMES or not any(
        unicodedata.category(sign)[0] in "LMNC" for sign in name
    )
