"""A component that a shell has started in the background, with SIGINT ignored, takes SIGINT all the same."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import free_port


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_a_worker_that_waits_for_temporal_ends_when_it_is_told_to(
    keys_dir: Path, number: signal.Signals
) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LIITY_", "TEMPORAL_"))}
    peers = ("identity", "registration", "notification")
    nowhere = f"127.0.0.1:{free_port()}"
    environment = own | {f"LIITY_{peer.upper()}_TARGET": nowhere for peer in peers}
    environment |= {"LIITY_KEYS_DIR": str(keys_dir), "LIITY_TEMPORAL_ADDRESS": nowhere}
    environment["LIITY_ERASURE_LEDGER_DIR"] = str(keys_dir)
    process = subprocess.Popen(
        # As a shell without job control starts what ends in `&`.
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "deploy", "serve", "worker"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in iter(process.stdout.readline, ""):
            if "temporal away" in line:
                break
        else:
            pytest.fail("it has ended by itself")
        process.send_signal(number)
        await asyncio.to_thread(process.communicate, timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
