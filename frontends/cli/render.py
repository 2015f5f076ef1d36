"""Prints the API's answers: a message as lines, a list as a table, either as JSON.

`layouts` has a heading and a template for each line or column. The fields of a template are paths in the
message, such as `{form.email}`; `{customer|registration}` takes the first that is set, and a text in quotes
is a default. The type of a field decides how its value is printed: timestamps in Finnish time, enums without
their prefix. A line whose fields are all empty is omitted.
"""

import json
import re
import string
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from rich.table import Table
from rich.text import Text

from frontends.cli.console import console
from frontends.cli.layouts import COLUMNS, LINES, TEXTS
from frontends.dates import iso_date, moment, until

_FORMATTER = string.Formatter()


def show(answer: Message, *, as_json: bool) -> None:
    """Prints an answer line by line, or as a JSON object."""
    message = _part(answer)
    if as_json:
        print_json(_json_of(message))
    else:
        console().print(_lines(message))


def show_list(messages: Sequence[Message], of: Descriptor, *, as_json: bool) -> None:
    """Prints messages of a type as a table, or as a JSON array."""
    if as_json:
        print_json([MessageToDict(message) for message in messages])
        return
    out = console()
    headings = list(COLUMNS[of.name])
    rows = [[text(template, message) for template in COLUMNS[of.name].values()] for message in messages]
    if not rows:
        out.print("Nothing found.")
    elif _table_width(headings, rows) <= out.width:
        out.print(_table(headings, rows))
    else:
        # IDs are copied from here, and stages differ at their ends: no word is broken.
        for row in rows:
            out.print(_block(headings, row), "")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*headings)
    for row in rows:
        table.add_row(*map(Text, row))
    for place, column in enumerate(table.columns):
        column.overflow = "fold"
        column.no_wrap = not any(" " in row[place] for row in rows)
    return table


def _table_width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The narrowest a table can be without breaking words."""
    longest = [
        max(len(word) for text in column for word in text.split() or [""])
        for column in zip(headings, *rows, strict=True)
    ]
    return sum(longest) + 3 * len(longest) + 1


def _block(headings: Sequence[str], row: Sequence[str]) -> Table:
    """A row as a line for each column that is not empty."""
    block = Table.grid(padding=(0, 2))
    block.add_column(style="bold", no_wrap=True)
    block.add_column(overflow="fold")
    for heading, value in zip(headings, row, strict=True):
        if value:
            block.add_row(heading, Text(value))
    return block


def print_json(value: object) -> None:
    """JSON for another program."""
    console().print_json(json.dumps(value), ensure_ascii=False)


def text(template: str, message: Message) -> str:
    """The template filled from the message; empty if all its fields are empty."""
    found, parts = False, []
    for literal, paths, spec, _ in _FORMATTER.parse(template):
        parts.append(literal)
        if paths is not None:
            values = _first(paths, message, spec or "")
            found = found or bool(values)
            parts.append("\n".join(values))
    # Removes what surrounds an empty field.
    return (
        re.sub(r" ?\(\)|^(, )+|(, )+$|(?<=, )(, )+", "", "".join(parts)).strip()
        if found or "{" not in template
        else ""
    )


def list_field(message_type: Descriptor) -> FieldDescriptor | None:
    """The list of an answer that holds only a list; None for any other answer."""
    fields = [field for field in message_type.fields if field.name != "next_page_token"]
    is_list = len(fields) == 1 and fields[0].is_repeated and fields[0].message_type
    return fields[0] if is_list else None


def enum_text(field: FieldDescriptor, value: int) -> str:
    """A value of an enum without the enum's prefix; empty if it is unspecified or of a newer release."""
    enum = cast(EnumDescriptor, field.enum_type)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    found = enum.values_by_number.get(value)
    return found.name.removeprefix(prefix) if found is not None and value else ""


def _part(answer: Message) -> Message:
    """The only message of an answer, as in `GetUnitResponse`; otherwise the answer itself."""
    fields = answer.DESCRIPTOR.fields
    if len(fields) == 1 and fields[0].message_type and not fields[0].is_repeated:
        part: Message = getattr(answer, fields[0].name)
        return part
    return answer


def _json_of(message: Message) -> dict[str, object]:
    """The message as JSON maps it. The fields beside a registration are merged into the registration."""
    found: dict[str, object] = MessageToDict(message)
    registration = found.get("registration")
    if isinstance(registration, dict):
        del found["registration"]
        found |= registration
        if "birthDate" in found:
            found["birthDate"] = iso_date(message.birth_date)  # type: ignore[attr-defined] # as the JSON says
    return found


def _lines(message: Message) -> Table:
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for heading, value in _rows(message):
        table.add_row(heading, Text(value))
    return table


def _rows(message: Message) -> Iterator[tuple[str, str]]:
    """Heading and value of each line; a list has one line for each element."""
    for heading, template in LINES[message.DESCRIPTOR.name].items():
        if heading.startswith("*"):
            if message.HasField(template):
                yield from _rows(getattr(message, template))
            continue
        ((_, paths, spec, _), *others) = _FORMATTER.parse(template)
        alone = template.startswith("{") and not others and paths is not None
        values = _first(paths or "", message, spec or "") if alone else [text(template, message)]
        for value in values:
            if value:
                yield heading, value


def _first(paths: str, message: Message, spec: str) -> list[str]:
    """The values of the first path that is not empty."""
    for path in paths.split("|"):
        values = [path.strip("'")] if path.startswith("'") else list(_values(path.split("."), message, spec))
        if values:
            return values
    return []


def _values(path: Sequence[str], message: Message, spec: str) -> Iterator[str]:
    """The texts of a path: one per element of a list, none if it is not set."""
    field = cast(FieldDescriptor, message.DESCRIPTOR.fields_by_name[path[0]])
    if field.has_presence and not message.HasField(field.name):
        return
    value = getattr(message, field.name)
    if field.is_repeated and not field.message_type:
        value = ", ".join(_plain(field, one) for one in value)
        if value:
            yield value
        return
    for one in value if field.is_repeated else (value,):
        if len(path) > 1:
            yield from _values(path[1:], one, spec)
        elif shown := _SPECS[spec](_plain(field, one), one):
            yield shown


def _plain(field: FieldDescriptor, value: Any) -> str:  # noqa: ANN401 - whatever a field holds
    """One value of a field as text."""
    if field.enum_type:
        return enum_text(field, value)
    match value:
        case Timestamp():
            shown = until(value) if _is_end(field.name) else moment(value)
        case Date():
            shown = iso_date(value)
        case FieldMask():
            shown = ", ".join(value.paths)
        case Message():
            shown = text(TEXTS[value.DESCRIPTOR.name], value)
        case bool():
            shown = "yes" if value else "no"
        case int():
            shown = f"{value:,}"
        case _:
            shown = str(value)
    return shown


def _is_end(name: str) -> bool:
    """Whether a field is a moment until which something can be done, by its name."""
    return name == "deadline" or name.endswith(("_deadline", "expire_time", "erase_time"))


def _overdue(shown: str, value: Timestamp) -> str:
    late = value.ToDatetime(UTC) <= datetime.now(UTC)
    return f"{shown} overdue" if late else shown


_SPECS: dict[str, Callable[[str, Any], str]] = {
    "": lambda shown, _: shown,
    "beginning": lambda shown, _: shown.partition("\n")[0][:60],
    "days": lambda _, value: str((datetime.now(UTC) - value.ToDatetime(UTC)).days),
    "id": lambda shown, _: shown.rpartition("/")[2],
    "lower": lambda shown, _: shown.lower(),
    "overdue": _overdue,
    "some": lambda shown, value: shown if value else "",
    "until": lambda _, value: until(value),
}
"""Format specs of templates: from the value's usual text and the value."""
