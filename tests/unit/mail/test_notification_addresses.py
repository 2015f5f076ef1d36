"""What is stored of a mail server's words names no address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notification.mail.addresses import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("550 5.1.1 <aino.v@example.org>: unknown", "550 5.1.1 <***>: unknown"),
        ("550 AINO.V@EXAMPLE.ORG unknown", "550 *** unknown"),
        ("550 mailbox aino.v is full", "550 mailbox *** is full"),
        ("550 Aino.V: no such user", "550 ***: no such user"),
        ('550 try (other@example.com) or "x@y.fi"', '550 try (***) or "***"'),
        ("550 one\r\n550 two\x00\udcff", "550 one 550 two"),
        ("550 aino.vx stays", "550 aino.vx stays"),
    ],
)
def test_addresses_are_masked(text: str, masked: str) -> None:
    assert mask(text, "aino.v@example.org") == masked


@given(
    st.text(max_size=150),
    st.from_regex(r"[a-z0-9.+_'-]{1,20}@[a-z]{1,10}\.fi", fullmatch=True),
    st.text(max_size=150),
)
def test_no_answer_lets_the_address_through(before: str, address: str, after: str) -> None:
    masked = mask(f"{before} {address} {after}", address)
    assert address not in masked
    assert len(masked) <= 200
    assert masked.isprintable()
