"""What in a free text looks like a personal identity code."""

import pytest

from services.runtime.security.hetu_detector import looks_like_hetu


@pytest.mark.parametrize(
    "text",
    [
        "010594Y9032",
        "Tunnus on 010594y9032.",
        "(020594X903P)",
        "030594 - 903 B",
        "030594\u2013903B, ja muuta",
        "uusi\n040594V9030\nrivi",
        "\uff10\uff11\uff10\uff15\uff19\uff14Y9032",
        # Nobody's, but meant as one.
        "999999-999X",
    ],
)
def test_a_code_is_found_however_it_is_written(text: str) -> None:
    assert looks_like_hetu(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Lomake on tallennettu kahdesti.",
        "Soita numeroon 040 123 4567.",
        "+358401234567",
        "Rekisteröinti 8bb1cb9e6b82d98fa0b3d0bab574ca17",
        "bc6bcbc3-782f-4c79-8aaa-a6742e6d7d3a",
        "24.11.2026 klo 12",
        "postinumero 00100, laatikko 900",
    ],
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert not looks_like_hetu(text)
