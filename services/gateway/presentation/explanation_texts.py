"""Texts of explanations and of the work list, in Finnish, Swedish and English."""

import tomllib
from datetime import datetime
from functools import cache
from importlib import resources

from babel.dates import format_date, format_time

from liity.v1.customer_form_pb2 import LANGUAGE_FI, Language
from services.runtime.clock import HELSINKI

_LOCALES = {"fi": "fi", "sv": "sv", "en": "en_GB"}


class Words:
    """Texts in one language."""

    def __init__(self, language: Language.ValueType) -> None:
        self._language = Language.Name(language or LANGUAGE_FI).removeprefix("LANGUAGE_").lower()

    def say(self, group: str, name: str, **facts: str | datetime | None) -> str:
        """A text of a group, with placeholders filled in; moments are written as days, `at` as a time."""
        filled = {
            key: (self._time if key == "at" else self._day)(fact) if isinstance(fact, datetime) else fact
            for key, fact in facts.items()
        }
        return texts()[group][name][self._language].format(**filled)

    def mail(self, template: str) -> str:
        """The description of a mail, by its template."""
        return self.say("mail", template if template in texts()["mail"] else "other")

    def knows(self, group: str, name: str) -> bool:
        """Whether the group has such a text."""
        return name in texts()[group]

    def _time(self, moment: datetime) -> str:
        return format_time(moment.astimezone(HELSINKI), "short", locale=_LOCALES[self._language])

    def _day(self, moment: datetime) -> str:
        return format_date(moment.astimezone(HELSINKI), "long", locale=_LOCALES[self._language])


@cache
def texts() -> dict[str, dict[str, dict[str, str]]]:
    """All texts, by group, name and language."""
    return tomllib.loads(resources.files(__package__).joinpath("explanation_texts.toml").read_text("utf-8"))
