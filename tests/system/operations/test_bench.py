"""The benchmark runs from its first part to its last."""

import subprocess
import sys


def test_every_part_of_the_benchmark_runs_to_its_end() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench", "--tiny"], capture_output=True, text=True, check=False, timeout=280
    )
    assert run.returncode == 0, run.stderr
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
        assert title in run.stdout
    # The last part's table has its last row.
    assert "each of 9" in run.stdout
