"""The replay gate: today's workflow goes on with every run that an earlier release has begun."""

import re
from pathlib import Path

import pytest
import tink
from google.protobuf import json_format
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from liity.v1.actor_pb2 import Actor
from liity.workflows.v1.registration_workflow_pb2 import SaveRequest
from services.runtime.security.keys import TEMPLATES, KeysetPurpose
from services.runtime.temporal.actor_header import SEALED, ActorSeal
from services.runtime.temporal.codec import PLAIN_DATA_CONVERTER
from services.runtime.temporal.names import RegistrationWorkflowNames
from tests.replay.changed_workflow import EndsAtOnce, WaitsFirst
from tests.replay.histories import FOLDER, RELEASE, files, is_of, payloads_in, read
from tests.replay.paths import PATHS
from workflows.support.actor_context import ActorInterceptor
from workflows.support.signals import SignalInterceptor
from workflows.worker import SANDBOX, WORKFLOWS

HISTORIES = files()
REGISTRATIONS = [path for path in HISTORIES if is_of(path, RegistrationWorkflowNames.WORKFLOW)]
"""Those of registrations."""

_PEOPLE = {"Aino Kaisa Esimerkki", "Onni Esimerkki"}
_HETU = re.compile(r"\b\d{6}[-+ABCDEFYXWVU]\d{3}[0-9A-Y]\b")
_EMAIL = re.compile(r"[\w.+-]+@[\w.-]+")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{48,}")
"""As long as the token of a link, a session or an access token; IDs are shorter."""


_SEAL = ActorSeal(tink.new_keyset_handle(TEMPLATES[KeysetPurpose.PAYLOADS]))
"""Of any keys: releases up to 0.2 sent their actors unsealed, and what was decided for them stays decided."""


def replayer(*workflows: type) -> Replayer:
    return Replayer(
        workflows=workflows,
        data_converter=PLAIN_DATA_CONVERTER,
        interceptors=[ActorInterceptor(_SEAL), SignalInterceptor()],
        workflow_runner=SANDBOX,
    )


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_there_is_a_history_of_each_path_of_this_release() -> None:
    assert {path.stem for path in (FOLDER / RELEASE).glob("*.json")} == set(PATHS)


@pytest.mark.parametrize("path", HISTORIES, ids=named)
async def test_todays_workflow_goes_on_with_it(path: Path) -> None:
    await replayer(*WORKFLOWS).replay_workflow(read(path))


@pytest.mark.parametrize("path", REGISTRATIONS, ids=named)
async def test_the_gate_stops_a_workflow_with_a_step_more(path: Path) -> None:
    with pytest.raises(NondeterminismError):
        await replayer(WaitsFirst).replay_workflow(read(path))


async def test_the_gate_stops_a_workflow_with_steps_less() -> None:
    with pytest.raises(NondeterminismError):
        await replayer(EndsAtOnce).replay_workflow(read(FOLDER / RELEASE / "adult_welcomed.json"))


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
    for text in (shown(payload) for payload in found):
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
    assert len(forms) == (1 if path in REGISTRATIONS else 0)
    # Nor does it name the machine it was recorded on.
    assert "@" not in path.read_text("utf-8")


def shown(payload: Payload) -> str:
    """A payload as a person reads it."""
    # Who acts travels in a header: sealed, or up to release 0.2 a payload that does not name its message.
    if payload.metadata["encoding"] == SEALED:
        return ""
    if payload.metadata["encoding"] == b"binary/protobuf" and "messageType" not in payload.metadata:
        return json_format.MessageToJson(Actor.FromString(payload.data), ensure_ascii=False)
    value = PLAIN_DATA_CONVERTER.payload_converter.from_payload(payload)
    return json_format.MessageToJson(value, ensure_ascii=False) if isinstance(value, Message) else str(value)
