"""Cleaning of what people paste: invisible signs go, those that a script needs stay."""

import pytest

from liity.v1.message_service_pb2 import SendMessageRequest
from liity.v1.unit_service_pb2 import InviteRegistrarRequest, UpdateUnitRequest
from services.runtime.text.cleaning import clean_line, clean_message
from services.runtime.text.email_addresses import fold
from services.runtime.text.similar_domains import suggestion


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Virta\u00adnen", "Virtanen"),
        ("Virtanen\u200b", "Virtanen"),
        ("Virta\u2060nen", "Virtanen"),
        ("\ufeffVirtanen\U000e0041", "Virtanen"),
        ("\u202dVirtanen\u202c\u200e", "Virtanen"),
        ("\u2066Virtanen\u2069", "Virtanen"),
        ("Vir\u200dta\u200cnen\ufe0f", "Virtanen"),
        (" Mäki\u00a0 Virta\u2009", "Mäki Virta"),
        ("A\u0308iti", "Äiti"),
        ("\u3164\u2800\u200b ", ""),
        # Persian, Sinhala, a variant of a Chinese letter, and a picture of two signs.
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("\u0d9a\u0dca\u200d\u0dbb", "\u0d9a\u0dca\u200d\u0dbb"),
        ("\u845b\U000e0100", "\u845b\U000e0100"),
        ("\U0001f469\u200d\U0001f3eb", "\U0001f469\u200d\U0001f3eb"),
        ("\u200c\u0645", "\u0645"),
    ],
)
def test_invisible_signs(text: str, clean: str) -> None:
    assert clean_line(text) == clean
    assert clean_line(clean) == clean


def test_every_text_of_a_request_that_the_contract_calls_text_is_cleaned() -> None:
    unit = UpdateUnitRequest(display_name=" Koulu\u200b  1")
    clean_message(unit)
    assert unit.display_name == "Koulu 1"
    message = SendMessageRequest(text="rivi\u200b\n  rivi")
    clean_message(message)
    assert message.text == "rivi\n  rivi"
    invited = InviteRegistrarRequest(email="a@b.example", parent="units/a")
    clean_message(invited)
    assert invited == InviteRegistrarRequest(email="a@b.example", parent="units/a")


@pytest.mark.parametrize(
    "spelling",
    ["Opettaja@ÅLAND.example", "opettaja@xn--land-poa.example", "opettaja@a\u030aland.example\u200b"],
)
def test_addresses_are_compared_in_one_form(spelling: str) -> None:
    assert fold(spelling) == "opettaja@åland.example"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("outi@gmial.com", "outi@gmail.com"),
        ("outi@gmail.con", "outi@gmail.com"),
        ("outi@gmai.com", "outi@gmail.com"),
        ("outi@hotmaill.com", "outi@hotmail.com"),
        ("outi@elisanrt.fi", "outi@elisanet.fi"),
        ("outi@saunalahto.fi", "outi@saunalahti.fi"),
        ("outi@edi.espoo.fi", "outi@edu.espoo.fi"),
        ("outi@gmail.fi", "outi@gmail.com"),
        ("outi@gmail.com.fi", "outi@gmail.com"),
        ("outi@elisanet.com", "outi@elisanet.fi"),
        ("outi@live.con", "outi@live.com"),
        ("outi@koulu.ffi", "outi@koulu.fi"),
        ("outi@www.posti.example", "outi@posti.example"),
        ("outi@live.fi", ""),
        ("outi@gmail.com", ""),
        ("outi@hotmail.fi", ""),
        ("outi@mail.com", ""),
        ("outi@posti.example", ""),
        ("outi", ""),
    ],
)
def test_did_you_mean(typed: str, meant: str) -> None:
    assert suggestion(typed) == meant
