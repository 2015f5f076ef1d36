"""One question after a task: how it went. The answer is counted, and nothing of the sender is kept."""

from types import MappingProxyType
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from frontends.web import measures
from frontends.web.language import N_
from frontends.web.pages import Visit

_TASKS: Final = frozenset({"registration", "class-list", "consent", "own-data", "password"})

_ANSWERS: Final = MappingProxyType(
    {
        "5": N_("Very easy"),
        "4": N_("Easy"),
        "3": N_("Neither easy nor hard"),
        "2": N_("Hard"),
        "1": N_("Very hard"),
    }
)


async def show(visit: Visit) -> Response:
    """Asks."""
    return _page(visit, 200, {})


async def send(visit: Visit) -> Response:
    """Counts the answer."""
    if visit.switches_language:
        return await show(visit)
    answer = visit.typed.get("answer", "")
    if answer not in _ANSWERS:
        return _page(visit, 422, {"answer": N_("Choose an answer.")})
    measures.SATISFACTION.labels(_task(visit), answer).inc()
    return visit.redirect("/how-was-it")


async def show_thanks(visit: Visit) -> Response:
    """The answer is counted."""
    return visit.render("feedback/counted.html")


def _page(visit: Visit, status: int, errors: dict[str, str]) -> Response:
    answers = list(_ANSWERS.items())
    return visit.render(
        "feedback/satisfaction.html", status, task=_task(visit), answers=answers, errors=errors
    )


def _task(visit: Visit) -> str:
    task = visit.part("task")
    if task not in _TASKS:
        raise HTTPException(404)
    return task
