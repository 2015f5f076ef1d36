"""Texts of explanations and of the work list, in Finnish, Swedish and English."""

import tomllib
from datetime import datetime
from functools import cache
from importlib import resources

from babel.dates import format_date, format_time

from liity.v1.customer_form_pb2 import LANGUAGE_FI, Language
from services.runtime.clock import HELSINKI, last_good_day

_LOCALES = {"fi": "fi", "sv": "sv", "en": "en_GB"}
_DAY_AND_HOUR = {
    "fi": "{day} klo {time} (Suomen aikaa)",
    "sv": "{day} kl. {time} (finsk tid)",
    "en": "{day} at {time} (Finnish time)",
}


class Words:
    """Texts in one language."""

    def __init__(self, language: Language.ValueType) -> None:
        self._language = Language.Name(language or LANGUAGE_FI).removeprefix("LANGUAGE_").lower()

    def say(self, group: str, name: str, **facts: str | datetime | None) -> str:
        """A text of a group with its placeholders filled in: moments as days, `until` as a deadline."""
        filled = {
            key: (self._until if key == "until" else self._day)(fact) if isinstance(fact, datetime) else fact
            for key, fact in facts.items()
        }
        return texts()[group][name][self._language].format(**filled)

    def mail(self, template: str) -> str:
        """The description of a mail, by its template."""
        return self.say("mail", template if template in texts()["mail"] else "other")

    def knows(self, group: str, name: str) -> bool:
        """Whether the group has such a text."""
        return name in texts()[group]

    def _until(self, deadline: datetime) -> str:
        """The last good day (R44); with the hour, if the deadline does not come with a day's end."""
        last = last_good_day(deadline)
        if last is not None:
            return format_date(last, "long", locale=_LOCALES[self._language])
        time = format_time(deadline.astimezone(HELSINKI), "short", locale=_LOCALES[self._language])
        return _DAY_AND_HOUR[self._language].format(day=self._day(deadline), time=time)

    def _day(self, moment: datetime) -> str:
        return format_date(moment.astimezone(HELSINKI), "long", locale=_LOCALES[self._language])


@cache
def texts() -> dict[str, dict[str, dict[str, str]]]:
    """All texts, by group, name and language."""
    return tomllib.loads(resources.files(__package__).joinpath("explanation_texts.toml").read_text("utf-8"))
