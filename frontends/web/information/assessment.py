"""What the accessibility statement tells of its tests: the results of the last run, from `assessed.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "assessed.json"

MADE = date(2026, 11, 29)
"""The day of the first statement."""


@dataclass(frozen=True)
class Assessment:
    """The results of the accessibility tests."""

    reviewed: date
    """The day of the run."""
    axe: str
    """The version of axe-core."""
    chromium: str
    """The version of Chromium."""
    tested: Sequence[str]
    """The addresses of the kinds of pages that were opened."""
    untested: Mapping[str, str]
    """Those that were not, each with the reason."""

    @property
    def made(self) -> date:
        """The day of the first statement."""
        return MADE

    def written(self) -> str:
        """The content of the file."""
        values: dict[str, Any] = asdict(self) | {"reviewed": self.reviewed.isoformat()}
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


@cache
def last() -> Assessment:
    """The last run."""
    values = json.loads(FILE.read_text("utf-8"))
    return Assessment(**values | {"reviewed": date.fromisoformat(values["reviewed"])})
