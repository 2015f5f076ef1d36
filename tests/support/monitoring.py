"""The alert rules and the dashboard, and what they ask Prometheus for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from deploy import helm

FILES = Path(helm.__file__).parent / "liity" / "files"
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text("utf-8"))
_GROUPS = yaml.safe_load((FILES / "alerts.yaml").read_text("utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in _GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}

ONLY_AFTER_A_FAILURE = {"temporal_workflow_task_execution_failed_total"}
"""Metrics of Temporal's SDK that a stack without failures does not show."""


def expressions() -> Iterator[str]:
    """Every expression of rules and dashboard."""
    for rule in RULES:
        yield rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def asked_for(*, tls: bool) -> set[str]:
    """The metrics of rules and dashboard that a stack without failures shows."""
    names = {one.name for expression in expressions() for one in selectors(expression)}
    recorded = {name for name in names if ":" in name}
    certificates = set() if tls else {"liity_certificate_expiry_timestamp_seconds"}
    return names - recorded - certificates - ONLY_AFTER_A_FAILURE


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """What an expression selects. ValueError if it is none."""
    found: list[promql_parser.VectorSelector] = []

    def look(part: promql_parser.Expr) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            found.append(part)

    promql_parser.walk(promql_parser.parse(expression), look)
    return found
