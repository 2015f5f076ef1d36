"""A small workflow that uses what Liity's workflows use of Temporal."""

from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

MOST_UPDATES = 40
"""Additions of one run, after which it continues as new."""


SAID = "nobody may read this sentence"
"""What the step says when it fails: long enough to be found in a history only if it is there."""


@activity.defn
async def double(number: int) -> int:
    """A step. Fails for good if the number is negative."""
    if number < 0:
        raise ApplicationError(SAID, non_retryable=True)
    return 2 * number


@workflow.defn
class AddingWorkflow:
    """Adds numbers until it is told to stop; returns the sum of their doubles."""

    def __init__(self) -> None:
        self._total = 0
        self._additions = 0
        self._stopped = False

    @workflow.run
    async def run(self, before: int = 0) -> int:
        """Waits for additions to the sum of the run before."""
        await workflow.wait_condition(lambda: self._stopped or self._additions >= MOST_UPDATES)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self._stopped:
            workflow.continue_as_new(before + self._total)
        return before + self._total

    @workflow.update
    async def add(self, number: int) -> int:
        """Adds the double of a number, in a local activity; returns the sum of this run."""
        self._additions += 1
        doubled = await workflow.execute_local_activity(
            double, number, start_to_close_timeout=timedelta(seconds=5)
        )
        # Others may have been added meanwhile.
        self._total += doubled
        return self._total

    @add.validator
    def _is_number(self, number: int) -> None:
        if number == 0:
            raise ValueError("nothing to add")

    @workflow.signal
    def stop(self) -> None:
        """Ends the run."""
        self._stopped = True


@workflow.defn
class SleepingWorkflow:
    """Sleeps, then does a step."""

    @workflow.run
    async def run(self, seconds: float, number: int = 1) -> str:
        """Doubles the number; returns the Build ID of the worker."""
        await workflow.sleep(timedelta(seconds=seconds))
        await workflow.execute_activity(
            double,
            number,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        return workflow.info().get_current_build_id()
