"""The consent text, by version and language. A version once used is never changed."""

from functools import cache
from importlib import resources

from liity.v1.consent_service_pb2 import ConsentWording
from liity.v1.customer_form_pb2 import LANGUAGE_FI, Language

CURRENT_VERSION = "2026-1"
"""The wording in use now."""


@cache
def current_wording(language: Language.ValueType) -> ConsentWording:
    """The current wording; in Finnish if no language is given."""
    language = language or LANGUAGE_FI
    locale = Language.Name(language).removeprefix("LANGUAGE_").lower()
    file = resources.files(__package__).joinpath("consent_wording", f"{CURRENT_VERSION}.{locale}.txt")
    return ConsentWording(version=CURRENT_VERSION, language=language, text=file.read_text("utf-8").strip())
