"""Contrast in each theme, computed from the tokens of the style sheet (WCAG 1.4.3, 1.4.11; PAGES.md A7)."""

import re
from pathlib import Path

import pytest

import frontends.web

STYLE = (Path(frontends.web.__file__).parent / "static" / "style.css").read_text("utf-8")
TEXT, CONTROL = 4.5, 3.0

PAIRS = [
    *(
        (ink, ground, TEXT)
        for ink in ("ink", "faint", "link", "wrong", "accent")
        for ground in ("ground", "raised")
    ),
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-strong", TEXT),
    ("accent-strong", "raised", TEXT),
    ("focus-ink", "focus", TEXT),
    ("good", "good-ground", TEXT),
    ("wait", "wait-ground", TEXT),
    ("ink", "wait-ground", TEXT),
    ("link", "wait-ground", TEXT),
    *((edge, "ground", CONTROL) for edge in ("edge", "accent", "wrong", "wait")),
]
"""Text and what it stands on, borders of controls and what is beside them, and the contrast asked for."""


def tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


LIGHT = tokens(STYLE[STYLE.index(":root {") : STYLE.index("@media (prefers-color-scheme: dark)")])
BY_READER = LIGHT | tokens(STYLE[STYLE.index(":root.dark {") : STYLE.index(".large {")])
BY_SYSTEM = LIGHT | tokens(STYLE[STYLE.index(":root:not(.light) {") : STYLE.index(":root.light {")])


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_formula_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", [LIGHT, BY_READER], ids=["light", "dark"])
def test_every_pair_of_colours_has_its_contrast(theme: dict[str, str]) -> None:
    wrong = {
        (ink, ground): round(found, 2)
        for ink, ground, least in PAIRS
        if (found := contrast(theme[ink], theme[ground])) < least
    }
    assert wrong == {}


@pytest.mark.parametrize("theme", [LIGHT, BY_READER], ids=["light", "dark"])
def test_the_focus_is_seen_on_every_ground(theme: dict[str, str]) -> None:
    """The ring has two colours: one of them stands out whatever it is on."""
    for ground in ("ground", "raised", "accent", "wait-ground", "good-ground"):
        assert max(contrast(theme[ring], theme[ground]) for ring in ("focus", "focus-ink")) >= CONTROL


def test_dark_is_dark_whoever_has_chosen_it() -> None:
    assert BY_SYSTEM == BY_READER != LIGHT
