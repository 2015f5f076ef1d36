"""Renders an export of personal data as JSON and as HTML."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from babel.dates import format_datetime
from google.protobuf import json_format
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from liity.identity.v1 import link_service_pb2
from liity.notification.v1 import notification_service_pb2
from liity.registration.v1 import registration_service_pb2
from liity.v1 import actor_pb2, auth_service_pb2, customer_form_pb2, registration_pb2
from liity.v1.personal_data_pb2 import PersonalDataExport, PersonalDataSection
from services.runtime.clock import HELSINKI

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
    """The export as a self-contained page."""
    services = [
        {
            "title": _words(service.service),
            "sections": [
                {
                    "title": _words(section.kind),
                    "purpose": section.purpose,
                    "retention": section.retention,
                    "records": [
                        [(_label(path), _shown(value)) for path, value in record]
                        for record in _records(section)
                    ],
                }
                for section in service.sections
            ],
        }
        for service in export.services
    ]
    gathered = _moment(export.gather_time.ToDatetime(UTC))
    return _template().render(gathered=gathered, services=services).encode()


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


def _label(path: str) -> str:
    return ": ".join(_words(part) for part in path.split("."))


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(value: object) -> str:
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case str() if _MOMENT.fullmatch(value):
            return _moment(datetime.fromisoformat(value))
        case str():
            return _enum_words().get(value, value)
        case list():
            return ", ".join(map(_shown, value))
        case _:
            return str(value)


def _moment(moment: datetime) -> str:
    return format_datetime(moment.astimezone(HELSINKI), "d MMMM y 'at' HH:mm", locale="en_GB")


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
