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
from services.runtime.settings import load

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_TICK = 0.5
"""Seconds between two looks at the delay of the event loop."""

_TEXT_FORMAT = b"text/plain; version=0.0.4; charset=utf-8"


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
    from services.runtime.http import serving_http  # noqa: PLC0415 - many starts have no such port

    delay = _Delay()
    watching = asyncio.create_task(delay.watch())
    try:
        async with serving_http(_Pages(components, delay), listen):
            yield
    finally:
        watching.cancel()


class _Pages:
    """The application: bare ASGI, as importing Starlette would double what the port adds to a start."""

    def __init__(self, components: Mapping[str, Component], delay: _Delay) -> None:
        self._components = components
        self._delay = delay

    async def __call__(self, scope: "Scope", _receive: "Receive", send: "Send") -> None:
        """Answers a request."""
        status, text = self._answer(scope["method"], scope["path"])
        kind = _TEXT_FORMAT if scope["path"] == "/metrics" else b"text/plain; charset=utf-8"
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    def _answer(self, method: str, path: str) -> tuple[int, bytes]:
        if path not in {"/livez", "/readyz", "/metrics"}:
            return 404, b"Not Found"
        if method not in {"GET", "HEAD"}:
            return 405, b"Method Not Allowed"
        if path == "/metrics":
            return 200, exposition([*_metrics(self._components, self._delay)]).encode()
        waiting = [name for name, component in self._components.items() if not component.is_ready]
        if path == "/readyz" and waiting:
            return 503, ", ".join(waiting).encode()
        return 200, b"ok"


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
