"""The benchmark runs from its first part to its last."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import measure
from bench.sizes import TINY
from tests.conftest import copy_postgres
from tests.support.program import Program


def test_the_benchmark_is_a_program() -> None:
    """`make bench` starts it; what it then does is the next test's."""
    shown = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], capture_output=True, text=True, check=True, timeout=120
    )
    assert "--saves" in shown.stdout


async def test_every_part_of_the_benchmark_runs_to_its_end(
    tmp_path: Path, postgres_template: Path, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_postgres(postgres_template, tmp_path / "postgres")
    await measure(tmp_path, TINY, spawn=program.spawn)
    printed = capsys.readouterr().out
    for title in (
        "Save beside the engine, each component a process",
        "Save beside the engine, all in one process",
        "A class list of",
        "Saves beside 2 class lists",
        "Saves while 4 gateways and workers are replaced",
        "CheckPersonalIdentityCode",
        "SearchCustomers",
        "Pages, opened by one browser",
    ):
        assert title in printed
    # The last part's table has its last row.
    assert "each of 9" in printed
