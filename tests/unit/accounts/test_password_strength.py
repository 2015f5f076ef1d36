"""Passwords that are guessed early, and passwords that people can remember."""

import pytest

from deploy.local.seed import new_password
from services.identity.accounts.password_strength import is_strong

OWN_WORDS = ("opettaja@koulu.example", "Aino Esimerkki", "liity-bcd2345f", "Esimerkkilän koulu")


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaa",
        "123456789012",
        "salasana1234",
        "qwertyuiopas",
        "kesäkuu20266",
        "            ",
        "\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b",
        "ㅤㅤㅤㅤㅤㅤㅤㅤㅤㅤㅤㅤ",
        "́́́́́́́́́́́́",
        "á́́́́́́́́́́́",
        "opettaja@koulu.example",
        "liity-bcd2345f",
        "liityliityliity",
        "Salasana!2026!",
        "Kesäkuu2026!!",
        "qwertyuiopåasdfghjklöä",
        "1q2w3e4r5t6y",
        "P@ssw0rd1234",
        "abcabcabcabc",
        "asdfghjklöä'",
        "zxcvbnm,.-zx",
        "AinoEsimerkki1",
        "esimerkkilänkoulu",
        "Esimerkkilän koulu 2026",
        "lösenord1234",
        "hemligt12345",
        "s a l a s a n a 1 2",
        "ananasalas12",
        "s4l4s4n4 2026",
        "111111222222",
        "abcdefghijkl",
        "helsinki2026!",
        "jyvaskyla1234",
        "12121970 1212",
        "opettajaopettaja",
        "koulu.example1",
        "ikkremise oniA",
        "salasanasalasana",
        "rakastansinua1",
        "iloveyou1234",
        "letmein12345",
        "sunshine2026!",
        "1234567890123456",
        "äöåäöåäöåäöå",
        "maanantai2026",
        "Syksy2026Syksy2026",
        "tervetuloa123!",
        "passwordpassword",
        "qazwsxedcrfv",
        "987654321098",
        "zzzzzzzzzzzzzzzz1",
        "........!!!!",
        "ｓａｌａｓａｎａ１２３４",
        "2026-11-28-2026",
        "aino.esimerkki",
        "sal\u200basana12345",
        "Virtanen1234",
        "12 12 12 12 12 12",
        "kirjasto-kirjasto",
        "Celia2026Celia",
        "010516B903X1",
        "adgjmptwadgj",
        '!"#¤%&/()=?!',
        "qwerty123456",
        "asdasdasdasd",
        "poiuytrewqåp",
        "liitykirjasto1",
        # Case 15 in kind: words and years, whatever stands between, and words in other forms.
        "suomi100vuotta",
        "celia-kirjasto",
        "celia_2026_celia",
        "Liity.2026.Syksy",
        "syksy-2026-kevät",
        "lukuvuosi2026-2027",
        "talvi2025-2026",
        "hyvääjoulua2025",
        "kevatjuhla2026",
        "glad-sommar-2026",
        "välkommen-till-skolan",
        "saavutettavuus2026",
        "äidinkieli2026",
        "torilletavataan",
        "mummonmökki2026",
        "auringonpaiste",
        "karjalanpiirakka",
        "matti-meikäläinen",
        "ukkonooa1234",
        "uusisalasana2026",
        "pääsykielletty",
        "esimerkki-aino-26",
        "AINO_esimerkki_1",
        "öäölkjhgfdsa",
        "åpoiuytrewq1",
        "<>zxcvbnm,.-",
        "glassochsol1",
        "sisu-sauna-salmiakki",
    ],
)
def test_what_is_guessed_early_is_weak(password: str) -> None:
    assert not is_strong(password, OWN_WORDS)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "koira juoksee metsässä",
        "korrekt häst batteri",
        "fyra ord som räcker",
        "neljä sanaa on riittävästi",
        "kolme sanaa riittää",
        "korkea-hiekka-7",
        "ett annat lösenord",
        "lösenord nummer 1",
        "viisi sanaa on vielä parempi",
        "oikea hevonen akku",
        "xkqpzvbtrwmn",
        "a3f09c11be78d2046a1f",  # pragma: allowlist secret
        "muuttolintu kirsikka",
        "viisi sanaa on enemmän vielä",
        "kissa ja koira laulavat",
        "the cat sat down there",
        "sininen lehmä lentää",
        "опять весна пришла",
        "ปลาแมวหมานกไก่บ้าน",
        "Kx9#mQ2$vL5p",
        "308997d9483473d7ff41",  # pragma: allowlist secret
        "_Ab0-_9ZxY_7pQ",
        "äiti osti uuden sohvan",
        "a long passphrase",
        "minä ja meri ja tuuli",
        "aamupuuro mustikoilla",
        "summer breeze lake",
        "tuuli vie lehdet pois",
        "hyvää syntymäpäivää kaikille",
        "MIgSX,O(you!",
        "IS-b:HAve+/c",
    ],
)
def test_what_is_hard_to_guess_is_strong_whatever_it_is_made_of(password: str) -> None:
    assert is_strong(password, OWN_WORDS)


def test_own_words_are_those_of_the_account_alone() -> None:
    assert is_strong("kyrönjoki tulvii")
    assert not is_strong("kyrönjoki tulvii", ["Kyrönjoki tulvii"])
    assert not is_strong("Kyronjoki1234", ["Kyrönjoen koulu", "Kyrönjoki"])


def test_a_long_password_is_judged_quickly() -> None:
    assert not is_strong("a" * 200)
    assert is_strong("ketun hännän pää on harmaa " * 7)


def test_random_passwords_of_the_local_stack_are_strong() -> None:
    assert [password for password in (new_password() for _ in range(200)) if not is_strong(password)] == []
