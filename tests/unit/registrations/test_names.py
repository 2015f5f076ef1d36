"""Names as people search for them (R15)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registration.forms.name_keys import are_alike, query_keys, search_keys, sort_key


def found(query: str, *names: str) -> bool:
    keys = search_keys(*names)
    asked = query_keys(query)
    return bool(asked) and all(any(key.startswith(begin) for key in keys) for begin in asked)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("virt", "Virtanen"),
        ("VIRTANEN", "Virtanen"),
        ("mäki", "Mäkinen"),
        ("maki", "Mäkinen"),
        ("oberg", "Öberg"),
        ("öb", "Öberg"),
        ("aberg", "Åberg"),
        ("åberg", "Åberg"),
        ("andre", "André"),
        ("andré", "André"),
        ("meiri", "Anna-Meiri"),
        ("anna-m", "Anna-Meiri"),
        ("sjogren", "Sjøgren"),
        ("strasse", "Straße"),
        ("ибр", "Ибрагимов"),
        ("o'br", "O'Brien"),
        ("o’brien", "O'Brien"),
        ("obrien", "OʼBrien"),
        ("brien", "O‘Brien"),
        ("o'brien", "Obrien"),
        ("annameiri", "Anna‑Meiri"),
        ("anna–meiri", "Anna Meiri"),
        ("meiri", "Anna–Meiri"),
        ("obrien", "O´Brien"),
        ("obrien", "O`Brien"),
        ("virtanen", "\U0001d4e5irtanen"),
        ("inga", "Iŋgá"),
        ("botta", "Boŧŧá"),
        ("geeggor", "Ǥeegǥor"),
        ("habib", "Ħabib"),
        ("zon", "ǮON"),
        ("zon", "ʒon"),
        ("dang", "Đặng"),
        ("lukasz", "Łukasz"),
        ("eliyev", "Əliyev"),
        ("yildiz", "Yıldız"),
        ("thor", "Þór"),
        ("gudrun", "Guðrún"),
        ("aesa", "Æsa"),
        ("musa", "Ɱusa"),
        ("virtanen", "Virta\u00adnen"),
    ],
)
def test_a_name_is_found_by_the_beginning_of_a_part(query: str, name: str) -> None:
    assert found(query, name)


@pytest.mark.parametrize(
    ("query", "name"),
    [("mäki", "Makinen"), ("öberg", "Oberg"), ("åberg", "Äberg"), ("kinen", "Mäkinen"), ("-", "Anna-Meiri")],
)
def test_a_name_is_not_found_by_what_it_is_not(query: str, name: str) -> None:
    assert not found(query, name)


def test_every_part_of_a_query_must_be_found() -> None:
    assert found("mei virt", "Anna-Meiri", "Virtanen")
    assert not found("mei korh", "Anna-Meiri", "Virtanen")


def test_lists_follow_the_finnish_alphabet() -> None:
    names = ["Zetterberg", "Åkerman", "Äyräs", "Öhman", "aalto", "Virtanen", "Zz"]
    expected = ["aalto", "Virtanen", "Zetterberg", "Zz", "Åkerman", "Äyräs", "Öhman"]
    assert sorted(names, key=lambda name: sort_key(name, "")) == expected


def test_of_one_last_name_the_first_names_decide_and_a_shorter_last_name_comes_first() -> None:
    people = [("Mäki", "Östen"), ("Mäki", "Aino"), ("Mäkinen", "Aada"), ("Mäki", "Åke")]
    ordered = sorted(people, key=lambda names: sort_key(*names))
    assert ordered == [("Mäki", "Aino"), ("Mäki", "Åke"), ("Mäki", "Östen"), ("Mäkinen", "Aada")]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (("Esimerkki", "Iŋgá"), ("Esimerkki", "Inga"), True),
        (("Esimerkki", "Mohamed Ali"), ("Esimerkki", "Ali Mohamed"), True),
        (("Esimerkki", "Mohamed Ali"), ("Esimerkki", "Mohamed"), True),
        (("Esimerkki", "Mohamed Ali"), ("Esimerkki", "Mohamed Omar"), False),
        (("Mäki-Virta", "Aino"), ("Mäki", "Aino"), True),
        (("Mäki-Virta", "Aino"), ("Virta Mäki", "Aino"), True),
        (("Mäki-Virta", "Aino"), ("Mäki–Korpi", "Aino"), False),
        (("O'Brien", "Aino"), ("OBrien", "Aino"), True),
        (("Virta\u00adnen", "Anna-Maija"), ("Virtanen", "Anna Maija"), True),
        (("Esimerkki", "Aino"), ("Esimerkki", "Eino"), False),
        (("", "Nur"), ("Esimerkki", "Nur"), False),
        (("", "Nur"), ("Nur", ""), False),
        (("Mohamed", "Ali"), ("Ali", "Mohamed"), True),
        (("Esimerkki", "Aino Maria"), ("Aino", "Esimerkki"), True),
    ],
)
def test_names_that_may_be_one_persons(one: tuple[str, str], other: tuple[str, str], *, alike: bool) -> None:
    assert are_alike(one, other) is are_alike(other, one) is alike


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_name_is_it_is_found_by_itself(first: str, last: str) -> None:
    asked = query_keys(f"{first} {last}")
    keys = search_keys(first, last)
    assert all(any(key.startswith(begin) for key in keys) for begin in asked)
