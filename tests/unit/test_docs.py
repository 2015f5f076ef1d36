"""The pages say what their sources say."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from docs.tables import CONTRACTS, DOCS, PAGES
from workflows.worker import WORKFLOWS

ROOT = DOCS.parent
EVERY_PAGE = sorted([ROOT / "README.md", *DOCS.glob("*.md")])


def code(folder: str) -> Iterator[str]:
    """The text of every module and contract in a folder."""
    for path in (ROOT / folder).rglob("*"):
        if path.suffix in {".py", ".proto", ".mjs"} and "node_modules" not in path.parts:
            yield path.read_text("utf-8")


def public_rpcs() -> set[str]:
    files = FileDescriptorSet.FromString(CONTRACTS.read_bytes()).file
    public = [service for file in files if file.package == "liity.v1" for service in file.service]
    return {method.name for service in public for method in service.method}


@pytest.mark.parametrize(("page", "write"), PAGES.items(), ids=lambda value: getattr(value, "stem", ""))
def test_a_page_is_as_it_would_be_written_now(page: Path, write: Callable[[], str]) -> None:
    assert page.read_text("utf-8") == write(), "run python -m docs.tables"


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
    dead = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not dead


def test_every_public_rpc_is_shown() -> None:
    shown = set(re.findall(r"^### (\w+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE))
    assert shown == public_rpcs()


def test_every_variable_named_is_one_that_is_read() -> None:
    """And every one that the commands read stands in a page."""
    settings = set(re.findall(r"^\| `(LIITY_\w+)`", (DOCS / "settings.md").read_text("utf-8"), re.MULTILINE))
    commands = {name for text in code("deploy") for name in re.findall(r'envvar="(LIITY_\w+)"', text)}
    pages = {name for page in EVERY_PAGE for name in re.findall(r"LIITY_\w*[A-Z]\b", page.read_text("utf-8"))}
    assert commands <= pages <= settings | commands


def test_every_rule_the_code_names_stands_in_the_rules() -> None:
    rules = set(re.findall(r"^- \*\*(R\d+)\*\*", (DOCS / "rules.md").read_text("utf-8"), re.MULTILINE))
    folders = ("protos", "services", "workflows", "deploy", "docs")
    named = {rule for folder in folders for text in code(folder) for rule in re.findall(r"\bR\d\d?\b", text)}
    assert named <= rules


def test_codes_are_artificial() -> None:
    texts = [*(page.read_text("utf-8") for page in EVERY_PAGE), *code("docs")]
    codes = {found for text in texts for found in re.findall(r"\b\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]\b", text)}
    assert codes
    assert all(found[7] == "9" for found in codes)


def test_every_promise_names_a_test_that_there_is() -> None:
    promises = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (DOCS / "promises.md").read_text("utf-8"))
    assert promises
    missing = [
        f"{file}::{test}"
        for file, test in promises
        if f"def {test}(" not in _text_of(ROOT / file) and (test or not _text_of(ROOT / file))
    ]
    assert not missing


def test_every_bullet_of_the_webinar_names_what_there_is() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (DOCS / "practice.md").read_text("utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(("| slide", "| **"))
    ]
    names = [re.findall(r"`(\w+)\.(\w+)`", row[2]) for row in rows]
    assert {method for row in names for _, method in row} <= public_rpcs()
    assert {workflow for row in rows for workflow in re.findall(r"`(\w+)`", row[3])} <= {
        workflow.__name__ for workflow in WORKFLOWS
    }
    tests = [re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row[4]) for row in rows]
    assert all(tests)
    assert not [test for row in tests for file, test in row if f"def {test}(" not in _text_of(ROOT / file)]


def _text_of(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""
