"""Mails sent in the background: one that fails neither ends nor delays the run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from workflows.support.steps import mail_step, noted

StepsT = TypeVar("StepsT")
ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")


class BackgroundMails:
    """The mails under way. A permanent refusal is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def mail(
        self,
        step: Callable[[StepsT, ArgumentT], Awaitable[ResultT]],
        argument: ArgumentT,
        summary: str,
    ) -> None:
        """Starts an activity that mails."""
        self.start(mail_step(step, argument, summary), summary)

    def start(self, task_of: Awaitable[object], summary: str) -> None:
        """Starts another task, such as a signal to another run."""
        task = asyncio.ensure_future(noted(task_of, summary))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def all_sent(self) -> bool:
        """Whether no mail is under way; a run must not end before."""
        return not self._tasks
