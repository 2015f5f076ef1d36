"""References that people read out on the telephone."""

import secrets

import pytest

from services.runtime.text import references

ID = "3a93a2c541c7c584b47d58cb106af0c4"
REFERENCE = "R-3XWE-XNFP"


def test_a_registration_has_its_reference_from_its_id() -> None:
    assert references.of_registration(ID) == REFERENCE
    assert references.of_registration("0" * 32) == "R-2222-2222"


@pytest.mark.parametrize(
    "quoted",
    [REFERENCE, "r-3xwe-xnfp", "R3XWEXNFP", "3xwexnfp", " r 3xwe xnfp. ", "R\N{EN DASH}3XWE\N{EN DASH}XNFP"],
)
def test_a_registration_is_meant_however_its_reference_is_written(quoted: str) -> None:
    least, greatest = references.registration_ids(quoted) or ("", "")
    assert least <= ID <= greatest
    assert references.of_registration(least) == references.of_registration(greatest) == REFERENCE


def test_a_whole_id_means_one_registration() -> None:
    assert references.registration_ids(ID) == references.registration_ids(ID.upper()) == (ID, ID)


def test_the_reference_of_any_id_means_it() -> None:
    for id_ in (*(secrets.token_hex(16) for _ in range(50)), "0" * 32, "f" * 32):
        least, greatest = references.registration_ids(references.of_registration(id_)) or ("", "")
        assert least <= id_ <= greatest


@pytest.mark.parametrize(
    "quoted", ["", "R", "R-3XWE-XNF", "R-3XWE-XNFPP", "R-0000-0000", "R-YYYY-YYYY", "L-3XWE-XNFP", "%" * 40]
)
def test_what_is_no_reference_of_a_registration_means_none(quoted: str) -> None:
    assert references.registration_ids(quoted) is None


def test_drawn_references_are_read_back() -> None:
    signs = references.draw()
    assert len(signs) == 8
    assert references.typed(references.written("L", signs).lower(), "L") == signs
