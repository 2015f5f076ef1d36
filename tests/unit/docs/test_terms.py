"""One word for one thing: what the texts in Swedish call a customership, and what one logs in with."""

import re
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[3] / "services"

_OTHER_WORDS = re.compile("kundskap|kundförhållande|användaruppgift", re.IGNORECASE)
"""Instead of kundrelation and inloggningsuppgifter; the first of them means knowledge."""

# A wording that people have consented to stays as it was.
TEXTS = [
    path
    for pattern in ("*.sv.*", "*.toml")
    for path in sorted(SERVICES.rglob(pattern))
    if path.parent.name != "consent_wording"
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_text_uses_the_words_of_all_others(path: Path) -> None:
    assert _OTHER_WORDS.findall(path.read_text("utf-8")) == []
