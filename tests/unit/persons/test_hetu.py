"""Personal identity codes: what is accepted, and precisely why others are not (R32, R33)."""

import contextlib
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liity.v1.reason_pb2 import (
    REASON_HETU_ARTIFICIAL,
    REASON_HETU_CHECK_CHARACTER,
    REASON_HETU_DATE,
    REASON_HETU_DUMMY,
    REASON_HETU_FORMAT,
    REASON_HETU_NOT_YET_BORN,
    REASON_HETU_TOO_OLD,
    Reason,
)
from services.identity.hetu import Hetu, InvalidHetu, other_signs, parse
from tests.support.hetu_codes import PUBLISHED, code

TODAY = date(2026, 3, 15)
SIGNS = {1800: "+", 1900: "-YXWVU", 2000: "ABCDEF"}
CHECK_CHARACTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def accepted(text: str, *, allow_artificial: bool = True) -> Hetu:
    return parse(text, today=TODAY, allow_artificial=allow_artificial)


def reason(text: str, *, allow_artificial: bool = True) -> str:
    with pytest.raises(InvalidHetu) as refused:
        accepted(text, allow_artificial=allow_artificial)
    return Reason.Name(refused.value.reason)


def name(value: Reason.ValueType) -> str:
    return Reason.Name(value)


@pytest.mark.parametrize("published", PUBLISHED)
def test_published_test_codes(published: str) -> None:
    century = 2000 if published[6] in SIGNS[2000] else 1900
    birth_date = date(century + int(published[4:6]), int(published[2:4]), int(published[:2]))
    assert accepted(published) == Hetu(published, birth_date)


@pytest.mark.parametrize(
    ("sign", "century"), [(sign, century) for century, signs in SIGNS.items() for sign in signs]
)
def test_every_century_sign(sign: str, century: int) -> None:
    birth_date = date(century + (98 if century == 1800 else 7), 6, 5)
    assert accepted(code(birth_date, sign)).birth_date == birth_date


@pytest.mark.parametrize("sign", "0123456789GHIJKLMNOPQRSTZ*/=_.,:")
def test_other_signs_are_no_century(sign: str) -> None:
    assert reason(code(date(1990, 1, 10), sign)) == name(REASON_HETU_FORMAT)


def test_the_sign_is_part_of_the_identity() -> None:
    born = date(1990, 1, 10)
    assert accepted(code(born, "-", 999)) != accepted(code(born, "Y", 999))
    assert accepted(code(born, "-", 999)).birth_date == accepted(code(born, "Y", 999)).birth_date


@pytest.mark.parametrize(
    ("day", "sign", "is_a_day"),
    [
        ("290200", "A", True),
        ("290204", "A", True),
        ("290296", "-", True),
        ("290200", "-", False),
        ("290200", "+", False),
        ("290203", "A", False),
        ("290295", "-", False),
        ("300204", "A", False),
        ("310499", "-", False),
        ("310499", "+", False),
        ("000190", "-", False),
        ("320190", "-", False),
        ("010090", "-", False),
        ("011390", "-", False),
    ],
)
def test_calendar(day: str, sign: str, is_a_day: bool) -> None:
    text = f"{day}{sign}900{CHECK_CHARACTERS[int(day + '900') % 31]}"
    if is_a_day:
        assert accepted(text).code == text
    else:
        assert reason(text) == name(REASON_HETU_DATE)


@pytest.mark.parametrize("born", [TODAY, TODAY - timedelta(1)])
def test_born_by_today(born: date) -> None:
    assert accepted(code(born, "A")).birth_date == born


@pytest.mark.parametrize("born", [TODAY + timedelta(1), date(2099, 12, 31)])
def test_not_yet_born(born: date) -> None:
    assert reason(code(born, "A")) == name(REASON_HETU_NOT_YET_BORN)


@pytest.mark.parametrize("character", "GIOQZgioqz*Å")
def test_characters_that_never_check(character: str) -> None:
    assert reason(PUBLISHED[0][:-1] + character) == name(REASON_HETU_FORMAT)


@pytest.mark.parametrize(
    "text",
    [
        "{}.",
        "{},",
        "'{}",
        "({})",
        '"{}"',
        "<{}>",
        " {} ; ",
        "’{}",
        "“{}”",
        "„{}“",
        "hetu: {}",
        "Hetu {}",
        "Henkilötunnus:{}",
    ],
)
def test_punctuation_of_a_copy_is_left_out(text: str) -> None:
    assert accepted(text.format(PUBLISHED[0])).code == PUBLISHED[0]


@pytest.mark.parametrize("text", ["020594\u0425903\u0420", "020594\u0445903\u0440", "020594\u03a7903\u03a1"])
def test_letters_of_a_russian_or_greek_keyboard(text: str) -> None:
    assert accepted(text).code == "020594X903P"


@pytest.mark.parametrize("individual", [900, 950, 999])
def test_artificial_only_where_allowed(individual: int) -> None:
    text = code(date(1990, 1, 10), "-", individual)
    assert accepted(text).code == text
    assert reason(text, allow_artificial=False) == name(REASON_HETU_ARTIFICIAL)


@pytest.mark.parametrize("individual", [0, 1])
def test_individual_numbers_never_given(individual: int) -> None:
    assert reason(code(date(1990, 1, 10), "-", individual)) == name(REASON_HETU_FORMAT)


@pytest.mark.parametrize("dash", "-‐‑‒–—―−﹣-⁃˗⁻\u00ad")
def test_odd_dashes(dash: str) -> None:
    plain = code(date(1990, 1, 10), "-")
    assert accepted(plain.replace("-", dash)).code == plain


@pytest.mark.parametrize(
    "typed",
    [
        "010594y9032",
        "  010594Y9032  ",
        "010594 Y 9032",
        "01.05.94Y9032",
        "01. 05. 94 Y9032",
        "010594\u00a0Y\u202f9032",
        "\ufeff010594Y9032\u200b",
        "\t010594Y9032\r\n",
        "010594Y9032\u200d",
        "\u200e010594Y9032\u200f",
        "\u202d010594Y9032\u202c",
        "\u2066010594Y9032\u2069",
        "0105\u00ad94Y9032",
        "０１０５９４Ｙ９０３２",
        "٠١٠٥٩٤Y9032",
    ],
)
def test_case_and_spaces(typed: str) -> None:
    assert accepted(typed).code == "010594Y9032"


def test_lower_case_check_character_and_sign() -> None:
    assert accepted("020516c903k").code == "020516C903K"


@pytest.mark.parametrize(
    "dummy", ["22222222222", "00000000000", "11111111111", "2222", "XXXXXXXXXXX", "-" * 11]
)
def test_dummies(dummy: str) -> None:
    assert reason(dummy) == name(REASON_HETU_DUMMY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0",
        "010594Y903",
        "010594Y90322",
        "010594-Y9032",
        "19940501-9032",
        "O10594Y9032",
        "010594Y9O32",
        "010594Y9032\u0000",
        "010594\u0007Y9032",
        "\u017f" * 5 + "010594",
        "010594Y9032" * 3,
        "😀" * 11 + "1",
    ],
)
def test_malformed(text: str) -> None:
    assert reason(text) == name(REASON_HETU_FORMAT)


def test_what_is_told_first() -> None:
    """Form before date, date before not yet born, that before the check character, artificial last."""
    assert reason("310290-900G") == name(REASON_HETU_FORMAT)
    assert reason("310290-9000") == name(REASON_HETU_DATE)
    assert reason(_misspelt(code(date(2099, 1, 1), "A"))) == name(REASON_HETU_NOT_YET_BORN)
    assert reason(_misspelt(PUBLISHED[0]), allow_artificial=False) == name(REASON_HETU_CHECK_CHARACTER)


def _misspelt(valid: str) -> str:
    return valid[:-1] + ("1" if valid[-1] == "0" else "0")


def test_texts_never_show_the_code() -> None:
    parsed = accepted(PUBLISHED[0])
    with pytest.raises(InvalidHetu) as refused:
        accepted(PUBLISHED[0][:-1] + "3")
    shown = f"{parsed} {parsed!r} {[parsed]} {refused.value} {refused.value!r}"
    assert "0594" not in shown
    assert "903" not in shown


births = st.dates(TODAY.replace(year=TODAY.year - 130), TODAY)


@given(births, st.data(), st.integers(900, 999))
def test_every_valid_code_is_accepted(born: date, data: st.DataObject, individual: int) -> None:
    sign = data.draw(st.sampled_from(SIGNS[born.year // 100 * 100]))
    valid = code(born, sign, individual)
    assert accepted(valid) == Hetu(valid, born)


@given(births, st.data(), st.integers(900, 999))
def test_every_other_check_character_is_refused(born: date, data: st.DataObject, individual: int) -> None:
    sign = data.draw(st.sampled_from(SIGNS[born.year // 100 * 100]))
    valid = code(born, sign, individual)
    for other in set(CHECK_CHARACTERS) - {valid[-1]}:
        assert reason(valid[:-1] + other) == name(REASON_HETU_CHECK_CHARACTER)


@given(st.text(max_size=40))
def test_any_text_gets_an_answer(text: str) -> None:
    with contextlib.suppress(InvalidHetu):
        assert accepted(text).code.isascii()


@pytest.mark.parametrize(
    ("born", "sign", "is_accepted"),
    [
        (date(1850, 1, 1), "+", False),
        (date(1895, 3, 15), "+", False),
        (date(1895, 3, 16), "+", True),
        (date(1950, 1, 1), "-", True),
    ],
)
def test_a_code_of_more_than_130_years_is_asked_about(born: date, sign: str, *, is_accepted: bool) -> None:
    text = code(born, sign)
    if is_accepted:
        assert accepted(text).birth_date == born
    else:
        assert reason(text) == name(REASON_HETU_TOO_OLD)


def test_the_codes_of_other_signs() -> None:
    of_the_1900s = other_signs(accepted("010594Y9032"), today=TODAY)
    assert {other.code for other in of_the_1900s} == {f"010594{sign}9032" for sign in "-XWVU"}, (
        "2094 is not yet, and 1894 too long ago"
    )
    assert "010516A904Y" in {other.code for other in other_signs(accepted("010516B904Y"), today=TODAY)}
