"""Callers in a closed loop, and their results."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import psutil

from deploy.local.stack import JOINT, Stack


@dataclass
class Run:
    """Results of one measurement."""

    callers: int
    seconds: float = 0.0
    """From the first call until all its work is done."""
    latencies: list[float] = field(default_factory=list)
    """Seconds of each call."""
    cpu: dict[str, float] = field(default_factory=dict)
    """CPU seconds of each process."""

    @property
    def throughput(self) -> float:
        """Calls per second, including all their work."""
        return len(self.latencies) / self.seconds

    @property
    def cpu_each(self) -> float:
        """CPU milliseconds of each call, in all processes."""
        return sum(map(self.cpu_of, self.cpu))

    def cpu_of(self, process: str) -> float:
        """CPU milliseconds of each call in one process."""
        return self.cpu[process] / len(self.latencies) * 1000

    def percentile(self, percent: int) -> float:
        """A percentile of the latencies, in milliseconds."""
        if percent == 50:
            return statistics.median(self.latencies) * 1000
        return statistics.quantiles(self.latencies, n=100)[percent - 1] * 1000


async def measure(
    callers: int,
    total: int,
    call: Callable[[], Awaitable[None]],
    finished: Callable[[], Awaitable[None]],
    cpu_times: Callable[[], Mapping[str, float]],
) -> Run:
    """Makes `total` calls from `callers` callers; each makes its next call when the last is answered."""
    run = Run(callers)
    remaining = iter(range(total))

    async def caller() -> None:
        for _ in remaining:
            started = time.perf_counter()
            await call()
            run.latencies.append(time.perf_counter() - started)

    before = cpu_times()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    await finished()
    run.seconds = time.perf_counter() - started
    run.cpu = {name: seconds - before.get(name, 0.0) for name, seconds in cpu_times().items()}
    return run


def stack_cpu_times(stack: Stack, extra: Mapping[str, int] | None = None) -> dict[str, float]:
    """CPU seconds used so far by every component of the stack, and by `extra` processes by name."""
    pids = (
        {name: stack.pid(name) for name in (*stack.components, JOINT)}
        | dict(extra or {})
        | {"callers": psutil.Process().pid}
    )
    times = {}
    for name, pid in pids.items():
        if pid is None:
            continue
        process = psutil.Process(pid)
        family = [process] if name == "callers" else [process, *process.children(recursive=True)]
        times[name] = sum(_seconds(member) for member in family)
    return times


def _seconds(process: psutil.Process) -> float:
    try:
        # CPU time of ended PostgreSQL backends is counted with their parent's.
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
