"""The message to customer service by which a unit wishes for the transfer of a protected person (R37)."""

from collections.abc import Mapping

from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI, LANGUAGE_SV, Language

_TEXTS: Mapping[Language.ValueType, str] = {
    LANGUAGE_FI: "Yksikkö pyytää siirtämään itselleen henkilön, jonka siirron vain asiakaspalvelu voi tehdä. "
    "Henkilö on haettu henkilötunnuksella.",
    LANGUAGE_SV: "Enheten ber att få överta en person som bara kundtjänsten kan överföra. "
    "Personen har sökts med personbeteckning.",
    LANGUAGE_EN: "The unit asks for a person whose transfer only customer service can make. "
    "The person was looked up by personal identity code.",
}


def wish_for_transfer(language: Language.ValueType) -> str:
    """The text, which tells nothing of the person: the unit reads it among its messages."""
    return _TEXTS.get(language, _TEXTS[LANGUAGE_FI])
