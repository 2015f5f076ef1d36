"""A supervised process: started, started again, stopped; and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from deploy.demo.polling import eventually
from deploy.local.process import Command, Observer, Process, StackError

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


class Deaths(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []

    def died(self, name: str, how: str, pause: float) -> None:
        self.told.append((name, how, pause))


def python(code: str) -> Command:
    return Command([sys.executable, "-c", code], dict(os.environ))


@pytest.fixture
def deaths() -> Deaths:
    return Deaths()


@pytest.fixture
async def make(tmp_path: Path, deaths: Deaths) -> AsyncIterator[Callable[..., Process]]:
    made: list[Process] = []

    def make_one(*, restart: bool = True, grace: float = 10) -> Process:
        made.append(Process("sleeper", tmp_path / "sleeper.log", deaths, restart=restart, grace=grace))
        return made[-1]

    yield make_one
    for process in made:
        await process.kill()


async def start(process: Process, code: str) -> int:
    async def said_up() -> bool:
        return process.log.exists() and "up" in process.log.read_text()

    await process.start(python(code), said_up, 20)
    assert process.pid
    return process.pid


async def test_one_that_dies_is_started_again_and_that_is_told(
    make: Callable[..., Process], deaths: Deaths
) -> None:
    process = make()
    first = await start(process, SLEEP)

    os.kill(first, signal.SIGKILL)
    second = await eventually(lambda: asyncio.sleep(0, process.pid), lambda pid: pid not in {None, first}, 20)

    assert second != first
    assert deaths.told == [("sleeper", "was ended by SIGKILL", 0.25)]


async def test_one_not_to_be_restarted_stays_dead(make: Callable[..., Process], deaths: Deaths) -> None:
    process = make(restart=False)
    pid = await start(process, SLEEP)

    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: asyncio.sleep(0, process.pid), lambda pid: pid is None, 20)
    await asyncio.sleep(1)

    assert process.pid is None
    assert deaths.told == []


async def test_stop_kills_one_that_does_not_listen(make: Callable[..., Process], deaths: Deaths) -> None:
    process = make(grace=0.5)
    pid = await start(process, STUBBORN)

    await process.stop()

    assert not psutil.pid_exists(pid)
    assert deaths.told == []


async def test_wrong_settings_are_told_in_one_line_and_not_tried_again(
    make: Callable[..., Process], deaths: Deaths
) -> None:
    process = make()

    with pytest.raises(StackError, match="ended with code 2 at its start: LIITY_LISTEN: missing"):
        await start(process, "import sys; print('LIITY_LISTEN: missing'); sys.exit(2)")

    assert deaths.told == []


async def test_one_that_keeps_dying_at_its_start_is_given_up(
    make: Callable[..., Process], deaths: Deaths
) -> None:
    process = make()

    with pytest.raises(StackError, match=r"ended with code 1 at its start: .*no luck"):
        await start(process, "raise SystemExit('no luck')")

    assert deaths.told == [("sleeper", "ended with code 1", pause) for pause in (0.25, 0.5, 1, 2)]


async def test_one_that_never_answers_is_given_up(make: Callable[..., Process]) -> None:
    process = make()

    async def never() -> bool:
        return False

    with pytest.raises(StackError, match="does not answer"):
        await process.start(python(SLEEP), never, 0.5)


async def test_ctrl_c_in_the_terminal_reaches_the_supervisor_alone(make: Callable[..., Process]) -> None:
    pid = await start(make(), SLEEP)

    assert os.getpgid(pid) == pid != os.getpgid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's own")
async def test_one_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    supervisor = f"""
import asyncio, os, sys
from pathlib import Path
from deploy.local.process import Command, Observer, Process

async def main():
    process = Process("stubborn", Path({str(tmp_path / "log")!r}), Observer(), restart=True)
    async def said_up():
        return "up" in process.log.read_text()
    await process.start(Command([sys.executable, "-c", {STUBBORN!r}], dict(os.environ)), said_up, 20)
    print(process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", supervisor], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(await asyncio.to_thread(parent.stdout.readline)))
        parent.kill()

    await asyncio.to_thread(psutil.wait_procs, [child], timeout=20)
    assert not child.is_running()
