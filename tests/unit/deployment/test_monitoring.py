"""Alert rules and dashboard: each asks for what there is, and each alert has a runbook."""

import re
from pathlib import Path

import grpc
import pytest
import temporalio.bridge

from deploy.topology import PARTS
from liity.v1.reason_pb2 import Reason
from services.runtime.security.access import ACCESS
from tests.support.monitoring import ALERTS, DASHBOARD, ONLY_AFTER_A_FAILURE, RULES, expressions, selectors

RUNBOOKS = Path("docs/alerts.md").read_text("utf-8")

VALUES = {
    "rpc_method": set(ACCESS),
    "rpc_status_code": {code.name for code in grpc.StatusCode},
    "reason": {name.removeprefix("REASON_") for name in Reason.keys()},  # noqa: SIM118 - an enum of protobuf
    "component": set(PARTS),
    "outcome": {"sent", "refused", "not_accepted", "refuses_us"},
    "method": {"GET", "POST"},
    "status": {"200", "303", "422"},
}
"""What a label may be."""


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_expression_can_be_read_and_names_what_there_may_be(expression: str) -> None:
    selected = selectors(expression)
    assert selected
    for one in selected:
        assert one.name
        for matcher in one.matchers.matchers:
            assert set(matcher.value.split("|")) <= VALUES[matcher.name]


def test_rates_are_taken_of_what_only_grows() -> None:
    for expression in expressions():
        for name in re.findall(r"(?:rate|increase)\((\w+)", expression):
            assert name.endswith(("_total", "_count", "_bucket", "_sum"))


def test_every_alert_says_what_it_is_and_where_its_runbook_is() -> None:
    assert len(ALERTS) == sum("alert" in rule for rule in RULES)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{name.lower()}"


def test_every_runbook_is_of_an_alert_and_whole() -> None:
    runbooks = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL))
    assert runbooks.keys() == ALERTS.keys()
    for name, text in runbooks.items():
        parts = ("**Meaning**", "**Impact**", "**Diagnosis**", "**what to do**")
        assert [part for part in parts if part.lower() not in text.lower()] == [], name


def test_the_rules_record_what_is_asked_for() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    asked = {one.name for expression in expressions() for one in selectors(expression) if ":" in one.name}
    assert recorded == asked


def test_what_is_seen_only_after_a_failure_is_of_the_sdk() -> None:
    """The scrape of a running stack does not show it: its name is looked up in the SDK's library."""
    (library,) = Path(temporalio.bridge.__file__).parent.glob("temporal_sdk_bridge*")
    held = library.read_bytes()
    for name in ONLY_AFTER_A_FAILURE:
        assert name.removeprefix("temporal_").removesuffix("_total").encode() in held


def test_panels_have_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
