"""One word for a thing, in pages, mail and answers of the API (PAGES.md S9)."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import services
from frontends.web.language import catalogue

GLOSSARY = Path("docs/glossary.md").read_text("utf-8")
SERVICES = Path(services.__file__).parent
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", GLOSSARY, re.MULTILINE)[1:]
WORDS = {english: {"fi": finnish, "sv": swedish} for english, finnish, swedish in ROWS}

STEMS = {
    "asiakas": "asiaka|asiakk",
    "asiakaspalvelu": "asiakaspalvel",
    "yksikkö": "yksik",
    "huoltaja": "huoltaj|vanhem",
    "suostumus": "suostu",
    "tunnukset": "tunnu",
    "salasana": "salasan",
    "henkilötunnus": "henkilötunnu|hetu",
    "kirjavinkit": "kirjavinkk?",
    "rekisteröinti": "rekisterö",
    "rekisteröijä": "rekisteröij",
    "pääkäyttäjä": "pääkäyttäj",
    "asiakkuus": "asiakkuu",
    "yhteyshenkilö": "yhteyshenkilö",
    "palauttaa": "palaut",
    "återställa": "återställ",
    "kunta": "kunta|kunna",
    "samtycke": "samtyck",
    "registrering": "registrer",
    "registrerare": "registrerar",
    "lista": "list",
    "skola": "skol",
    "inbjudan": "inbjud",
    "inloggningsuppgifter": "inloggningsuppgift",
    "vårdnadshavare": "vårdnadshavar",
    "huvudanvändare": "huvudanvändar",
}
"""How a word begins in all its forms, where it is not the word itself."""

OTHERWISE = {
    "Customers to bring back": "a kind of work: the customership is brought back",
    "Messages of units": "told from the units' side: messages to customer service",
    "Kind of customer": "Finnish: kind of customership",
    "Customer brought back": "the customership is brought back",
    "Do you consent to your child's customership?": "Swedish: that the child becomes a customer",
}
"""English texts that the others say in another way, each with the reason."""

OTHER_WORDS = {"fi": "aktivo", "sv": "aktiver|aktiv igen|identifierare"}
"""What the words of the glossary, and a registration's "id", were once called beside their names."""

Text = tuple[str, str, str, str]
"""Where it stands, in English, and in another language."""


def of_pages() -> Iterator[Text]:
    for language in ("fi", "sv"):
        for message in catalogue(language):
            if message.id:
                english = message.id if isinstance(message.id, str) else message.id[0]
                told = message.string if isinstance(message.string, str) else message.string[0]
                yield "page", language, english, told


def of_files() -> Iterator[Text]:
    for path in sorted(SERVICES.rglob("*texts.toml")):
        yield from _in(path.name, tomllib.loads(path.read_text("utf-8")))


def _in(place: str, found: dict[str, Any]) -> Iterator[Text]:
    if isinstance(found.get("en"), str):
        for language in ("fi", "sv"):
            yield place, language, found["en"], found[language]
    for name, inner in found.items():
        if isinstance(inner, dict):
            yield from _in(f"{place} {name}", inner)


def of_mails() -> Iterator[Text]:
    for english in sorted((SERVICES / "notification/mail/templates").glob("*.en.md")):
        for language in ("fi", "sv"):
            told = english.with_name(english.name.replace(".en.", f".{language}."))
            yield english.name, language, english.read_text("utf-8"), told.read_text("utf-8")


def without_placeholders(text: str) -> str:
    return re.sub(r"{[^}]*}+|%\(\w+\)s", " ", text)


def missing(language: str, english: str, told: str) -> list[str]:
    """The words of the glossary that an English text has and its translation lacks; the longest first."""
    rest, found = without_placeholders(english).lower(), []
    for word in sorted(WORDS, key=len, reverse=True):
        several = word.removesuffix("y") + "(y|ies)" if word.endswith("y") else f"{word}s?"
        rest, times = re.subn(rf"\b{several}\b", " ", rest)
        told_as = "|".join(STEMS.get(each, each) for each in WORDS[word][language].split(", "))
        if times and not re.search(told_as, without_placeholders(told).lower()):
            found.append(word)
    return found


@pytest.mark.parametrize("texts", [of_pages, of_files, of_mails])
def test_every_text_uses_the_words_of_the_glossary(texts: Any) -> None:
    found = [text for text in texts() if text[2] not in OTHERWISE]
    assert len(found) > 100
    wrong = {
        (place, language, *words): (english[:80], told[:80])
        for place, language, english, told in found
        if (words := missing(language, english, told))
    }
    assert wrong == {}


@pytest.mark.parametrize("texts", [of_pages, of_files, of_mails])
def test_no_text_has_another_word_for_the_same(texts: Any) -> None:
    wrong = [
        (place, language, told[:80])
        for place, language, _, told in texts()
        if re.search(OTHER_WORDS[language], told, re.IGNORECASE)
    ]
    assert wrong == []
