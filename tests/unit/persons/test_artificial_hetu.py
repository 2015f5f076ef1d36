"""Codes of nobody are valid, and nobody's."""

import random
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.fi import hetu

from deploy.demo.artificial_hetu import artificial_hetu, random_artificial_hetu

DATES = st.dates(date(1850, 1, 1), date(2099, 12, 31))


@given(DATES, st.integers(900, 999))
def test_every_code_is_valid_and_artificial(birth_date: date, individual_number: int) -> None:
    code = artificial_hetu(birth_date, individual_number)

    assert hetu.validate(code, allow_temporary=True) == code
    assert not hetu.is_valid(code)


@pytest.mark.parametrize(
    ("birth_date", "individual_number", "sign", "code"),
    [
        (date(1994, 5, 1), 903, "Y", "010594Y9032"),
        (date(1994, 5, 2), 903, "X", "020594X903P"),
        (date(2016, 5, 1), 903, "B", "010516B903X"),
        (date(2001, 5, 1), 903, "E", "010501E9032"),
    ],
)
def test_published_test_codes_come_out_the_same(
    birth_date: date, individual_number: int, sign: str, code: str
) -> None:
    assert artificial_hetu(birth_date, individual_number, sign) == code


@pytest.mark.parametrize(
    ("individual_number", "sign"), [(899, "A"), (1000, "A"), (2, "A"), (900, "-"), (900, "G"), (900, "AB")]
)
def test_a_persons_number_or_another_centurys_sign_is_refused(individual_number: int, sign: str) -> None:
    with pytest.raises(ValueError, match=r"individual number|century sign"):
        artificial_hetu(date(2010, 1, 1), individual_number, sign)


@given(st.integers(0, 90), st.dates(date(2026, 1, 1), date(2040, 12, 31)), st.integers())
def test_a_random_code_has_the_age_asked_for(age: int, today: date, seed: int) -> None:
    code = random_artificial_hetu(age, today, random.Random(seed))  # noqa: S311

    born = hetu.validate(code, allow_temporary=True)
    century = {"+": 1800, **dict.fromkeys("-YXWVU", 1900), **dict.fromkeys("ABCDEF", 2000)}[born[6]]
    birth_date = date(century + int(born[4:6]), int(born[2:4]), int(born[:2]))
    birthday_passed = (today.month, today.day) >= (birth_date.month, birth_date.day)
    assert today.year - birth_date.year - (not birthday_passed) == age
