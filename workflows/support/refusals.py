"""Permanent refusals of services, as results of activities."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Protocol, TypeVar

from liity.workflows.v1.refused_pb2 import Refused
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.refusal_message import to_refused

StepsT = TypeVar("StepsT")
ArgumentT = TypeVar("ArgumentT")


class _Answer(Protocol):
    def __init__(self, *, refused: Refused) -> None: ...


AnswerT = TypeVar("AnswerT", bound=_Answer)

Activity = Callable[[StepsT, ArgumentT], Awaitable[AnswerT]]


def answers_refusals(
    answer: type[AnswerT],
) -> Callable[[Activity[StepsT, ArgumentT, AnswerT]], Activity[StepsT, ArgumentT, AnswerT]]:
    """Makes an activity return a permanent refusal in its result's field `refused`, instead of failing."""

    def decorate(step: Activity[StepsT, ArgumentT, AnswerT]) -> Activity[StepsT, ArgumentT, AnswerT]:
        @wraps(step)
        async def answering(self: StepsT, argument: ArgumentT) -> AnswerT:
            try:
                return await step(self, argument)
            except Refusal as refusal:
                if is_permanent(refusal.code):
                    return answer(refused=to_refused(refusal))
                raise

        return answering

    return decorate
