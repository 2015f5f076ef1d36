"""A run that waits for customer service to answer, however the news of the answer gets lost."""

from abc import abstractmethod
from datetime import datetime, timedelta

from temporalio import workflow

from services.runtime.temporal.codec import OperatorText
from workflows.support.operators import Operated


class AwaitsAnswer(Operated):
    """Reads its row when a signal says that there is an answer, and whenever a wait ends."""

    told_answered = False
    """Whether a signal has told of an answer since the row was last read."""

    async def answered_by(self, moment: datetime, summary: str) -> bool:
        """Waits until a moment. Whether the row was answered or erased by then."""
        while workflow.now() < moment:
            try:
                await workflow.wait_condition(
                    lambda: self.told_answered or self._is_long,
                    timeout=max(moment - workflow.now(), timedelta(0)),
                    timeout_summary=OperatorText(summary),
                )
            except TimeoutError:
                break
            await self.look()
            if not self.is_open:
                return True
            if self._is_long:
                await self.go_on_in_new_run()
        await self.look()
        return not self.is_open

    @abstractmethod
    async def look(self) -> None:
        """Reads the row, and forgets that a signal has told of it."""

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the row is there and not answered."""

    @abstractmethod
    async def go_on_in_new_run(self) -> None:
        """Continues as new: the history nears its limit. No mail is sent twice."""

    @property
    def _is_long(self) -> bool:
        return workflow.info().is_continue_as_new_suggested()
