"""Makes activities fail as a test wants, without stopping a service for all tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from temporalio import activity
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor


class Faults(ClientInterceptor, Interceptor):
    """Errors raised by a run's activities until removed. A worker takes it from its client."""

    def __init__(self) -> None:
        self._wanted: dict[tuple[str, str], Callable[[], Exception]] = {}
        self.tried: list[tuple[str, str, bool]] = []
        """Each activity that failed by a fault: its name, its run's workflow ID, and whether it was local."""
        self.done: list[tuple[str, str]] = []
        """Each activity that succeeded: its name, and its run's workflow ID."""

    @contextmanager
    def away(self, workflow_id: str, *steps: str) -> Iterator[None]:
        """Makes these activities of a run fail meanwhile as if services were unavailable."""
        with self._failing(workflow_id, steps, lambda: ApplicationError("away", type="UNAVAILABLE")):
            yield

    @contextmanager
    def refusing(self, workflow_id: str, *steps: str) -> Iterator[None]:
        """Makes these activities of a run fail permanently meanwhile."""

        def refused() -> Exception:
            return ApplicationError("refused", type="INVALID", non_retryable=True)

        with self._failing(workflow_id, steps, refused):
            yield

    @contextmanager
    def _failing(
        self, workflow_id: str, steps: tuple[str, ...], fault: Callable[[], Exception]
    ) -> Iterator[None]:
        keys = [(workflow_id, step) for step in steps]
        self._wanted.update(dict.fromkeys(keys, fault))
        try:
            yield
        finally:
            for key in keys:
                del self._wanted[key]

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps every activity."""
        return _Failing(next, self)

    def check(self) -> None:
        """Raises the current activity's fault, if there is one."""
        info = activity.info()
        fault = self._wanted.get((info.workflow_id or "", info.activity_type))
        if fault is not None:
            self.tried.append((info.activity_type, info.workflow_id or "", info.is_local))
            raise fault()


class _Failing(ActivityInboundInterceptor):
    def __init__(self, next_: ActivityInboundInterceptor, faults: Faults) -> None:
        super().__init__(next_)
        self._faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        self._faults.check()
        result = await super().execute_activity(input)
        info = activity.info()
        self._faults.done.append((info.activity_type, info.workflow_id or ""))
        return result
