"""Finds the headings of a class list among its first rows."""

from collections.abc import Iterable, Sequence

from services.gateway.class_lists.columns import field_of
from services.gateway.class_lists.tables import Row

MOST_TITLES = 30
"""The most rows, blank ones not counted, among which headings are looked for."""

_FEWEST = 3
"""The fewest known headings in a row of headings."""


def known(cells: Iterable[str]) -> int:
    """How many of the cells are headings, each counted once."""
    return len({named for cell in cells if (named := field_of(cell))})


def most_known(rows: Iterable[Sequence[str]]) -> int:
    """How many headings the row with the most of them has."""
    return max(map(known, rows), default=0)


def headings_among(rows: Sequence[Row]) -> int | None:
    """The place of the row with the most known headings; None if no row has enough to be one."""
    counts = [known(row.cells) for row in rows[: MOST_TITLES + 1]]
    most = max(counts, default=0)
    return counts.index(most) if most >= _FEWEST else None


def is_list(rows: Sequence[Row]) -> bool:
    """Whether a sheet has the headings of a class list."""
    return headings_among(rows) is not None


def repeats_headings(row: Row) -> bool:
    """Whether a row repeats the headings."""
    return known(row.cells) >= max(_FEWEST, row.filled // 2)
