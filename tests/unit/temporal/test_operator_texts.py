"""Operators read every summary: whoever gives one to Temporal marks it, or it is encrypted."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SUMMARIES = {"summary", "timeout_summary", "static_summary", "static_details"}
TAKERS = {
    "execute_activity",
    "execute_activity_method",
    "execute_local_activity",
    "execute_local_activity_method",
    "start_activity",
    "start_activity_method",
    "start_local_activity",
    "start_local_activity_method",
    "sleep",
    "wait_condition",
    "start_workflow",
    "WithStartWorkflowOperation",
    "ScheduleActionStartWorkflow",
}
"""What of Temporal's takes a summary."""


def summaries(path: Path) -> Iterator[tuple[int, ast.expr]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in TAKERS:
            yield from ((node.lineno, word.value) for word in node.keywords if word.arg in SUMMARIES)


FILES = sorted((*ROOT.glob("workflows/**/*.py"), *ROOT.glob("services/**/*.py")))


def test_there_are_summaries() -> None:
    assert sum(1 for path in FILES for _ in summaries(path)) > 20


@pytest.mark.parametrize("path", [path for path in FILES if any(summaries(path))], ids=lambda path: path.name)
def test_each_summary_is_marked_for_operators(path: Path) -> None:
    unmarked = [
        f"{path.name}:{line}"
        for line, value in summaries(path)
        if not (isinstance(value, ast.Call) and getattr(value.func, "id", "") == "OperatorText")
    ]
    assert unmarked == []
