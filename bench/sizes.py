"""Sizes of a run of the benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sizes:
    """The full run, as in docs/benchmarks.md."""

    calls: Mapping[int, int] = field(default_factory=lambda: {1: 150, 8: 400, 32: 800})
    """Saves measured, by the number of callers."""
    warm_up: int = 60
    """Saves before the measurement."""
    list_rows: int = 1000
    """Rows of the class list."""
    fair_lists: int = 10
    """Class lists running at a time."""
    fair_saves: int = 200
    """Single Saves before those lists, beside them, and after them: this many each."""
    fair_short_rows: int = 10
    """Rows of a short list uploaded while they run."""
    restart_saves: int = 300
    """Single Saves at least, before processes are replaced and meanwhile."""
    restart_rounds: int = 3
    """Times that each gateway and worker is replaced."""
    checks: int = 2000
    """Checks by personal identity code."""
    persons_fewer: int = 10_000
    persons_most: int = 1_000_000
    searches: int = 300
    """Searches of each kind."""
    customers_fewer: int = 10_000
    customers_most: int = 100_000
    page_loads: int = 200
    """Times that each page is opened by one browser, and a quarter of it by each of several."""
    browsers: int = 16
    """Browsers at a time."""
    waiting_most: int = 10_000
    """Registrations that wait for a guardian."""


TINY = Sizes(
    calls={1: 3, 4: 8},
    warm_up=2,
    list_rows=12,
    fair_lists=2,
    fair_saves=3,
    fair_short_rows=2,
    restart_saves=3,
    restart_rounds=1,
    checks=8,
    persons_fewer=10,
    persons_most=40,
    searches=3,
    customers_fewer=10,
    customers_most=40,
    page_loads=8,
    browsers=2,
    waiting_most=10,
)
"""Runs every part within seconds. Its figures mean nothing."""
