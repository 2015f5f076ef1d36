"""The components that one process serves: one, or several that call each other without a network."""

import asyncio
import contextvars
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.runtime.rpc.in_process import InProcessServer

Runner = Callable[[], Coroutine[Any, Any, None]]
"""Runs one component until `stop_requested` returns."""


class Component:
    """One component of this process: how it is stopped, and how the other components call it."""

    def __init__(self, name: str, process: Mapping[str, "Component"]) -> None:
        self.name = name
        self._process = process
        self._started = False
        self._stop = asyncio.Event()
        self._serving = asyncio.Event()
        self._server: InProcessServer | None = None

    @property
    def is_alone(self) -> bool:
        """Whether the process serves no other component."""
        return len(self._process) == 1

    @property
    def is_ready(self) -> bool:
        """Whether it serves: it has started, and has not been requested to stop."""
        return self._started and not self._stop.is_set()

    def beside(self, name: str) -> "Component | None":
        """Another component of this process; None if it is served elsewhere."""
        return self._process.get(name)

    @property
    def server(self) -> "InProcessServer | None":
        """What answers calls from within this process; None while the component does not serve."""
        return self._server

    def serve(self, server: "InProcessServer | None") -> None:
        """Starts answering calls from within this process; with None it stops."""
        self._server = server
        if server is None:
            self._serving.clear()
        else:
            self._serving.set()

    async def serving(self) -> None:
        """Waits until it answers calls from within this process."""
        await self._serving.wait()

    async def stop_requested(self) -> None:
        """Waits until it shall stop. Until this is called, the component counts as starting."""
        self._started = True
        await self._stop.wait()

    def stop(self, running: asyncio.Task[None]) -> None:
        """Requests it to stop; cancels it if it is still starting."""
        self._stop.set()
        if not self._started:
            running.cancel()


_current: ContextVar[Component | None] = ContextVar("liity_component", default=None)


def current_component() -> Component | None:
    """The component that this task belongs to; None outside of `run_components`."""
    return _current.get()


async def run_components(
    runners: Mapping[str, Runner],
    stop_order: Sequence[Sequence[str]],
    manage: Callable[[Mapping[str, Component]], AbstractAsyncContextManager[object]] = nullcontext,
) -> None:
    """Runs components until SIGTERM or SIGINT, or until one ends by itself.

    Then stops them group by group, callers before those they call. Raises the error that has ended one.
    `manage` runs around all of it.
    """
    process: dict[str, Component] = {}
    for name in runners:
        process[name] = Component(name, process)
    async with manage(process):
        await _run_all(process, runners, stop_order)


async def _run_all(
    process: Mapping[str, Component], runners: Mapping[str, Runner], stop_order: Sequence[Sequence[str]]
) -> None:
    tasks: dict[str, asyncio.Task[None]] = {}
    for name, run in runners.items():
        context = contextvars.copy_context()
        context.run(_current.set, process[name])
        tasks[name] = asyncio.create_task(run(), context=context)
    signalled = asyncio.create_task(stop_signalled())
    try:
        await asyncio.wait({signalled, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
        for group in stop_order:
            ending = {name: tasks[name] for name in group if name in tasks}
            for name, task in ending.items():
                process[name].stop(task)
            if ending:
                await asyncio.wait(ending.values())
    for task in tasks.values():
        if not task.cancelled():
            task.result()


async def stop_signalled() -> None:
    """Waits for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def stop_requested() -> None:
    """Waits until the current component shall stop."""
    component = current_component()
    await (component.stop_requested() if component else stop_signalled())
