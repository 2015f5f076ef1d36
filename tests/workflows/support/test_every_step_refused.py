"""Each activity of each workflow is refused permanently in turn: the run continues or ends as designed."""

import ast
import asyncio
import importlib
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus

from services.runtime.rpc.errors import Refusal
from tests.workflows.conftest import World
from tests.workflows.support.stories import STORIES, Run, Scene, Story, new_id
from workflows.registration import state
from workflows.removal import workflow as removal
from workflows.support import steps
from workflows.worker import WORKFLOWS

_UNTIL_REPEATED = steps.FIRST_MESSAGE + timedelta(minutes=1)
"""By then, a run whose update was refused has ended if no other message came."""

_LONG = timedelta(days=70)

_ENDS = {WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.CONTINUED_AS_NEW}


@pytest.fixture(autouse=True)
def _seldom_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Retrying every hour or day through weeks of skipped time would take too long.
    for module in (steps, state):
        monkeypatch.setattr(module, "AGAIN", timedelta(days=30))
    monkeypatch.setattr(removal, "_UNTIL_DECIDED", timedelta(days=30))


def modules_of(of: type) -> set[str]:
    """The modules of a workflow's code: its own, and those of its package that it imports."""
    package = of.__module__.rpartition(".")[0]
    others = {other.__module__ for other in WORKFLOWS} - {of.__module__}
    found: set[str] = set()
    pending = {of.__module__}
    while pending:
        module = pending.pop()
        found.add(module)
        pending |= {
            node.module
            for node in ast.walk(_parsed(module))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package}.")
        } - (found | others)
    return {module for module in found if not module.endswith("activities")}


def steps_of(of: type) -> set[str]:
    """The activities that a workflow's code names: `SomeActivities.step`."""
    return {
        node.attr
        for module in modules_of(of)
        for node in ast.walk(_parsed(module))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id.endswith("Activities")
    }


def _parsed(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def registered(steps_: list[Callable[..., Any]]) -> set[str]:
    return {step.__name__ for step in steps_}


def test_a_story_brings_each_step_of_each_workflow() -> None:
    told = {of: {step for story in STORIES.get(of, {}).values() for step in story} for of in WORKFLOWS}
    assert told == {of: steps_of(of) for of in WORKFLOWS}


def test_no_other_steps_are_registered(world: World) -> None:
    assert registered(world.steps) == {step for of in WORKFLOWS for step in steps_of(of)}


@pytest.mark.parametrize(
    ("of", "story"),
    [(of, story) for of, stories in STORIES.items() for story in stories],
    ids=lambda part: part.__name__,
)
async def test_a_refused_step_fails_no_run(world: World, of: type, story: Story) -> None:
    name = workflow._Definition.must_from_class(of).name
    for step in STORIES[of][story]:
        scene = await story(world)
        with world.faults.refusing(scene.workflow_id, step):
            refused = await _is_refused(scene)
            run = scene.run(world)
            await _passes(world, run, _UNTIL_REPEATED if refused else _LONG)
            assert (step, run.id) in {(tried, whose) for tried, whose, _ in world.faults.tried}, step
            await _is_sound(run, name, step)
        if refused:
            # A repeated request succeeds once the activity is no longer refused.
            if scene.request is not None:
                scene.request.request_id = new_id()
            await scene.go()
        await _passes(world, run, _LONG)
        await _is_sound(run, name, step)


async def _is_refused(scene: Scene) -> bool:
    """Whether the caller gets the refusal."""
    try:
        await scene.go()
    except Refusal:
        return True
    return False


async def _passes(world: World, run: Run, time: timedelta) -> None:
    """Skips the newest run's time, at most to its end; the server may be late to report it."""
    waiting = {
        asyncio.ensure_future(world.environment.fast_forward(run, time)),
        asyncio.ensure_future(run.result()),
    }
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def _is_sound(run: Run, name: str | None, step: str) -> None:
    description = await run.describe()
    assert description.workflow_type == name
    assert description.status in {WorkflowExecutionStatus.RUNNING, *_ENDS}, step
