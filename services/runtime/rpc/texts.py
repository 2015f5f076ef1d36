"""Texts of reasons and next steps, in Finnish, Swedish and English."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from liity.v1.customer_form_pb2 import LANGUAGE_FI, Language
from liity.v1.getting_started_pb2 import NextStep
from liity.v1.reason_pb2 import Reason


@cache
def _texts() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("texts.toml").read_text("utf-8"))


def reason_text(reason: Reason.ValueType, language: Language.ValueType) -> str:
    """The text for a person whose call or field was refused."""
    text: str = _texts()[Reason.Name(reason).removeprefix("REASON_")][_locale(language)]
    return text


def next_step_text(step: NextStep.ValueType, language: Language.ValueType) -> str:
    """The text for a registrar who asks what to do next for a customer (R28)."""
    text: str = _texts()["next_step"][NextStep.Name(step).removeprefix("NEXT_STEP_")][_locale(language)]
    return text


def _locale(language: Language.ValueType) -> str:
    return Language.Name(language or LANGUAGE_FI).removeprefix("LANGUAGE_").lower()


def language_of(accept_language: str) -> Language.ValueType:
    """The first language of an `accept-language` value that Liity speaks (RFC 9110); Finnish if none."""
    for choice in accept_language.split(","):
        name = f"LANGUAGE_{choice.split(';')[0].split('-')[0].strip().upper()}"
        if name in Language.keys() and Language.Value(name):  # noqa: SIM118
            return Language.Value(name)
    return LANGUAGE_FI
