"""Every text of the pages is in every catalogue, and every catalogue has only such texts."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir

import frontends.web
from frontends.web.language import LANGUAGES, catalogue, preferred

FOLDER = Path(next(iter(frontends.web.__path__)))
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None}
TRANSLATED = [language for language in LANGUAGES if language != "en"]


def texts() -> set[str]:
    """The English texts in the code."""
    options = {"templates/**.html": {"extensions": "jinja2.ext.do"}}
    found = extract_from_dir(FOLDER, METHODS, options, KEYWORDS)
    return {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated(language: str) -> None:
    known = {
        message.id if isinstance(message.id, str) else message.id[0]: message
        for message in catalogue(language)
        if message.id
    }
    assert sorted(texts() - set(known)) == []
    assert sorted(set(known) - texts()) == []
    assert [text for text, message in known.items() if not message.string or message.fuzzy] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_has_the_places_of_its_text(language: str) -> None:
    for message in catalogue(language):
        for text in [message.string] if isinstance(message.string, str) else message.string:
            given = message.id if isinstance(message.id, str) else message.id[-1]
            assert sorted(re.findall(r"%\(\w+\)s", text)) in ([], sorted(re.findall(r"%\(\w+\)s", given)))


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "fi"),
        ("de", "fi"),
        ("sv-FI,sv;q=0.9,en;q=0.8", "sv"),
        ("de, en;q=0.5", "en"),
        ("en;q=0.5, sv;q=0.7", "sv"),
        ("sv;q=0", "fi"),
        ("en;q=nonsense", "fi"),
        ("EN-us", "en"),
    ],
)
def test_the_browser_says_the_language(header: str, language: str) -> None:
    assert preferred(header) == language
