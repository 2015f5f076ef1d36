"""Persons for benchmarks, each with a personal identity code of their own."""

import itertools
from collections.abc import Iterator
from datetime import date, timedelta

from deploy.demo.artificial_hetu import artificial_hetu

SAVED = (date(1950, 1, 1), date(1999, 12, 31))
"""Birth dates of adults saved singly. The ranges do not overlap: no person is used twice."""

LISTED = (date(2000, 1, 1), date(2003, 12, 31))
"""Birth dates of adults in a class list."""

LISTED_AT_ONCE = (date(2004, 1, 1), date(2004, 12, 31))
"""Birth dates of adults in lists that run at a time."""

UNKNOWN = (date(2005, 1, 1), date(2009, 12, 31))
"""Birth dates of persons who are never saved."""

STORED = (date(1922, 1, 1), date(1949, 12, 31))
"""Birth dates of a million persons written into the database, none so old that a check would doubt it."""


def codes(first: date, last: date) -> Iterator[str]:
    """Artificial codes of persons born from `first` to `last`, all different: a hundred a day."""
    days = (last - first).days
    for number, offset in itertools.product(range(900, 1000), range(days + 1)):
        yield artificial_hetu(first + timedelta(days=offset), number)
