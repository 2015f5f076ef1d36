"""Prints the demonstration's steps as they run."""

import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from deploy.ending import StepFailed
from frontends.refusals import Refusal, reason_name
from liity.v1.reason_pb2 import REASON_UNAVAILABLE, Reason


class Step:
    """A running step."""

    def __init__(self) -> None:
        self.outcome = ""

    def note(self, outcome: str) -> None:
        """Sets the outcome that is shown beside the step."""
        self.outcome = outcome


class Narrator:
    """Prints steps on a console, and counts them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps = 0

    def chapter(self, title: str) -> None:
        """Prints the title of the next steps."""
        self.console.print(f"\n[bold]{escape(title)}[/]")

    @asynccontextmanager
    async def step(self, title: str) -> AsyncIterator[Step]:
        """Runs one step: shows it, then its time. StepFailed if anything in it fails."""
        step = Step()
        started = time.perf_counter()
        try:
            with self.console.status(escape(title)):
                yield step
        except Refusal as refusal:
            raise self._failed(title, _why(refusal)) from refusal
        except TimeoutError:
            raise self._failed(title, "it did not happen in time") from None
        except (AssertionError, LookupError, OSError) as error:
            raise self._failed(title, str(error)) from error
        self.steps += 1
        milliseconds = (time.perf_counter() - started) * 1000
        outcome = f" [cyan]{escape(step.outcome)}[/]" if step.outcome else ""
        self.console.print(f"  [green]✓[/] {escape(title)}{outcome} [dim]{milliseconds:.0f} ms[/]")

    def _failed(self, title: str, why: str) -> StepFailed:
        self.console.print(f"  [red]✗[/] {escape(title)}")
        return StepFailed(f"{title}: {why}")


def _why(refusal: Refusal) -> str:
    if refusal.reason == REASON_UNAVAILABLE:
        return "no answer came; does the stack run? `liity up` starts it"
    return f"the API answered {refusal.summary}"


def expect(condition: bool, otherwise: str) -> None:
    """Fails the step with a reason unless the condition holds."""
    if not condition:
        raise AssertionError(otherwise)


async def expect_refusal(call: Awaitable[Any], *reasons: Reason.ValueType) -> None:
    """Fails the step unless the call is refused for one of these reasons."""
    expected = " or ".join(reason_name(reason) for reason in reasons)
    try:
        await call
    except Refusal as refusal:
        if refusal.reason not in reasons:
            raise
        return
    raise AssertionError(f"should have been refused with {expected}")
