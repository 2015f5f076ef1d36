"""Tokens in what mail programs, gateways and people make of a link."""

import string
from urllib.parse import quote

import pytest

from services.identity.links.pasted import candidates

TOKEN = "p0-_AbCdEfGhIjKlMnOpQrStUvWxYz-0123456789_aBcDeFgHi"[:50]  # pragma: allowlist secret
LINK = f"https://liity.example/consent/{TOKEN}"
FRAGMENT = f"https://liity.example/consent#{TOKEN}"
_DATA = "05%7C01%7C" + "aGVsbG8gd29ybGQhIQ" * 12


def _proofpoint(link: str) -> str:
    kept = string.ascii_letters + string.digits + "./"
    coded = "".join(sign if sign in kept else f"%{ord(sign):02X}" for sign in link)
    return coded.replace("%", "-").replace("/", "_")


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f"#{TOKEN}",
        f"%23{TOKEN}",
        f"%2523{TOKEN}",
        f"23{TOKEN}",
        f"{TOKEN}.",
        f"{TOKEN}>",
        f"{TOKEN})",
        f"{TOKEN}=",
        f"{TOKEN}/",
        f"\u201d{TOKEN}\u201d",
        f"'{TOKEN}',",
        f" \t{TOKEN} \u00a0",
        f"\ufeff{TOKEN}\u200b",
        f"{TOKEN[:9]}\u00ad{TOKEN[9:30]}\u200b{TOKEN[30:]}",
        TOKEN.replace("-", "\u2011"),
        TOKEN.replace("-", "\u2013"),
        f"{TOKEN[:20]}=\r\n{TOKEN[20:]}",
        f"{TOKEN[:20]}=\n{TOKEN[20:]}",
        f"{TOKEN[:20]}={TOKEN[20:]}",
        f"{TOKEN[:20]}\r\n{TOKEN[20:]}\r\nHello again",
        f"> {LINK[:50]}\n> {LINK[50:]}",
        LINK,
        f"<{LINK}>",
        f"[{LINK}]({LINK}).",
        f"{LINK}/",
        f"{LINK}?utm_source=mail",
        f"Hei! Avaa {LINK} ja vastaa.",
        FRAGMENT,
        quote(FRAGMENT, safe=""),
        f"https://gateway.example/?url={quote(quote(FRAGMENT), safe='')}&data=x",
        f"https://eur02.safelinks.protection.outlook.com/?url={quote(LINK, safe='')}&data={_DATA}&reserved=0",
        f"https://eur02.safelinks.protection.outlook.com/?data={_DATA}&amp;url={quote(FRAGMENT, safe='')}",
        f"https://urldefense.com/v3/__{LINK}__;Iw!!abc!{'d' * 70}$",
        f"https://urldefense.proofpoint.com/v2/url?u={_proofpoint(LINK)}&d=DwMF&c={'e' * 43}",
        f"https://a.example/?u={quote('https://b.example/?u=' + quote(LINK, safe=''), safe='')}",
        f"{LINK.replace('-', '=2D').replace('_', '=5F')}",
        f"<a href=3D&quot;{LINK}&quot;>",
    ],
)
def test_the_token_is_found(text: str) -> None:
    assert TOKEN in candidates(text, len(TOKEN))


@pytest.mark.parametrize(
    "text", ["", " ", TOKEN[:-1], f"{TOKEN[:20]}\u2026", "=" * 2500, "a.b" * 800, "%" * 2500]
)
def test_where_no_token_is_nothing_is_tried(text: str) -> None:
    assert candidates(text, len(TOKEN)) == []


def test_a_token_with_letters_more_is_no_token() -> None:
    assert TOKEN not in candidates(f"{TOKEN}A", len(TOKEN))


def test_there_is_an_end_to_trying() -> None:
    assert len(candidates("\n".join(f"{number:050}" for number in range(500)), len(TOKEN))) <= 200
