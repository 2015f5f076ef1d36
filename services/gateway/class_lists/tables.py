"""Tables of text: what a file of a class list holds, whatever its format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import NamedTuple

from liity.v1.reason_pb2 import Reason
from services.runtime.class_list_limits import MOST_ROWS
from services.runtime.rpc.errors import FieldViolation, Refusal, invalid

MOST_LOOKED_AT = 10 * MOST_ROWS
"""The most rows that are read, blank ones included: they take time, too."""

MOST_KEPT = MOST_ROWS + 50
"""The most rows that are kept: those of a list, its headings, and titles above them."""


class Mark(Flag):
    """What a cell is besides its text."""

    NUMBER = auto()
    BOOLEAN = auto()
    DATE = auto()
    """A date, or a time of day."""
    TIME = auto()
    """A time of day, alone or with a date."""
    ERROR = auto()
    UNCOMPUTED = auto()
    """A formula that no program has computed."""
    STRUCK = auto()
    """At least a part of the text is struck through."""
    PERHAPS_STRUCK = auto()
    """A rule of the sheet may strike the text through."""
    UNSEEN = auto()
    """The text has the colour of its ground, or a format that shows nothing."""
    MERGED = auto()
    """A cell without text of its own: it is merged with one that has."""


PLAIN = Mark(0)


class Row(NamedTuple):
    """A visible row that is not blank."""

    number: int
    """The number that a spreadsheet shows, from 1."""
    cells: Sequence[str]
    """Stripped of spaces."""
    torn: bool = False
    """A misplaced quotation mark: the cells' ends are unknown, and no cells are given."""
    marks: Mapping[int, Mark] = {}
    """Marks of cells that are not plain text, by place from 0."""

    def mark(self, place: int) -> Mark:
        """The marks of a cell."""
        return self.marks.get(place, PLAIN)

    @property
    def filled(self) -> int:
        """How many cells hold something."""
        return sum(bool(cell) for cell in self.cells)


@dataclass
class Table:
    """The rows of a file, and what of it was not read."""

    rows: list[Row] = field(default_factory=list)
    sheet: str = ""
    """The name of the sheet that was read; empty for a text file."""
    hidden_rows: list[int] = field(default_factory=list)
    """Numbers of hidden rows that hold something."""
    rows_hidden_by_default: list[int] = field(default_factory=list)
    """Numbers of rows that hold something and tell nothing else, in a sheet that hides rows by default."""
    hidden_columns: list[int] = field(default_factory=list)
    """Places from 0 of hidden columns that hold something in a visible row."""
    other_lists: list[str] = field(default_factory=list)
    """Names of other visible sheets that have headings of a class list."""
    in_one_cell: bool = False
    """Whether all cells of a row stand in its first one."""
    overflow: Reason.ValueType | None = None
    """Why the rest was not read: the rows or their text are too many."""
    other_sheets: list[str] = field(default_factory=list)
    """Names of other visible sheets that hold something else."""


def refused(reason: Reason.ValueType) -> Refusal:
    """The file as a whole is refused."""
    return invalid([FieldViolation("content", reason)])
