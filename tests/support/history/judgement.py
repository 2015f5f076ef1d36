"""All judges of a history."""

from collections.abc import Callable, Iterator

from tests.support.history import answers, mailing, persons, reading, repetitions, sight, stages
from tests.support.history.records import History

JUDGES: dict[str, Callable[[History], Iterator[str]]] = {
    "answers": answers.judge,
    "persons": persons.judge,
    "reading": reading.judge,
    "repetitions": repetitions.judge,
    "stages": stages.judge,
    "unfinished": stages.unfinished,
    "sight": sight.judge,
    "mailing": mailing.judge,
}
"""By what they look at."""


def faults(history: History) -> list[str]:
    """All that is wrong with a history; empty if it may stand."""
    return [f"{name}: {fault}" for name, judge in JUDGES.items() for fault in judge(history)]
