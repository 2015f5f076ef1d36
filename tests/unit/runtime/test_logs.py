"""Log lines: one each, of their component, and never the values that a traceback has at hand."""

import json
import subprocess
import sys

import pytest

SECRET = "010594Y9032"

PROGRAM = """
import logging
import sys
from pathlib import Path

import structlog

from services.runtime import logs
from services.runtime.settings import RuntimeSettings

settings = RuntimeSettings.model_validate(
    {"keys_dir": Path("keys"), "log_format": sys.argv[1], "log_level": sys.argv[2]}
)
logs.configure("gateway", settings)


class Form:
    def __init__(self, code):
        self.code = code

    def __repr__(self):
        return f"Form({self.code})"


def check(code):
    form = Form(code)
    parts = {"code": code, "form": form}
    raise LookupError("no such person")


def fail():
    code = "-".join(["010594", "9032"]).replace("-", "Y")
    try:
        check(code)
    except LookupError as error:
        raise ValueError("the form cannot be saved") from error


log = structlog.get_logger()
log.debug("looked up", stage="ACTIVE")
log.info("saved", registration="r1")
for logger in (log, logging.getLogger("liity")):
    try:
        fail()
    except ValueError:
        logger.exception("failed")
logging.getLogger("grpc").info("chatter")
logging.getLogger("sqlalchemy.engine").info("SELECT hetu")
structlog.contextvars.bind_contextvars(trace_id="t1")
logging.getLogger("temporalio").warning("a worker's own")
"""


def logged(log_format: str, level: str = "INFO") -> str:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format, level],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_show_no_values(log_format: str) -> None:
    output = logged(log_format)
    assert output.count("the form cannot be saved") == 2
    assert output.count("no such person") == 2
    assert "in check" in output or '"name": "check"' in output
    assert SECRET not in output
    assert "Form(" not in output.replace("form = Form(code)", "")


def test_json_is_one_object_a_line_that_names_its_component_and_moment() -> None:
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert [line["event"] for line in lines] == ["saved", "failed", "failed", "a worker's own"]
    for line in lines:
        assert line["component"] == "gateway"
        assert line["timestamp"].endswith("Z")
    assert [line["level"] for line in lines] == ["info", "error", "error", "warning"]
    assert lines[0]["registration"] == "r1"
    assert lines[-1]["trace_id"] == "t1"


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("DEBUG", ["looked up", "saved", "failed", "failed", "a worker's own"]),
        ("ERROR", ["failed", "failed"]),
    ],
)
def test_the_level_holds_for_our_lines_and_those_of_libraries(level: str, events: list[str]) -> None:
    assert [json.loads(line)["event"] for line in logged("json", level).splitlines()] == events


def test_libraries_that_name_statements_and_addresses_are_kept_quiet() -> None:
    assert "SELECT" not in logged("json", "DEBUG")
    assert "chatter" not in logged("json", "DEBUG")
