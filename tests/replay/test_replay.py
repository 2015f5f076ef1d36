"""The replay gate: today's workflow goes on with every run that an earlier release has begun."""

import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from liity.v1.actor_pb2 import Actor
from liity.workflows.v1.registration_workflow_pb2 import SaveRequest
from services.runtime.temporal.actor_header import SEALED
from services.runtime.temporal.codec import PLAIN_DATA_CONVERTER
from services.runtime.temporal.names import RegistrationWorkflowNames
from tests.replay.changed_workflow import EndsAtOnce, WaitsFirst
from tests.replay.histories import OpenSeal, files, newest, payloads_in, read, workflow_of
from tests.replay.paths import PATHS
from tests.replay.told_paths import edited_for_long, edits_per_run
from workflows.support.actor_context import ActorInterceptor
from workflows.support.signals import SignalInterceptor
from workflows.worker import SANDBOX, WORKFLOWS

HISTORIES = files()
REGISTRATIONS = [path for path in HISTORIES if workflow_of(path) == RegistrationWorkflowNames.WORKFLOW]
"""Those of registrations."""

_SAVELESS = {"adopted", "converted", "first_update_lost", "gone_on_in_a_new_run", "resumed"}
"""Paths of registrations to which something else than a Save leads."""

_PEOPLE = {"Aino Kaisa Esimerkki", "Onni Esimerkki"}
_HETU = re.compile(r"\b\d{6}[-+ABCDEFYXWVU]\d{3}[0-9A-Y]\b")
_EMAIL = re.compile(r"[\w.+-]+@[\w.-]+")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{48,}")
"""As long as the token of a link, a session or an access token; IDs are shorter."""
_ETAG = re.compile(r'"etag": "[^"]*"')
"""As long, but opens nothing."""


def replayer(*workflows: type) -> Replayer:
    return Replayer(
        workflows=workflows,
        data_converter=PLAIN_DATA_CONVERTER,
        interceptors=[ActorInterceptor(OpenSeal()), SignalInterceptor()],
        workflow_runner=SANDBOX,
    )


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_there_is_a_history_of_each_path_of_the_newest_release() -> None:
    assert {path.stem for path in newest().glob("*.json")} == set(PATHS)


def test_a_path_leads_through_each_workflow() -> None:
    names = {workflow._Definition.must_from_class(of).name for of in WORKFLOWS}
    assert {workflow_of(path) for path in newest().glob("*.json")} == names


async def failures(paths: Iterable[Path], *workflows: type) -> dict[str, str]:
    """Which histories no workflow goes on with, and why: in one worker, which takes long to begin."""
    histories = {named(path): read(path) for path in paths}

    async def each() -> AsyncIterator[WorkflowHistory]:
        for history in histories.values():
            yield history

    replayed = await replayer(*workflows).replay_workflows(each(), raise_on_replay_failure=False)
    failed = {
        run_id: f"{type(error).__name__}: {error}" for run_id, error in replayed.replay_failures.items()
    }
    return {name: failed[of.run_id] for name, of in histories.items() if of.run_id in failed}


async def test_todays_workflows_go_on_with_each_history() -> None:
    edited = [path for path in HISTORIES if path.stem == edited_for_long.__name__]
    assert await failures(set(HISTORIES) - set(edited), *WORKFLOWS) == {}
    with edits_per_run():
        assert await failures(edited, *WORKFLOWS) == {}


async def test_the_gate_stops_a_workflow_with_a_step_more() -> None:
    failed = await failures(REGISTRATIONS, WaitsFirst)
    assert set(failed) == set(map(named, REGISTRATIONS))
    assert {why.split(":")[0] for why in failed.values()} == {NondeterminismError.__name__}


async def test_the_gate_stops_a_workflow_with_steps_less() -> None:
    with pytest.raises(NondeterminismError):
        await replayer(EndsAtOnce).replay_workflow(read(newest() / "adult_welcomed.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=named)
async def test_it_holds_no_secret_and_nobody_who_exists(path: Path) -> None:
    found = [payload for event in read(path).events for payload in payloads_in(event)]
    assert {payload.metadata["encoding"] for payload in found} <= {
        SEALED,
        b"binary/protobuf",
        b"binary/null",
        b"json/plain",
        b"json/protobuf",
    }
    for text in (_ETAG.sub("", shown(payload)) for payload in found):
        assert not _HETU.search(text)
        assert not _TOKEN.search(text)
        assert "Traceback" not in text
        assert all(address.endswith((".example", "@example.org")) for address in _EMAIL.findall(text))
    saves = [
        SaveRequest.FromString(payload.data)
        for payload in found
        if payload.metadata.get("messageType") == SaveRequest.DESCRIPTOR.full_name.encode()
    ]
    forms = [save.registration.form for save in saves]
    assert {f"{form.first_names} {form.last_name}" for form in forms} <= _PEOPLE
    assert len(forms) == (1 if path in REGISTRATIONS and path.stem not in _SAVELESS else 0)
    # Nor does it name the machine it was recorded on.
    assert "@" not in path.read_text("utf-8")
    assert not any(b".py" in payload.data for payload in found)


def shown(payload: Payload) -> str:
    """A payload as a person reads it."""
    # Who acts travels in a header, up to release 0.2 in a payload that does not name its message.
    is_actor = payload.metadata["encoding"] == SEALED or (
        payload.metadata["encoding"] == b"binary/protobuf" and "messageType" not in payload.metadata
    )
    if is_actor:
        return json_format.MessageToJson(Actor.FromString(payload.data), ensure_ascii=False)
    value = PLAIN_DATA_CONVERTER.payload_converter.from_payload(payload)
    return json_format.MessageToJson(value, ensure_ascii=False) if isinstance(value, Message) else str(value)
