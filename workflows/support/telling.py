"""Telling somebody beside what a run does: a mail that cannot go out ends no run, nor delays it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from workflows.support.steps import mail_step, noted

StepsT = TypeVar("StepsT")
ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")


class Tellings:
    """What a run tells others in the background. A step that is refused for good is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def mail(
        self,
        step: Callable[[StepsT, ArgumentT], Awaitable[ResultT]],
        argument: ArgumentT,
        summary: str,
    ) -> None:
        """Has a step mail."""
        self.start(mail_step(step, argument, summary), summary)

    def start(self, telling: Awaitable[object], summary: str) -> None:
        """Has something else done, such as a step that tells another run."""
        task = asyncio.ensure_future(noted(telling, summary))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def all_told(self) -> bool:
        """Whether nothing is left to be told: a run must not end before."""
        return not self._tasks
