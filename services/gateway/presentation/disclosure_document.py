"""Renders an export of personal data as JSON and as HTML."""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_time
from google.protobuf import json_format
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from liity.identity.v1 import link_service_pb2
from liity.notification.v1 import notification_service_pb2
from liity.registration.v1 import registration_service_pb2
from liity.v1 import actor_pb2, auth_service_pb2, customer_form_pb2, registration_pb2
from liity.v1.personal_data_pb2 import PersonalDataExport, PersonalDataSection
from services.gateway.presentation import explanation_texts
from services.runtime.clock import HELSINKI, last_good_day

_CONTRACTS = (
    actor_pb2,
    auth_service_pb2,
    customer_form_pb2,
    link_service_pb2,
    notification_service_pb2,
    registration_pb2,
    registration_service_pb2,
)

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
"""A moment as services write it."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_LANGUAGES = {"LANGUAGE_FI": "fi", "LANGUAGE_SV": "sv", "LANGUAGE_EN": "en"}
_LOCALES = {"fi": "fi", "sv": "sv", "en": "en_GB"}

_ENDS = frozenset(
    {"deadline", "decline_ends_at", "expires_at", "hold_until", "interrupted_deadline", "undo_until"}
)
"""Fields that hold the end of something: told by the last good day."""


def as_json(export: PersonalDataExport) -> bytes:
    """The export as JSON (UTF-8), with the stored values."""
    told = {
        "gather_time": export.gather_time.ToJsonString(),
        "services": [
            {
                "service": service.service,
                "sections": [
                    {
                        "kind": section.kind,
                        "purpose": section.purpose,
                        "retention": section.retention,
                        "records": [_nested(record) for record in _records(section)],
                    }
                    for section in service.sections
                ],
            }
            for service in export.services
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=2).encode()


def as_html(export: PersonalDataExport) -> bytes:
    """The export as a self-contained page in the person's language: the person's own data, then an annex."""
    words = _Words(_language(export))
    sections = {section.kind: section for service in export.services for section in service.sections}
    own, annex = [], []
    for kind in (*_texts()["own"], *_texts()["annex"], *sections):
        section = sections.pop(kind, None)
        if section is None:
            continue
        shown = [words.rows(record) for record in _records(section)]
        is_own = kind in _texts()["own"]
        heading = words.heading(section)
        if is_own:
            own.append(heading | {"records": [rows for rows, _ in shown]})
        records = [technical if is_own else rows + technical for rows, technical in shown]
        if not is_own or any(records):
            annex.append(heading | {"records": records})
    gathered = words.moment(export.gather_time.ToDatetime(UTC))
    parts = [("own", "", own), ("annex", words.page("annex"), annex)]
    return _template().render(words=words, gathered=gathered, parts=parts, nothing=not own + annex).encode()


def _language(export: PersonalDataExport) -> str:
    """The person's language: the customer's, else that of a form; Finnish if none is known."""
    sections = [section for service in export.services for section in service.sections]
    sections.sort(key=lambda section: section.kind != "customer")
    for section in sections:
        for record in _records(section):
            for path, value in record:
                if path.rpartition(".")[2] == "language" and value in _LANGUAGES:
                    return _LANGUAGES[value]
    return "fi"


class _Words:
    """What the page says, in one language. Names that have no text are told as they are stored."""

    def __init__(self, language: str) -> None:
        self.language = language

    def page(self, name: str, **facts: object) -> str:
        """A text of the page itself."""
        text: str = _texts()["page"][name][self.language]
        return text.format(**facts)

    def heading(self, section: PersonalDataSection) -> dict[str, Any]:
        """Title, purpose and retention of a section."""
        known = _texts()["own"].get(section.kind) or _texts()["annex"].get(section.kind)
        if known is None:
            return {
                "title": _plain(section.kind),
                "purpose": section.purpose,
                "retention": section.retention,
            }
        return {name: known[name][self.language] for name in ("title", "purpose", "retention")}

    def rows(self, record: "Record") -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Labels and values that are not empty: those for the person, and technical ones."""
        own: dict[tuple[str, str], None] = {}
        technical: dict[tuple[str, str], None] = {}
        for path, value in record:
            if value in (None, "", []):
                continue
            *parents, name = path.split(".")
            label = self._text("field", name) or self._text("technical", name) or _plain(name)
            for parent in reversed(parents):
                part = self._text("part", parent)
                label = f"{part}: {label}" if part else label
            # A form repeats what stands beside it.
            rows = own if name in _texts()["field"] else technical
            rows[label, self._shown(name, value)] = None
        return list(own), list(technical)

    def moment(self, moment: datetime) -> str:
        """A moment in Finnish time."""
        local = moment.astimezone(HELSINKI)
        time = format_time(local, "short", locale=_LOCALES[self.language])
        return self.page("moment", day=self._day(local.date()), time=time)

    def _day(self, day: date) -> str:
        return format_date(day, "long", locale=_LOCALES[self.language])

    def _text(self, group: str, name: str) -> str:
        found = _texts()[group].get(name)
        text: str = found[self.language] if found else ""
        return text

    def _shown(self, name: str, value: object) -> str:
        match value:
            case bool():
                return self.page("yes" if value else "no")
            case str():
                return self._said(name, value)
            case list() if name == "paths":
                leaves = [str(path).rpartition(".")[2] for path in value]
                return ", ".join(self._text("field", leaf) or _plain(leaf) for leaf in leaves)
            case list():
                return ", ".join(self._shown(name, one) for one in value)
            case _:
                return str(value)

    def _said(self, name: str, value: str) -> str:
        if name == "action":
            return self._text("action", value) or self._text("action", "other")
        if name == "template":
            mails = explanation_texts.texts()["mail"]
            return mails[value if value in mails else "other"][self.language]
        if _MOMENT.fullmatch(value):
            moment = datetime.fromisoformat(value)
            last = last_good_day(moment) if name in _ENDS else None
            return self._day(last) if last else self.moment(moment)
        if _DAY.fullmatch(value):
            return self._day(date.fromisoformat(value))
        return self._text("value", value) or _enum_words().get(value, value)


Record = list[tuple[str, Any]]
"""Field paths with their values, in order."""


def _records(section: PersonalDataSection) -> Iterator[Record]:
    """The records, with fields in the service's order: a Struct does not keep one."""
    order = {path: place for place, path in enumerate(section.fields)}
    for struct in section.records:
        flat = _flat(json_format.MessageToDict(struct))
        yield sorted(flat, key=lambda item: (order.get(item[0], len(order)), item[0]))


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            # A Struct has no integers.
            whole = isinstance(value, float) and value.is_integer()
            yield f"{prefix}{name}", int(value) if whole else value


def _nested(record: Record) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in record:
        *parents, name = path.split(".")
        holder = nested
        for parent in parents:
            holder = holder.setdefault(parent, {})
        holder[name] = value
    return nested


def _plain(name: str) -> str:
    return name.replace("_", " ").capitalize()


@cache
def _texts() -> dict[str, dict[str, Any]]:
    """All texts, by group, name and language; a section's by title, purpose and retention before that."""
    return tomllib.loads(resources.files(__package__).joinpath("disclosure_texts.toml").read_text("utf-8"))


@cache
def _enum_words() -> Mapping[str, str]:
    """Words for enum values: their names without the enum's common prefix."""
    return {name: words for contract in _CONTRACTS for name, words in _values(contract.DESCRIPTOR)}


def _values(file: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - descriptors have hardly any types
    messages: Iterable[Any] = file.message_types_by_name.values()
    enums = [
        *file.enum_types_by_name.values(),
        *(enum for message in messages for enum in message.enum_types),
    ]
    for enum in enums:
        # The zero value of each enum is the prefix with UNSPECIFIED.
        prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
        for value in enum.values:
            yield value.name, value.name.removeprefix(prefix).replace("_", " ").lower()


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    return environment.get_template("disclosure.html")
