"""Export of personal data to the person it is about (GDPR article 15), table by table.

A column is exported unless a reason for leaving it out is given, so a column added later is exported by
default. A test that walks all tables finds a new table.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, Table

from liity.v1.personal_data_pb2 import PersonalDataSection

_PLAIN = str | int | float | None


class EnumNames(Protocol):
    """A protobuf enum."""

    def Name(self, number: Any) -> str:  # noqa: ANN401, N802 - as protobuf has it
        """The name of a value."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of personal data that a service stores: the rows of a table."""

    name: str
    table: Table
    purpose: str
    retention: str
    left_out: Mapping[str, str]
    """Columns that are not exported, each with the reason."""
    enums: Mapping[str, EnumNames] = field(default_factory=dict)
    """Columns that hold an enum's number: exported by its name."""

    @property
    def columns(self) -> Sequence[ColumnElement[Any]]:
        """The exported columns."""
        return [column for column in self.table.c if column.name not in self.left_out]

    def section(self, rows: Iterable[Mapping[Any, Any]]) -> PersonalDataSection:
        """Makes a section of rows that hold these columns, and any others that the query added."""
        section = PersonalDataSection(kind=self.name, purpose=self.purpose, retention=self.retention)
        fields: dict[str, None] = {}
        for row in rows:
            record = {name: self._told(name, value) for name, value in row.items()}
            section.records.add().update(record)
            fields |= dict.fromkeys(_paths(record))
        section.fields.extend(fields)
        return section

    def _told(self, name: str, value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
        if name in self.enums and value is not None:
            return self.enums[name].Name(value)
        if isinstance(value, date):
            # A datetime is a date, too.
            return value.isoformat()
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, _PLAIN | dict | list):
            return value
        raise TypeError(f"{self.table.name}.{name} cannot be told as it is: {type(value).__name__}")


def with_records(sections: Iterable[PersonalDataSection]) -> list[PersonalDataSection]:
    """The sections that have records."""
    return [section for section in sections if section.records]


def _paths(record: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
