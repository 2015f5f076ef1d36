"""The management port of a process, over plain HTTP: is it alive, is it ready, and its metrics.

`GET /livez` answers 200 as long as the event loop runs. `GET /readyz` answers 200 while all components of the
process serve, and 503 while they start or stop; a database or Temporal that is away does not count, as it is
away for all replicas at once. `GET /metrics` is in Prometheus's text format. Nothing here is personal.
"""

import asyncio
import contextlib
import platform
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector
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


EACH_TICK: list[Callable[[], None]] = []
"""What a process with a management port does every half second, for metrics that must be picked up."""


def is_managed() -> bool:
    """Whether this process shows its metrics to anybody."""
    return bool(load(ManagementSettings).management_listen)


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
            for act in EACH_TICK:
                act()

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
    of_process = _OfProcess(components, delay)
    REGISTRY.register(of_process)
    try:
        async with serving_http(_Pages(components), listen):
            yield
    finally:
        REGISTRY.unregister(of_process)
        watching.cancel()


class _Pages:
    """The application: bare ASGI, as importing Starlette would double what the port adds to a start."""

    def __init__(self, components: Mapping[str, Component]) -> None:
        self._components = components

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
            return 200, generate_latest(REGISTRY)
        waiting = [name for name, component in self._components.items() if not component.is_ready]
        if path == "/readyz" and waiting:
            return 503, ", ".join(waiting).encode()
        return 200, b"ok"


class _OfProcess(Collector):
    """The metrics of the process itself. Its CPU time, memory and files are the library's."""

    def __init__(self, components: Mapping[str, Component], delay: _Delay) -> None:
        self._components = components
        self._delay = delay

    def describe(self) -> Iterator[Metric]:
        """Nothing: else the library would look at the delay, which begins anew at every look."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        build = InfoMetricFamily("liity_build", "The release that runs.")
        build.add_metric((), {"version": version("liity"), "python_version": platform.python_version()})
        yield build
        ready = GaugeMetricFamily(
            "liity_component_ready", "Whether the component serves.", labels=["component"]
        )
        for name, component in self._components.items():
            ready.add_metric([name], component.is_ready)
        yield ready
        yield GaugeMetricFamily(
            "liity_event_loop_delay_seconds",
            "Longest delay of the event loop since the last scrape.",
            self._delay.longest(),
        )
