"""People for measurements: as many as asked for, each with a personal identity code of their own."""

import itertools
from collections.abc import Iterator
from datetime import date, timedelta

from deploy.artificial_hetu import artificial_hetu


def codes(first: date, last: date) -> Iterator[str]:
    """Artificial codes of people born from `first` to `last`, all different: a hundred a day."""
    days = (last - first).days
    for number, offset in itertools.product(range(900, 1000), range(days + 1)):
        yield artificial_hetu(first + timedelta(days=offset), number)
