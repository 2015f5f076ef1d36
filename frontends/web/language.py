"""The languages of the pages, and their catalogues of texts."""

import gettext
import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES: Final[Mapping[str, str]] = {"fi": "Suomi", "sv": "Svenska", "en": "English"}
"""Each language with its own name. The texts in the code are the English ones."""

DEFAULT: Final = "fi"

_FOLDER = Path(__file__).parent / "catalogues"


def N_(text: str) -> str:  # noqa: N802 - gettext's name
    """Marks a text that is translated where it is shown."""
    return text


def catalogue(language: str) -> Catalog:
    """The catalogue of a language other than English."""
    with (_FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The translations of a language."""
    if language == "en":
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def preferred(header: str) -> str:
    """The language that an `Accept-Language` header prefers among ours (RFC 9110, 12.5.4)."""
    ranked: list[tuple[float, str]] = []
    for part in header.split(","):
        tag, _, parameters = part.strip().partition(";")
        language = tag.split("-")[0].strip().lower()
        if language in LANGUAGES:
            ranked.append((_quality(parameters), language))
    best: Sequence[tuple[float, str]] = sorted(ranked, key=lambda each: -each[0])
    return best[0][1] if best and best[0][0] > 0 else DEFAULT


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return float(value) if name == "q" else 1.0
    except ValueError:
        return 0.0
