"""Templates: one Jinja environment per language."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from frontends.dates import last_good_day
from frontends.web import words
from frontends.web.language import LANGUAGES, translations

_HELSINKI = ZoneInfo("Europe/Helsinki")
_LOCALES = {"fi": "fi_FI", "sv": "sv_FI", "en": "en_GB"}


class Templates:
    """The templates in each language."""

    def __init__(self, static: Mapping[str, str]) -> None:
        """`static` has the address of each static file by its name."""
        self._environments = {language: _environment(language, static) for language in LANGUAGES}

    def render(self, name: str, language: str, values: Mapping[str, Any]) -> str:
        """A rendered template."""
        return self._environments[language].get_template(name).render(values)


def _environment(language: str, static: Mapping[str, str]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    texts = translations(language)
    environment.install_gettext_translations(texts, newstyle=True)  # type: ignore[attr-defined]
    # `_()` gets names of people and units, and texts of the gateway, too. Jinja's own one takes what it
    # returns for HTML, and "%" in it for a place to fill in.
    environment.globals["_"] = texts.gettext
    locale = _LOCALES[language]

    time_format = "d MMM yyyy HH:mm" if language == "en" else "d.M.yyyy HH.mm"

    def day(moment: Timestamp | Date | date) -> str:
        return format_date(_day_of(moment), "long", locale=locale)

    def moment(timestamp: Timestamp) -> str:
        return format_datetime(_local(timestamp), time_format, locale=locale)

    def until(deadline: Timestamp) -> str:
        last = last_good_day(deadline)
        return moment(deadline) if last is None else day(last)

    def word(value: int, enum: str) -> str:
        english = words.word(enum, value)
        return texts.gettext(english) if english else ""

    def word_named(enum: str, name: str) -> str:
        return word(words.value_of(enum, name), enum)

    environment.globals.update(
        use_words=words.use,
        static=static,
        word=word,
        word_named=word_named,
        word_options=words.options,
        name_of=words.name_of,
    )
    environment.filters.update(day=day, moment=moment, until=until, iso=_iso, typed_day=_typed_day)
    environment.tests["past"] = _is_past
    return environment


def _iso(timestamp: Timestamp) -> str:
    return _local(timestamp).isoformat(timespec="minutes")


def _typed_day(timestamp: Timestamp) -> str:
    """The day as people type it in a form, in every language."""
    return f"{_local(timestamp):%d.%m.%Y}"


def _is_past(timestamp: Timestamp) -> bool:
    return timestamp.ToDatetime(UTC) < datetime.now(UTC)


def _local(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(UTC).astimezone(_HELSINKI)


def _day_of(moment: Timestamp | Date | date) -> date:
    if isinstance(moment, Timestamp):
        return _local(moment).date()
    return moment if isinstance(moment, date) else date(moment.year, moment.month, moment.day)
