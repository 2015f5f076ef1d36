"""No run asks the time zone's database, whose rules change while it waits: its activities do."""

import ast
from pathlib import Path

import workflows

ZONED = {
    "HELSINKI",
    "deadline_after",
    "helsinki_day",
    "helsinki_moment",
    "lapse_time",
    "welcome_time",
    "ZoneInfo",
}

OUTSIDE_OF_RUNS = {
    "mail/customership_links.py": "called by activities",
    "reconciliation/kinds.py": "called by activities",
    "removal/retention.py": "called by activities",
    "support/deadlines.py": "is what they call",
}
BEFORE = {"registration/welcome.py": {"welcome_time"}}
"""Runs of releases before planned their welcome themselves."""


def imported(path: Path) -> set[str]:
    """What a module imports by name."""
    tree = ast.parse(path.read_text("utf-8"))
    return {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}


def test_no_run_asks_the_time_zone() -> None:
    folder = Path(workflows.__path__[0])
    modules = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}
    assert OUTSIDE_OF_RUNS.keys() <= modules.keys()
    found = {
        name: zoned
        for name, path in modules.items()
        if name not in OUTSIDE_OF_RUNS and not name.endswith("activities.py")
        if (zoned := imported(path) & ZONED - BEFORE.get(name, set()))
    }
    assert found == {}
