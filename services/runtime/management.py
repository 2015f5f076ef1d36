"""The management port of a process, over plain HTTP: is it alive, is it ready, and its metrics.

`GET /livez` answers 200 as long as the event loop runs. `GET /readyz` answers 200 while all components of the
process serve, and 503 while they start or stop; a database or Temporal that is away does not count, as it is
away for all replicas at once. `GET /metrics` is in Prometheus's text format. Nothing here is personal.
"""

import asyncio
import contextlib
import os
import platform
import resource
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.components import Component
from services.runtime.settings import SettingsError, load

if TYPE_CHECKING:
    from aiohttp import web

_TICK = 0.5
"""Seconds between two looks at the delay of the event loop."""

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class ManagementSettings(BaseSettings):
    """Settings of a process, whatever it serves."""

    model_config = SettingsConfigDict(env_prefix="LIITY_", frozen=True)

    management_listen: str = Field(
        "",
        description="host:port of the whole process for `/livez`, `/readyz` and `/metrics`, in the clear and"
        " open to anyone who reaches it: keep it inside. Empty for none.",
    )


class Metric(NamedTuple):
    """A metric with its samples by their labels."""

    name: str
    kind: str
    help: str
    samples: Mapping[str, float]


class _Delay:
    """Measures how late the event loop wakes a sleeper."""

    def __init__(self) -> None:
        self._longest = 0.0

    async def watch(self) -> None:
        """Measures until cancelled."""
        while True:
            due = time.monotonic() + _TICK
            await asyncio.sleep(_TICK)
            self._longest = max(self._longest, time.monotonic() - due)

    def longest(self) -> float:
        """The longest delay in seconds since the last call."""
        longest, self._longest = self._longest, 0.0
        return longest


@contextlib.asynccontextmanager
async def managing(components: Mapping[str, Component]) -> AsyncIterator[None]:
    """Serves the management port while the body runs, if there is one. SettingsError if it is taken."""
    listen = load(ManagementSettings).management_listen
    if not listen:
        yield
        return
    from aiohttp import web  # noqa: PLC0415 - costs a start a tenth of a second, and most have no such port

    delay = _Delay()
    watching = asyncio.create_task(delay.watch())
    runner = web.AppRunner(_application(components, delay), access_log=None)
    await runner.setup()
    try:
        host, _, port = listen.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except (OSError, OverflowError, ValueError):
            raise SettingsError(f"Cannot listen on {listen}: is something else running there?") from None
        yield
    finally:
        watching.cancel()
        await runner.cleanup()


def _application(components: Mapping[str, Component], delay: _Delay) -> "web.Application":
    from aiohttp import web  # noqa: PLC0415

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def ready(_request: web.Request) -> web.Response:
        waiting = [name for name, component in components.items() if not component.is_ready]
        return web.Response(status=503, text=", ".join(waiting)) if waiting else web.Response(text="ok")

    async def metrics(_request: web.Request) -> web.Response:
        text = exposition([*_metrics(components, delay)])
        return web.Response(body=text.encode(), headers={"Content-Type": _TEXT_FORMAT})

    application = web.Application()
    application.add_routes(
        [web.get("/livez", alive), web.get("/readyz", ready), web.get("/metrics", metrics)]
    )
    return application


def exposition(metrics: list[Metric]) -> str:
    """Metrics in Prometheus's text format."""
    return "".join(
        f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
        + "".join(f"{metric.name}{labels} {value:.17g}\n" for labels, value in metric.samples.items())
        for metric in metrics
    )


def _metrics(components: Mapping[str, Component], delay: _Delay) -> Iterator[Metric]:
    build = f'{{version="{version("liity")}",python_version="{platform.python_version()}"}}'
    yield Metric("liity_build_info", "gauge", "The release that runs.", {build: 1})
    ready = {f'{{component="{name}"}}': float(component.is_ready) for name, component in components.items()}
    yield Metric("liity_component_ready", "gauge", "Whether the component serves.", ready)
    yield Metric(
        "liity_event_loop_delay_seconds",
        "gauge",
        "Longest delay of the event loop since the last scrape.",
        {"": delay.longest()},
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield Metric(
        "process_cpu_seconds_total", "counter", "CPU time spent.", {"": used.ru_utime + used.ru_stime}
    )
    yield Metric("process_start_time_seconds", "gauge", "Start, since the epoch.", {"": _STARTED})
    process = Path("/proc/self")
    if process.exists():
        pages = int((process / "statm").read_text().split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE")
        yield Metric("process_resident_memory_bytes", "gauge", "Memory in use.", {"": resident})
        descriptors = len(list((process / "fd").iterdir()))
        yield Metric("process_open_fds", "gauge", "Open file descriptors.", {"": descriptors})


_STARTED = time.time()
