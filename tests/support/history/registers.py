"""What a reader may find where several write, some without an answer."""

import math
from collections.abc import Iterable
from typing import NamedTuple


class Write(NamedTuple):
    """A value that was written between two moments; until infinity if nobody knows whether it was."""

    value: str
    began: float
    ended: float = math.inf
    replaces: bool = True
    """Whether the values before it are gone afterwards."""


def possible(writes: Iterable[Write], began: float, ended: float) -> set[str]:
    """The values that a reading between two moments may find.

    A value is gone once another one was written for sure after it and before the reading.
    """
    before = [write for write in writes if write.began <= ended]
    replacing = [write.began for write in before if write.replaces and write.ended <= began]
    latest = max(replacing, default=-math.inf)
    return {write.value for write in before if write.ended >= latest}
