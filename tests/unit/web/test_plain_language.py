"""The consent page can be read aloud in two minutes, and its plain version is plain (PAGES.md A17)."""

import re
from pathlib import Path

import pytest

import frontends.web
import services.registration
from frontends.web.language import catalogue

PAGES = Path(frontends.web.__file__).parent / "templates"
WORDINGS = Path(services.registration.__file__).parent / "registrations" / "consent_wording"
WORDS_ALOUD = 135
"""In a minute, read calmly: newsreaders read 150 to 180."""


def texts_of(template: str, language: str) -> str:
    """The texts of a page, in the order of the page."""
    markup = (PAGES / template).read_text("utf-8")
    english = re.findall(r'{% trans %}(.*?){% endtrans %}|_\("([^"]+)"\)', markup)
    found = ["".join(pair) for pair in english]
    if language == "en":
        return "\n".join(found)
    return "\n".join(str(catalogue(language)[text].string) for text in found)


def words(text: str) -> list[str]:
    return re.findall(r"\w[\w'-]*", text)


def sentences(text: str) -> list[list[str]]:
    return [found for each in re.split(r"[.?!:\n]+", text) if (found := words(each))]


def readability(text: str) -> float:
    """LIX: words a sentence, and the share of words of more than six letters (Björnsson 1968)."""
    long = sum(len(word) > 6 for word in words(text))
    return len(words(text)) / len(sentences(text)) + 100 * long / len(words(text))


@pytest.mark.parametrize("language", ["fi", "sv", "en"])
def test_the_question_is_read_aloud_in_two_minutes(language: str) -> None:
    wording = (WORDINGS / f"2026-1.{language}.txt").read_text("utf-8")
    assert len(words(texts_of("links/consent.html", language) + wording)) < 2 * WORDS_ALOUD


@pytest.mark.parametrize("language", ["fi", "sv", "en"])
def test_the_plain_version_is_plain(language: str) -> None:
    plain = texts_of("links/consent_plain.html", language)
    said = sentences(plain)
    assert sum(map(len, said)) / len(said) < 9
    assert max(map(len, said)) < 19
    wording = (WORDINGS / f"2026-1.{language}.txt").read_text("utf-8")
    assert readability(plain) < readability(wording) - 10
